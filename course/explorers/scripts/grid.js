// Notebook 05: losses of flat models and trees over block size and hidden width.
"use strict";

const GRID = {
  width: 420,
  height: 250,
  left: 62, // where the first column begins
  top: 34, // where the first row begins
  cell: { width: 86, height: 46 },
  highest: 2.35, // losses from here on are as pale as the paper
  darkest: 48, // per cent of blue in the best cell, on which letters can be read
  window: 100, // steps of each mean in a stored curve
  steps: 3000,
};
const CURVE_COLORS = ["#009e73", "#cc79a7", "#8c6d1f", "#56b4e9"];

class GridExplorer {
  constructor(model, el) {
    this.model = model;
    this.cells = new Map(model.get("cells").map((cell) => [cell.name, cell]));
    this.losses = new Map();
    for (const { name, val } of this.cells.values()) this.losses.set(name, meanOf(val));
    const names = [...this.losses.keys()];
    this.best = names.reduce((a, b) =>
      this.losses.get(b) < this.losses.get(a) ? b : a
    );
    this.build(el);
    model.on("change:chosen_cell", () => this.show());
    model.on("change:training", () => this.showTraining());
    this.show();
  }

  // ---- What stands where ----
  build(el) {
    this.elements = new Map(); // name of a cell: what is drawn for it
    const tables = ["flat", "tree"].map((architecture) => {
      const title = html("p", { class: "title" }, TITLES[architecture]);
      return html("div", { class: "panel" }, title, this.drawTable(architecture));
    });
    this.title = html("p", { class: "title" });
    this.facts = html("p", { class: "facts" });
    this.curves = html("div", { class: "curves" });
    this.runs = html("ul", { class: "runs" });
    this.announcer = announcer();
    el.append(
      html("p", { class: "line" }, POINT),
      html("div", { class: "panels" }, ...tables),
      this.title,
      this.facts
    );
    const start = { "Train this cell": { do: "train" } };
    this.training = trainingControls(this.model, el, start);
    el.append(this.curves, this.runs, this.announcer.root);
  }

  // A row for each block size, a column for each hidden width.
  drawTable(architecture) {
    const cells = [...this.cells.values()];
    const own = cells.filter((cell) => cell.architecture === architecture);
    const sizes = distinct(own.map((cell) => cell.block_size));
    const widths = distinct(own.map((cell) => cell.hidden));
    const root = picture(GRID.width, GRID.height, TITLES[architecture]);
    root.append(label(0, 14, "block size", "soft"));
    const middle = GRID.left + 2 * GRID.cell.width;
    root.append(label(middle, 14, "hidden width", "soft middle"));
    widths.forEach((hidden, column) => {
      const x = GRID.left + GRID.cell.width * (column + 0.5);
      root.append(label(x, GRID.top - 4, hidden, "middle"));
    });
    const rows = sizes.map((size, row) => {
      const y = GRID.top + GRID.cell.height * (row + 0.5);
      root.append(label(GRID.left - 10, y + 4, size, "end"));
      return widths.map((hidden, column) => {
        const element = this.drawCell(`${architecture} ${size} ${hidden}`, row, column);
        root.append(element);
        return element;
      });
    });
    arrowKeys([...rows].reverse()); // the first row stands on top
    return root;
  }

  drawCell(name, row, column) {
    const { width, height } = GRID.cell;
    const x = GRID.left + width * column;
    const y = GRID.top + height * row;
    const loss = this.losses.get(name);
    const lowest = this.losses.get(this.best);
    const far = (GRID.highest - loss) / (GRID.highest - lowest);
    const amount = Math.round(GRID.darkest * Math.max(0, Math.min(1, far)));
    const isBest = name === this.best;
    const element = svg("g", { class: "cell" });
    const box = { x: x + 2, y: y + 2, width: width - 4, height: height - 4, rx: 3 };
    element.append(svg("rect", { style: `--amount: ${amount}%`, ...box }));
    const words = loss.toFixed(3);
    const shown = isBest ? `★ ${words}` : words;
    element.append(label(x + width / 2, y + height / 2 + 4, shown, "middle"));
    element.setAttribute("role", "button");
    const sentence = sentenceOf(this.cells.get(name), loss, isBest);
    element.setAttribute("aria-label", sentence);
    element.addEventListener("focus", () => send(this.model, "chosen_cell", name));
    element.addEventListener("click", () => element.focus());
    this.elements.set(name, element);
    return element;
  }

  // ---- The chosen cell ----
  show() {
    const name = this.model.get("chosen_cell");
    const cell = this.cells.get(name);
    for (const [its, element] of this.elements) {
      element.classList.toggle("on", its === name);
      element.setAttribute("aria-pressed", its === name);
      element.setAttribute("tabindex", its === name ? 0 : -1);
    }
    const size = `${thousands(cell.parameters)} parameters`;
    this.title.textContent = `${kindOfCell(cell)}: ${size}`;
    const losses = cell.val.map((loss) => loss.toFixed(4)).join(" and ");
    const seeds = cell.seeds.join(" and ");
    this.facts.textContent =
      `Validation loss ${losses} (seeds ${seeds}); a run takes ` +
      `${Math.round(cell.seconds)} s on one core. Names it makes: ` +
      `${cell.samples.join(", ")}.`;
    const isBest = name === this.best;
    this.announcer.say(sentenceOf(cell, this.losses.get(name), isBest));
    this.showTraining();
  }

  // The stored curves of the chosen cell, and those of runs made now.
  showTraining() {
    const cell = this.cells.get(this.model.get("chosen_cell"));
    const training = this.model.get("training");
    if (this.training) this.training.show(training);
    const stored = cell.curves.map((losses, i) => {
      const dash = i === 1 ? "; stroke-dasharray: 5 3" : ""; // the second seed
      const style = `stroke: ${curveColor()}${dash}`;
      const words = `stored, seed ${cell.seeds[i]}`;
      return { losses, every: GRID.window, style, words };
    });
    const { runs = [] } = training;
    const own = runs.filter(({ name, losses }) => {
      return name === kindOfCell(cell) && losses.length > 0;
    });
    const fresh = own.map((run, i) => {
      const opacity = i === own.length - 1 ? 1 : 0.5;
      const style = `stroke: ${curveColor(run.number)}; opacity: ${opacity}`;
      return { ...run, style, words: "trained now" };
    });
    const drawn = [...stored, ...fresh].map((run) => {
      return { ...run, name: "", isLast: true };
    });
    const range = { steps: GRID.steps, lowest: 1.7, highest: 2.8 };
    this.curves.replaceChildren(lossCurves(drawn, range));
    const items = drawn.map(({ words, losses, number }) => {
      const last = `last loss ${losses.at(-1).toFixed(3)}`;
      return runItem(curveColor(number), `${words}: ${last}`);
    });
    this.runs.replaceChildren(...items);
  }
}

explorers.grid = GridExplorer;

// ---- Words and numbers ----------------------------------------
const TITLES = {
  flat: "Flat models: validation loss",
  tree: "Trees: validation loss",
};
const POINT =
  "Click a cell, or reach it by tab and arrow keys, to see its curves. The star " +
  "marks the lowest loss; darker is lower. Losses are nats per character, means " +
  "of two seeds.";

// Numbers, each once, the smallest first.
function distinct(numbers) {
  return [...new Set(numbers)].sort((a, b) => a - b);
}

// As course/explorers/trainable.py calls its runs.
function kindOfCell({ architecture, block_size: size, hidden }) {
  return `${architecture}, block size ${size}, hidden width ${hidden}`;
}

function sentenceOf(cell, loss, isBest) {
  const best = isBest ? ", the lowest of all" : "";
  return `${kindOfCell(cell)}: validation loss ${loss.toFixed(3)}${best}`;
}

// Stored curves are blue, and each run made now has a colour of its own.
function curveColor(number) {
  if (number === undefined) return "var(--bar)";
  return CURVE_COLORS[number % CURVE_COLORS.length];
}

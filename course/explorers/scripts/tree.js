// Notebook 03 and the front page: a flat model and a tree read the same characters.
"use strict";

const TREE = {
  width: 420,
  height: 524,
  inner: 356, // of the width, for the characters; the shapes stand right of it
  bars: 104, // where the bars of the distribution stand
  root: 162, // the last level
  leaves: 384, // the characters
  weights: 488, // where the matrices stand
  smallest: 8, // hidden widths in JupyterLab, where any can be chosen
  largest: 256,
};

class TreeExplorer {
  constructor(model, el) {
    this.model = model;
    this.characters = model.get("characters");
    this.looked = null; // what is pointed at: {panel, level, index}
    this.unpacked = new Map(); // bytes: the model that they hold
    this.panels = model.get("hero") ? ["tree"] : ["flat", "tree"];
    this.draw = onceAFrame(() => this.drawNow());
    this.build(el);
    for (const name of ["flat", "tree", "name"]) {
      model.on(`change:${name}`, this.draw);
    }
    model.on("change:training", () => this.showTraining());
    model.on("change:name", () => this.name.set(model.get("name")));
    model.on("change:block_size", () => this.blockSize.set(model.get("block_size")));
    model.on("change:hidden", () => this.hidden.set(model.get("hidden")));
    model.on("change:equal", () => this.equal.set(model.get("equal")));
    this.showTraining();
    this.drawNow();
    if (model.get("hero")) this.typeByItself();
  }

  // ---- What stands where ----
  build(el) {
    const model = this.model;
    const set = (name) => (value) => {
      model.set(name, value);
      model.save_changes();
    };
    this.name = nameBox({
      name: "a name so far",
      value: model.get("name"),
      characters: this.characters,
      onName: set("name"),
    });
    this.blockSize = slider({
      name: "block size",
      values: model.get("block_sizes"),
      value: model.get("block_size"),
      onChange: set("block_size"),
    });
    this.hidden = slider({
      name: "hidden width",
      values: this.widths(),
      value: model.get("hidden"),
      onChange: set("hidden"),
    });
    this.equal = checkBox({
      name: "flat model with as many parameters as the tree",
      value: model.get("equal"),
      onChange: set("equal"),
    });
    const controls = [this.name.root, this.blockSize.root, this.hidden.root];
    if (!model.get("hero")) controls.push(this.equal.root);
    this.places = {};
    const figures = this.panels.map((panel) => this.buildPanel(panel));
    this.line = html("p", { class: "line" });
    this.announcer = announcer();
    el.append(
      html("div", { class: "controls" }, ...controls),
      this.name.problem,
      html("div", { class: "panels" }, ...figures),
      this.line,
      this.announcer.root
    );
    this.buildTraining(el);
  }

  buildPanel(panel) {
    const title = html("p", { class: "title" });
    const drawing = html("div", { class: "drawing" });
    const facts = html("p", { class: "facts" });
    this.places[panel] = { title, drawing, facts };
    return html("div", { class: "panel" }, title, drawing, facts);
  }

  buildTraining(el) {
    if (!this.model.get("has_kernel")) return;
    const press = (what) => () => this.model.send(what);
    this.trainButtons = [
      button("Train the tree", press({ do: "train", which: "tree" })),
      button("Train the flat model", press({ do: "train", which: "flat" })),
    ];
    this.stopButton = button("Stop", press({ do: "stop" }));
    this.status = html("p", { class: "line" });
    this.curves = html("div", { class: "curves" });
    const buttons = [...this.trainButtons, this.stopButton];
    el.append(html("div", { class: "controls" }, ...buttons), this.status, this.curves);
  }

  widths() {
    const stored = this.model.get("widths");
    if (stored.length) return stored;
    const count = TREE.largest - TREE.smallest + 1;
    return Array.from({ length: count }, (_, i) => TREE.smallest + i);
  }

  // ---- Drawing ----
  modelOf(panel) {
    const bytes = this.model.get(panel);
    if (!bytes || !bytes.byteLength) return null;
    if (!this.unpacked.has(bytes)) {
      if (this.unpacked.size > 8) this.unpacked.clear(); // a training sends many
      this.unpacked.set(bytes, unpack(bytes));
    }
    return this.unpacked.get(bytes);
  }

  drawNow() {
    const focused = this.looked && document.activeElement?.closest?.("svg.picture");
    const words = [];
    for (const panel of this.panels) {
      const model = this.modelOf(panel);
      if (model) words.push(this.drawPanel(panel, model));
    }
    this.light(this.looked);
    if (focused && this.looked) this.partOf(this.looked)?.focus();
    const name = this.model.get("name");
    this.announcer.say(`After “${name}”: ${words.join("; ")}`);
  }

  // One model over the characters; a few words on what it expects.
  drawPanel(panel, model) {
    const { about } = model;
    const text = this.model.get("name");
    const window = windowOf(text, about.block_size, this.characters);
    const run = runModel(model, window);
    const drawn = drawModel(model, run, window, this.characters);
    const place = this.places[panel];
    place.drawn = drawn;
    place.run = run;
    place.window = window.map((i) => this.characters[i]).join("");
    place.title.textContent = `${kindOf(about)}, width ${about.hidden}`;
    place.facts.textContent = factsOf(about);
    place.drawing.replaceChildren(drawn.root);
    arrowKeys([drawn.areas, ...drawn.nodes].filter((row) => row.length));
    drawn.nodes.forEach((row, i) =>
      row.forEach((node, index) => this.watch(node, { panel, level: i + 1, index }))
    );
    drawn.areas.forEach((area, i) => this.watch(area, { panel, level: i + 1 }));
    return `the ${panel} model expects ${bestThree(run.probabilities, this.characters)}`;
  }

  watch(element, looked) {
    const look = () => this.light(looked);
    const leave = () => this.light(null);
    element.addEventListener("pointerenter", look);
    element.addEventListener("focus", look);
    element.addEventListener("pointerleave", leave);
    element.addEventListener("blur", leave);
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", this.sentence(looked));
  }

  // The node or the matrix that is pointed at, if it is there.
  partOf({ panel, level, index }) {
    const { drawn } = this.places[panel];
    if (index === undefined) return drawn.areas[level - 1];
    return drawn.nodes[level - 1]?.[index];
  }

  // ---- What is looked at ----
  light(looked) {
    this.looked = looked && this.partOf(looked) ? looked : null;
    for (const place of Object.values(this.places)) {
      for (const it of place.drawing.querySelectorAll(".on")) it.classList.remove("on");
    }
    if (!this.looked) {
      this.line.textContent = this.standing();
      return;
    }
    const { drawn } = this.places[this.looked.panel];
    const { level, index } = this.looked;
    this.partOf(this.looked).classList.add("on");
    if (index === undefined) {
      for (const node of drawn.nodes[level - 1]) node.classList.add("on");
    } else {
      const [first, last] = readBy(drawn, level, index);
      for (const part of drawn.parts) {
        const isInside = first <= part.first && part.last <= last;
        if (isInside && part.level <= level) part.element.classList.add("on");
      }
    }
    this.line.textContent = this.sentence(this.looked);
  }

  // What is said of a node or a matrix.
  sentence({ panel, level, index }) {
    const { drawn, window } = this.places[panel];
    if (index === undefined) return this.sentenceOfWeights(panel, level);
    const [first, last] = readBy(drawn, level, index);
    const read = window.slice(first, last + 1);
    if (panel === "flat") return `The flat model reads “${read}” in one step.`;
    return `This node has read “${read}” and nothing else.`;
  }

  sentenceOfWeights(panel, level) {
    const { drawn } = this.places[panel];
    const { rows, columns } = drawn.matrices[level - 1];
    const uses = drawn.nodes[level - 1].length;
    const size = `${thousands(rows * columns)} weights, ${rows} × ${columns}`;
    if (panel === "flat") return `One matrix for all characters: ${size}, used once.`;
    if (uses === 1) return `The last fusion: ${size}, used once.`;
    return `All ${uses} nodes of this level share one matrix: ${size}, used ${uses} times.`;
  }

  // What the line says while nothing is looked at.
  standing() {
    const name = this.model.get("name");
    const size = this.model.get("block_size");
    const point = "Point at a node or a matrix (or use the tab key and the arrow keys).";
    if (this.model.get("missing")) return this.model.get("missing");
    if (name.length <= size) return point;
    return `“${name.slice(0, name.length - size)}” is cut off. ${point}`;
  }

  // ---- Training, in JupyterLab ----
  showTraining() {
    if (!this.status) return;
    const training = this.model.get("training");
    for (const it of this.trainButtons) it.disabled = Boolean(training.running);
    this.stopButton.disabled = !training.running;
    this.status.textContent = training.status;
    this.curves.replaceChildren(lossCurves(training.runs, training));
  }

  // ---- On the front page ----
  // Types the name letter by letter, once, until somebody else types.
  typeByItself() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const name = this.model.get("name");
    let count = 0;
    const type = () => {
      if (!isAlone) return;
      this.name.input.value = name.slice(0, count);
      this.model.set("name", name.slice(0, count));
      this.model.save_changes();
      count += 1;
      if (count <= name.length) setTimeout(type, 550);
    };
    let isAlone = true;
    const stop = () => (isAlone = false);
    for (const kind of ["input", "pointerdown", "keydown"]) {
      document.addEventListener(kind, stop, { once: true, capture: true });
    }
    setTimeout(type, 1200);
  }

  // On the site: brings the stored weights for what is chosen.
  static async withoutKernel(model, load) {
    const choose = async () => {
      const size = model.get("block_size");
      const hidden = model.get("hidden");
      const key = `${size}_${hidden}`;
      const matching = model.get("equal") ? model.get("matching")[key] : hidden;
      const isMissing = matching === undefined;
      const flat = `flat_${size}_${isMissing ? hidden : matching}`;
      const names = model.get("hero") ? [] : [flat];
      const files = await Promise.all([`tree_${key}`, ...names].map(load));
      if (key !== `${model.get("block_size")}_${model.get("hidden")}`) return;
      model.set("missing", isMissing ? TOO_WIDE : "");
      model.set("tree", files[0]);
      if (files[1]) model.set("flat", files[1]);
    };
    for (const name of ["block_size", "hidden", "equal"]) {
      model.on(`change:${name}`, choose);
    }
    await choose();
  }
}

explorers.tree = TreeExplorer;

const TOO_WIDE =
  "A flat model with so many parameters is too large for this page: " +
  "the one beside the tree has the same width.";

// ---- Words --------------------------------------------------------------------------
function kindOf({ architecture, block_size: size }) {
  const kind = architecture === "flat" ? "Flat model" : "Tree of pairs";
  return `${kind}, ${size} characters`;
}

function factsOf({ parameters, trained, val, loss, samples }) {
  const words = [`${thousands(parameters)} parameters.`];
  const steps = `after ${thousands(trained)} steps`;
  if (!trained) {
    words.push("Not trained yet: all characters are about equally likely.");
  } else if (val === undefined) {
    words.push(`Training loss ${loss.toFixed(3)} ${steps}.`);
  } else {
    words.push(`Validation loss ${val.toFixed(3)} ${steps}.`);
    words.push(`Names it makes: ${samples.slice(0, 5).join(", ")}.`);
  }
  return words.join(" ");
}

// ---- The picture of one model ---------------------------------------------------------

// The first and the last character that a node reads, counted from 0.
function readBy({ blockSize, nodes }, level, index) {
  const span = blockSize / nodes[level - 1].length;
  return [index * span, (index + 1) * span - 1];
}

// The model over its characters, from below: tiles, chips, distribution; the matrices
// stand under them. `parts` are the tiles, lines and chips with what they have read.
function drawModel({ arrays, about }, run, window, characters) {
  const blockSize = window.length;
  const words = `${kindOf(about)}, its activations and the next character`;
  const root = picture(TREE.width, TREE.height, words);
  const slot = TREE.inner / blockSize;
  const top = run.levels.length - 1; // the last level
  const middle = (level, index) =>
    slot * (blockSize / run.levels[level].rows) * (index + 0.5);
  const height = (level) =>
    TREE.leaves - (level * (TREE.leaves - TREE.root)) / Math.max(1, top);
  // Cells are as wide as fits when the layer has its largest width.
  const cell = Math.min(3.4, (2 * slot - 6) / (TREE.largest / 8));
  const parts = [];
  const lines = svg("g", {});
  const nodes = [];
  const matrices = [];
  root.append(lines);

  window.forEach((token, i) => {
    const size = Math.min(30, slot - 2);
    const place = { x: middle(0, i), y: height(0), size };
    const element = tile(characters[token], place);
    root.append(element);
    parts.push({ element, level: 0, first: i, last: i });
  });
  for (let level = 1; level <= top; level++) {
    const { rows } = run.levels[level];
    const children = run.levels[level - 1].rows / rows;
    const span = blockSize / rows;
    matrices.push(arrays[`weight ${level}`]);
    nodes.push([]);
    for (let i = 0; i < rows; i++) {
      const x = middle(level, i);
      const y = height(level);
      for (let j = i * children; j < (i + 1) * children; j++) {
        const from = `${middle(level - 1, j)} ${height(level - 1) - 14}`;
        const line = svg("path", { class: "wire", d: `M${from}L${x} ${y + 14}` });
        const width = span / children;
        lines.append(line);
        parts.push({ element: line, level, first: j * width, last: (j + 1) * width - 1 });
      }
      const values = rowOf(run.levels[level], i);
      const fits = Math.min(cell, (TREE.inner - 6) / Math.ceil(values.length / 8));
      const element = svg("g", { class: "node" }, chip(values, { x, y, cell: fits }));
      root.append(element);
      nodes[level - 1].push(element);
      parts.push({ element, level, first: i * span, last: (i + 1) * span - 1 });
    }
  }
  run.levels.forEach(({ rows, columns }, level) => {
    root.append(label(TREE.width, height(level) + 4, `${rows} × ${columns}`, "soft end"));
  });

  const x = middle(top, 0);
  lines.append(
    svg("path", { class: "wire", d: `M${x} ${height(top) - 14}V${TREE.bars + 18}` })
  );
  const place = { x: 0, y: TREE.bars, width: TREE.width, height: 84 };
  root.append(bars(run.probabilities, characters, place));
  const areas = drawWeights(root, matrices, run.levels);
  return { root, nodes, areas, matrices, parts, blockSize };
}

// The matrices of the hidden layers, side by side; the rectangles.
function drawWeights(root, matrices, levels) {
  const y = TREE.weights;
  root.append(label(0, y - 66, "weights of each level, and how often they are used", "soft"));
  let left = 0;
  return matrices.map((matrix, i) => {
    const uses = levels[i + 1].rows;
    const width = Math.max(64, matrix.rows * 0.22 + 12);
    const area = weightsArea(matrix, { x: left + width / 2, y, uses });
    left += width;
    root.append(area);
    return area;
  });
}

// Notebook 02: the windows of a name, what is cut off, and the flat model reading them.
"use strict";

const WINDOWS = {
  width: 420,
  height: 360, // whatever the name, so that nothing below moves
  row: 24, // at most
  slot: 18, // room of a character
  right: 366, // where the windows end
  follows: 402, // the middle of the characters that follow
  // The bar of all parameters: as large as this when it is at its largest
  bar: { width: 420, height: 84, parameters: 132597 },
};
const LAYERS = ["first", "second", "third", "fourth"]; // classes: shades of purple
const RUN_COLORS = ["var(--bar)", "#009e73", "#cc79a7", "#8c6d1f"];

class WindowsExplorer {
  constructor(model, el) {
    this.model = model;
    this.characters = model.get("characters");
    this.looked = null; // the window that is pointed at; the last one otherwise
    this.draw = onceAFrame(() => this.drawNow());
    this.build(el);
    model.on("change:network", this.draw);
    model.on("change:missing", this.draw);
    model.on("change:name", () => {
      this.looked = null;
      this.draw();
    });
    model.on("change:training", () => this.showTraining());
    this.showTraining();
    this.drawNow();
  }

  // ---- What stands where ----
  build(el) {
    const model = this.model;
    const { characters } = this;
    this.name = controlOf(nameBox, model, "name", { name: "a name", characters });
    const sizes = { name: "block size", values: model.get("block_sizes") };
    const blockSize = controlOf(slider, model, "block_size", sizes);
    const widths = { name: "hidden width", values: model.get("widths") };
    const hidden = controlOf(slider, model, "hidden", widths);
    const controls = [this.name.root, blockSize.root, hidden.root];
    const panel = () => html("div", { class: "panel" });
    const left = panel();
    const right = panel();
    this.places = {};
    for (const name of ["windowsTitle", "windows"]) {
      left.append(this.place(name));
    }
    const parts = ["nextTitle", "next", "areasTitle", "areas", "facts", "shares"];
    for (const name of parts) right.append(this.place(name));
    this.line = html("p", { class: "line long" });
    this.announcer = announcer();
    el.append(
      html("div", { class: "controls" }, ...controls),
      this.name.problem,
      html("div", { class: "panels" }, left, right),
      this.line,
      this.announcer.root
    );
    this.curves = html("div", { class: "curves" });
    this.runs = html("ul", { class: "runs" });
    const start = { "Train this model": { do: "train" } };
    this.training = trainingControls(model, el, start);
    if (this.training) el.append(this.curves, this.runs);
  }

  place(name) {
    const kind = name.endsWith("Title") ? "title" : name;
    const tag = name.endsWith("Title") || name === "facts" ? "p" : "div";
    this.places[name] = html(tag, { class: kind });
    return this.places[name];
  }

  // ---- Drawing ----
  drawNow() {
    const bytes = this.model.get("network");
    if (!bytes || !bytes.byteLength) return;
    if (bytes !== this.bytes) this.network = unpack(bytes);
    this.bytes = bytes;
    this.letters = [...this.model.get("name")];
    const isFocused = this.places.windows.contains(document.activeElement);
    this.places.windows.replaceChildren(this.drawWindows());
    this.drawShares();
    this.drawAreas();
    this.look(this.looked);
    if (isFocused) this.rows[this.at()].focus();
    this.announcer.say(this.sentence(this.at()));
  }

  // The window that is shown: that which is pointed at, or the last one.
  at() {
    return this.looked === null ? this.letters.length : this.looked;
  }

  blockSizeOfNetwork() {
    return this.network.about.block_size;
  }

  // What a window leaves out of the name, what it holds, and what follows it.
  windowAt(i) {
    const size = this.blockSizeOfNetwork();
    const before = this.letters.slice(0, i);
    const cutOff = before.slice(0, Math.max(0, i - size));
    const padded = [...this.characters[0].repeat(size), ...before];
    const follows = i < this.letters.length ? this.letters[i] : this.characters[0];
    return { cutOff, window: padded.slice(-size), follows };
  }

  drawWindows() {
    const size = this.blockSizeOfNetwork();
    const name = this.letters.join("");
    const count = this.letters.length + 1;
    const cut = Math.max(0, this.letters.length - size);
    const cuts = cut === 1 ? "1 leaves" : `${cut || "none"} leave`;
    const windows = count === 1 ? "1 window" : `${count} windows`;
    const words = `${windows} of “${name}”, ${cuts} out a part`;
    this.places.windowsTitle.textContent = words;
    const root = picture(WINDOWS.width, WINDOWS.height, words);
    const row = Math.min(WINDOWS.row, WINDOWS.height / count);
    this.rows = [];
    for (let i = 0; i < count; i++) {
      const element = this.drawRow(i, row * (i + 0.5));
      this.rows.push(element);
      root.append(element);
    }
    // For the arrow keys the first row is the lowest one, and this one stands on top.
    arrowKeys([...this.rows].reverse().map((it) => [it]));
    return root;
  }

  drawRow(i, y) {
    const { cutOff, window, follows } = this.windowAt(i);
    const size = WINDOWS.slot - 2;
    const element = svg("g", { class: "row" });
    const shown = [...cutOff, ...window];
    shown.forEach((character, k) => {
      const x = WINDOWS.right - WINDOWS.slot * (shown.length - k - 0.5);
      const kind = k < cutOff.length ? "cut" : "inside";
      element.append(tile(character, { x, y, size, kind }));
    });
    element.append(label(WINDOWS.right + 11, y + 4, "→", "soft middle"));
    element.append(tile(follows, { x: WINDOWS.follows, y, size, kind: "later" }));
    const look = () => this.look(i);
    lookable(element, this.sentence(i), look, () => this.look(null));
    return element;
  }

  probabilitiesAt(i) {
    const text = this.letters.slice(0, i).join("");
    const tokens = windowOf(text, this.blockSizeOfNetwork(), this.characters);
    return runModel(this.network, tokens).probabilities;
  }

  // Shows what the model expects after a window; null: after the last one.
  look(i) {
    this.looked = i;
    const at = this.at();
    this.rows.forEach((it, k) => it.classList.toggle("on", k === at));
    const { window } = this.windowAt(at);
    const title = `What the flat model expects after ${quoted(window)}`;
    this.places.nextTitle.textContent = title;
    const root = picture(WINDOWS.width, 150, "the next character");
    const frame = { x: 0, y: 126, width: WINDOWS.width, height: 100 };
    root.append(bars(this.probabilitiesAt(at), this.characters, frame));
    this.places.next.replaceChildren(root);
    const point = "Point at a window, by mouse or by tab and arrow keys.";
    const standing = this.model.get("missing") || `${this.sentence(at)} ${point}`;
    this.line.textContent = i === null ? standing : this.sentence(at);
  }

  // What the model made of a window, and what was left out of it.
  sentence(i) {
    const { cutOff, window, follows } = this.windowAt(i);
    const chances = this.probabilitiesAt(i);
    const chance = percent(chances[this.characters.indexOf(follows)]);
    const next = spoken(follows, this.characters);
    const expected = bestThree(chances, this.characters);
    const left = cutOff.length ? ` ${quoted(cutOff)} is cut off.` : "";
    return (
      `After ${quoted(window)} it expects ${expected}. ` +
      `What follows is ${next}, which it gave ${chance}.${left}`
    );
  }

  // How many positions each block size cuts off; the chosen one is marked.
  drawShares() {
    const shares = this.model.get("shares");
    const size = this.blockSizeOfNetwork();
    const share = shares[size - 1];
    const where = `at ${percent(share)} of all positions`;
    const words = `Block size ${size} cuts off a part ${where}`;
    const root = picture(WINDOWS.width, 116, words);
    root.append(label(0, 14, `${words}.`));
    const slot = WINDOWS.width / shares.length;
    shares.forEach((it, i) => {
      const x = slot * (i + 0.5);
      const height = Math.max(0.6, 70 * it);
      const kind = i + 1 === size ? "best" : "";
      const box = { x: x - 0.38 * slot, y: 98 - height, width: 0.76 * slot, height };
      root.append(svg("rect", { class: `bar ${kind}`, ...box }));
      root.append(label(x, 112, i + 1, `middle ${kind || "soft"}`));
    });
    this.places.shares.replaceChildren(root);
  }

  // One bar for all parameters: its area is their number, and each part a layer.
  drawAreas() {
    const { arrays, about } = this.network;
    const layers = layersOf(arrays, about.hidden);
    const total = layers.reduce((sum, { count }) => sum + count, 0);
    const words = `${thousands(total)} parameters`;
    this.places.areasTitle.textContent = words;
    const root = picture(WINDOWS.width, 170, words);
    const scale = Math.sqrt(total / WINDOWS.bar.parameters);
    const width = WINDOWS.bar.width * scale;
    const height = WINDOWS.bar.height * scale;
    let left = 0;
    layers.forEach(({ name, count }, i) => {
      const part = (width * count) / total;
      const kind = { class: `weights ${LAYERS[i]}` };
      const box = { x: left, y: WINDOWS.bar.height - height, width: part, height };
      root.append(svg("rect", { ...kind, ...box }));
      left += part;
      const y = WINDOWS.bar.height + 22 + 18 * i;
      const sample = { x: 0, y: y - 10, width: 12, height: 12 };
      root.append(svg("rect", { ...kind, ...sample }));
      root.append(label(20, y, name));
      root.append(label(300, y, thousands(count), "end"));
    });
    this.places.areas.replaceChildren(root);
    this.places.facts.textContent = trainedWords(about);
  }

  // ---- Training, in JupyterLab ----
  showTraining() {
    if (!this.training) return;
    const training = this.model.get("training");
    this.training.show(training);
    const curves = training.runs.map((run) => {
      const style = `stroke: ${colorOf(run)}; opacity: ${run.isLast ? 1 : 0.6}`;
      return { ...run, style, name: "" };
    });
    this.curves.replaceChildren(lossCurves(curves, training));
    const begun = training.runs.filter(({ losses }) => losses.length);
    const items = begun.map((run) => runItem(colorOf(run), wordsOfRun(run)));
    this.runs.replaceChildren(...items);
  }

  // On the site: brings the stored weights for what is chosen.
  static async withoutKernel(model, load) {
    const choose = async () => {
      const key = `flat_${model.get("block_size")}_${model.get("hidden")}`;
      const found = await load(key).catch(() => null);
      const now = `flat_${model.get("block_size")}_${model.get("hidden")}`;
      if (key !== now) return; // a slider has moved on
      model.set("missing", found ? "" : NOT_STORED);
      if (found) model.set("network", found);
    };
    model.on("change:block_size", choose);
    model.on("change:hidden", choose);
    await choose();
  }
}

explorers.windows = WindowsExplorer;

const NOT_STORED = "This model is not stored: choose another one.";

// ---- Words and numbers ----------------------------------------
function quoted(characters) {
  return `“${characters.join("")}”`;
}

// The layers with parameters, in the order of the model, and how many each has.
function layersOf(arrays, hidden) {
  const size = ({ rows, columns }) => rows * columns;
  const shape = ({ rows, columns }) => `${rows} × ${columns}`;
  const table = arrays.embedding;
  const first = arrays["weight 1"];
  const last = arrays["weight 2"];
  const bias = last.columns;
  return [
    { name: `Embedding ${shape(table)}`, count: size(table) },
    { name: `Linear ${shape(first)}`, count: size(first) },
    { name: "BatchNorm, two a channel", count: 2 * hidden },
    { name: `Linear ${shape(last)} + ${bias}`, count: size(last) + bias },
  ];
}

// A run keeps its colour when others follow.
function colorOf({ number }) {
  return RUN_COLORS[number % RUN_COLORS.length];
}

function wordsOfRun({ name, losses, val }) {
  const last = `loss ${losses.at(-1).toFixed(3)}`;
  return `${name}: ${val === undefined ? last : `validation ${val.toFixed(3)}`}`;
}

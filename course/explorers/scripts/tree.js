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
    for (const name of ["flat", "tree", "name", "missing"]) {
      model.on(`change:${name}`, this.draw);
    }
    model.on("change:training", () => this.showTraining());
    this.showTraining();
    this.drawNow();
    if (model.get("hero")) this.typeByItself();
  }

  // ---- What stands where ----
  build(el) {
    const model = this.model;
    this.name = controlOf(nameBox, model, "name", {
      name: "a name so far",
      characters: this.characters,
    });
    const blockSize = controlOf(slider, model, "block_size", {
      name: "block size",
      values: model.get("block_sizes"),
    });
    const hidden = controlOf(slider, model, "hidden", {
      name: "hidden width",
      values: this.widths(),
    });
    const equal = controlOf(checkBox, model, "equal", {
      name: "flat model with as many parameters as the tree",
    });
    const controls = [this.name.root, blockSize.root, hidden.root];
    if (!model.get("hero")) controls.push(equal.root);
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
    this.curves = html("div", { class: "curves" });
    this.training = trainingControls(model, el, {
      "Train the tree": { do: "train", which: "tree" },
      "Train the flat model": { do: "train", which: "flat" },
    });
    if (this.training) el.append(this.curves);
  }

  buildPanel(panel) {
    const title = html("p", { class: "title" });
    const drawing = html("div", { class: "drawing" });
    const facts = html("p", { class: "facts" });
    this.places[panel] = { title, drawing, facts };
    return html("div", { class: "panel" }, title, drawing, facts);
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
    const parameters = `${thousands(about.parameters)} parameters.`;
    place.facts.textContent = `${parameters} ${trainedWords(about)}`;
    place.drawing.replaceChildren(drawn.root);
    arrowKeys([drawn.areas, ...drawn.nodes].filter((row) => row.length));
    drawn.nodes.forEach((row, i) =>
      row.forEach((node, index) => this.watch(node, { panel, level: i + 1, index }))
    );
    drawn.areas.forEach((area, i) => this.watch(area, { panel, level: i + 1 }));
    const expected = bestThree(run.probabilities, this.characters);
    return `the ${panel} model expects ${expected}`;
  }

  watch(element, looked) {
    const look = () => this.light(looked);
    lookable(element, this.sentence(looked), look, () => this.light(null));
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
    const shared = `All ${uses} nodes of this level share one matrix`;
    return `${shared}: ${size}, used ${uses} times.`;
  }

  // What the line says while nothing is looked at.
  standing() {
    const name = this.model.get("name");
    const size = this.model.get("block_size");
    const point = "Point at a node or a matrix, by mouse or by tab and arrow keys.";
    if (this.model.get("missing")) return this.model.get("missing");
    if (name.length <= size) return point;
    return `“${name.slice(0, name.length - size)}” is cut off. ${point}`;
  }

  // ---- Training, in JupyterLab ----
  showTraining() {
    if (!this.training) return;
    const training = this.model.get("training");
    this.training.show(training);
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
      send(this.model, "name", name.slice(0, count));
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
    const traits = ["block_size", "hidden", "equal"];
    const chosen = () => traits.map((name) => model.get(name)).join("_");
    const choose = async () => {
      const before = chosen();
      const files = await Promise.all(filesFor(model).map(load));
      if (chosen() !== before) return; // a slider has moved on
      model.set("missing", widthBeside(model) === undefined ? TOO_WIDE : "");
      model.set("tree", files[0]);
      if (files[1]) model.set("flat", files[1]);
    };
    for (const name of traits) model.on(`change:${name}`, choose);
    await choose();
  }
}

explorers.tree = TreeExplorer;

const TOO_WIDE =
  "A flat model with so many parameters is too large for this page: " +
  "the one beside the tree has the same width.";

// The width of the flat model beside the tree; undefined if none is stored.
function widthBeside(model) {
  const hidden = model.get("hidden");
  if (!model.get("equal")) return hidden;
  return model.get("matching")[`${model.get("block_size")}_${hidden}`];
}

// The stored weights of the tree, and of the flat model if it is shown.
function filesFor(model) {
  const size = model.get("block_size");
  const hidden = model.get("hidden");
  const files = [`tree_${size}_${hidden}`];
  if (model.get("hero")) return files;
  return [...files, `flat_${size}_${widthBeside(model) ?? hidden}`];
}

// ---- Words ----------------------------------------
function kindOf({ architecture, block_size: size }) {
  const kind = architecture === "flat" ? "Flat model" : "Tree of pairs";
  return `${kind}, ${size} characters`;
}

// ---- The picture of one model ----------------------------------------

// The first and the last character that a node reads, counted from 0.
function readBy({ blockSize, nodes }, level, index) {
  const span = blockSize / nodes[level - 1].length;
  return [index * span, (index + 1) * span - 1];
}

// The model over its characters, from below: tiles, chips, distribution; the matrices
// stand under them. `parts` are the tiles, lines and chips with what they have read.
function drawModel({ arrays, about }, run, window, characters) {
  const words = `${kindOf(about)}, its activations and the next character`;
  const root = picture(TREE.width, TREE.height, words);
  const lines = svg("g", {});
  const place = placesOf(run.levels);
  root.append(lines);
  const parts = drawTiles(root, place, window, characters);
  const nodes = [];
  const matrices = [];
  run.levels.forEach((vectors, level) => {
    const shape = `${vectors.rows} × ${vectors.columns}`;
    root.append(label(TREE.width, place.y(level) + 4, shape, "soft end"));
    if (level === 0) return; // the tiles
    parts.push(...drawWires(lines, place, level));
    const row = drawNodes(root, place, vectors, level);
    parts.push(...row);
    nodes.push(row.map(({ element }) => element));
    matrices.push(arrays[`weight ${level}`]);
  });
  const top = run.levels.length - 1;
  const d = `M${place.x(top, 0)} ${place.y(top) - 14}V${TREE.bars + 18}`;
  lines.append(svg("path", { class: "wire", d }));
  const frame = { x: 0, y: TREE.bars, width: TREE.width, height: 84 };
  root.append(bars(run.probabilities, characters, frame));
  const areas = drawWeights(root, matrices, run.levels);
  return { root, nodes, areas, matrices, parts, blockSize: window.length };
}

// Where the middle of each vector is: x(level, index), y(level). `span(level)` is how
// many characters a vector of the level has read, and `slot` the room of a character.
function placesOf(levels) {
  const blockSize = levels[0].rows;
  const slot = TREE.inner / blockSize;
  const step = (TREE.leaves - TREE.root) / (levels.length - 1);
  const span = (level) => blockSize / levels[level].rows;
  const x = (level, index) => slot * span(level) * (index + 0.5);
  const y = (level) => TREE.leaves - level * step;
  return { blockSize, slot, span, x, y };
}

function drawTiles(root, place, window, characters) {
  return window.map((token, i) => {
    const size = Math.min(30, place.slot - 2);
    const at = { x: place.x(0, i), y: place.y(0), size };
    const element = tile(characters[token], at);
    root.append(element);
    return { element, level: 0, first: i, last: i };
  });
}

// A line from each vector of the level below to the node that reads it.
function drawWires(lines, place, level) {
  const parts = [];
  const width = place.span(level - 1);
  for (let i = 0; i < place.blockSize / width; i++) {
    const parent = Math.floor((i * width) / place.span(level));
    const from = `${place.x(level - 1, i)} ${place.y(level - 1) - 14}`;
    const to = `${place.x(level, parent)} ${place.y(level) + 14}`;
    const element = svg("path", { class: "wire", d: `M${from}L${to}` });
    lines.append(element);
    parts.push({ element, level, first: i * width, last: (i + 1) * width - 1 });
  }
  return parts;
}

// The chips of one level. Cells are as wide as fits when the layer is at its widest.
function drawNodes(root, place, vectors, level) {
  const widest = (2 * place.slot - 6) / (TREE.largest / 8);
  const fitting = (TREE.inner - 6) / Math.ceil(vectors.columns / 8);
  const cell = Math.min(3.4, widest, fitting);
  const span = place.span(level);
  const parts = [];
  for (let i = 0; i < vectors.rows; i++) {
    const at = { x: place.x(level, i), y: place.y(level), cell };
    const element = svg("g", { class: "node" }, chip(rowOf(vectors, i), at));
    root.append(element);
    parts.push({ element, level, first: i * span, last: (i + 1) * span - 1 });
  }
  return parts;
}

// The matrices of the hidden layers, side by side; the rectangles.
function drawWeights(root, matrices, levels) {
  const words = "weights of each level, and how often they are used";
  root.append(label(0, TREE.weights - 66, words, "soft"));
  let left = 0;
  return matrices.map((matrix, i) => {
    const uses = levels[i + 1].rows;
    const width = Math.max(64, matrix.rows * 0.22 + 12);
    const area = weightsArea(matrix, { x: left + width / 2, y: TREE.weights, uses });
    left += width;
    root.append(area);
    return area;
  });
}

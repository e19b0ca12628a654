// Notebook 06: a step through a name: which fusions are new, which are there already.
"use strict";

const REUSE = {
  width: 660,
  height: 330,
  tiles: 292, // where the characters stand
  level: 56, // from one level to the next
  slot: 38, // room of a character, at most
  dots: 7, // before the name, at least: block sizes up to 8 share one layout
  large: 9, // half the size of a fusion that is needed now
  small: 4, // of one that only earlier characters have needed
  pause: 1000, // milliseconds from one character to the next
};
const KINDS = { fresh: "new", before: "computed before", dots: "of dots only" };

class ReuseExplorer {
  constructor(model, el) {
    this.model = model;
    this.characters = model.get("characters");
    this.draw = onceAFrame(() => this.drawNow());
    this.playing = null; // the timer while it plays
    this.build(el);
    for (const name of ["block_size", "character", "name"]) {
      model.on(`change:${name}`, this.draw);
    }
    model.on("change:character", () => this.character.set(model.get("character")));
    model.on("change:name", () => this.buildCharacter());
    this.drawNow();
  }

  close() {
    clearInterval(this.playing);
  }

  // ---- What stands where ----
  build(el) {
    const model = this.model;
    this.name = controlOf(nameBox, model, "name", {
      name: "a name",
      characters: this.characters,
      onChange: (name) => this.setName(name),
    });
    const sizes = { name: "block size", values: model.get("block_sizes") };
    const blockSize = controlOf(slider, model, "block_size", sizes);
    this.characterPlace = html("span", {});
    this.buildCharacter();
    this.play = button("Play", () => this.playOrPause());
    this.title = html("p", { class: "title" });
    this.drawing = html("div", { class: "drawing scroll" });
    this.facts = html("p", { class: "facts" });
    this.line = html("p", { class: "line" });
    this.announcer = announcer();
    const controls = [this.name.root, blockSize.root, this.characterPlace];
    el.append(
      html("div", { class: "controls" }, ...controls, this.play),
      this.name.problem,
      this.title,
      this.drawing,
      this.facts,
      this.line,
      this.announcer.root
    );
  }

  // The slider for the character; a longer name has more of them.
  buildCharacter() {
    const count = [...this.model.get("name")].length + 1;
    this.character = slider({
      name: "character",
      values: Array.from({ length: count }, (_, i) => i + 1),
      value: this.model.get("character"),
      onChange: (value) => this.choose(value),
    });
    this.characterPlace.replaceChildren(this.character.root);
  }

  setName(name) {
    this.pause();
    const most = [...name].length + 1;
    this.model.set("character", Math.min(this.model.get("character"), most));
    send(this.model, "name", name);
  }

  choose(character) {
    this.pause();
    send(this.model, "character", character);
  }

  // ---- Playing ----
  playOrPause() {
    if (this.playing !== null) {
      this.pause();
      return;
    }
    const last = [...this.model.get("name")].length + 1;
    if (this.model.get("character") === last) send(this.model, "character", 1);
    this.play.textContent = "Pause";
    this.playing = setInterval(() => this.step(), REUSE.pause);
  }

  step() {
    const last = [...this.model.get("name")].length + 1;
    const next = this.model.get("character") + 1;
    if (next <= last) send(this.model, "character", next);
    if (next >= last) this.pause();
  }

  pause() {
    clearInterval(this.playing);
    this.playing = null;
    this.play.textContent = "Play";
  }

  // ---- Drawing ----
  drawNow() {
    this.size = this.model.get("block_size");
    this.letters = [...this.model.get("name")];
    // From the kernel a shorter name may come before the character that fits it.
    this.at = Math.min(this.model.get("character"), this.letters.length + 1);
    this.seen = seenUpTo(this.at, this.size);
    const isFocused = this.drawing.contains(document.activeElement);
    this.drawing.replaceChildren(this.drawPicture());
    if (isFocused) this.rows[0][0].focus();
    this.scrollToNewest();
    this.title.textContent = this.titleOf();
    this.facts.textContent = `${this.counts()} ${this.total()}`;
    this.line.textContent = POINT;
    this.announcer.say(this.counts());
  }

  // On a narrow page the picture can be scrolled: shows what is predicted.
  scrollToNewest() {
    const share = this.x(this.at + 1) / REUSE.width;
    const right = share * this.drawing.scrollWidth;
    this.drawing.scrollLeft = right - this.drawing.clientWidth;
  }

  titleOf() {
    const before = this.letters.slice(0, this.at - 1).join("");
    const next = spoken(this.characterAt(this.at), this.characters);
    return `What is needed to predict ${next} after “${before}”`;
  }

  // The character at a position; 1 is the name's first, and before it there are dots.
  characterAt(position) {
    const isInside = 1 <= position && position <= this.letters.length;
    return isInside ? this.letters[position - 1] : this.characters[0];
  }

  counts() {
    const needed = [...this.seen.values()].filter(({ isNeeded }) => isNeeded);
    const count = (kind) => needed.filter((it) => it.kind === kind).length;
    const isEnd = this.at > this.letters.length;
    const name = this.letters.join("");
    const which = isEnd ? `The end of “${name}”` : `Character ${this.at} of “${name}”`;
    const fusions = needed.length === 1 ? "1 fusion" : `${needed.length} fusions`;
    const parts = Object.keys(KINDS).map((kind) => `${count(kind)} ${KINDS[kind]}`);
    return `${which} needs ${fusions}: ${parts.join(", ")}.`;
  }

  // What can be counted in the picture: all marks, the small ones, too.
  total() {
    const alone = this.at * (this.size - 1);
    const own = this.at === 1 ? "1 example" : `${this.at} examples, each on its own,`;
    return `All marks are ${this.seen.size} fusions; ${own} would compute ${alone}.`;
  }

  drawPicture() {
    const root = picture(REUSE.width, REUSE.height, "the fusions up to this character");
    root.classList.add("reuse");
    const before = Math.max(REUSE.dots, this.size - 1);
    const columns = before + this.letters.length + 2;
    this.slot = Math.min(REUSE.slot, (REUSE.width - 64) / columns);
    this.x = (position) => 64 + this.slot * (position + before - 0.5);
    this.y = (level) => REUSE.tiles - REUSE.level * level;
    this.drawKey(root);
    const levels = Math.log2(this.size);
    for (let level = 1; level <= levels; level++) {
      root.append(label(0, this.y(level) + 4, `level ${level}`, "soft"));
      for (let position = 1; position <= this.letters.length; position++) {
        const dot = { cx: this.x(position), cy: this.y(level), r: 1.6 };
        root.append(svg("circle", { class: "future", ...dot }));
      }
    }
    this.drawTiles(root);
    this.drawFusions(root, levels);
    return root;
  }

  // What the marks mean.
  drawKey(root) {
    let x = 74;
    for (const [kind, words] of Object.entries(KINDS)) {
      root.append(mark(kind, x, 14, REUSE.large - 2));
      root.append(label(x + 14, 18, words));
      x += 34 + 7.5 * words.length;
    }
    root.append(mark("before", x, 14, REUSE.small));
    root.append(label(x + 10, 18, "small: not needed now", "soft"));
  }

  drawTiles(root) {
    this.tiles = new Map();
    const size = Math.min(28, this.slot - 2);
    const end = this.letters.length + 1;
    for (let position = 1 - this.size; position <= end; position++) {
      const isInside = this.at - 1 - this.size < position && position < this.at;
      let kind = isInside ? "inside" : "outside";
      if (position === this.at) kind = "later predicted";
      const at = { x: this.x(position), y: this.y(0), size, kind };
      const element = tile(this.characterAt(position), at);
      this.tiles.set(position, element);
      root.append(element);
    }
    const x = Math.min(this.x(this.at), REUSE.width - 30);
    root.append(label(x, REUSE.tiles + 32, "predicted", "best middle"));
  }

  // A wire from each fusion that is needed to what it reads, and a mark for all.
  drawFusions(root, levels) {
    const wires = svg("g", {});
    root.append(wires);
    this.rows = Array.from({ length: levels }, () => []);
    for (const fusion of this.seen.values()) {
      const { level, position, kind, isNeeded } = fusion;
      const size = isNeeded ? REUSE.large : REUSE.small;
      const element = mark(kind, this.x(position), this.y(level), size);
      root.append(element);
      if (!isNeeded) continue;
      for (const child of [position - 2 ** (level - 1), position]) {
        const from = `${this.x(child)} ${this.y(level - 1) - (level === 1 ? 14 : 0)}`;
        const d = `M${from}L${this.x(position)} ${this.y(level)}`;
        wires.append(svg("path", { class: "wire", d }));
      }
      const look = () => this.look(fusion, element);
      lookable(element, this.sentence(fusion), look, () => this.look(null));
      this.rows[level - 1].unshift(element); // the oldest one first
    }
    arrowKeys(this.rows);
  }

  look(fusion, element) {
    for (const it of this.drawing.querySelectorAll(".on")) it.classList.remove("on");
    this.line.textContent = fusion ? this.sentence(fusion) : POINT;
    if (!fusion) return;
    element.classList.add("on");
    for (let i = 0; i < 2 ** fusion.level; i++) {
      this.tiles.get(fusion.position - i).classList.add("on");
    }
  }

  sentence({ level, position, kind }) {
    const read = [];
    for (let i = 2 ** level - 1; i >= 0; i--) {
      read.push(this.characterAt(position - i));
    }
    const what = {
      fresh: "It is new: this character is the first that needs it.",
      before: `It was computed before, for character ${position + 1}.`,
      dots: "It reads dots only, and is the same in every name.",
    };
    return `The fusion at level ${level} reads “${read.join("")}”. ${what[kind]}`;
  }
}

explorers.reuse = ReuseExplorer;

const POINT =
  "Point at a mark, by mouse or by tab and arrow keys, to see what it reads.";

// ---- Fusions, as in course/fusions.py ----------------------------------------

// All fusions of the examples that predict the characters up to `character`, each once.
// A fusion is called by its level and the position where its characters end.
function seenUpTo(character, size) {
  const seen = new Map();
  for (let last = 0; last < character; last++) {
    for (let level = 1; 2 ** level <= size; level++) {
      for (let i = 0; i < size / 2 ** level; i++) {
        const position = last - i * 2 ** level;
        const kind = kindOfFusion(position, character - 1);
        const isNeeded = last === character - 1;
        seen.set(`${level} ${position}`, { level, position, kind, isNeeded });
      }
    }
  }
  return seen;
}

// What a fusion is to the example that ends at `last`.
function kindOfFusion(position, last) {
  if (position <= 0) return "dots";
  return position < last ? "before" : "fresh";
}

// A diamond is new, a circle was there before, a square stands for dots only.
function mark(kind, x, y, size) {
  const group = svg("g", { class: `mark ${kind}` });
  if (kind === "before") {
    group.append(svg("circle", { cx: x, cy: y, r: size }));
  } else if (kind === "dots") {
    const side = 1.7 * size;
    const box = { x: x - side / 2, y: y - side / 2, width: side, height: side };
    group.append(svg("rect", box));
  } else {
    const d = `M${x} ${y - 1.3 * size}l${size} ${1.3 * size}l${-size} ${1.3 * size}`;
    group.append(svg("path", { d: `${d}l${-size} ${-1.3 * size}z` }));
  }
  return group;
}

// Notebook 08: the full WaveNet over a typed name: surprise, gates, next character.
"use strict";

const WAVENET = {
  width: 420,
  height: 400,
  left: 40, // where the first position begins
  surprise: 150, // where the bars of the surprise stand
  nat: 19, // units of the picture for one nat
  highest: 6, // nats: higher bars are cut
  tiles: 172,
  gates: 214, // the last block's row
  row: 20,
  offered: 8, // names at a press of the button
  longest: 20, // characters of such a name
};

class WaveNetExplorer {
  constructor(model, el) {
    this.model = model;
    this.characters = model.get("characters");
    this.network = unpack(model.get("network"));
    this.looked = null; // the position that is pointed at; the last one otherwise
    this.draw = onceAFrame(() => this.drawNow());
    this.build(el);
    model.on("change:name", () => {
      this.looked = null;
      this.draw();
    });
    model.on("change:temperature", this.draw);
    this.drawNow();
  }

  build(el) {
    const { model, characters } = this;
    this.name = controlOf(nameBox, model, "name", { name: "a name", characters });
    const temperature = controlOf(slider, model, "temperature", {
      name: "temperature",
      values: Array.from({ length: 19 }, (_, i) => (i + 2) / 10),
    });
    const make = button("Make names", () => this.makeNames());
    this.drawing = html("div", { class: "drawing" });
    this.title = html("p", { class: "title" });
    this.next = html("div", { class: "drawing" });
    this.line = html("p", { class: "line" });
    this.made = html("p", { class: "line", "aria-live": "polite" });
    this.announcer = announcer();
    const cost = html("p", { class: "title" }, "What each character cost");
    el.append(
      html("div", { class: "controls" }, this.name.root, temperature.root, make),
      this.name.problem,
      html(
        "div",
        { class: "panels" },
        html("div", { class: "panel" }, cost, this.drawing, this.line),
        html("div", { class: "panel" }, this.title, this.next, this.made)
      ),
      this.announcer.root
    );
  }

  // ---- What the network says ----

  // Tokens of the dot and a text.
  tokensOf(text) {
    return [...this.characters[0] + text].map((it) => this.characters.indexOf(it));
  }

  // At each position what may come next, and the surprise of what does.
  read(text) {
    const tokens = this.tokensOf(text);
    const { blocks, logits } = runWavenet(this.network, tokens);
    const positions = tokens.map((_, t) => {
      const following = t + 1 < tokens.length ? tokens[t + 1] : 0;
      const own = rowOf(logits, t);
      const cost = -Math.log(softmax(own)[following]);
      return { following, logits: own, cost };
    });
    return { blocks, positions };
  }

  // ---- Drawing ----
  drawNow() {
    const text = this.model.get("name");
    this.run = this.read(text);
    this.letters = [...text];
    const isFocused = this.drawing.contains(document.activeElement);
    this.drawing.replaceChildren(this.drawCosts());
    this.look(this.looked);
    if (isFocused && this.looked !== null) this.columns[this.looked].focus();
    const costs = this.run.positions.map(({ cost }) => cost);
    const total = costs.reduce((a, b) => a + b);
    const each = total / costs.length;
    this.total =
      `“${text}” and its end cost ${total.toFixed(1)} nats, ` +
      `${each.toFixed(2)} a character. `;
    this.line.textContent = this.total + "Point at a column to see what was expected.";
    this.announcer.say(this.total);
  }

  // A column for each character and for the end: cost, tile, gates of all blocks.
  drawCosts() {
    const { positions, blocks } = this.run;
    const words = "cost of each character, and gates";
    const root = picture(WAVENET.width, WAVENET.height, words);
    const slot = (WAVENET.width - WAVENET.left) / Math.max(8, positions.length);
    const middle = (t) => WAVENET.left + slot * (t + 0.5);
    for (const nats of [0, 2, 4, 6]) {
      const y = WAVENET.surprise - nats * WAVENET.nat;
      const line = `M${WAVENET.left} ${y}H${WAVENET.width}`;
      root.append(svg("path", { class: "grid", d: line }));
      root.append(label(WAVENET.left - 6, y + 4, nats, "soft end"));
    }
    root.append(label(0, 16, "nats", "soft"));
    const gates = "gates of each block, by its dilation";
    root.append(label(0, WAVENET.gates - 6, gates, "soft"));
    blocks.forEach(({ dilation }, i) => {
      const y = WAVENET.gates + WAVENET.row * (blocks.length - i - 0.5) + 4;
      root.append(label(WAVENET.left - 6, y, dilation, "soft end"));
    });
    this.columns = positions.map((_, t) => {
      const column = this.drawColumn(t, middle(t), slot);
      root.append(column);
      return column;
    });
    arrowKeys([this.columns]);
    return root;
  }

  drawColumn(t, x, slot) {
    const { positions, blocks } = this.run;
    const { cost } = positions[t];
    const size = Math.min(26, slot - 3);
    const height = Math.min(cost, WAVENET.highest) * WAVENET.nat;
    const wide = { x: x - size / 2, width: size };
    const bar = { ...wide, y: WAVENET.surprise - height, height };
    const isEnd = t === this.letters.length;
    const shown = isEnd ? "." : this.letters[t];
    const column = svg("g", { class: "column" });
    column.append(svg("rect", { class: "bar best", ...bar }));
    const number = cost.toFixed(1);
    if (slot > 20) {
      column.append(label(x, WAVENET.surprise - height - 5, number, "middle"));
    }
    const kind = isEnd ? "later" : "";
    column.append(tile(shown, { x, y: WAVENET.tiles, size, kind }));
    blocks.forEach(({ gate }, i) => {
      const open = meanOf(rowOf(gate, t));
      const y = WAVENET.gates + WAVENET.row * (blocks.length - i - 1);
      const cell = { ...wide, y: y + 2, height: WAVENET.row - 4 };
      const style = `--amount: ${Math.round(100 * open)}%`;
      column.append(svg("rect", { class: "gate", style, ...cell }));
    });
    const look = () => this.look(t);
    lookable(column, this.sentence(t), look, () => this.look(null));
    return column;
  }

  // What was expected at a position, and what came.
  sentence(t) {
    const { following, logits, cost } = this.run.positions[t];
    const chances = softmax(logits);
    const before = this.letters.slice(0, t).join("");
    const came = spoken(this.characters[following], this.characters);
    const where = before ? `After “${before}”` : "At the beginning";
    const gates = this.run.blocks.map(({ gate }) => meanOf(rowOf(gate, t)));
    return (
      `${where} it expected ${bestThree(chances, this.characters)}; ` +
      `${came} had ${percent(chances[following])} and cost ${cost.toFixed(2)} nats. ` +
      `The gates were open by ${percent(meanOf(gates))}.`
    );
  }

  // Shows the distribution at a position; null: after the last character.
  look(t) {
    this.looked = t;
    this.columns.forEach((it, i) => it.classList.toggle("on", i === t));
    const at = t === null ? this.columns.length - 1 : t;
    const before = this.letters.slice(0, at).join("");
    const temperature = this.model.get("temperature");
    const which = before ? `after “${before}”` : "first";
    this.title.textContent = `What comes ${which}`;
    const chances = softmax(this.run.positions[at].logits, temperature);
    const root = picture(WAVENET.width, 190, "the next character");
    const frame = { x: 0, y: 160, width: WAVENET.width, height: 130 };
    root.append(bars(chances, this.characters, frame));
    this.next.replaceChildren(root);
    if (t !== null) this.line.textContent = this.sentence(t);
    else if (this.total) this.line.textContent = this.total;
  }

  // ---- Making names ----

  // Draws names character by character, each with the chances at this temperature.
  makeNames() {
    const names = [];
    const temperature = this.model.get("temperature");
    const next = () => {
      names.push(this.makeName(temperature) || "(the empty name)");
      this.made.textContent = `At temperature ${temperature}: ${names.join(", ")}`;
      if (names.length < WAVENET.offered) setTimeout(next); // so that the page lives
    };
    next();
  }

  makeName(temperature) {
    let text = "";
    while (text.length < WAVENET.longest) {
      const { logits } = runWavenet(this.network, this.tokensOf(text));
      const chances = softmax(rowOf(logits, text.length), temperature);
      const drawn = drawFrom(chances);
      if (drawn === 0) break; // the end
      text += this.characters[drawn];
    }
    return text;
  }

  // On the site: brings the stored network.
  static async withoutKernel(model, load) {
    model.set("network", await load("wavenet"));
  }
}

explorers.wavenet = WaveNetExplorer;

// The number of a character, drawn with these probabilities.
function drawFrom(chances) {
  let left = Math.random();
  for (let i = 0; i < chances.length; i++) {
    left -= chances[i];
    if (left < 0) return i;
  }
  return likeliest(chances)[0]; // rounding left a little
}

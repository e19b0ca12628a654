// Notebook 04: which numbers of a batch BatchNorm averages into one mean.
"use strict";

const CUBE = {
  width: 420,
  height: 212,
  left: 40, // the front face's left upper corner
  top: 92,
  cell: 22,
  deep: { x: 10, y: 9 }, // from one example to the next
  widest: 2, // numbers from here on, or from minus this on, have full colour
};
const MEANS = { width: 420, height: 130, left: 40, top: 24, cell: 22 };

class BatchNormExplorer {
  constructor(model, el) {
    this.model = model;
    this.looked = { position: 0, channel: 3 };
    this.draw = onceAFrame(() => this.drawNow());
    this.build(el);
    model.on("change:fixed", this.draw);
    this.drawNow();
  }

  build(el) {
    const fixed = controlOf(checkBox, this.model, "fixed", { name: "with the fix" });
    const [examples, positions, channels] = this.model.get("sizes");
    const cube = this.model.get("cube");
    const words = `What enters BatchNorm: (${examples}, ${positions}, ${channels})`;
    const drawn =
      `${cube.length} of ${examples} examples and ${cube[0][0].length} of ` +
      `${channels} channels are drawn.`;
    this.cube = html("div", { class: "drawing" });
    this.shape = html("p", { class: "title" });
    this.means = html("div", { class: "drawing" });
    this.facts = html("p", { class: "facts" });
    this.line = html("p", { class: "line", "aria-live": "polite" });
    const title = html("p", { class: "title" }, words);
    const small = html("p", { class: "small" }, drawn);
    el.append(
      html("div", { class: "controls" }, fixed.root),
      html(
        "div",
        { class: "panels" },
        html("div", { class: "panel" }, title, this.cube, small),
        html("div", { class: "panel" }, this.shape, this.means, this.facts)
      ),
      this.line
    );
  }

  // What the chosen layer keeps: shape, means, and how many numbers are in each.
  buffer() {
    return this.model.get("buffers")[this.model.get("fixed") ? "fix" : "bug"];
  }

  drawNow() {
    const { shape, values, means } = this.buffer();
    const isFocused = this.means.contains(document.activeElement);
    this.cube.replaceChildren(this.drawCube());
    this.means.replaceChildren(this.drawMeans());
    this.shape.textContent = `running_mean: ${shape}`;
    const [examples, positions, channels] = this.model.get("sizes");
    const found = thousands(means.length * channels);
    this.facts.textContent = this.model.get("fixed")
      ? `One mean for each channel, over all ${examples} × ${positions} = ${values} ` +
        `numbers of it: ${found} means.`
      : `One mean for each position and channel, over the ${values} examples alone: ` +
        `${found} means, where ${channels} are meant.`;
    this.look(this.looked.position, this.looked.channel);
    if (isFocused) this.meanAt(this.looked).focus();
  }

  // ---- The cube ----

  // Where a corner lies; positions count downwards, examples into the depth.
  corner(channel, position, example) {
    const x = CUBE.left + CUBE.cell * channel + CUBE.deep.x * example;
    const y = CUBE.top + CUBE.cell * position - CUBE.deep.y * example;
    return `${x} ${y}`;
  }

  // Front, top and right face of a box.
  faces({ channel, position, example, high, deep }) {
    const at = (c, t, b) => this.corner(channel + c, position + t, example + b);
    const front = [at(0, 0, 0), at(1, 0, 0), at(1, high, 0), at(0, high, 0)];
    const top = [at(0, 0, 0), at(1, 0, 0), at(1, 0, deep), at(0, 0, deep)];
    const side = [at(1, 0, 0), at(1, 0, deep), at(1, high, deep), at(1, high, 0)];
    return [front, top, side].map((points) => `M${points.join("L")}z`);
  }

  drawCube() {
    const cube = this.model.get("cube");
    const root = picture(CUBE.width, CUBE.height, "the numbers that enter BatchNorm");
    const group = svg("g", { class: "chip cube" });
    const positions = cube[0].length;
    const channels = cube[0][0].length;
    cube.forEach((rows, example) => {
      rows.forEach((row, position) => {
        row.forEach((number, channel) => {
          const place = { channel, position, example, high: 1, deep: 1 };
          const [front, top, side] = this.faces(place);
          if (example === 0) group.append(cellOf(front, number));
          if (position === 0) group.append(cellOf(top, number));
          if (channel === channels - 1) group.append(cellOf(side, number));
        });
      });
    });
    root.append(group);
    const bottom = CUBE.top + CUBE.cell * positions;
    root.append(label(CUBE.left, bottom + 18, "channels →", "soft"));
    root.append(label(0, CUBE.top + 15, "pair 1", "soft"));
    root.append(label(0, bottom - 7, `pair ${positions}`, "soft"));
    root.append(label(CUBE.left - 34, CUBE.top - 42, "examples ↗", "soft"));
    this.bar = svg("g", { class: "averaged" });
    root.append(this.bar);
    return root;
  }

  // ---- The means ----
  drawMeans() {
    const { means } = this.buffer();
    const root = picture(MEANS.width, MEANS.height, "the means that the layer keeps");
    this.rows = means.map((row, position) => {
      const y = MEANS.top + MEANS.cell * position;
      const words = means.length === 1 ? "all" : `pair ${position + 1}`;
      root.append(label(0, y + 15, words, "soft"));
      return row.map((mean, channel) => {
        const x = MEANS.left + MEANS.cell * channel;
        const box = { x, y, width: MEANS.cell, height: MEANS.cell };
        const element = svg("g", { class: "mean chip" });
        element.append(svg("rect", { ...shadeOf(mean), ...box }));
        element.append(svg("rect", { class: "frame", ...box }));
        const look = () => this.look(position, channel);
        lookable(element, this.sentence(position, channel), look);
        root.append(element);
        return element;
      });
    });
    arrowKeys([...this.rows].reverse()); // the first row stands on top
    return root;
  }

  meanAt({ position, channel }) {
    const row = this.rows[Math.min(position, this.rows.length - 1)];
    return row[channel];
  }

  // Shades the cells that go into one mean.
  look(position, channel) {
    this.looked = { position, channel };
    const isOne = this.rows.length === 1;
    const cube = this.model.get("cube");
    const high = isOne ? cube[0].length : 1;
    const first = isOne ? 0 : position;
    const place = { channel, position: first, example: 0, high, deep: cube.length };
    const faces = this.faces(place).map((d) => svg("path", { d }));
    this.bar.replaceChildren(...faces);
    const chosen = this.meanAt(this.looked);
    for (const it of this.rows.flat()) it.classList.toggle("on", it === chosen);
    this.line.textContent = this.sentence(first, channel);
  }

  sentence(position, channel) {
    const { means, values } = this.buffer();
    const row = means.length === 1 ? means[0] : means[position];
    const where = means.length === 1 ? "at all pairs" : `at pair ${position + 1}`;
    return (
      `The ${values} numbers of channel ${channel + 1} ${where} are averaged into ` +
      `${signed(row[channel])}. The shaded cells go into this one mean.`
    );
  }
}

explorers.batchnorm = BatchNormExplorer;

// A number's colour: blue is negative, red positive.
function shadeOf(number) {
  const far = Math.min(1, Math.abs(number) / CUBE.widest);
  const style = `--amount: ${Math.round(100 * far)}%`;
  return { class: number < 0 ? "minus" : "plus", style };
}

function cellOf(d, number) {
  return svg("path", { ...shadeOf(number), d });
}

// With a sign for screen readers and eyes: −0.213.
function signed(number) {
  return number.toFixed(3).replace("-", "−");
}

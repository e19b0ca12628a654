// What the explorers share: the pieces of their pictures, their controls, their words.
// Colours and sizes of letters stand in explorers.css.
"use strict";

// Each explorer's script adds its class here: explorers.tree = TreeExplorer.
const explorers = {};

const SHADES = 8; // steps of colour from 0 to 1
const LONGEST = 20; // characters of a typed name, as in controls.py

// What anywidget, and the site, call to show an explorer in the element `el`.
function render(Explorer, { model, el }) {
  el.classList.add("explorer-live");
  // JupyterLab takes arrow keys for itself, but not from elements that say so.
  el.addEventListener("focusin", ({ target }) => {
    target.dataset.lmSuppressShortcuts = "true";
  });
  const explorer = new Explorer(model, el);
  return () => explorer.close && explorer.close();
}

// ---- Elements ----------------------------------------
function setUp(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function html(tag, attributes = {}, ...children) {
  return setUp(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  const space = "http://www.w3.org/2000/svg";
  return setUp(document.createElementNS(space, tag), attributes, children);
}

// A picture that is as wide as there is room for; `words` say what it is.
function picture(width, height, words) {
  const size = { viewBox: `0 0 ${width} ${height}`, role: "group" };
  return svg("svg", { ...size, "aria-label": words, class: "picture" });
}

// A text of a picture. `kind` is one or more classes: "soft", "code", "middle", "end".
function label(x, y, text, kind = "") {
  return svg("text", { x, y, class: kind }, text);
}

// Calls `draw` once before the next frame, however often it is asked to.
function onceAFrame(draw) {
  let isWaiting = false;
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      draw();
    });
  };
}

// ---- Numbers as words ----------------------------------------
function thousands(number) {
  return number.toLocaleString("en");
}

function meanOf(values) {
  return values.reduce((a, b) => a + b) / values.length;
}

function percent(probability) {
  const value = 100 * probability;
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
}

// The numbers of the characters, the likeliest first.
function likeliest(probabilities) {
  const order = [...probabilities.keys()];
  return order.sort((a, b) => probabilities[b] - probabilities[a]);
}

// A character as words say it; the first one marks the end of a name.
function spoken(character, characters) {
  return character === characters[0] ? "the end" : character;
}

// "r 31 %, n 12 %, the end 8.1 %".
function bestThree(probabilities, characters) {
  const parts = likeliest(probabilities).slice(0, 3).map((i) => {
    return `${spoken(characters[i], characters)} ${percent(probabilities[i])}`;
  });
  return parts.join(", ");
}

// How far a flat model or a tree is trained, and how good it is then.
function trainedWords({ trained, val, loss, samples }) {
  const after = `after ${thousands(trained)} steps`;
  if (!trained) return "Not trained yet: all characters are about equally likely.";
  if (val === undefined) return `Training loss ${loss.toFixed(3)} ${after}.`;
  const names = samples.slice(0, 5).join(", ");
  return `Validation loss ${val.toFixed(3)} ${after}. Names it makes: ${names}.`;
}

// ---- Pieces of pictures ----------------------------------------

// A character is a tile with the letter in it; a dot (padding) is a pale one.
function tile(character, { x, y, size, kind = "" }) {
  const isDot = character === ".";
  const half = size / 2;
  const box = { x: x - half, y: y - half, width: size, height: size, rx: 3 };
  const text = label(x, y + 5, character, "code middle");
  const names = `tile ${isDot ? "pale" : ""} ${kind}`;
  return svg("g", { class: names }, svg("rect", box), text);
}

// A vector is a chip of coloured cells, one a channel: blue -1, white 0, red +1. They
// stand in columns of `rows` cells, so a wider layer is a wider chip. (x, y) is its
// middle; cells have `cell` units of width and `tall` units of height.
function chip(values, { x, y, rows = 8, cell = 3.4, tall = 3.4 }) {
  const columns = Math.ceil(values.length / rows);
  const width = columns * cell;
  const height = Math.min(rows, values.length) * tall;
  const left = x - width / 2;
  const top = y - height / 2;
  const shapes = new Map(); // a path for each shade
  values.forEach((value, i) => {
    const shade = Math.round(SHADES * Math.max(-1, Math.min(1, value)));
    const across = left + cell * Math.floor(i / rows);
    const down = top + tall * (i % rows);
    const square = `M${across.toFixed(2)} ${down.toFixed(2)}h${cell}v${tall}h-${cell}z`;
    shapes.set(shade, (shapes.get(shade) || "") + square);
  });
  const group = svg("g", { class: "chip" });
  const frame = { x: left, y: top, width, height };
  group.append(svg("rect", { class: "paper", ...frame }));
  for (const [shade, d] of shapes) {
    const kind = shade < 0 ? "minus" : "plus";
    const style = `--amount: ${(100 * Math.abs(shade)) / SHADES}%`;
    group.append(svg("path", { class: kind, style, d }));
  }
  group.append(svg("rect", { class: "frame", ...frame, rx: 1 }));
  return group;
}

// A weight matrix is a rectangle whose area is its number of weights: so many units of
// the picture for a row and a column (`scale`). One that would be higher than `highest`
// is drawn wider instead. A stamp says how often the weights are used: ×4.
function weightsArea(matrix, { x, y, uses, scale = 0.22, highest = 58 }) {
  const area = matrix.rows * matrix.columns * scale * scale;
  const height = Math.min(matrix.columns * scale, highest);
  const width = area / height;
  const box = { x: x - width / 2, y: y - height, width, height };
  const shape = svg("rect", { class: "weights", ...box });
  const stamp = label(x, y + 14, `×${uses}`, "stamp middle");
  const size = label(x, y + 28, thousands(matrix.rows * matrix.columns), "soft middle");
  return svg("g", { class: "area" }, shape, stamp, size);
}

// The distribution over the next character: a bar for each, the likeliest marked.
function bars(probabilities, characters, { x, y, width, height }) {
  const slot = width / characters.length;
  const best = likeliest(probabilities)[0];
  const words = `next character: ${bestThree(probabilities, characters)}`;
  const group = svg("g", { class: "bars", role: "img", "aria-label": words });
  group.dataset.full = height; // of a bar with probability 1
  [...characters].forEach((character, i) => {
    const middle = x + slot * (i + 0.5);
    const tall = Math.max(0.6, probabilities[i] * height);
    const kind = i === best ? "best" : "";
    const box = { x: middle - 0.38 * slot, y: y - tall, width: 0.76 * slot };
    group.append(svg("rect", { class: `bar ${kind}`, ...box, height: tall }));
    group.append(label(middle, y + 13, character, `code middle ${kind || "soft"}`));
    if (i === best) {
      const side = Math.max(x + 18, Math.min(x + width - 18, middle));
      group.append(label(side, y - tall - 5, percent(probabilities[i]), "best middle"));
    }
  });
  return group;
}

// Loss curves. A run is {losses, every, name, isLast}: a loss for each `every` steps.
// Its `style`, if it has one, is that of the curve.
function lossCurves(runs, { steps, lowest = 1.9, highest = 3.4 }) {
  const width = 420;
  const height = 120;
  const root = picture(width, height, "training loss by step");
  const across = (step) => 34 + (step / steps) * (width - 90);
  const down = (loss) => {
    const inside = Math.max(lowest, Math.min(highest, loss));
    return 8 + ((highest - inside) / (highest - lowest)) * (height - 30);
  };
  for (let loss = Math.ceil(2 * lowest) / 2; loss <= highest; loss += 0.5) {
    const y = down(loss);
    root.append(svg("path", { class: "grid", d: `M34 ${y}H${width - 56}` }));
    root.append(label(28, y + 4, loss.toFixed(1), "soft end"));
  }
  root.append(label(34, height - 4, "step 0", "soft"));
  root.append(label(width - 56, height - 4, thousands(steps), "soft middle"));
  for (const { losses, every, name, isLast, style = "" } of runs) {
    if (!losses.length) continue;
    const points = losses.map((loss, i) => [across((i + 1) * every), down(loss)]);
    const kind = isLast ? "curve" : "curve older";
    root.append(svg("path", { class: kind, style, d: `M${points.join("L")}` }));
    const [x, y] = points[points.length - 1];
    root.append(label(x + 4, y + 4, name, isLast ? "" : "soft"));
  }
  return root;
}

// A line of the list beside curves: the colour of one, and what it is.
function runItem(color, words) {
  const mark = html("span", { class: "run", style: `background: ${color}` });
  return html("li", {}, mark, words);
}

// ---- Controls ----------------------------------------

// Sets a trait here and in the kernel.
function send(model, trait, value) {
  model.set(trait, value);
  model.save_changes();
}

// A slider, a checkBox or a nameBox that changes a trait, and follows it when it is set
// elsewhere.
function controlOf(kind, model, trait, options) {
  const onChange = (value) => send(model, trait, value);
  const control = kind({ value: model.get(trait), onChange, ...options });
  model.on(`change:${trait}`, () => control.set(model.get(trait)));
  return control;
}

// A slider over a list of values, with its value beside it; `set` moves it, too.
function slider({ name, values, value, onChange }) {
  const range = { type: "range", min: 0, max: values.length - 1, step: 1 };
  const input = html("input", { ...range, "aria-label": name });
  const shown = html("output", {}, "");
  const root = html("label", { class: "control" }, `${name} `, input, shown);
  const show = () => {
    const chosen = values[input.value];
    shown.textContent = chosen;
    input.setAttribute("aria-valuetext", chosen);
  };
  const set = (wanted) => {
    const nearest = values.reduce((best, it) =>
      Math.abs(it - wanted) < Math.abs(best - wanted) ? it : best
    );
    input.value = values.indexOf(nearest);
    show();
  };
  input.addEventListener("input", () => {
    show();
    onChange(values[input.value]);
  });
  set(value);
  return { root, input, set };
}

function checkBox({ name, value, onChange }) {
  const input = html("input", { type: "checkbox" });
  input.checked = value;
  input.addEventListener("input", () => onChange(input.checked));
  const root = html("label", { class: "control" }, input, ` ${name}`);
  return { root, input, set: (wanted) => (input.checked = wanted) };
}

function button(name, onPress) {
  const root = html("button", { type: "button" }, name);
  root.addEventListener("click", onPress);
  return root;
}

// A typed name in the form that the models read.
function cleaned(text) {
  return text.normalize("NFC").trim().toLowerCase();
}

// What is wrong with a name, as a sentence; "" if it can be read.
function nameProblem(name, characters) {
  const letters = [...name];
  if (letters.length > LONGEST) {
    return `${thousands(letters.length)} characters: type at most ${LONGEST}.`;
  }
  const [end, ...known] = characters;
  if (letters.includes(end)) {
    return `“${end}” marks the end of a name: leave it out.`;
  }
  const unknown = letters.find((it) => !known.includes(it));
  if (unknown === undefined) return "";
  const allowed = `use ${known[0]} to ${known.at(-1)}`;
  return `“${unknown}” is no letter of these names: ${allowed}.`;
}

// A box to type a name in. Under it one line is kept for what is wrong; while something
// is, `onChange` is not called, so the last picture stays.
function nameBox({ name, value, characters, onChange }) {
  const plain = { autocomplete: "off", autocapitalize: "off", spellcheck: "false" };
  const input = html("input", { type: "text", size: 14, ...plain });
  const problem = html("p", { class: "problem", role: "alert" });
  input.value = value;
  input.addEventListener("input", () => {
    const text = cleaned(input.value);
    const found = nameProblem(text, characters);
    problem.textContent = found && `${found} The picture keeps the last name.`;
    input.setAttribute("aria-invalid", found !== "");
    if (!found) onChange(text);
  });
  const root = html("label", { class: "control" }, `${name} `, input);
  const set = (wanted) => {
    const isTyped = cleaned(input.value) === wanted || problem.textContent;
    if (!isTyped) input.value = wanted;
  };
  return { root, input, problem, set };
}

// One sentence at a time for screen readers, when nothing has changed for a while.
function announcer() {
  const root = html("p", { class: "unseen", "aria-live": "polite" });
  let waiting = null;
  const say = (text) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => (root.textContent = text), 600);
  };
  return { root, say };
}

// Buttons that begin a training, and one that stops it; below them a line on what goes
// on. `starts` holds what each button asks for: {words: message}. Without a kernel
// there is none of it, and null is returned.
function trainingControls(model, el, starts) {
  if (!model.get("has_kernel")) return null;
  const ask = (message) => () => model.send(message);
  const begin = Object.entries(starts).map(([words, it]) => button(words, ask(it)));
  const stop = button("Stop", ask({ do: "stop" }));
  const line = html("p", { class: "line" });
  el.append(html("div", { class: "controls" }, ...begin, stop), line);
  const show = ({ status, running }) => {
    for (const it of begin) it.disabled = Boolean(running);
    stop.disabled = !running;
    line.textContent = status;
  };
  return { show };
}

// A thing to look at, by mouse or by keyboard. `words` say what it is.
function lookable(element, words, look, leave = () => {}) {
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", words);
  element.addEventListener("pointerenter", look);
  element.addEventListener("focus", look);
  element.addEventListener("pointerleave", leave);
  element.addEventListener("blur", leave);
}

// Things to look at, in rows from below. The tab key reaches one of them, and arrow
// keys go from there to the next in the row, or to the row above or below.
function arrowKeys(rows) {
  const all = rows.flat();
  const choose = (chosen) => {
    for (const it of all) it.setAttribute("tabindex", it === chosen ? 0 : -1);
  };
  const next = (at, key) => {
    const r = rows.findIndex((row) => row.includes(at));
    const i = rows[r].indexOf(at);
    if (key === "ArrowLeft") return rows[r][i - 1];
    if (key === "ArrowRight") return rows[r][i + 1];
    const row = rows[r + (key === "ArrowUp" ? 1 : -1)];
    return row && row[Math.floor((i * row.length) / rows[r].length)];
  };
  for (const it of all) {
    it.addEventListener("keydown", (event) => {
      if (!event.key.startsWith("Arrow")) return;
      event.preventDefault();
      const found = next(it, event.key);
      if (!found) return;
      choose(found);
      found.focus();
    });
  }
  choose(all[0]);
}

// The forward pass of every model of the lecture, with the names of helpers.py.
//
// A matrix is {rows, columns, values}, the values a Float32Array, row after row. There
// is no batch: x has a row for each position and a column for each channel, (T, C).
"use strict";

function makeMatrix(rows, columns) {
  return { rows, columns, values: new Float32Array(rows * columns) };
}

// A row of a matrix, which shares its memory.
function rowOf(x, row) {
  return x.values.subarray(row * x.columns, (row + 1) * x.columns);
}

// ---- Layers ----------------------------------------

// Row i of the table for each number i: (T) -> (T, C).
function embedding(tokens, weight) {
  const out = makeMatrix(tokens.length, weight.columns);
  tokens.forEach((token, t) => rowOf(out, t).set(rowOf(weight, token)));
  return out;
}

// Concatenates each n neighbours: (T, C) -> (T / n, n * C). No number moves.
function flattenConsecutive(x, n) {
  if (x.rows % n !== 0) {
    throw new Error(`${x.rows} positions cannot be grouped by ${n}`);
  }
  return { rows: x.rows / n, columns: x.columns * n, values: x.values };
}

// x @ weight + bias: (T, in) -> (T, out).
function linear(x, weight, bias) {
  const out = makeMatrix(x.rows, weight.columns);
  for (let t = 0; t < x.rows; t++) {
    const sums = Float64Array.from(bias.values);
    for (let i = 0; i < weight.rows; i++) {
      const input = x.values[t * x.columns + i];
      const start = i * weight.columns;
      for (let j = 0; j < weight.columns; j++) {
        sums[j] += input * weight.values[start + j];
      }
    }
    out.values.set(sums, t * out.columns);
  }
  return out;
}

// A function of one number, for each element.
function forEachElement(x, f) {
  return { rows: x.rows, columns: x.columns, values: x.values.map(f) };
}

function tanh(x) {
  return forEachElement(x, Math.tanh);
}

function sigmoid(x) {
  return forEachElement(x, (value) => 1 / (1 + Math.exp(-value)));
}

function relu(x) {
  return forEachElement(x, (value) => Math.max(0, value));
}

function add(x, y) {
  return forEachElement(x, (value, i) => value + y.values[i]);
}

function multiply(x, y) {
  return forEachElement(x, (value, i) => value * y.values[i]);
}

// Columns from `start` to before `end`: (T, C) -> (T, end - start).
function columnsOf(x, start, end) {
  const out = makeMatrix(x.rows, end - start);
  for (let t = 0; t < x.rows; t++) {
    rowOf(out, t).set(rowOf(x, t).subarray(start, end));
  }
  return out;
}

// Fuses each position with the one `dilation` before it: (T, C) -> (T, H). Before the
// first position stands the first one again, which is right behind a dot.
function causalConv1d(x, weight, bias, dilation) {
  const taps = makeMatrix(x.rows, 2 * x.columns);
  for (let t = 0; t < x.rows; t++) {
    const row = rowOf(taps, t);
    row.set(rowOf(x, Math.max(0, t - dilation)), 0); // the older one comes first
    row.set(rowOf(x, t), x.columns);
  }
  return linear(taps, weight, bias);
}

// Probabilities of one row of logits.
function softmax(logits, temperature = 1) {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const weights = Float64Array.from(logits, (logit) =>
    Math.exp((logit - largest) / temperature)
  );
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

// ---- Models ----------------------------------------

// A flat model or a tree over a window of tokens. `levels` are the outputs of the
// embedding and of each tanh, the last one with a single row.
function runModel(model, tokens) {
  const { arrays, about } = model;
  const fused = about.architecture === "flat" ? tokens.length : 2;
  let x = embedding(tokens, arrays.embedding);
  const levels = [x];
  let i = 1;
  while (arrays[`weight ${i + 1}`]) {
    x = flattenConsecutive(x, fused);
    x = tanh(linear(x, arrays[`weight ${i}`], arrays[`bias ${i}`]));
    levels.push(x);
    i += 1;
  }
  const logits = linear(x, arrays[`weight ${i}`], arrays[`bias ${i}`]).values;
  return { levels, logits, probabilities: softmax(logits) };
}

// The full WaveNet over the tokens of a name, from its dot on. For each block the
// sigmoids of its gate (T, C) and what leaves it (T, C); logits (T, V).
function runWavenet(model, tokens) {
  const { arrays, about } = model;
  const C = about.channels;
  const apply = (name, input) =>
    linear(input, arrays[`${name} weight`], arrays[`${name} bias`]);
  let x = embedding(tokens, arrays.embedding);
  let total = null;
  const blocks = about.dilations.map((dilation, i) => {
    const name = `block ${i + 1}`;
    const weight = arrays[`${name} conv weight`];
    const both = causalConv1d(x, weight, arrays[`${name} conv bias`], dilation);
    const gate = sigmoid(columnsOf(both, C, 2 * C));
    const z = multiply(tanh(columnsOf(both, 0, C)), gate);
    const skipped = apply(`${name} skip`, z);
    total = total ? add(total, skipped) : skipped;
    if (arrays[`${name} onward weight`]) {
      x = add(x, apply(`${name} onward`, z)); // the last block hands nothing on
    }
    return { dilation, gate, z };
  });
  const hidden = relu(apply("hidden", relu(total)));
  return { blocks, logits: apply("out", hidden) };
}

// ---- Weights ----------------------------------------

// The arrays, and what is said about them, of bytes that packing.py made.
function unpack(view) {
  // A copy begins at a multiple of four, as numbers of four bytes must.
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const header = new TextDecoder().decode(bytes.subarray(4, 4 + length));
  const { about, arrays: entries } = JSON.parse(header);
  const arrays = {};
  let start = 4 + length;
  for (const { name, rows, columns, kind } of entries) {
    const size = rows * columns;
    let values;
    if (kind === "int8") {
      const scales = new Float32Array(bytes.buffer, start, columns);
      start += 4 * columns;
      const numbers = new Int8Array(bytes.buffer, start, size);
      values = Float32Array.from(numbers, (n, i) => n * scales[i % columns]);
      start += 4 * Math.ceil(size / 4);
    } else if (kind === "float16") {
      const halves = new Uint16Array(bytes.buffer, start, size);
      values = Float32Array.from(halves, fromHalf);
      start += 4 * Math.ceil(size / 2);
    } else {
      values = new Float32Array(bytes.buffer, start, size);
      start += 4 * size;
    }
    arrays[name] = { rows, columns, values };
  }
  return { about, arrays };
}

// The number that 16 bits stand for: a sign, five bits of exponent, ten of fraction.
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// The numbers of the last `blockSize` characters of a text, dots before them.
function windowOf(text, blockSize, characters) {
  const padded = characters[0].repeat(blockSize) + text;
  return [...padded].slice(-blockSize).map((it) => characters.indexOf(it));
}

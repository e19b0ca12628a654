"""The tree explorer as a picture: what its script draws, for pages without scripts."""

import math

import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

from course.colors import INK, NEGATIVE, PAPER, POSITIVE, WEIGHTS, WIRE
from course.drawings import LOOKS, as_png
from course.explorers.packing import Arrays, model_of
from helpers import END, Embedding, Sequential, Tanh, eval_mode

ROWS = 8  # cells in a column of a chip
CELL = 0.0105  # of the panel's width: a cell of a chip, if there is room
SIDE = 0.00062  # of the panel's width: a row or a column of a matrix
SIGNED = LinearSegmentedColormap.from_list("signed", [NEGATIVE, PAPER, POSITIVE])
BAR = LOOKS["tree_fixed"]["color"]
DPI = 160  # sharp on screens with two pixels a point
# Heights in a panel, which is 1 wide and HIGH high
HIGH = 1.16
BARS = 0.96
ROOT = 0.84
LEAVES = 0.36
AREAS = 0.08


def levels_of(model: Sequential, x: Tensor) -> list[Tensor]:
    """Outputs of the embedding and of each tanh, from the leaves to the root."""
    outputs = []
    for layer in model.layers:
        x = layer(x)
        if isinstance(layer, (Embedding, Tanh)):
            outputs.append(x)
    return outputs


def draw(models: list[tuple[Arrays, dict]], name: str, characters: str) -> bytes:
    """Unpacked models side by side, after the same name, as PNG."""
    fig = Figure(figsize=(4.6 * len(models), 4.6 * HIGH), dpi=DPI)
    width = 1 / len(models)
    for i, (arrays, about) in enumerate(models):
        box = (i * width + 0.02 * width, 0.01, 0.96 * width, 0.98)
        ax = fig.add_axes(box, xlim=(0, 1), ylim=(0, HIGH))
        ax.set_axis_off()
        draw_panel(ax, arrays, about, name, characters)
    return as_png(fig)


def draw_panel(ax: Axes, arrays: Arrays, about: dict, name: str, characters: str):
    """One model: its characters, activations, weights and the next character."""
    size = about["block_size"]
    context = (END * size + name)[-size:]
    is_flat = about["architecture"] == "flat"
    model = model_of(arrays, size, flat=is_flat)
    window = torch.tensor([[characters.index(it) for it in context]])  # (1, T)
    with eval_mode(model):
        levels = []
        for level in levels_of(model, window):
            levels.append(level.reshape(-1, level.shape[-1]))  # the root has no T
        chances = model(window)[0].softmax(-1)
    kind = "Flat model" if is_flat else "Tree of pairs"
    words = (
        f"{kind}, hidden width {about['hidden']}: {about['parameters']:,} parameters"
    )
    ax.text(0, HIGH - 0.03, words, color=INK, weight="bold", size=9)
    draw_bars(ax, chances.tolist(), characters)
    draw_nodes(ax, levels, context)
    draw_areas(ax, arrays, [len(level) for level in levels[1:]])


def draw_bars(ax: Axes, chances: list[float], characters: str) -> None:
    """The distribution over the next character."""
    slot = 1 / len(characters)
    best = max(chances)
    for i, chance in enumerate(chances):
        x = (i + 0.5) * slot
        alpha = 1 if chance == best else 0.55
        height = 0.13 * chance
        ax.bar(x, height, 0.76 * slot, bottom=BARS, color=BAR, alpha=alpha)
        style = {"ha": "center", "family": "monospace", "size": 7}
        ax.text(x, BARS - 0.035, characters[i], color=INK, **style)
        if chance == best:
            ax.text(x, BARS + height + 0.01, f"{chance:.0%}", ha="center", size=8)


def draw_nodes(ax: Axes, levels: list[Tensor], context: str) -> None:
    """The characters as tiles, each vector as a chip, and the wires between them."""
    inside = 0.85  # of the width; the shapes stand right of it
    slot = inside / len(context)
    top = len(levels) - 1
    heights = []
    for level in range(len(levels)):
        heights.append(LEAVES + (ROOT - LEAVES) * level / top)
    middles = []
    for vectors in levels:
        span = inside / len(vectors)
        middles.append([span * (i + 0.5) for i in range(len(vectors))])
    wires = []
    for level in range(1, len(levels)):
        children = len(levels[level - 1]) // len(levels[level])
        for i, x in enumerate(middles[level - 1]):
            parent = middles[level][i // children]
            wires.append([(x, heights[level - 1]), (parent, heights[level])])
    wires.append([(middles[top][0], ROOT), (middles[top][0], BARS - 0.05)])
    ax.add_collection(LineCollection(wires, color=WIRE, lw=0.8, zorder=1))
    tile = {"boxstyle": "round,pad=0.25", "facecolor": PAPER, "edgecolor": INK}
    for x, character in zip(middles[0], context):
        style = {"ha": "center", "va": "center", "family": "monospace", "size": 9}
        ax.text(x, LEAVES, character, bbox=tile, zorder=3, **style)
    cell = min(CELL, (2 * slot - 0.015) / 32)
    for level in range(1, len(levels)):
        for x, vector in zip(middles[level], levels[level]):
            draw_chip(ax, vector, x, heights[level], cell=cell)
    for level, vectors in enumerate(levels):
        rows, columns = vectors.shape
        place = (1, heights[level])
        ax.text(*place, f"{rows} × {columns}", ha="right", va="center", size=8)


def draw_chip(ax: Axes, vector: Tensor, x: float, y: float, *, cell: float) -> None:
    """The numbers as coloured cells, eight to a column, around (x, y)."""
    columns = math.ceil(len(vector) / ROWS)
    cell = min(cell, 0.8 / columns)
    cells = torch.zeros(columns * ROWS)
    cells[: len(vector)] = vector
    pixels = cells.reshape(columns, ROWS).T.numpy()  # (ROWS, columns)
    wide = columns * cell / 2
    high = ROWS * CELL / 2
    box = (x - wide, x + wide, y - high, y + high)
    look = {"cmap": SIGNED, "vmin": -1, "vmax": 1, "interpolation": "nearest"}
    ax.imshow(pixels, extent=box, aspect="auto", zorder=3, **look)
    edges = [(box[0], box[2]), (box[1], box[2]), (box[1], box[3]), (box[0], box[3])]
    ax.add_collection(LineCollection([[*edges, edges[0]]], color=INK, lw=0.6, zorder=4))


def draw_areas(ax: Axes, arrays: Arrays, uses: list[int]) -> None:
    """The matrices of the hidden layers by area, and how often each is used."""
    words = "weights of each level, and how often they are used"
    ax.text(0, AREAS + 0.17, words, color=INK, size=8)
    left = 0.0
    for i, count in enumerate(uses, start=1):
        rows, columns = arrays[f"weight {i}"].shape
        height = min(columns * SIDE, 0.15)
        width = rows * columns * SIDE**2 / height
        slot = max(0.16, width + 0.03)
        x = left + slot / 2
        ax.bar(x, height, width, bottom=AREAS, color=WEIGHTS)
        style = {"ha": "center", "size": 8, "color": INK}
        ax.text(x, AREAS - 0.035, f"×{count}", weight="bold", **style)
        ax.text(x, AREAS - 0.075, f"{rows * columns:,}", **style)
        left += slot

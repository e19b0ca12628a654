"""Notebook 03: a flat model and a tree over the same characters."""

import matplotlib.pyplot as plt
from matplotlib.patches import Polygon
from torch import Tensor

from course.checks import check_text, check_vocab, checked
from course.colors import LOOKED_AT, WEIGHTS, WIRE
from course.convolution import check_flat_or_tree
from course.diagrams.language import (
    LARGE,
    NORMAL,
    SMALL,
    WIDTH,
    canvas,
    chip,
    spread,
    stamp,
    steps,
    tile,
    tint,
    title,
    weights,
    wire,
    words,
)
from helpers import Embedding, Linear, Sequential, Tanh, Vocab

HALF = 2.95  # inches for each of two models side by side
GAP = 0.06  # between the chips of two nodes


# ---- Flat against tree ---------------------------------------------------------------
@checked(
    flat=check_flat_or_tree, tree=check_flat_or_tree, vocab=check_vocab,
    context=check_text,
)  # fmt: skip
def draw_flat_against_tree(
    flat: Sequential, tree: Sequential, vocab: Vocab, context: str
) -> plt.Figure:
    """The same characters through both models, and the matrices of both by area.

    A chip shows the activations of a node, each cell a channel; a rectangle has as many
    cells as the matrix has weights, and the stamp says for how many positions it is
    used. ValueError if a model does not read as many characters as the context has.
    """
    models = [steps(flat, vocab, context), steps(tree, vocab, context)]
    cell = min(cell_width(found, HALF - 0.72) for found in models)
    tallest = 0
    for found in models:
        for weight, _ in matrices(found):
            tallest = max(tallest, len(weight))
    cell = min(cell, 1.9 / tallest)
    foot = tallest * cell + 1.5  # inches for the matrices
    ax = canvas(foot + 3.55)
    title(ax, f"The same {len(context)} characters: in one step, or in pairs")
    for left, found in zip((0.1, 0.1 + HALF + 0.3), models):
        draw_model(ax, found, context, (left, foot), cell)
        draw_matrices(ax, found, (left, foot - 0.2), cell)
    legend = "area: the number of weights"
    most = max(uses for _, uses in matrices(models[1]))
    if most > 1:
        legend += f"; ×{most}: the matrix serves {most} positions"
    words(ax, (WIDTH / 2, 0.2), legend, size=SMALL, color=WIRE)
    return ax.figure


def matrices(found: list[tuple]) -> list[tuple[Tensor, int]]:
    """The matrix of each Linear but the last, and for how many positions it is used."""
    used = []
    for layer, output in found[:-1]:
        if isinstance(layer, Linear):
            positions = output.shape[0] if output.ndim == 2 else 1
            used.append((layer.weight, positions))
    return used


def levels(found: list[tuple]) -> list[Tensor]:
    """What the embedding and each tanh make of the context: (T, C) each."""
    outputs = []
    for layer, output in found:
        if isinstance(layer, Embedding | Tanh):
            outputs.append(output if output.ndim == 2 else output[None])
    return outputs


def cell_width(found: list[tuple], room: float) -> float:
    """How wide a channel can be, for each level and all matrices to fit the room."""
    widest = 0
    for level in levels(found):
        gaps = GAP * (len(level) - 1)
        widest = max(widest, level.numel() / (room - gaps))
    used = matrices(found)
    outputs = sum(weight.shape[1] for weight, _ in used)
    gaps = 0.1 * (len(used) - 1)
    widest = max(widest, outputs / (room - gaps))
    return 1 / widest


def draw_model(
    ax: plt.Axes, found: list[tuple], context: str, corner: tuple, cell: float
) -> None:
    """Tiles below, a row of chips for each level, and the question at the top."""
    left, bottom = corner
    room = HALF - 0.72
    rows = levels(found)
    sizes = " → ".join(str(len(row)) for row in rows)
    words(ax, (left + room / 2, bottom + 3.0), sizes, size=LARGE)
    tile_height = bottom + 0.15
    size = min(0.27, 0.9 * room / len(context))
    middles = spread(len(context), left, left + room)
    for x, character in zip(middles, context):
        tile(ax, (x, tile_height), character, size=size)
    below = [(x, tile_height + size / 2) for x in middles]
    step = 1.65 / (len(rows) - 1)
    for i, row in enumerate(rows):
        y = bottom + 0.5 + step * i
        tops = []
        xs = spread(len(row), left, left + room)
        width = row.shape[1] * cell
        fan = len(below) // len(row)
        for node, x in enumerate(xs):
            chip(ax, (x - width / 2, y), row[node], cell=cell, height=0.2)
            children = below[fan * node : fan * (node + 1)]
            draw_fan(ax, children, (x, y), width)
            tops.append((x, y + 0.2))
        shape = f"{len(row)} × {row.shape[1]}"
        words(ax, (left + HALF, y + 0.1), shape, size=SMALL, color=WIRE, ha="right")
        below = tops
    root = (left + room / 2, bottom + 2.68)
    wire(ax, below[0], (root[0], root[1] - 0.14))
    tile(ax, root, "?", look="predicted")


def draw_fan(ax: plt.Axes, children: list[tuple], node: tuple, width: float) -> None:
    """Wires from the children to a node; many of them press into the whole chip."""
    x, y = node
    if len(children) <= 2:
        for child in children:
            wire(ax, child, node)
        return
    left = x - width / 2
    right = x + width / 2
    ends = spread(len(children), left, right)
    for child, end in zip(children, ends):
        wire(ax, child, (end, y))
    corners = [children[0], children[-1], (right, y), (left, y)]
    pale = tint(LOOKED_AT, 0.35)
    ax.add_patch(Polygon(corners, color=pale, zorder=1))


def draw_matrices(ax: plt.Axes, found: list[tuple], corner: tuple, cell: float) -> None:
    """The matrices side by side below `corner`, each with its number of weights."""
    left, top = corner
    used = matrices(found)
    total = sum(weight.numel() for weight, _ in used)
    look = {"size": NORMAL, "ha": "left", "weight": "bold", "color": WEIGHTS}
    words(ax, (left, top), f"{total:,} weights", **look)
    for weight, positions in used:
        inputs, outputs = weight.shape
        height = inputs * cell
        foot = top - 0.6 - height
        width = outputs * cell
        room = max(width, 0.63)  # its words need so much
        middle = left + room / 2
        weights(ax, (middle - width / 2, foot), weight, cell=cell)
        stamp(ax, (middle, top - 0.4), positions)
        words(ax, (middle, foot - 0.13), f"{inputs}×{outputs}", size=SMALL)
        left += room + 0.1

"""Notebooks 01 and 02: what a flat model sees of a name, and what its matrix weighs."""

import matplotlib.pyplot as plt
from matplotlib.patches import Polygon

from course.checks import check_kind, check_vocab, checked
from course.colors import LOOKED_AT, WEIGHTS, WIRE
from course.convolution import check_flat_or_tree
from course.diagrams.language import (
    SMALL,
    canvas,
    chip,
    spread,
    steps,
    tile,
    tint,
    title,
    weights,
    wire,
    words,
)
from course.fusions import name_text
from course.texts import END
from helpers import Embedding, FlattenConsecutive, Linear, Sequential, Tanh, Vocab
from helpers import count_parameters as count

TILES_END = 4.0  # inches: to the right stand matrices
PANEL = 2.35  # inches for a model


def check_flat_models(name: str, value) -> list[Sequential]:
    """A list of flat models, one or more; TypeError otherwise."""
    cure = "give a list of flat models, such as [build_flat(len(vocab), 3)]"
    check_kind(name, value, kind=list, cure=cure)
    if not value:
        raise TypeError(f"{name} is empty: {cure}")
    for model in value:
        check_flat_or_tree(name, model)
    return value


@checked(models=check_flat_models, vocab=check_vocab, name=name_text)
def draw_windows(models: list[Sequential], vocab: Vocab, name: str) -> plt.Figure:
    """What each flat model sees when the last character of `name` is to come.

    Orange tiles are in its window, pale letters are cut off. Above them the live
    activations: an embedding for each tile, and the hidden layer. At the right the
    first matrix, its area the number of its weights, equally scaled for all models.
    ValueError for a name of fewer than two characters.
    """
    if len(name) < 2:
        raise ValueError(f"the name {name!r} is too short: give 2 characters or more")
    vocab.encode(name)  # raises an error that names unknown characters
    read = name[:-1]
    most = len(read)
    if len(models) == 1:
        most += 1
    for model in models:
        most = max(most, window_of(model))
    padded = END * most + read
    text = padded[-most:]
    ax = canvas(PANEL * len(models) + 0.5)
    title(ax, f"What comes after “{read}”?")
    top = ax.get_ylim()[1] - 0.45
    widest = max(first_matrix(model).shape[1] for model in models)
    cell = 1.9 / widest
    for i, model in enumerate(models):
        corner = (0.1, top - PANEL * (i + 1))
        draw_panel(ax, model, vocab, (text, name[-1]), corner, cell)
    return ax.figure


def window_of(model: Sequential) -> int:
    """How many characters a flat model reads."""
    for layer in model.layers:
        if isinstance(layer, FlattenConsecutive):
            return layer.n
    raise ValueError("the model has no FlattenConsecutive: give a flat model")


def first_matrix(model: Sequential):
    """The weight of the first Linear: (block_size * embedding_dim, hidden)."""
    linears = [layer for layer in model.layers if isinstance(layer, Linear)]
    return linears[0].weight


def draw_panel(
    ax: plt.Axes,
    model: Sequential,
    vocab: Vocab,
    texts: tuple[str, str],
    corner: tuple,
    cell: float,
) -> None:
    """One model: its tiles, its activations, its matrix. `texts`: read, and next."""
    left, bottom = corner
    read, following = texts
    block_size = window_of(model)
    foot = bottom + 0.45
    caption = f"block size {block_size}: {count(model):,} parameters"
    words(ax, (left, bottom + PANEL - 0.2), caption, ha="left", weight="bold")
    middles = spread(len(read) + 1, left, TILES_END)
    first = len(read) - block_size  # the first character of the window
    for i, character in enumerate(read):
        look = "idle" if i < first else "looked at"
        tile(ax, (middles[i], foot), character, look=look)
    tile(ax, (middles[-1], foot), following, look="predicted")
    draw_cut(ax, middles, read, first, foot)

    outputs = {}
    for layer, output in steps(model, vocab, read[first:]):
        if isinstance(layer, Embedding | Tanh):
            outputs[type(layer)] = output
    tops = []
    for x, vector in zip(middles[first:], outputs[Embedding]):
        width = len(vector) * cell
        chip(ax, (x - width / 2, foot + 0.3), vector, cell=cell)
        tops.append((x, foot + 0.46))
    hidden = outputs[Tanh]
    width = len(hidden) * cell
    middle = sum(middles[first:-1]) / block_size  # of the window, where there is room
    middle = max(middle, left + width / 2)
    middle = min(middle, middles[-1] - width / 2 - 0.1)
    floor = foot + 1.0
    chip_start = (middle - width / 2, floor)
    chip_end = (middle + width / 2, floor)
    corners = [tops[0], tops[-1], chip_end, chip_start]
    pale = tint(LOOKED_AT, 0.35)
    ax.add_patch(Polygon(corners, color=pale, zorder=1))
    chip(ax, chip_start, hidden, cell=cell, height=0.2)
    x = middles[-1]  # of the tile that is predicted
    y = floor + 0.1  # half-way up the chip
    wire(ax, (chip_end[0], y), (x, y), (x, foot + 0.17), arrow=True)

    matrix = first_matrix(model)
    inputs, channels = matrix.shape
    x = TILES_END + 0.4
    y = foot + 1.3 - inputs * cell
    weights(ax, (x, y), matrix, cell=cell)
    label = f"{inputs} × {channels} = {matrix.numel():,} weights"
    below = (x + channels * cell / 2, y - 0.14)
    words(ax, below, label, size=SMALL, color=WEIGHTS)


def draw_cut(
    ax: plt.Axes, middles: list[float], read: str, first: int, foot: float
) -> None:
    """Words below the letters that the window has cut off, if there are any."""
    y = foot - 0.27
    lost = [middles[i] for i in range(first) if read[i] != END]
    if lost:
        middle = (lost[0] + lost[-1]) / 2
        words(ax, (middle, y), "cut off", size=SMALL, color=WIRE)
    seen = (middles[first] + middles[-2]) / 2
    words(ax, (seen, y), "window", size=SMALL, color=WIRE)

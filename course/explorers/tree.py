"""Notebook 03: the tree over a window, with the shapes that the model has there."""

from collections.abc import Iterator
from functools import lru_cache

import ipywidgets as widgets
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from course.checks import check_text, checked
from course.drawings import LOOKS
from course.explorers import controls
from course.explorers.backdrop import Backdrop
from course.inspection import summary
from helpers import (
    END,
    Embedding,
    Sequential,
    Tanh,
    Vocab,
    build_flat,
    build_tree,
    count_parameters,
)


class TreeExplorer:
    """A tree of pairs, its shapes and its counts, by block size and hidden width."""

    @checked()
    def __init__(self, vocab: Vocab):
        self.vocab = vocab
        self.block_size = controls.tree_block_size()
        self.hidden = widgets.IntSlider(68, 4, 256, 4, description="hidden")
        self.name = widgets.Text("diondra", description="name")
        self.image = widgets.Image(value=self.picture(8, 68, "diondra"), format="png")
        self.counts = controls.text_output(self.describe(8, 68))
        sliders = [self.block_size, self.hidden, self.name]
        controls.watch(sliders, self.update)
        self.panel = controls.tree_column(sliders, self.image, self.counts)

    def update(self) -> None:
        """Picture and counts; a name that cannot be gets a message and no picture."""
        block_size = self.block_size.value
        hidden = self.hidden.value
        try:
            self.image.value = self.picture(block_size, hidden, self.name.value)
            self.counts.value = self.describe(block_size, hidden)
            self.image.layout.display = None
        except ValueError as error:
            self.counts.value = controls.message(error)
            self.image.layout.display = "none"

    def describe(self, block_size: int, hidden: int) -> str:
        """The counts of the tree and of a flat model, as HTML; or why it cannot be."""
        V = len(self.vocab)
        try:
            tree = build_tree(V, block_size, hidden=hidden)
        except ValueError as error:  # not a power of two
            return controls.message(error)
        of_tree = count_parameters(tree)
        of_flat = count_parameters(build_flat(V, block_size, hidden=hidden))
        flat = f"flat model of the same width {of_flat:,}"
        windows = torch.zeros(32, block_size, dtype=torch.long)
        table = summary(tree, windows).to_html(index=False)
        return f"<p><b>tree {of_tree:,} parameters, {flat}</b></p>{table}"

    def picture(self, block_size: int, hidden: int, name: str) -> bytes:
        """The tree over the last characters of `name`, as PNG."""
        padded = END * block_size + controls.typed_name(name, self.vocab)
        return draw_tree(padded[-block_size:], self.vocab, hidden)


def levels_of(model: Sequential, x: Tensor) -> list[Tensor]:
    """Outputs of the embedding and of each tanh, from the leaves to the root."""
    outputs = []
    for layer in model.layers:
        x = layer(x)
        if isinstance(layer, (Embedding, Tanh)):
            outputs.append(x)
    return outputs


@checked(context=check_text)
def draw_tree(
    context: str, vocab: Vocab, hidden: int = 68, *, batch_size: int = 32
) -> bytes:
    """The tree over the characters of `context`, with live shapes, as PNG.

    ValueError if the number of characters is no power of two, or one is unknown.
    """
    block_size = len(context)
    windows = torch.tensor([vocab.encode(context)] * batch_size)  # (B, T)
    model = build_tree(len(vocab), block_size, hidden=hidden)
    shapes = [tuple(output.shape) for output in levels_of(model, windows)]
    sizes = f"block size {block_size}, hidden width {hidden}"
    title = f"{sizes}; on the right, shapes for a batch of {batch_size}"
    backdrop = nodes_and_lines(block_size)
    (ax,) = backdrop.axes
    return backdrop.draw(texts(ax, title, context, shapes))


def texts(
    ax: Axes, title: str, context: str, shapes: list[tuple[int, ...]]
) -> Iterator[Artist]:
    """A title, the characters in their nodes, and each level's shape beside it."""
    style = {"va": "center", "family": "monospace"}
    yield ax.text(0.5, 1.02, title, transform=ax.transAxes, ha="center", size="large")
    for i, character in enumerate(context):
        yield ax.text(i + 0.5, 0, character, ha="center", **style)
    for level, shape in enumerate(shapes):
        yield ax.text(1.04 * len(context), level, str(shape), **style)


@lru_cache
def nodes_and_lines(block_size: int) -> Backdrop:
    """The tree without its texts: nodes, lines to their children, names of levels."""
    levels = block_size.bit_length()  # the characters are level 0
    height = 0.8 + 0.75 * levels  # inches
    fig = Figure(figsize=(8, height), dpi=110)
    ax = fig.add_axes((0.28, 0.02, 0.71, 0.98 - 0.4 / height))
    labels = []
    for level in range(levels):
        draw_level(ax, level, block_size)
        characters = "1 character" if level == 0 else f"{2**level} characters"
        labels.append(f"level {level}: {characters} a node")
    ax.set(xlim=(0, block_size * 1.3), ylim=(-0.4, levels - 0.6), xticks=[])
    ax.set_yticks(range(levels), labels)
    ax.spines[:].set_visible(False)
    return Backdrop(fig)


def draw_level(ax: Axes, level: int, block_size: int) -> None:
    """The nodes of one level, and lines to their children on the level below."""
    width = 2**level  # how many characters a node stands for
    nodes = [(i + 0.5) * width for i in range(block_size // width)]
    color = LOOKS["tree_fixed"]["color"] if level else "white"
    heights = [level] * len(nodes)
    ax.scatter(nodes, heights, s=330, color=color, edgecolor="black", zorder=3)
    if level == 0:
        return  # characters have no children
    lines = []
    for x in nodes:
        for child in (x - width / 4, x + width / 4):
            lines.append([(x, level), (child, level - 1)])
    ax.add_collection(LineCollection(lines, color="grey", zorder=1))

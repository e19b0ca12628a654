"""Notebook 03: a flat model and a tree over the same characters, live and as a picture.

scripts/tree.js draws them; draw_tree is the tree alone, with the shapes of its levels.
"""

from collections.abc import Iterator
from functools import lru_cache

import torch
import traitlets
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from course.checks import check_block_size, check_text, checked
from course.drawings import LOOKS
from course.explorers import stored, tree_picture
from course.explorers.backdrop import Backdrop
from course.explorers.controls import OFFERED
from course.explorers.models import ModelExplorer
from course.explorers.packing import unpack
from course.explorers.tree_picture import levels_of
from course.runs import RunConfig
from helpers import Vocab, build_tree


class TreeExplorer(ModelExplorer):
    """A flat model and a tree: activations, weights, and the next character.

    `block_size`, `hidden`, `name` and `equal` can be set in code, too. With `equal` the
    flat model has as many parameters as the tree, and otherwise the same width.
    """

    script = "tree"
    title = "Tree explorer"
    widths_allowed = (8, 256)
    kept = 2  # curves: they have no list beside them

    block_sizes = traitlets.List(OFFERED).tag(sync=True)
    widths = traitlets.List().tag(sync=True)  # those offered; none: all from 8 to 256
    block_size = traitlets.Int(8).tag(sync=True)
    hidden = traitlets.Int(64).tag(sync=True)  # 8 to 256
    name = traitlets.Unicode("diondr").tag(sync=True)
    equal = traitlets.Bool(False).tag(sync=True)
    hero = traitlets.Bool(False).tag(sync=True)  # True: the tree alone, front page
    matching = traitlets.Dict().tag(sync=True)  # on the site: widths for `equal`
    flat = traitlets.Bytes().tag(sync=True)  # packed weights
    tree = traitlets.Bytes().tag(sync=True)

    @checked()
    def __init__(self, vocab: Vocab, *, seed: int = 42):
        self.which = "tree"  # what the next run trains
        super().__init__(vocab, seed=seed)
        self.observe(self.bring, ["block_size", "hidden", "equal"])

    @traitlets.validate("block_size")
    def check_size(self, proposal: dict) -> int:
        return check_block_size(proposal["value"], tree=True)

    # ---- What it says of itself ----
    def alt(self) -> str:
        likely = []
        for architecture in ("flat", "tree"):
            chances = self.probabilities(architecture)
            best = int(chances.argmax())
            character = self.vocab.itos[best] if best else "the end"
            likely.append(f"{character} {chances[best]:.0%} in the {architecture} one")
        return (
            f"a flat model and a tree over the last {self.block_size} characters of "
            f"{self.name!r}, with their activations and weights; next character: "
            + ", ".join(likely)
        )

    def picture(self) -> bytes:
        models = [unpack(self.flat), unpack(self.tree)]
        return tree_picture.draw(models, self.name, self.characters)

    def page_state(self) -> dict[str, object]:
        matching = {}
        for block_size in stored.BLOCK_SIZES:
            for hidden in stored.WIDTHS:
                width = stored.matching_width(block_size, hidden)
                if stored.stored_model("flat", block_size, width) is not None:
                    matching[f"{block_size}_{hidden}"] = width
        return super().page_state() | {"widths": stored.WIDTHS, "matching": matching}

    @classmethod
    def page_files(cls) -> dict[str, bytes]:
        files = {}
        for cell in stored.cells():
            packed = stored.stored_model(*cell)
            if packed is not None:
                files[stored.file_name(*cell)] = packed
        return files

    # ---- The two models ----
    def cell(self, architecture: str) -> stored.Cell:
        """Architecture, block size and hidden width of one of the two models."""
        hidden = self.hidden
        if architecture == "flat" and self.equal:
            size = len(self.vocab)
            hidden = stored.matching_width(self.block_size, hidden, size)
        return architecture, self.block_size, hidden

    def bring(self, change: dict | None = None) -> None:
        with self.changing, self.hold_sync():
            self.flat = self.weights(self.cell("flat"))
            self.tree = self.weights(self.cell("tree"))

    def probabilities(self, architecture: str) -> Tensor:
        """What the "flat" model or the "tree" expects after the name: (V,)."""
        return self.probabilities_of(self.flat if architecture == "flat" else self.tree)

    # ---- Training ----
    def cell_to_train(self) -> stored.Cell:
        return self.cell(self.which)

    def curve_name(self, config: RunConfig) -> str:
        return config.architecture  # it stands at the curve's end

    def hear(self, widget, content: dict, buffers: list) -> None:
        if content.get("do") == "train" and not self.runner.is_running:
            self.which = "flat" if content.get("which") == "flat" else "tree"
        super().hear(widget, content, buffers)


# ---- The tree as a picture ---------------------------------------------------------
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

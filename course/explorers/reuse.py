"""Notebook 06: which fusions a character of a name needs, and which are new."""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import ipywidgets as widgets
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from course.checks import check_block_size, check_integer, checked
from course.explorers import controls
from course.explorers.backdrop import Backdrop
from course.fusions import KIND_LOOKS, characters_of, fusions, kind_of
from helpers import END, Vocab

FAINT = "#BBBBBB"
Nodes = dict[tuple[int, int], str]  # (level, position): kind of fusion


class ReuseExplorer:
    """A step through a name: what each next character needs of the tree's nodes.

    The first character is number 1; the one after the last is the end of the name.
    """

    @checked()
    def __init__(self, vocab: Vocab, name: str = "diondre"):
        self.vocab = vocab
        name = controls.typed_name(name, vocab)
        length = len(name)
        self.name = widgets.Text(name, description="name")
        self.block_size = controls.tree_block_size()
        self.character = widgets.IntSlider(
            length, 1, length + 1, description="character"
        )
        picture = self.picture(name, 8, length)
        self.image = widgets.Image(value=picture, format="png")
        self.counts = widgets.HTML(self.describe(name, 8, length))
        sliders = [self.name, self.block_size, self.character]
        controls.watch(sliders, self.update)
        self.panel = controls.tree_column(sliders, self.image, self.counts)

    def update(self) -> None:
        """Picture and counts; a name that cannot be gets a message and no picture."""
        block_size = self.block_size.value
        try:
            name = controls.typed_name(self.name.value, self.vocab)
            self.character.max = len(name) + 1
            character = min(self.character.value, len(name) + 1)
            self.image.value = self.picture(name, block_size, character)
            self.counts.value = self.describe(name, block_size, character)
            self.image.layout.display = None
        except ValueError as error:
            self.counts.value = controls.message(error)
            self.image.layout.display = "none"

    def reuse(self, name: str, block_size: int, character: int) -> Nodes:
        """The fusions that this character of the name needs, and the kind of each.

        ValueError if one of the three cannot be.
        """
        name = controls.typed_name(name, self.vocab)
        check_block_size(block_size, tree=True)
        check_integer("character", character, least=1, most=len(name) + 1)
        nodes = {}
        for last, level, position in fusions(name, block_size):
            if last == character - 1:  # the example ends one position before it
                nodes[level, position] = kind_of(last, level, position)
        return nodes

    def describe(self, name: str, block_size: int, character: int) -> str:
        """The counts as a sentence."""
        name = controls.typed_name(name, self.vocab)
        kinds = Counter(self.reuse(name, block_size, character).values())
        which = f"character {character} of {name!r}"
        if character > len(name):
            which = f"the end of {name!r}"
        count = kinds.total()
        total = "1 fusion" if count == 1 else f"{count} fusions"
        new = f"{kinds['first time']} computed for it"
        old = f"{kinds['again']} there from earlier characters"
        return f"{which}: {total}, {new}, {old}, {kinds['only dots']} of dots only"

    def picture(self, name: str, block_size: int, character: int) -> bytes:
        """The nodes that the character needs, on top of all others, as PNG."""
        name = controls.typed_name(name, self.vocab)
        nodes = self.reuse(name, block_size, character)
        backdrop = all_nodes(name, block_size)
        (ax,) = backdrop.axes
        following = (name + END)[character - 1]
        before = name[: character - 1]
        title = f"what is needed to predict “{following}” after “{before}”"
        text = ax.text(
            0.5,
            1.02,
            f"Block size {block_size}: {title}",
            transform=ax.transAxes,
            ha="center",
            size="large",
        )
        return backdrop.draw([*needed_nodes(ax, nodes), text])


@lru_cache(maxsize=16)
def all_nodes(name: str, block_size: int) -> Backdrop:
    """What no character changes: all positions, all nodes (faint) and the legend."""
    levels = block_size.bit_length()  # the characters are level 0
    first = 1 - block_size  # the first dot that may be needed
    height = 1.5 + 0.55 * levels  # inches
    fig = Figure(figsize=(9, height), dpi=100)
    ax = fig.add_axes((0.06, 0.5 / height, 0.79, 1 - 0.85 / height))
    for level in range(1, levels):
        positions = range(len(name) + 1)
        ax.scatter(positions, [level] * len(positions), s=12, color=FAINT)
    for kind, look in KIND_LOOKS.items():
        ax.scatter([], [], s=110, edgecolor="black", label=kind, **look)
    positions = range(first, len(name) + 1)
    characters = [characters_of(name, 0, position) for position in positions]
    ax.set_xticks(positions, characters, family="monospace")
    ax.set(xlabel="character", ylabel="level", yticks=range(levels))
    ax.set(xlim=(first - 0.5, len(name) + 0.5), ylim=(-0.2, levels - 0.6))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    ax.spines[:].set_visible(False)
    return Backdrop(fig)


def needed_nodes(ax: Axes, nodes: Nodes) -> Iterator[Artist]:
    """A line from each node to its two children, then the nodes by their kind."""
    lines = []
    for level, position in nodes:
        for child in (position, position - 2 ** (level - 1)):
            lines.append([(position, level), (child, level - 1)])
    yield ax.add_collection(LineCollection(lines, color="grey", lw=0.8))
    for kind, look in KIND_LOOKS.items():
        chosen = [node for node in nodes if nodes[node] == kind]
        if chosen:
            levels, positions = zip(*chosen)
            yield ax.scatter(positions, levels, s=110, edgecolor="black", **look)

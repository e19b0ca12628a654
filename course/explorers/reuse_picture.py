"""The reuse explorer as a picture, for pages without scripts."""

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from course.colors import FUTURE, INK, LOOKED_AT, PAPER, WIRE
from course.drawings import as_png
from course.fusions import KIND_LOOKS, characters_of
from helpers import END

DPI = 160  # sharp on screens with two pixels a point
LARGE = 110  # a fusion that the character needs
SMALL = 24  # one that only earlier characters have needed
TILE = {"boxstyle": "round,pad=0.25", "facecolor": PAPER}
Nodes = dict[tuple[int, int], str]  # (level, position): kind of fusion


def draw(name: str, block_size: int, character: int, *, seen: Nodes) -> bytes:
    """The fusions up to this character, those that it needs large, as PNG."""
    levels = block_size.bit_length()  # the characters are level 0
    last = character - 1
    first = 1 - block_size  # the first dot that may be needed
    fig = Figure(figsize=(9, 1.5 + 0.55 * levels), dpi=DPI, layout="constrained")
    ax = fig.subplots()
    draw_nodes(ax, seen, last, block_size)
    for position in range(first, len(name) + 2):
        is_end = position > len(name)
        text = END if is_end else characters_of(name, 0, position)
        is_inside = last - block_size < position <= last
        edge = INK if is_inside else FUTURE
        look = {"edgecolor": edge, "linestyle": "-"}
        if position == character:
            look = {"edgecolor": LOOKED_AT, "linestyle": "--", "linewidth": 2}
        color = INK if is_inside or position == character else WIRE
        style = {"ha": "center", "va": "center", "family": "monospace", "size": 10}
        ax.text(position, 0, text, color=color, bbox=TILE | look, **style)
    before = name[:last]
    following = (name + END)[last]
    title = f"what is needed to predict “{following}” after “{before}”"
    ax.set_title(f"Block size {block_size}: {title}", size=11)
    ax.set(xlim=(first - 0.7, len(name) + 1.7), ylim=(-0.6, levels - 0.5), xticks=[])
    ax.set_yticks(range(1, levels), [f"level {level}" for level in range(1, levels)])
    ax.spines[:].set_visible(False)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return as_png(fig)


def draw_nodes(ax: Axes, seen: Nodes, last: int, block_size: int) -> None:
    """A mark for each fusion by its kind; the wires of those that are needed now."""
    places = {}
    for level in range(1, block_size.bit_length()):
        for i in range(block_size // 2**level):
            places[level, last - i * 2**level] = True
    wires = []
    for level, position in places:
        for child in (position, position - 2 ** (level - 1)):
            wires.append([(position, level), (child, level - 1)])
    ax.add_collection(LineCollection(wires, color=WIRE, lw=0.8, zorder=1))
    for kind, look in KIND_LOOKS.items():
        style = {"edgecolor": INK, "linewidth": 0.8, "zorder": 3}
        for size, is_needed in ((LARGE, True), (SMALL, False)):
            chosen = []
            for node, its_kind in seen.items():
                is_kind = its_kind == kind
                if not is_needed and kind == "again":  # earlier ones are all "again"
                    is_kind = its_kind != "only dots"
                elif not is_needed:
                    is_kind = is_kind and kind == "only dots"
                if is_kind and (node in places) == is_needed:
                    chosen.append(node)
            xs = [position for _, position in chosen]
            ys = [level for level, _ in chosen]
            words = kind if is_needed else None
            ax.scatter(xs, ys, s=size, label=words, **style, **look)

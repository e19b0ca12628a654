"""Notebooks 06 to 08: how the trees of a name become one stack of dilated convolutions,
and what a stack computes for one output."""

from collections import Counter

import matplotlib.pyplot as plt

from course.checks import check_block_size, check_text, checked, whole
from course.colors import FUTURE, INK, LOOKED_AT, WIRE
from course.convolution import CausalConv1d, convolutions
from course.diagrams.language import (
    LARGE,
    SMALL,
    TILES,
    WIDTH,
    canvas,
    spread,
    tile,
    tint,
    title,
    wire,
    words,
)
from course.fusions import KIND_LOOKS, characters_of, fusions, kind_of, name_text
from course.texts import END
from helpers import Layer

Node = tuple[int, int]  # (level, position where its characters end)
RIGHT = 0.85  # inches kept for words at the right of a stack
STEP = 0.16  # inches from one level to the next in each of many trees


# ---- Eight trees become one stack ----------------------------------------------------
@checked(name=name_text)
def draw_trees_into_stack(name: str, block_size: int = 8) -> plt.Figure:
    """The tree of each example of `name`, its nodes where their characters end, and
    below them all trees in one: nodes that coincide are merged.

    Orange nodes are computed for the first time, pale ones were there before, white
    ones have nothing but dots below them. ValueError unless block_size is 2, 4, 8, ...
    """
    check_block_size(block_size, tree=True)
    levels = block_size.bit_length() - 1
    examples = len(name) + 1
    row = 0.24 + STEP * levels  # inches for one tree
    stack = 0.75 + 0.42 * levels
    ax = canvas(1.15 + row * examples + stack + 0.45)
    title(ax, f"{examples} trees, each node where its characters end")
    first = 1 - block_size
    places = range(first, len(name) + 2)  # one more for the character that follows
    middles = dict(zip(places, spread(len(places), 0.1, WIDTH - RIGHT)))
    top = ax.get_ylim()[1] - 0.75
    draw_kinds(ax, top + 0.22)
    for last in range(examples):
        y = top - row * (last + 1) + 0.1
        nodes = {}
        for end, level, position in fusions(name, block_size):
            if end == last:
                nodes[level, position] = kind_of(last, level, position)
        draw_nodes(ax, nodes, middles, (y, STEP), size=28)
        for position in range(last - block_size + 1, last + 1):
            tile(
                ax, (middles[position], y), characters_of(name, 0, position), size=0.24
            )
        following = (name + END)[last]
        tile(ax, (middles[last + 1], y), following, size=0.24, look="predicted")
    uses = Counter((level, end) for _, level, end in fusions(name, block_size))
    draw_merged(ax, name, set(uses), middles, (0.72, 0.42))
    read = sum(position > 0 for _, position in uses)
    counts = f"{uses.total()} fusions in {examples} trees, {len(uses)} different nodes"
    words(ax, (0.1, 0.37), f"{counts};", size=SMALL, ha="left")
    rest = f"{read} of them read the name, and each is computed once"
    words(ax, (0.1, 0.15), rest, size=SMALL, ha="left")
    return ax.figure


def draw_kinds(ax: plt.Axes, y: float) -> None:
    """A node of each kind with its name, in a row."""
    left = 0.2
    for kind, look in KIND_LOOKS.items():
        ax.scatter(left, y, s=50, edgecolor=INK, zorder=4, **look)
        words(ax, (left + 0.13, y), kind, size=SMALL, ha="left")
        left += 0.5 + 0.085 * len(kind)


def draw_nodes(
    ax: plt.Axes,
    nodes: dict[Node, str],
    middles: dict[int, float],
    heights: tuple[float, float],
    *,
    size: float,
) -> None:
    """Nodes by their kind, with lines to the two that each fuses.

    `heights` are the height of the characters, and how far levels are apart.
    """
    foot, step = heights
    for (level, position), kind in nodes.items():
        node = (middles[position], foot + step * level)
        for child in (position, position - 2 ** (level - 1)):
            if child in middles:
                wire(ax, node, (middles[child], foot + step * (level - 1)))
        ax.scatter(*node, s=size, edgecolor=INK, lw=0.8, zorder=5, **KIND_LOOKS[kind])


def draw_merged(
    ax: plt.Axes,
    name: str,
    nodes: set[Node],
    middles: dict[int, float],
    heights: tuple[float, float],
) -> None:
    """All trees in one, with the dilation of each level at the right."""
    foot, step = heights
    kinds = {}
    for level, position in nodes:
        kinds[level, position] = "only dots" if position <= 0 else "first time"
    draw_nodes(ax, kinds, middles, heights, size=70)
    for position in range(min(middles), len(name) + 1):
        character = characters_of(name, 0, position)
        tile(ax, (middles[position], foot), character, size=0.25)
    for level in sorted({level for level, _ in nodes}):
        y = foot + step * level
        dilation = f"dilation {2 ** (level - 1)}"
        place = (WIDTH - 0.05, y)
        words(ax, place, dilation, size=SMALL, ha="right", color=WIRE)
    top = foot + step * (max(level for level, _ in nodes) + 0.75)
    words(ax, (WIDTH / 2, top), "one over the other", size=LARGE, weight="bold")


# ---- What a stack computes for one output --------------------------------------------
def check_stack(name: str, value: Layer) -> Layer:
    """A network with causal convolutions; ValueError otherwise."""
    if not hasattr(value, "layers") or not list(convolutions(value)):
        cure = "give as_convolution(tree), or a WaveNet"
        raise ValueError(f"{name} has no causal convolution: {cure}")
    return value


def check_position(arguments: dict) -> None:
    """ValueError unless the output is at one of the characters."""
    at = arguments["at"]
    count = len(arguments["text"])
    if at >= count:
        raise ValueError(f"at is {at}: the text has the positions 0 to {count - 1}")


@checked(check_position, network=check_stack, text=check_text, at=whole(0))
def draw_stack(
    network: Layer, text: str, at: int, *, queues: bool = False
) -> plt.Figure:
    """The convolutions of a network over a text, and the cone of the output at `at`.

    Orange nodes are those that the output depends on. With `queues` they are pale,
    because they were computed before, and only the newest of each level is orange. To
    the right of `at` all is dim. The character after it is dashed.
    """
    layers = list(convolutions(network))
    levels = len(layers)
    step = min(0.55, 3.4 / levels)
    foot = 0.55
    ax = canvas(foot + step * levels + 1.2)
    field = 1 + sum(layer.reach for layer in layers)
    if queues:
        title(ax, f"One more character: {levels} new nodes, one on each level")
    else:
        title(ax, f"One output sees {field} characters and nothing of the future")
    middles = spread(len(text), 0.1, WIDTH - RIGHT)
    looks = node_looks(layers, at, len(text), queues=queues)
    pitch = (WIDTH - RIGHT - 0.1) / len(text)
    for (level, position), look in looks.items():
        x = middles[position]
        y = foot + step * level
        if level == 0:
            if position == at + 1:
                look = "predicted"
            tile(ax, (x, y), text[position], size=min(0.27, 0.85 * pitch), look=look)
            continue
        layer = layers[level - 1]
        for back in range(0, layer.reach + 1, layer.dilation):
            if position >= back:
                child = (middles[position - back], y - step)
                draw_tap(ax, (x, y), child, look)
        face, edge, _ = TILES[look]
        points = 72 * min(0.19, 0.6 * pitch)
        ax.plot(x, y, "o", ms=points, mfc=face, mec=edge, mew=0.9, zorder=4)
    for level, layer in enumerate(layers, start=1):
        label = f"dilation {layer.dilation}"
        y = foot + step * level
        words(ax, (WIDTH - 0.05, y), label, size=SMALL, ha="right", color=WIRE)
    draw_output(ax, (middles[at], foot + step * levels), text[at + 1 : at + 2] or "?")
    foot_words = "orange: what this output needs; dim: what comes later"
    if queues:
        foot_words = (
            "orange: computed now; pale: computed before; dim: what comes later"
        )
    words(ax, (WIDTH / 2, 0.18), foot_words, size=SMALL)
    return ax.figure


def node_looks(
    layers: list[CausalConv1d], at: int, count: int, *, queues: bool = False
) -> dict[Node, str]:
    """The look of each node over `count` characters, a key of TILES."""
    cone = cone_of(layers, at)
    looks = {}
    for level in range(len(layers) + 1):
        for position in range(count):
            if position > at:
                look = "future"
            elif (level, position) not in cone:
                look = "idle"
            elif queues and position < at:
                look = "before"
            else:
                look = "looked at"
            looks[level, position] = look
    return looks


def draw_tap(ax: plt.Axes, node: tuple, child: tuple, look: str) -> None:
    """The wire from a node to one that it reads."""
    if look in ("looked at", "before"):
        wire(ax, node, child, color=TILES[look][0], width=1.8, zorder=3)
    else:
        wire(ax, node, child, color=tint(FUTURE, 0.6), width=0.7, zorder=1)


def draw_output(ax: plt.Axes, node: tuple, character: str) -> None:
    """The character that the node predicts, above it."""
    x, y = node
    wire(ax, (x, y), (x, y + 0.3), color=LOOKED_AT, width=1.8, arrow=True)
    tile(ax, (x, y + 0.46), character, look="predicted")


def cone_of(layers: list[CausalConv1d], at: int) -> set[Node]:
    """All nodes that the output at `at` depends on; characters are level 0."""
    needed = {at}
    cone = {(len(layers), at)}
    for level in range(len(layers), 0, -1):
        layer = layers[level - 1]
        below = set()
        for position in needed:
            for back in range(0, layer.reach + 1, layer.dilation):
                below.add(max(position - back, 0))  # before the text stand only dots
        cone |= {(level - 1, position) for position in below}
        needed = below
    return cone

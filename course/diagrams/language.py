"""The words of the pictures: a tile is a character, a chip is a vector, a rectangle is
a weight matrix, a wire is a tensor, a rounded box is an operation.

Places and lengths are inches from the lower left corner, so areas can be compared; the
size of a text is in points. Colours and what they mean stand in course.colors.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle
from torch import Tensor

from course.checks import checked
from course.colors import (
    BEFORE,
    FUTURE,
    INK,
    LOOKED_AT,
    NEGATIVE,
    PAPER,
    POSITIVE,
    WEIGHTS,
    WIRE,
)
from course.drawings import use_own_look
from course.texts import END
from helpers import Layer, Sequential, Vocab, eval_mode

use_own_look()

WIDTH = 6.4  # inches: a phone shows it whole, and its smallest text can be read there
DPI = 110
SMALL = 10  # points: nothing is smaller, but for letters in the tiles of a long context
NORMAL = 11
LARGE = 13
Place = tuple[float, float]
# From -1 over 0 to +1
NUMBERS = LinearSegmentedColormap.from_list(
    "numbers",
    [NEGATIVE, PAPER, POSITIVE],
    N=257,  # an odd number of colours: the middle one is the paper
)
TILES = {  # what a tile looks like: its face, its frame, its letter
    "plain": (PAPER, INK, INK),
    "looked at": (LOOKED_AT, INK, INK),
    "before": (BEFORE, INK, INK),
    "idle": (PAPER, WIRE, WIRE),
    "future": (PAPER, FUTURE, FUTURE),
    "predicted": (PAPER, LOOKED_AT, INK),
}


def tint(color: str, share: float) -> tuple[float, float, float]:
    """A colour mixed with the paper: `share` 1 is the colour, 0 is the paper."""
    mixed = []
    for part, paper in zip(to_rgb(color), to_rgb(PAPER), strict=True):
        mixed.append(share * part + (1 - share) * paper)
    return tuple(mixed)


def canvas(height: float, *, width: float = WIDTH) -> plt.Axes:
    """An empty picture of this size in inches; the axes count inches too."""
    fig = plt.figure(figsize=(width, height), dpi=DPI)
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.autoscale(False)
    ax.set_axis_off()
    ax.add_patch(Rectangle((0, 0), width, height, color=PAPER, zorder=-9))
    return ax


def words(ax: plt.Axes, place: Place, text: str, **options) -> None:
    """A text around a place, in the size NORMAL unless another is given."""
    look = {"size": NORMAL, "ha": "center", "va": "center", "color": INK, "zorder": 6}
    ax.text(*place, text, **look | options)


def title(ax: plt.Axes, text: str) -> None:
    """What the picture shows, at its top."""
    width = ax.get_xlim()[1]
    height = ax.get_ylim()[1]
    words(ax, (width / 2, height - 0.2), text, size=LARGE, weight="bold")


def tile(
    ax: plt.Axes,
    place: Place,
    character: str,
    *,
    size: float = 0.27,
    look: str = "plain",
) -> None:
    """A character around `place`, with one of the looks TILES. A dot is pale."""
    face, edge, ink = TILES[look]
    if character == END and look == "plain":
        face = tint(FUTURE, 0.3)
        edge = FUTURE
        ink = WIRE
    x = place[0] - size / 2
    y = place[1] - size / 2
    is_predicted = look == "predicted"
    box = FancyBboxPatch(
        (x, y),
        size,
        size,
        boxstyle=f"round,pad=0,rounding_size={size / 6}",
        facecolor=face,
        edgecolor=edge,
        linestyle="--" if is_predicted else "-",
        linewidth=1.8 if is_predicted else 1,
        zorder=4,
    )
    ax.add_patch(box)
    points = min(LARGE, 45 * size)
    words(ax, place, character, size=points, color=ink, family="monospace")


def chip(
    ax: plt.Axes, corner: Place, values: Tensor, *, cell: float, height: float = 0.16
) -> float:
    """The numbers (C,) as a row of cells, blue -1 to red +1, from the lower left on.

    Every cell is `cell` wide, so a wider layer is a wider chip. Returns the width.
    """
    width = len(values) * cell
    x, y = corner
    row = values.detach().numpy()[None]  # (1, C)
    edges = (x, x + width, y, y + height)
    ax.imshow(
        row,
        extent=edges,
        aspect="auto",
        cmap=NUMBERS,
        vmin=-1,
        vmax=1,
        interpolation="nearest",
        zorder=4,
    )
    frame = Rectangle(corner, width, height, fill=False, ec=INK, lw=0.8, zorder=5)
    ax.add_patch(frame)
    return width


def weights(
    ax: plt.Axes, corner: Place, matrix: Tensor, *, cell: float, uses: int | None = None
) -> Place:
    """A matrix (in, out) as a rectangle of in * out cells, from its lower left corner.

    Its area is the number of its weights. `uses` is stamped on it: how many positions
    it serves. Returns its width and its height.
    """
    inputs, outputs = matrix.shape
    width = outputs * cell
    height = inputs * cell
    face = tint(WEIGHTS, 0.35)
    box = Rectangle(corner, width, height, fc=face, ec=WEIGHTS, lw=1, zorder=3)
    ax.add_patch(box)
    if uses is not None:
        x = corner[0] + width / 2
        y = corner[1] + height / 2
        stamp(ax, (x, y), uses)
    return width, height


def stamp(ax: plt.Axes, place: Place, uses: int) -> None:
    """How many times a matrix is used, in a ring."""
    ring = Circle(place, 0.17, fc=PAPER, ec=WEIGHTS, lw=1.5, zorder=5)
    ax.add_patch(ring)
    words(ax, place, f"×{uses}", size=SMALL, color=WEIGHTS, weight="bold")


def wire(
    ax: plt.Axes,
    *places: Place,
    color: str = WIRE,
    width: float = 1,
    arrow: bool = False,
    zorder: float = 2,
) -> None:
    """A tensor on its way from place to place; with `arrow` it shows where to."""
    xs = [place[0] for place in places]
    ys = [place[1] for place in places]
    ax.plot(xs, ys, color=color, lw=width, zorder=zorder, solid_joinstyle="round")
    if arrow:
        head = {"arrowstyle": "-|>", "color": color, "lw": width}
        head |= {"shrinkA": 0, "shrinkB": 0, "mutation_scale": 8 + 2 * width}
        ends = {"xy": places[-1], "xytext": places[-2]}
        ax.annotate("", **ends, arrowprops=head, zorder=zorder)


def operation(
    ax: plt.Axes,
    place: Place,
    text: str,
    *,
    width: float = 0.9,
    height: float = 0.32,
    color: str = INK,
) -> None:
    """An operation: a rounded box around `place`."""
    corner = (place[0] - width / 2, place[1] - height / 2)
    box = FancyBboxPatch(
        corner,
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.1",
        facecolor=PAPER,
        edgecolor=color,
        linewidth=1.2,
        zorder=4,
    )
    ax.add_patch(box)
    words(ax, place, text)


@checked()
def steps(model: Sequential, vocab: Vocab, context: str) -> list[tuple[Layer, Tensor]]:
    """Each layer of the model with what it makes of the context: (T, C), or (C,)."""
    x = torch.tensor([vocab.encode(context)])  # (1, T)
    found = []
    with eval_mode(model):
        for layer in model.layers:
            x = layer(x)
            found.append((layer, x[0]))
    return found


def spread(count: int, left: float, right: float) -> list[float]:
    """The middles of so many equal parts of the line from left to right."""
    part = (right - left) / count
    return [left + (i + 0.5) * part for i in range(count)]

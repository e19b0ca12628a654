"""Notebook 09: the same numbers as (T, C) and as (C, T), and padding on the left."""

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle
from torch import Tensor

from course.checks import check_text, checked, tensor, whole
from course.colors import INK, LOOKED_AT, WIRE
from course.diagrams.language import (
    NUMBERS,
    SMALL,
    canvas,
    tile,
    title,
    wire,
    words,
)

SIDE = 0.29  # inches: a cell
MOST_CHARACTERS = 8
MOST_CHANNELS = 8
TOP = 2.6  # inches: the upper edge of both grids


def check_fits(arguments: dict) -> None:
    """ValueError unless there is a row for each character, and room for all."""
    x = arguments["x"]
    text = arguments["text"]
    if len(x) != len(text):
        given = f"x has {len(x)} rows for {len(text)} characters"
        raise ValueError(f"{given}: give a row for each")
    if len(text) > MOST_CHARACTERS or x.shape[1] > MOST_CHANNELS:
        most = f"at most {MOST_CHARACTERS} characters and {MOST_CHANNELS} channels"
        raise ValueError(f"x is {tuple(x.shape)}: give {most}")


@checked(check_fits, x=tensor(dims=2), text=check_text, reach=whole(1, 3))
def draw_layouts(x: Tensor, text: str, *, reach: int = 2) -> plt.Figure:
    """x (T, C) with a row for each character, and x.T (C, T) with a column for each.

    The last character is orange in both. On the right stands what a convolution with
    this reach reads: `reach` copies of the first column, on the left only.
    """
    T, C = x.shape
    ax = canvas(3.55)
    title(ax, "The same numbers in two layouts")
    left = 0.75
    for t, character in enumerate(text):
        y = TOP - (t + 0.5) * SIDE
        look = "looked at" if t == T - 1 else "plain"
        tile(ax, (left - 0.2, y), character, size=0.24, look=look)
    draw_grid(ax, x, (left, TOP))
    width = C * SIDE
    bottom = TOP - T * SIDE
    frame(ax, (left, bottom), (width, SIDE))
    middle = left + width / 2
    words(ax, (middle, TOP + 0.37), f"ours, (T, C) = {T, C}")

    right = 3.55
    before = x[:1].expand(reach, -1)  # (reach, C)
    padding = reach * SIDE
    first = right - padding
    draw_grid(ax, before.T, (first, TOP), faint=True)
    draw_grid(ax, x.T, (right, TOP))
    for t, character in enumerate(text):
        look = "looked at" if t == T - 1 else "plain"
        x_tile = right + (t + 0.5) * SIDE
        tile(ax, (x_tile, TOP + 0.17), character, size=0.24, look=look)
    last = right + (T - 1) * SIDE
    bottom = TOP - width  # a channel is as high here as it is wide on the left
    frame(ax, (last, bottom), (SIDE, width))
    middle = right + T * SIDE / 2
    words(ax, (middle, TOP + 0.47), f"torch's, (C, T) = {C, T}")
    height = TOP - width / 2
    start = left + width + 0.1
    end = first - 0.1
    wire(ax, (start, height), (end, height), arrow=True)
    middle = (start + end) / 2
    words(ax, (middle, height + 0.15), ".mT", size=SMALL, family="monospace")

    foot = bottom - 0.15
    low = foot - 0.3
    newest = right + (T - 0.5) * SIDE
    oldest = newest - padding
    for tap in (oldest, newest):
        wire(ax, (tap, low), (tap, foot + 0.1), color=LOOKED_AT, width=2)
    wire(ax, (oldest, low), (newest, low), color=LOOKED_AT, width=2)
    caption = f"two taps, dilation {reach}"
    words(ax, (newest, foot - 0.48), caption, size=SMALL, ha="right")
    note = f"{reach} copies\non the left"
    place = (right - padding / 2, low)
    words(ax, place, note, size=SMALL, color=WIRE)
    return ax.figure


def draw_grid(
    ax: plt.Axes, numbers: Tensor, corner: tuple, *, faint: bool = False
) -> None:
    """The numbers (rows, columns) as cells, from the upper left corner on."""
    for i, row in enumerate(numbers.tolist()):
        for j, number in enumerate(row):
            x = corner[0] + j * SIDE
            y = corner[1] - (i + 1) * SIDE
            color = NUMBERS((number + 1) / 2)
            edge = {"ec": WIRE, "lw": 0.7, "ls": ":" if faint else "-"}
            alpha = 0.55 if faint else 1
            cell = Rectangle(
                (x, y), SIDE, SIDE, fc=color, alpha=alpha, zorder=3, **edge
            )
            ax.add_patch(cell)


def frame(ax: plt.Axes, corner: tuple, size: tuple) -> None:
    """Marks the cells of one character."""
    outer = Rectangle(corner, *size, fill=False, ec=INK, lw=3.4, zorder=5)
    inner = Rectangle(corner, *size, fill=False, ec=LOOKED_AT, lw=2, zorder=5)
    ax.add_patch(outer)
    ax.add_patch(inner)

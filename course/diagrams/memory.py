"""Notebook 03: what FlattenConsecutive does in memory, and why view can fail."""

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import Rectangle
from torch import Tensor

from course.checks import check_block_size, check_text, checked, size
from course.colors import INK, LOOKED_AT, WIRE
from course.diagrams.language import (
    SMALL,
    WIDTH,
    canvas,
    spread,
    tile,
    tint,
    title,
    wire,
    words,
)

LEFT = 0.15
RIGHT = WIDTH - 0.8  # to its right stand shapes
HEIGHT = 0.3  # of a cell


@checked(text=check_text, channels=size)
def draw_memory(text: str, *, channels: int = 3) -> plt.Figure:
    """The numbers of a tensor (T, C) in the order in which memory holds them.

    Above: brackets group them into ever fewer rows, and no number moves. Below: the
    order after a transpose that was copied. What the first pair holds is orange.
    `text` are the T characters; ValueError unless T is 2, 4, 8, 16, ...
    """
    T = check_block_size(len(text), tree=True)
    x = torch.arange(T * channels).view(T, channels)
    turned = x.T.contiguous()  # (T, C) -> (C, T), copied into another order
    pair = x[:2].flatten().tolist()
    levels = T.bit_length() - 1
    foot = 2.35  # inches from the bottom to the numbers of x
    ax = canvas(foot + 1.45 + 0.3 * levels)
    title(ax, "Fusing neighbours moves no number in memory")
    top = foot + HEIGHT + 0.3 * levels + 0.3
    for place, character in zip(spread(T, LEFT, RIGHT), text):
        tile(ax, (place, top), character)
    for level in range(levels):
        rows = T // 2**level
        height = foot + HEIGHT + 0.1 + 0.3 * level
        draw_brackets(ax, x.reshape(rows, -1), pair, height)
    draw_ribbon(ax, x, pair, foot)
    for number in range(T * channels):
        start = (cell_middle(x, number), foot)
        end = (cell_middle(turned, number), 1.15)
        if number in pair:
            wire(ax, start, end, color=LOOKED_AT, width=2)
        else:
            wire(ax, start, end, color=tint(WIRE, 0.5), width=0.8)
    draw_ribbon(ax, turned, pair, 1.15 - HEIGHT)
    shape = tuple(turned.shape)
    caption = f"after a transpose, copied as {shape}: the pair lies apart"
    words(ax, (WIDTH / 2, 0.55), caption)
    words(ax, (WIDTH / 2, 0.28), "view raises an error, reshape copies the numbers")
    return ax.figure


def cell_middle(x: Tensor, number: int) -> float:
    """Where the number stands in the memory of x."""
    place = x.flatten().tolist().index(number)
    return spread(x.numel(), LEFT, RIGHT)[place]


def draw_brackets(ax: plt.Axes, rows: Tensor, pair: list[int], y: float) -> None:
    """A bracket over each row of the numbers (T, C), and their shape at the right.

    The bracket that holds the pair and nothing else is orange.
    """
    middles = spread(len(rows), LEFT, RIGHT)
    half = (RIGHT - LEFT) / len(rows) / 2 - 0.03
    for row, x in zip(rows.tolist(), middles):
        foot = y - 0.07
        left = x - half
        right = x + half
        ends = (left, foot), (left, y), (right, y), (right, foot)
        if row == pair:
            wire(ax, *ends, color=LOOKED_AT, width=3)
        else:
            wire(ax, *ends, color=INK)
    shape = str(tuple(rows.shape))
    words(ax, (WIDTH - 0.05, y - 0.03), shape, ha="right")


def draw_ribbon(ax: plt.Axes, x: Tensor, pair: list[int], y: float) -> None:
    """The numbers of x (rows, columns) as memory holds them; those of a pair orange."""
    numbers = x.flatten().tolist()
    width = (RIGHT - LEFT) / len(numbers)
    channels = len(pair) // 2
    points = min(SMALL, 42 * width)
    half_way = y + HEIGHT / 2  # up a cell
    for number, middle in zip(numbers, spread(len(numbers), LEFT, RIGHT)):
        is_odd = number // channels % 2  # neighbouring characters have two greys
        face = tint(WIRE, 0.35 if is_odd else 0.1)
        if number in pair:
            face = tint(LOOKED_AT, 1 if is_odd else 0.6)
        corner = (middle - width / 2, y)
        cell = Rectangle(corner, width, HEIGHT, fc=face, ec=INK, lw=0.8, zorder=4)
        ax.add_patch(cell)
        words(ax, (middle, half_way), number, size=points)
    words(ax, (WIDTH - 0.05, half_way), "memory", ha="right", color=WIRE)

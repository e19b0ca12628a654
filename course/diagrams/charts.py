"""Notebook 02: how alike weights are, as cells. Notebook 07: costs by context."""

from textwrap import fill

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullFormatter, NullLocator, StrMethodFormatter
from torch import Tensor

from course.checks import check_tensor, check_text, checked
from course.colors import INK, PAPER, WIRE
from course.diagrams.language import (
    DPI,
    LARGE,
    NORMAL,
    NUMBERS,
    SMALL,
    WIDTH,
    canvas,
    title,
    words,
)
from course.drawings import LOOKS

CELL = 0.52  # inches
# The looks of the ways to compute, in the order in which they are given
WAYS = [
    {"color": LOOKS["tree_fixed"]["color"], "marker": "o", "linestyle": "-"},
    {"color": "#009E73", "marker": "^", "linestyle": "-."},
]
Costs = tuple[pd.DataFrame, pd.DataFrame]  # counted, measured: a column for each way


# ---- How alike the weights of positions are ------------------------------------------
def check_correlations(name: str, value) -> Tensor:
    """Correlations (T, T) of two positions or more; ValueError otherwise."""
    table = check_tensor(name, value, dims=2, rows=2)
    if table.shape[0] != table.shape[1]:
        cure = "give torch.corrcoef of a row for each position"
        raise ValueError(f"{name} has the shape {tuple(table.shape)}: {cure}")
    return table


@checked(correlations=check_correlations)
def draw_correlations(correlations: Tensor) -> plt.Figure:
    """Each pair of positions as a cell: blue -1, white 0, red +1, and the number in it.

    Below stand the means over neighbours and over positions far apart. ValueError
    unless the correlations are a square table (T, T).
    """
    T = len(correlations)
    ax = canvas(T * CELL + 1.55)
    title(ax, "How alike the weights of two positions are")
    left = (WIDTH - T * CELL) / 2
    top = ax.get_ylim()[1] - 0.95
    words(ax, (WIDTH / 2, top + 0.42), "position in the context", size=SMALL)
    for row in range(T):
        position = f"−{T - row}"
        middle = CELL * (row + 0.5)
        y = top - middle
        words(ax, (left - 0.1, y), position, size=SMALL, ha="right")
        words(ax, (left + middle, top + 0.14), position, size=SMALL)
        for column in range(T):
            corner = (left + CELL * column, y - CELL / 2)
            draw_number(ax, corner, correlations[row, column].item())
    near = correlations.diagonal(1).mean().item()
    below = f"neighbours {signed(near)} on average"
    far = (T + 1) // 2
    if far > 1:
        apart = [correlations.diagonal(i) for i in range(far, T)]
        mean = torch.cat(apart).mean().item()
        below += f"; {far} or more apart {signed(mean)}"
    words(ax, (WIDTH / 2, 0.22), below, size=SMALL)
    return ax.figure


def draw_number(ax: plt.Axes, corner: tuple[float, float], number: float) -> None:
    """A cell from its lower left corner, coloured by the number that stands in it."""
    face = NUMBERS((number + 1) / 2)
    box = Rectangle(corner, CELL, CELL, fc=face, ec=PAPER, lw=1.5, zorder=3)
    ax.add_patch(box)
    x = corner[0] + CELL / 2
    y = corner[1] + CELL / 2
    ink = PAPER if abs(number) > 0.6 else INK
    words(ax, (x, y), signed(number), size=SMALL, color=ink)


def signed(number: float) -> str:
    """Two digits, with a true minus sign, and without one at zero."""
    nearest = round(number, 2)
    if nearest == 0:
        return "0.00"
    return f"{nearest:.2f}".replace("-", "−")


# ---- Costs by context ----------------------------------------------------------------
def check_costs(name: str, value) -> dict[str, Costs]:
    """{title of a panel: (counted, measured)}, both tables with the same columns."""
    cure = "give {title: (counted, measured)}, two tables with a column for each way"
    if not isinstance(value, dict) or not value:
        raise TypeError(f"{name} is no dict with a panel or more: {cure}")
    for panel, tables in value.items():
        if not is_pair(tables):
            raise TypeError(f"{name}[{panel!r}] is no pair of tables: {cure}")
        counted = list(tables[0].columns)
        measured = list(tables[1].columns)
        if counted != measured or len(counted) > len(WAYS):
            raise ValueError(f"{name}[{panel!r}] has the columns {measured}: {cure}")
    return value


def is_pair(tables) -> bool:
    """Whether it is a tuple of two tables."""
    kinds = [pd.DataFrame, pd.DataFrame]
    return isinstance(tables, tuple) and list(map(type, tables)) == kinds


@checked(panels=check_costs, text=check_text, unit=check_text)
def draw_costs(panels: dict[str, Costs], text: str, *, unit: str) -> plt.Figure:
    """Costs by context: lines for what is counted, points for what is measured.

    Each pair of tables has a panel; their index is the context. Both axes are
    logarithmic, so a straight line is a power of the context. `text` is the title, and
    `unit` what the costs are.
    """
    fig = plt.figure(figsize=(WIDTH, 3.9), dpi=DPI, layout="constrained")
    axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, name in zip(axes, panels):
        counted, measured = panels[name]
        ax.set_title(name, size=NORMAL, color=INK)
        for way, look in zip(measured, WAYS):
            draw_way(ax, counted[way], measured[way], look)
        style_axes(ax, counted.index)
    axes[0].set_ylabel(unit, size=SMALL, color=INK)
    name_ways(axes[0], list(measured))
    fig.suptitle(text, size=LARGE, weight="bold", color=INK)
    return fig


def draw_way(ax: plt.Axes, counted: pd.Series, measured: pd.Series, look: dict) -> None:
    """A line of what is counted, and points of what is measured."""
    color = look["color"]
    ax.plot(counted, color=color, linestyle=look["linestyle"], lw=1.8, zorder=2)
    points = {"marker": look["marker"], "linestyle": "", "markeredgecolor": PAPER}
    ax.plot(measured, color=color, ms=7, zorder=3, **points)


def style_axes(ax: plt.Axes, contexts: pd.Index) -> None:
    """Logarithmic axes with plain numbers, every other context named."""
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    named = contexts[::2]
    ax.set_xticks(named, named)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(labelsize=SMALL, colors=WIRE)
    ax.set_xlabel("context, characters", size=SMALL, color=INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(WIRE)
    ax.grid(axis="y", color=WIRE, alpha=0.25, lw=0.6)


def name_ways(ax: plt.Axes, ways: list[str]) -> None:
    """The first way's name above its line, in the corner that is free; the second's
    below."""
    corners = [(0.05, 0.97, "left", "top"), (0.99, 0.03, "right", "bottom")]
    for way, look, (x, y, ha, va) in zip(ways, WAYS, corners):
        lines = fill(way, 18)
        style = {"size": SMALL, "weight": "bold", "color": look["color"]}
        ax.text(x, y, lines, ha=ha, va=va, transform=ax.transAxes, **style)

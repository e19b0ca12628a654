"""The grid explorer as a picture, for pages without scripts."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course.colors import INK, LOOKED_AT, PAPER
from course.drawings import LOOKS, as_png

DPI = 160  # sharp on screens with two pixels a point
HIGHEST = 2.35  # losses from here on are white
STORED = LOOKS["tree_fixed"]["color"]
SHADES = LinearSegmentedColormap.from_list("losses", [STORED, PAPER])


def draw(surface: pd.DataFrame, cell: dict, best: dict) -> bytes:
    """The losses of both kinds of model, and the curves of one cell, as PNG."""
    fig = Figure(figsize=(9.2, 5.2), dpi=DPI, layout="constrained")
    places = fig.subplot_mosaic([["flat", "tree"], ["curves", "curves"]])
    lowest = surface.to_numpy().min()
    for architecture in ("flat", "tree"):
        ax = places[architecture]
        table = surface[architecture]
        draw_table(ax, table, lowest)
        ax.set_title(f"{architecture}: validation loss, nats per character", size=10)
        if best["architecture"] == architecture:
            frame(ax, table, best, color=INK, words="★ best")
        if cell["architecture"] == architecture:
            frame(ax, table, cell, color=LOOKED_AT, words="")
    draw_curves(places["curves"], cell)
    return as_png(fig)


def draw_table(ax: Axes, table: pd.DataFrame, lowest: float) -> None:
    """Losses by block size (rows) and hidden width (columns), blue where low."""
    ax.imshow(table, cmap=SHADES, vmin=lowest, vmax=HIGHEST, aspect="auto")
    dark = lowest + 0.3 * (HIGHEST - lowest)  # losses below stand on dark cells
    for (row, column), loss in np.ndenumerate(table):
        color = PAPER if loss < dark else INK
        number = f"{loss:.3f}"
        ax.text(column, row, number, color=color, ha="center", va="center")
    ax.set(xlabel="hidden width", ylabel="block size")
    ax.set_xticks(range(len(table.columns)), table.columns)
    ax.set_yticks(range(len(table.index)), table.index)


def frame(ax: Axes, table: pd.DataFrame, cell: dict, *, color: str, words: str) -> None:
    """A frame around a cell, with words in its upper corner."""
    column = table.columns.get_loc(cell["hidden"])
    row = table.index.get_loc(cell["block_size"])
    place = (column - 0.48, row - 0.47)
    look = {"fill": False, "edgecolor": color, "linewidth": 2.5}
    ax.add_patch(Rectangle(place, 0.96, 0.94, **look))
    ax.text(column, row - 0.27, words, color=PAPER, ha="center", va="center", size=7)


def draw_curves(ax: Axes, cell: dict) -> None:
    """Training losses of the stored runs, in means of 100 steps."""
    for seed, curve in zip(cell["seeds"], cell["curves"]):
        middles = 50 + 100 * np.arange(len(curve))  # the middle step of each mean
        style = "-" if seed == cell["seeds"][0] else "--"
        ax.plot(middles, curve, style, color=STORED, lw=1.8, label=f"seed {seed}")
    ax.set(xlabel="step", ylabel="training loss")
    ax.set_ylim(1.7, 2.8)
    sizes = f"block size {cell['block_size']}, hidden width {cell['hidden']}"
    words = f"{cell['architecture']}, {sizes}: {cell['parameters']:,} parameters"
    ax.set_title(words, size=10)
    ax.legend(loc="upper right")

"""Notebook 08: all models of the series in one picture."""

import matplotlib.pyplot as plt
import pandas as pd

from course.checks import check_kind, checked
from course.colors import FUTURE, INK, LOOKED_AT, WIRE
from course.diagrams.language import DPI, LARGE, NORMAL, SMALL, WIDTH

PARTS = {  # the two losses, and how each is drawn
    "val": {"color": INK, "marker": "o"},
    "unseen": {"color": LOOKED_AT, "marker": "s"},
}
SIDES = {"val": "right", "unseen": "left"}  # how words beside them are aligned


def check_series(name: str, value) -> pd.DataFrame:
    """A row for each model with what the poster shows; TypeError or ValueError."""
    cure = "give a table with the columns parameters, val and unseen"
    check_kind(name, value, kind=pd.DataFrame, cure=cure)
    missing = {"parameters", *PARTS} - set(value.columns)
    if missing:
        raise ValueError(f"{name} lacks {sorted(missing)}: {cure}")
    if value.empty:
        raise ValueError(f"{name} lacks rows: {cure}")
    return value


def check_counts(name: str, value) -> dict[str, float]:
    """The losses of the table of counts; TypeError or ValueError otherwise."""
    cure = f"give the losses of the table of counts, keys {list(PARTS)}"
    check_kind(name, value, kind=dict, cure=cure)
    if set(value) != set(PARTS):
        raise ValueError(f"{name} has the keys {list(value)}: {cure}")
    return value


@checked(series=check_series, counts=check_counts)
def draw_poster(series: pd.DataFrame, counts: dict[str, float]) -> plt.Figure:
    """The losses of each model, from the first (top) to the last, nats per character.

    `series` has a row for each model: parameters, val and unseen, the losses on all
    validation names and on those that training has not seen. `counts` are the losses
    of a table of counts, the dashed lines.
    """
    rows = range(len(series))
    height = 1.4 + 0.55 * len(series)
    fig, ax = plt.subplots(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    for part, look in PARTS.items():
        losses = series[part]
        ax.plot(losses, rows, ms=9, mec=INK, ls="-", lw=1, zorder=3, **look)
        counted = counts[part]
        ax.axvline(counted, color=look["color"], ls="--", lw=1.5, zorder=1)
        side = SIDES[part]
        shift = 4 if side == "left" else -4
        text = {"textcoords": "offset points", "ha": side, "size": SMALL}
        first = (losses.iloc[0], 0)
        ax.annotate(part, first, xytext=(shift, 9), **text)
        foot = (counted, len(series) - 0.4)
        ax.annotate(f"counts, {part}", foot, xytext=(shift, 0), **text)
    losses = series[list(PARTS)].to_numpy()
    right = losses.max()
    left = losses.min()
    width = right - left
    for row, (model, parameters) in zip(rows, series["parameters"].items()):
        end = right + 0.75 * width
        text = {"ha": "right", "va": "center"}
        ax.text(end, row - 0.13, model, size=NORMAL, weight="bold", **text)
        label = f"{parameters:,} parameters"
        ax.text(end, row + 0.2, label, size=SMALL, color=WIRE, **text)
        ax.axhline(row, color=FUTURE, lw=0.6, zorder=0)
    ax.set_xlabel("loss, nats per character")
    ax.set_yticks([])
    ax.set_xlim(left - 0.06 * width, right + 0.78 * width)
    ax.set_ylim(len(series) - 0.3, -0.7)  # the first model at the top
    ax.set_title("From the first model to WaveNet", size=LARGE, weight="bold")
    ax.spines[["top", "right", "left"]].set_visible(False)
    return fig

"""Notebook 08: which names a network finds likely, and how it sees the characters."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from course.checks import check_kind, checked, tensor
from course.colors import BEFORE, INK, LOOKED_AT, PAPER, WIRE
from course.comparisons import numbers
from course.diagrams.language import DPI, LARGE, NORMAL, SMALL, WIDTH
from helpers import Vocab

BINS = 60
ROW = 0.85  # inches of height for each kind of names
PLANE = torch.tensor([5.0, 3.6])  # inches between the outermost characters
APART = 0.28  # inches between two characters at least, so that both can be read


def check_kinds(name: str, value) -> dict:
    """{kind: losses} with one kind or more; TypeError or ValueError otherwise."""
    cure = "give {kind: losses}, one or more"
    check_kind(name, value, kind=dict, cure=cure)
    if not value:
        raise ValueError(f"{name} is empty: {cure}")
    return {kind: numbers(f"{name}[{kind!r}]", value[kind]) for kind in value}


@checked(losses=check_kinds)
def draw_kinds(losses: dict[str, np.ndarray]) -> plt.Figure:
    """A row for each kind of names: how many have which loss, and a line at the mean.

    The losses are in nats per character. All rows have the same bins.
    """
    least = min(values.min() for values in losses.values())
    most = max(values.max() for values in losses.values())
    bins = np.linspace(least, most, BINS + 1)
    fig, axes = plt.subplots(
        len(losses),
        1,
        figsize=(WIDTH, 0.9 + ROW * len(losses)),
        dpi=DPI,
        layout="constrained",
        sharex=True,
        squeeze=False,
    )
    for ax, (kind, values) in zip(axes[:, 0], losses.items(), strict=True):
        counts, *_ = ax.hist(values, bins, color=BEFORE, edgecolor=PAPER, lw=0.5)
        ax.set_ylim(0, 1.5 * counts.max())  # room for the label
        ax.axvline(values.mean(), color=LOOKED_AT, lw=3)
        look = {"transform": ax.transAxes, "ha": "right", "va": "top", "color": INK}
        label = f"{kind}: {values.mean():.2f}"
        ax.text(0.995, 0.98, label, size=NORMAL, weight="bold", **look)
        ax.set_yticks([])
        ax.spines[["top", "right", "left"]].set_visible(False)
    axes[0, 0].set_title("How likely are these names? Orange: the mean", size=LARGE)
    axes[-1, 0].set_xlabel("loss of a name, nats per character", size=SMALL)
    return fig


def check_rows(arguments: dict) -> None:
    """ValueError unless there is a row for each character, without the dot."""
    rows = len(arguments["directions"])
    characters = len(arguments["vocab"]) - 1
    if rows != characters:
        cure = "leave out the row of the dot"
        given = f"directions has {rows} rows for {characters} characters"
        raise ValueError(f"{given}: {cure}")


@checked(check_rows, directions=tensor(dims=2))
def draw_characters(
    directions: Tensor, vocab: Vocab, *, marked: str = "aeiouy"
) -> plt.Figure:
    """The characters in the plane in which their rows (V - 1, C) differ most.

    The axes are the first two principal components. `marked` characters are orange.
    Characters that would hide one another are moved apart.
    """
    centred = directions - directions.mean(0)
    U, spread, _ = torch.linalg.svd(centred, full_matrices=False)
    points = moved_apart(U[:, :2] * spread[:2])  # (V - 1, 2)
    fig, ax = plt.subplots(figsize=(WIDTH, 4.6), dpi=DPI, layout="constrained")
    ax.scatter(points[:, 0], points[:, 1], s=0)  # sets the limits of the axes
    for character, (x, y) in zip(vocab.itos[1:], points.tolist(), strict=True):
        is_marked = character in marked
        box = {"boxstyle": "circle", "fc": LOOKED_AT if is_marked else PAPER}
        box["ec"] = INK if is_marked else WIRE
        look = {"ha": "center", "va": "center", "family": "monospace"}
        ax.text(x, y, character, bbox=box, size=LARGE, color=INK, **look)
    ax.margins(0.1)
    ax.autoscale_view()
    ax.set_xlabel("first component", size=SMALL)
    ax.set_ylabel("second component", size=SMALL)
    ax.set_title("The characters as the network sees them (orange: vowels)", size=LARGE)
    return fig


def moved_apart(points: Tensor) -> Tensor:
    """The points (N, 2), where two are too close a little further from each other."""
    extent = points.max(0).values - points.min(0).values
    scale = PLANE / extent.clamp(min=1e-9)  # inches for a unit of each axis
    places = points * scale
    for _ in range(100):
        gaps = places[:, None] - places[None]  # (N, N, 2)
        distances = gaps.norm(dim=-1, keepdim=True)  # (N, N, 1)
        missing = (APART - distances).clamp(min=0)
        if missing.sum() <= len(points) * APART + 1e-6:  # only each point to itself
            break
        push = gaps / distances.clamp(min=1e-9) * missing / 2
        places = places + push.sum(1)
    return places / scale

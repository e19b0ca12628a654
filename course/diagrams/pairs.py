"""Notebook 05: the same seeds with and without a change, and the test of pairs."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from course.checks import checked
from course.colors import FUTURE, INK, LOOKED_AT, NEGATIVE, POSITIVE
from course.comparisons import few_numbers, numbers, sign_flip
from course.diagrams.language import DPI, LARGE, SMALL, WIDTH

BARS = 60  # of the histogram, about


def check_pairs(arguments: dict) -> None:
    """ValueError unless both have a loss for each of two seeds or more."""
    old = arguments["old"]
    new = arguments["new"]
    if len(old) != len(new) or len(old) < 2:
        given = f"old has {len(old)} losses and new has {len(new)}"
        raise ValueError(f"{given}: give both for the same seeds, two or more")
    few_numbers("the pairs", new - old)


@checked(check_pairs, old=numbers, new=numbers)
def draw_pairs(
    old: pd.Series, new: pd.Series, *, names: tuple[str, str] = ("before", "after")
) -> plt.Figure:
    """The losses of each seed before and after a change, and the sign-flip test.

    Above: a line for each seed, blue where the loss fell and red where it rose. Below:
    the means of all choices of signs; the orange share is p.
    """
    before = np.asarray(old)  # (n,)
    after = np.asarray(new)
    fig, (top, bottom) = plt.subplots(
        2, 1, figsize=(WIDTH, 6.4), dpi=DPI, layout="constrained"
    )
    draw_slopes(top, before, after, names)
    draw_flips(bottom, after - before)
    return fig


def draw_slopes(
    ax: plt.Axes, old: np.ndarray, new: np.ndarray, names: tuple[str, str]
) -> None:
    """A line for each seed, from its loss before to its loss after."""
    fell = int((new < old).sum())
    for before, after in zip(old, new):
        color = NEGATIVE if after < before else POSITIVE
        style = "-" if after < before else "--"
        ax.plot([0, 1], [before, after], style, color=color, marker="o", lw=1.6)
    ax.set_xlim(-0.2, 1.2)
    ax.set_xticks([0, 1], names, size=LARGE)
    ax.set_ylabel("val loss, nats per character")
    found = f"the loss falls in {fell} of {len(old)} pairs"
    ax.set_title(f"The same seed twice: {found}", size=LARGE)
    ax.spines[["top", "right"]].set_visible(False)


def flipped_means(differences: np.ndarray) -> np.ndarray:
    """The mean for each of the 2**n choices of signs: (2**n,)."""
    choices = product([1, -1], repeat=len(differences))
    signs = np.array(list(choices))  # (2**n, n)
    return (signs * differences).mean(axis=1)


def edges(means: np.ndarray, border: float) -> np.ndarray:
    """Edges of bars over all means, equally wide; one of them is the border."""
    most = np.abs(means).max()
    if border <= 0:  # nothing is nearer to 0
        return np.linspace(-most, most, BARS + 1)
    bars = max(1, round(border / most * BARS / 2))  # between 0 and the border
    width = border / bars
    each_side = int(most / width) + 1
    return width * np.arange(-each_side, each_side + 1)


def draw_flips(ax: plt.Axes, differences: np.ndarray) -> None:
    """A histogram of the means, those as far from 0 as the observed one in orange."""
    means = flipped_means(differences)
    observed = differences.mean()
    rounding = 1e-12  # as in sign_flip
    as_far = np.abs(means) >= abs(observed) - rounding
    p = sign_flip(differences)
    bins = edges(means, abs(observed) - rounding)
    parts = [means[~as_far], means[as_far]]
    ax.hist(parts, bins, stacked=True, color=[FUTURE, LOOKED_AT])
    height = 0.55 * ax.get_ylim()[1]
    ax.plot([observed, observed], [0, height], color=INK, lw=1.6)
    ax.plot(observed, height, "o", color=INK, ms=9)
    label = f"observed mean\n{observed:+.4f}"
    label = label.replace("-", "−")
    above = {"xytext": (0, 9), "textcoords": "offset points"}
    ax.annotate(label, (observed, height), ha="center", size=SMALL, **above)
    ax.set(xlabel="mean difference, nats per character", yticks=[])
    found = f"{as_far.sum():,} are as far from 0, p = {p:.2g}"
    ax.set_title(f"All {len(means):,} choices of signs: {found}", size=LARGE)
    ax.spines[["top", "right", "left"]].set_visible(False)

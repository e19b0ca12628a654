"""The charts of the series: one look for each model, loss curves, figures as PNG."""

from io import BytesIO

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from PIL import Image

from course.checks import check_kind, check_losses, checked, instance, whole
from course.texts import check_text, shown
from helpers import History, smooth

# One colour and one line style for each of the lecture's models, in every figure.
# course.colors says what other colours mean; orange marks what the text points at.
LOOKS = {
    "flat3": {"color": "#999999", "linestyle": ":"},
    "flat8": {"color": "#882255", "linestyle": "-."},
    "tree": {"color": "#56B4E9", "linestyle": "--"},
    "tree_fixed": {"color": "#0072B2", "linestyle": "-"},
    "tree_large": {"color": "#D55E00", "linestyle": "-"},
}

MOST_DIGITS = 15  # of a float
DENSITY = 2  # times as many dots as the figure's own, for high-density screens


def use_own_look() -> None:
    """Uses matplotlib's own look, whatever a matplotlibrc says; keeps what code set."""
    set_by_code = {}
    for name in plt.rcParams:
        if name != "backend" and plt.rcParams[name] != matplotlib.rcParamsOrig[name]:
            set_by_code[name] = plt.rcParams[name]
    plt.style.use("default")
    plt.rcParams.update(set_by_code)


use_own_look()  # so that a notebook draws the same on every machine

# Checkers of the arguments that several functions have
axes = instance(plt.Axes | None, "give the axes of a figure, or leave ax out")
figure = instance(plt.Figure, "give a figure, such as ax.figure")


def check_curves(name: str, value) -> dict[str, list]:
    """{name: losses} with one curve or more; TypeError or ValueError otherwise."""
    if not hasattr(value, "items"):
        raise TypeError(f"{name} is {shown(value)}: give a dict {{name: losses}}")
    curves = dict(value.items())
    if not curves:
        raise ValueError(f"{name} is empty: give one curve or more")
    return {key: check_losses(f"{name}[{key!r}]", curves[key]) for key in curves}


def check_histories(name: str, value) -> dict[str, History]:
    """{name: history} with one or more; TypeError or ValueError otherwise."""
    if not isinstance(value, dict):
        raise TypeError(f"{name} is {shown(value)}: give a dict {{name: history}}")
    if not value:
        raise ValueError(f"{name} is empty: give one history or more")
    for key, history in value.items():
        cure = "give what train or fit returns"
        check_kind(f"{name}[{key!r}]", history, kind=History, cure=cure)
    return value


@checked(curves=check_curves, ax=axes)
def plot_curves(curves: dict[str, list[float]], *, window=100, ax=None) -> plt.Axes:
    """Draws curves as a record stores them: the mean loss of each `window` steps."""
    if ax is None:
        _, ax = plt.subplots(figsize=(8, 4))
    for name, means in curves.items():
        steps = [(i + 0.5) * window for i in range(len(means))]
        look = LOOKS.get(name, {})
        ax.plot(steps, means, lw=2, zorder=3, label=name, **look)
    ax.set(xlabel="step", ylabel="loss, nats per character")
    ax.legend(title=f"thick: means of {window} steps")
    return ax


@checked(histories=check_histories, ax=axes)
def plot_losses(histories: dict[str, History], *, window=100, ax=None) -> plt.Axes:
    """Draws each step's loss as a pale line, means of `window` steps as a thick one."""
    for name, history in histories.items():
        means = smooth(history.losses, window)
        ax = plot_curves({name: means.tolist()}, window=window, ax=ax)
        color = ax.lines[-1].get_color()
        ax.plot(history.losses, color=color, lw=0.5, alpha=0.25, zorder=2)
    return ax


@checked(fig=figure)
def as_png(fig: plt.Figure) -> bytes:
    """The figure for a widgets.Image; equal figures give equal bytes."""
    png = BytesIO()
    fig.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


@checked(fig=figure)
def as_sharp_png(fig: plt.Figure) -> bytes:
    """The figure with DENSITY times as many dots, for high-density screens.

    256 colours keep the file small. Equal figures give equal bytes.
    """
    dots = BytesIO()
    fig.savefig(dots, format="png", dpi=DENSITY * fig.dpi, bbox_inches="tight")
    colors = Image.open(dots).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    png = BytesIO()
    colors.save(png, format="png", optimize=True)
    return png.getvalue()


@checked(fig=figure, alt=check_text)
def show(fig: plt.Figure, alt: str) -> None:
    """Displays the figure, with `alt` as its text for readers who cannot see it.

    The text says in a sentence what the picture shows. It is stored with the output, so
    the pages of the site have it, too. So is the size, in CSS pixels, at which the
    picture should be shown.
    """
    if not alt.strip():
        raise ValueError("alt is empty: say in a sentence what the picture shows")
    png = as_sharp_png(fig)
    width, height = Image.open(BytesIO(png)).size
    size = {"width": width // DENSITY, "height": height // DENSITY}
    data = {"image/png": png, "text/plain": repr(fig)}
    display(data, metadata={"image/png": {"alt": alt} | size}, raw=True)
    plt.close(fig)  # or Jupyter would show it again at the end of the cell


@checked(
    table=instance(pd.DataFrame, "give a table of pandas"),
    digits=whole(0, MOST_DIGITS),
)
def show_table(table: pd.DataFrame, *, digits: int = 4) -> None:
    """Shows a table with so many digits, and nothing where there is no number."""

    def text(value):
        if not isinstance(value, float):
            return value
        if 0 < value < 10**-digits:
            return f"{value:.0e}"  # a p that would read as 0
        return "" if np.isnan(value) else f"{value:.{digits}f}"

    display(table.map(text))

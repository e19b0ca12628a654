"""The pictures of the series: one look for each model, loss curves, figures as PNG."""

from io import BytesIO

import matplotlib.pyplot as plt

from helpers import History, smooth

# One colour and one line style for each of the lecture's models, in every figure.
LOOKS = {
    "flat3": {"color": "#999999", "linestyle": ":"},
    "flat8": {"color": "#E69F00", "linestyle": "-."},
    "tree": {"color": "#56B4E9", "linestyle": "--"},
    "tree_fixed": {"color": "#0072B2", "linestyle": "-"},
    "tree_large": {"color": "#D55E00", "linestyle": "-"},
}


def plot_losses(histories: dict[str, History], *, window=100, ax=None) -> plt.Axes:
    """Loss by step: every loss pale, the means of `window` steps thick on top."""
    ax = ax or plt.subplots(figsize=(8, 4))[1]
    for name, history in histories.items():
        look = LOOKS.get(name, {})
        means = smooth(history.losses, window)
        (line,) = ax.plot(means, lw=2, zorder=3, label=name, **look)
        ax.plot(history.losses, color=line.get_color(), lw=0.5, alpha=0.25, zorder=2)
    ax.set(xlabel="step", ylabel="loss, nats per character")
    ax.legend(title=f"thick: means of {window} steps")
    return ax


def as_png(fig: plt.Figure) -> bytes:
    """The figure for a widgets.Image; equal figures give equal bytes."""
    png = BytesIO()
    fig.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()

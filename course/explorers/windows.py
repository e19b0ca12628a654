"""Notebook 02: block size and hidden width of a flat model, and a short training."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from html import escape

import ipywidgets as widgets
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from course.checks import checked
from course.drawings import LOOKS, as_png
from course.explorers.backdrop import Backdrop
from course.explorers.controls import (
    column,
    message,
    text_output,
    typed_name,
    watch,
)
from course.explorers.panel import OnStep, TrainPanel
from course.inspection import summary
from course.runs import RunConfig, run
from helpers import Vocab, build_dataset, build_flat, count_parameters

BLOCK_SIZES = range(1, 17)
BAR = {"color": LOOKS["flat8"]["color"], "edgecolor": "black"}
ON_TOP = {"ha": "center", "size": "large"}  # a title that can be drawn anew


class WindowsExplorer:
    """What the chosen context cuts off a name, and where the parameters are.

    `names` are those whose positions are counted (of the validation split, say).
    """

    @checked()
    def __init__(self, vocab: Vocab, names: list[str], *, seed: int = 42):
        self.vocab = vocab
        self.seed = seed
        self.config = RunConfig(architecture="flat", steps=400)  # to tell models apart
        self.sizes = SizesPicture(vocab, names)
        self.drawing = threading.Lock()  # matplotlib draws one picture at a time
        self.runs = []  # (label, losses) of each training, the newest last

        self.block_size = widgets.IntSlider(8, 1, 16, description="block size")
        self.hidden = widgets.IntSlider(200, 20, 700, 20, description="hidden")
        self.name = widgets.Text("diondre", description="name")
        self.counts = text_output(self.describe(8, 200, "diondre"))
        self.image = widgets.Image(value=self.picture(8, 200), format="png")
        self.curves = widgets.Image(value=self.picture_of_runs(), format="png")
        self.training = TrainPanel(self.chosen, self.train, self.config.steps)

        controls = [self.block_size, self.hidden, self.name]
        watch(controls, self.update)
        self.panel = column(
            widgets.HBox(controls),
            self.counts,
            self.image,
            self.training.controls,
            self.curves,
            self.training.status,
        )

    def update(self) -> None:
        """Text and picture for the values that the sliders have now."""
        block_size = self.block_size.value
        hidden = self.hidden.value
        with self.drawing:  # a slider may move just when a training ends
            self.counts.value = self.describe(block_size, hidden, self.name.value)
            self.image.value = self.picture(block_size, hidden)

    def describe(self, block_size: int, hidden: int, name: str) -> str:
        """The windows of `name`, the model's shapes and parameters, as HTML."""
        try:
            name = typed_name(name, self.vocab)
            X, Y = build_dataset([name], self.vocab, block_size)
        except ValueError as error:
            return message(error)
        model = build_flat(len(self.vocab), block_size, hidden=hidden)
        parameters = f"{count_parameters(model):,} parameters"
        counts = f"block size {block_size}, hidden width {hidden}: {parameters}"
        cut_off = max(0, len(name) - block_size)  # as many positions are further on
        windows = f"{cut_off} of {len(X)} windows cut off a part of “{escape(name)}”"
        lines = []
        for x, y in zip(X.tolist(), Y.tolist()):
            lines.append(f"{self.vocab.decode(x)} → {self.vocab.itos[y]}")
        text = escape("\n".join(lines))
        table = summary(model, X).to_html(index=False)
        style = "display:flex; flex-wrap:wrap; gap:2em"
        return (
            f"<p><b>{counts}</b>; {windows}</p>"
            f"<div style='{style}'><pre>{text}</pre>{table}</div>"
        )

    def picture(self, block_size: int, hidden: int) -> bytes:
        """Positions that each context cuts off, parameters of each layer, as PNG."""
        return self.sizes.draw(block_size, hidden)

    def picture_of_runs(self) -> bytes:
        """The smoothed losses of the last two runs, as PNG."""
        fig = Figure(figsize=(9, 3), dpi=100, layout="constrained")
        ax = fig.subplots()
        for label, losses in self.runs[-2:]:
            is_last = losses is self.runs[-1][1]
            means = pd.Series(losses).rolling(25, min_periods=1).mean()
            ax.plot(means, "-" if is_last else "--", lw=2, label=label)
        ax.set(xlabel="step", ylabel="loss, nats per character", ylim=(1.8, 3.4))
        ax.set_title("The last two runs, mean of 25 steps")
        if self.runs:
            ax.legend()
        return as_png(fig)

    def chosen(self) -> RunConfig:
        """What "train" would train now."""
        sizes = {"block_size": self.block_size.value, "hidden": self.hidden.value}
        return replace(self.config, **sizes)

    def train(self, config: RunConfig, on_step: OnStep) -> str:
        """Trains a model for some seconds; the status so far and a line for it."""
        losses = []

        def remember(history):
            losses.append(history.losses[-1])
            return on_step(history)

        record = run(config, self.seed, on_step=remember)
        label = f"block size {config.block_size}, hidden {config.hidden}"
        self.runs.append((label, losses))
        with self.drawing:
            self.curves.value = self.picture_of_runs()
        ended = "stopped after" if self.training.stopped else "after"
        found = f"validation {record['val']:.3f} {ended} {len(losses)} steps"
        samples = escape(", ".join(record["samples"]))
        return f"{self.training.status.value}<p>{label}: {found}; {samples}</p>"


class SizesPicture:
    """Two charts: positions that each context cuts off, parameters of each layer."""

    @checked()
    def __init__(self, vocab: Vocab, names: list[str]):
        self.vocab = vocab
        self.cut_off = share_cut_off(names)
        fig = Figure(figsize=(9, 2.6), dpi=100)
        self.left = fig.add_axes((0.07, 0.19, 0.4, 0.68))
        self.left.bar(BLOCK_SIZES, 100 * self.cut_off, color="#BBBBBB")
        self.left.set(xlabel="block size, characters", ylabel="positions cut off, %")
        self.left.set_xticks(BLOCK_SIZES)
        self.right = fig.add_axes((0.66, 0.19, 0.33, 0.68))
        self.right.set(xlabel="parameters, thousands", yticks=[])
        self.right.set(xlim=(0, 145_000), ylim=(3.6, -0.6))  # four rows, first on top
        thousands = range(0, 121, 40)
        self.right.set_xticks([1000 * value for value in thousands], thousands)
        self.backdrop = Backdrop(fig)

    def draw(self, block_size: int, hidden: int) -> bytes:
        """Both charts with the chosen context and model, as PNG."""
        chosen = [*self.context(block_size), *self.layers(block_size, hidden)]
        return self.backdrop.draw(chosen)

    def context(self, block_size: int) -> Iterator[Artist]:
        """The chosen context: its bar, a line and a title."""
        ax = self.left
        share = self.cut_off[block_size]
        yield ax.broken_barh([(block_size - 0.4, 0.8)], (0, 100 * share), **BAR)
        yield ax.axvline(block_size, color="black", linestyle=":")
        title = f"block size {block_size} cuts off {share:.1%} of the positions"
        yield ax.text(0.5, 1.05, title, transform=ax.transAxes, **ON_TOP)

    def layers(self, block_size: int, hidden: int) -> Iterator[Artist]:
        """A bar for each layer with parameters, its shape on the left."""
        ax = self.right
        model = build_flat(len(self.vocab), block_size, hidden=hidden)
        title = f"{count_parameters(model):,} parameters"
        yield ax.text(0.5, 1.05, title, transform=ax.transAxes, **ON_TOP)
        layers = [layer for layer in model.layers if layer.parameters()]
        for row, layer in enumerate(layers):
            count = count_parameters(layer)
            label = f"{type(layer).__name__} {tuple(layer.weight.shape)}"
            yield ax.broken_barh([(0, count)], (row - 0.4, 0.8), **BAR)
            yield ax.text(-2_000, row, label, ha="right", va="center")
            yield ax.text(count + 2_000, row, f"{count:,}", va="center")


def share_cut_off(names: list[str]) -> pd.Series:
    """For each block size, the share of positions with more characters before them."""
    lengths = pd.Series([len(name) for name in names])
    positions = (lengths + 1).sum()
    shares = {}
    for block_size in BLOCK_SIZES:
        shares[block_size] = (lengths - block_size).clip(lower=0).sum() / positions
    return pd.Series(shares)

"""Notebook 05: the stored grid of flat models and trees, and one run of it made now."""

import threading
from html import escape

import ipywidgets as widgets
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course.checks import check_kind
from course.explorers import controls
from course.explorers.backdrop import Backdrop
from course.explorers.panel import OnStep, TrainPanel
from course.runs import RunConfig, run

STORED = "#0072B2"
FRESH = "#D55E00"
HIGHEST = 2.35  # losses from here on have the lightest colour
NEEDED = {"config", "seed", "val", "parameters", "seconds", "samples", "curve"}
Cell = tuple[str, int, int]  # architecture, block size, hidden width


class GridExplorer:
    """The validation losses over block size and hidden width, and a cell's curves.

    `records` are those of course.comparisons.load_results("grid"), a run each.
    """

    def __init__(self, records: pd.DataFrame):
        cure = 'give those of course.comparisons.load_results("grid")'
        check_kind("records", records, kind=pd.DataFrame, cure=cure)
        missing = NEEDED - set(records.columns)
        if missing or records.empty:
            raise ValueError(f"the records lack {sorted(missing) or 'rows'}: {cure}")
        configs = pd.DataFrame(records["config"].tolist())
        columns = ["architecture", "block_size", "hidden"]
        stored = records.reset_index(drop=True).join(configs[columns])
        self.cells = stored.sort_values("seed").groupby(columns)
        self.surface = stored.pivot_table(
            "val", "block_size", ["architecture", "hidden"]
        )
        self.pictures = {}
        for architecture in ("flat", "tree"):
            self.pictures[architecture] = GridPicture(self.surface, architecture)
        self.fresh = {}  # cell: the losses of a run made now, while it goes on too
        self.records = {}  # cell: the record of that run, when it has ended
        self.drawing = threading.Lock()

        self.architecture = widgets.ToggleButtons(
            options=["flat", "tree"], value="tree", description="model"
        )
        self.block_size = controls.tree_block_size()
        self.hidden = widgets.SelectionSlider(
            options=[32, 64, 128, 256], value=64, description="hidden"
        )
        self.counts = widgets.HTML(self.describe("tree", 8, 64))
        self.image = widgets.Image(value=self.picture("tree", 8, 64), format="png")
        steps = RunConfig().steps
        self.training = TrainPanel(self.cell, self.train, steps, every=50)

        sliders = [self.architecture, self.block_size, self.hidden]
        controls.watch(sliders, self.update)
        self.panel = controls.column(
            widgets.HBox(sliders),
            widgets.HTML(controls.TREE_NOTE),
            self.counts,
            self.image,
            self.training.controls,
            self.training.status,
        )

    def cell(self) -> Cell:
        """The chosen architecture, block size and hidden width."""
        return self.architecture.value, self.block_size.value, self.hidden.value

    def update(self) -> None:
        """Text and picture of the chosen cell."""
        with self.drawing:  # a slider may move just when a training ends
            cell = self.cell()
            self.counts.value = self.describe(*cell)
            self.image.value = self.picture(*cell)

    def runs_of(self, architecture: str, block_size: int, hidden: int) -> pd.DataFrame:
        """The stored runs of one cell of the grid, by seed; or ValueError."""
        cell = (architecture, block_size, hidden)
        try:
            return self.cells.get_group(cell)
        except KeyError:
            cells = "the cells are those of its picture"
            raise ValueError(f"{cell} is not in the grid: {cells}") from None

    def describe(self, architecture: str, block_size: int, hidden: int) -> str:
        """Parameters, losses and samples of one cell, as HTML."""
        runs = self.runs_of(architecture, block_size, hidden)
        first = runs.iloc[0]
        cell = f"{architecture}, block size {block_size}, hidden width {hidden}"
        losses = ", ".join(f"{loss:.4f}" for loss in runs["val"])
        seeds = " and ".join(map(str, runs["seed"]))
        time = f"a run takes {runs['seconds'].mean():.0f} s on one core"
        samples = escape(", ".join(first["samples"]))
        return (
            f"<p><b>{cell}: {first['parameters']:,} parameters</b>; "
            f"val {losses} (seeds {seeds}); {time}</p><p>It says: {samples}</p>"
        )

    def picture(self, architecture: str, block_size: int, hidden: int) -> bytes:
        """The grid with the chosen cell framed, and the cell's curves, as PNG."""
        stored = self.runs_of(architecture, block_size, hidden)["curve"]
        # A copy: while a training goes on, its losses grow.
        fresh = list(self.fresh.get((architecture, block_size, hidden), []))
        return self.pictures[architecture].draw(block_size, hidden, stored, fresh)

    def train(self, cell: Cell, on_step: OnStep) -> str:
        """Trains one cell as its first stored run was; the status."""

        def remember(history):
            self.fresh[cell] = history.losses
            return on_step(history)

        architecture, block_size, hidden = cell
        config = RunConfig(
            architecture=architecture, block_size=block_size, hidden=hidden
        )
        record = run(config, seed=0, on_step=remember)
        self.records[cell] = record
        self.update()
        stored = self.runs_of(*cell)["val"].iloc[0]
        ended = "stopped after" if self.training.stopped else "after"
        steps = f"{ended} {len(self.fresh[cell])} steps"
        found = f"val {record['val']:.4f} {steps}; stored {stored:.4f}"
        return f"<p>{architecture} {block_size} {hidden}: {found}</p>"


class GridPicture:
    """The losses of one architecture as a coloured table, and curves beside it."""

    def __init__(self, surface: pd.DataFrame, architecture: str):
        self.table = surface[architecture]
        lowest = surface.to_numpy().min()
        fig = Figure(figsize=(9, 3.4), dpi=90)
        self.left = fig.add_axes((0.07, 0.15, 0.4, 0.75))
        draw_table(self.left, self.table, lowest)
        self.left.set_title(f"{architecture}: val loss, nats per character")
        self.right = fig.add_axes((0.57, 0.15, 0.41, 0.75))
        self.right.set(xlabel="step", ylabel="loss, nats per character")
        self.right.set(xlim=(-150, 3_150), xticks=[0, 1_000, 2_000, 3_000])
        self.right.set(ylim=(1.7, 2.8), yticks=[1.8, 2.2, 2.6])
        self.right.set_title("training loss")
        self.backdrop = Backdrop(fig)

    def draw(
        self,
        block_size: int,
        hidden: int,
        stored: list[list[float]],
        fresh: list[float],
    ) -> bytes:
        """The chosen cell framed; its stored curves and a fresh one, as PNG."""
        column = self.table.columns.get_loc(hidden)
        row = self.table.index.get_loc(block_size)
        frame = {"markersize": 36, "markerfacecolor": "none", "markeredgewidth": 3}
        artists = self.left.plot(column, row, "s", markeredgecolor=FRESH, **frame)
        artists += draw_curves(self.right, stored, fresh)
        return self.backdrop.draw(artists)


def draw_table(ax: Axes, table: pd.DataFrame, lowest: float) -> None:
    """Losses by block size (rows) and hidden width (columns), dark where low."""
    ax.imshow(table, cmap="cividis", vmin=lowest, vmax=HIGHEST, aspect="auto")
    for (row, column), loss in np.ndenumerate(table):
        color = "white" if loss < (lowest + HIGHEST) / 2 else "black"
        ax.text(column, row, f"{loss:.3f}", color=color, ha="center", va="center")
    ax.set(xlabel="hidden width", ylabel="block size")
    ax.set_xticks(range(len(table.columns)), table.columns)
    ax.set_yticks(range(len(table.index)), table.index)


def draw_curves(
    ax: Axes, stored: list[list[float]], fresh: list[float]
) -> list[Artist]:
    """Training losses: the stored ones in means of 100 steps, and that of a run now."""
    lines = []
    for curve in stored:
        middles = 50 + 100 * np.arange(len(curve))  # the middle step of each mean
        lines += ax.plot(middles, curve, color=STORED, lw=2)
    lines[0].set_label("stored")  # one entry for all of them
    if fresh:
        means = pd.Series(fresh).rolling(100, min_periods=10).mean()
        lines += ax.plot(means, "--", color=FRESH, lw=1.5, label="trained now")
    return [*lines, ax.legend(loc="upper right")]

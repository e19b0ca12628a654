"""Notebook 05: the stored grid of flat models and trees, and one run of it made now."""

import numpy as np
import pandas as pd
import traitlets

from course.checks import check_kind
from course.explorers import grid_picture
from course.explorers.stored import Cell
from course.explorers.trainable import TrainableExplorer
from course.runs import RunConfig
from helpers import Sequential

NEEDED = {"config", "seed", "val", "parameters", "seconds", "samples", "curve"}


class GridExplorer(TrainableExplorer):
    """The validation losses over block size and hidden width, and a cell's curves.

    `records` are those of course.comparisons.load_results("grid"), a run each. A cell
    is chosen by `choose(architecture, block_size, hidden)`.
    """

    script = "grid"
    title = "Grid explorer"

    cells = traitlets.List().tag(sync=True)  # what is stored, a dict for each cell
    chosen_cell = traitlets.Unicode("tree 8 64").tag(sync=True)

    def __init__(self, records: pd.DataFrame):
        cure = 'give those of course.comparisons.load_results("grid")'
        check_kind("records", records, kind=pd.DataFrame, cure=cure)
        missing = NEEDED - set(records.columns)
        if missing or records.empty:
            raise ValueError(f"the records lack {sorted(missing) or 'rows'}: {cure}")
        configs = pd.DataFrame(records["config"].tolist())
        columns = ["architecture", "block_size", "hidden"]
        stored = records.reset_index(drop=True).join(configs[columns])
        self.grouped = stored.sort_values("seed").groupby(columns)
        self.surface = stored.pivot_table(
            "val", "block_size", ["architecture", "hidden"]
        )
        self.steps = RunConfig().steps
        self.seed = int(stored["seed"].min())  # that of each cell's first run
        self.by_name = {}
        for cell, runs in self.grouped:
            self.by_name[cell_name(cell)] = described(cell, runs)
        super().__init__(cells=list(self.by_name.values()))

    @traitlets.validate("chosen_cell")
    def check_cell(self, proposal: dict) -> str:
        name = proposal["value"]
        if name not in self.by_name:
            cells = "the cells are those of its picture"
            raise ValueError(f"{name!r} is not in the grid: {cells}")
        return name

    def choose(self, architecture: str, block_size: int, hidden: int) -> None:
        """Chooses a cell; ValueError if it is not in the grid."""
        self.chosen_cell = cell_name((architecture, block_size, hidden))

    # ---- What it says of itself ----
    def cell(self) -> dict:
        """What is stored of the chosen cell."""
        return self.by_name[self.chosen_cell]

    def best(self) -> dict:
        """What is stored of the cell with the lowest mean loss."""
        return min(self.cells, key=mean_loss)

    def settings(self) -> dict[str, object]:
        cell = self.cell()
        return {
            "model": cell["architecture"],
            "block size": cell["block_size"],
            "hidden width": cell["hidden"],
        }

    def alt(self) -> str:
        cell = self.cell()
        best = self.best()
        return (
            "validation losses of flat models and trees by block size and hidden "
            f"width; the lowest is {mean_loss(best):.3f}, of {words_of(best)}; framed "
            f"is {words_of(cell)} with {mean_loss(cell):.3f}, whose training curves "
            "stand below"
        )

    def picture(self) -> bytes:
        return grid_picture.draw(self.surface, self.cell(), self.best())

    def runs_of(self, architecture: str, block_size: int, hidden: int) -> pd.DataFrame:
        """The stored runs of one cell of the grid, by seed; or ValueError."""
        cell = (architecture, block_size, hidden)
        try:
            return self.grouped.get_group(cell)
        except KeyError:
            cells = "the cells are those of its picture"
            raise ValueError(f"{cell} is not in the grid: {cells}") from None

    # ---- Training ----
    def chosen(self) -> RunConfig:
        cell = self.cell()
        return self.config((cell["architecture"], cell["block_size"], cell["hidden"]))

    def keep(self, config: RunConfig, model: Sequential, about: dict) -> None:
        """The curve is all that is shown of a run: its weights are not kept."""


def described(cell: Cell, runs: pd.DataFrame) -> dict:
    """What the script shows of a cell, from its stored runs."""
    architecture, block_size, hidden = cell
    first = runs.iloc[0]
    return {
        "name": cell_name(cell),
        "architecture": architecture,
        "block_size": int(block_size),
        "hidden": int(hidden),
        "parameters": int(first["parameters"]),
        "val": runs["val"].round(4).tolist(),
        "seeds": runs["seed"].tolist(),
        "seconds": round(float(runs["seconds"].mean()), 1),
        "samples": list(first["samples"][:5]),
        "curves": [np.round(curve, 3).tolist() for curve in runs["curve"]],
    }


def cell_name(cell: Cell) -> str:
    """ "tree 8 64": architecture, block size, hidden width."""
    return " ".join(map(str, cell))


def words_of(cell: dict) -> str:
    sizes = f"block size {cell['block_size']} and hidden width {cell['hidden']}"
    return f"the {cell['architecture']} model with {sizes}"


def mean_loss(cell: dict) -> float:
    """The mean over its seeds."""
    return sum(cell["val"]) / len(cell["val"])

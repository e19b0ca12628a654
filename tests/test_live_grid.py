"""The grid explorer without a browser."""

import json

import numpy as np
import pandas as pd
import pytest

from course.explorers.grid import GridExplorer, cell_name
from course.runs import RunConfig

GRID = "data/results/grid.jsonl"


@pytest.fixture(scope="module")
def records(pytestconfig):
    path = pytestconfig.rootpath / GRID
    return pd.read_json(path, lines=True, precise_float=True)


@pytest.fixture
def grid(records):
    explorer = GridExplorer(records)
    yield explorer
    explorer.runner.stop()
    explorer.runner.wait()


def test_it_shows_every_stored_run(grid, records):
    assert len(grid.cells) == 32
    for cell in grid.cells:
        sizes = f"block size {cell['block_size']}, hidden {cell['hidden']}"
        variant = f"{cell['architecture']}, {sizes}"
        stored = records[records["variant"] == variant].sort_values("seed")
        assert cell["val"] == stored["val"].round(4).tolist()
        assert cell["seeds"] == stored["seed"].tolist() == [0, 1]
        assert cell["parameters"] == stored["parameters"].iloc[0]
        for curve, whole in zip(cell["curves"], stored["curve"]):
            assert np.allclose(curve, whole, atol=0.0006)


def test_the_page_can_hold_it(grid):
    assert len(json.dumps(grid.page_state())) < 50_000


def test_sentence_text_and_picture_follow_the_chosen_cell(grid):
    pictures = {grid.picture()}
    for cell in (("flat", 2, 32), ("tree", 16, 256)):
        grid.choose(*cell)
        assert grid.chosen_cell == cell_name(cell)
        words = f"model {cell[0]}, block size {cell[1]}, hidden width {cell[2]}"
        assert repr(grid) == f"Grid explorer, {words}"
        mean = grid.runs_of(*cell)["val"].mean()
        sizes = f"block size {cell[1]} and hidden width {cell[2]}"
        assert f"the {cell[0]} model with {sizes} with {mean:.3f}" in grid.alt()
        pictures.add(grid.picture())
    assert len(pictures) == 3


def test_the_best_cell_has_the_lowest_mean(grid):
    best = grid.best()
    lowest = grid.surface.to_numpy().min()
    own = grid.surface[best["architecture"]].loc[best["block_size"], best["hidden"]]
    assert own == lowest


def test_the_surface_holds_the_means_over_the_seeds(grid):
    for (architecture, hidden), column in grid.surface.items():
        for block_size, loss in column.items():
            mean = grid.runs_of(architecture, block_size, hidden)["val"].mean()
            assert loss == pytest.approx(mean)
    assert grid.surface.shape == (4, 8)


def test_a_cell_that_is_not_stored_is_refused(grid):
    before = repr(grid)
    with pytest.raises(ValueError, match="'tree 8 65' is not in the grid"):
        grid.choose("tree", 8, 65)
    with pytest.raises(ValueError, match="not in the grid"):
        grid.runs_of("tree", 8, 65)
    assert repr(grid) == before


def test_a_run_is_that_of_the_first_stored_seed(grid):
    """So its curve begins as the stored one."""
    stored = grid.runs_of("flat", 2, 32).iloc[0]
    grid.choose("flat", 2, 32)
    config = grid.chosen()
    for name, value in stored["config"].items():
        assert getattr(config, name) == value
    assert grid.seed == stored["seed"]
    assert grid.steps == RunConfig().steps

    def stop_at_100(change):
        runs = change["new"]["runs"]
        if runs and len(runs[0]["losses"]) >= 100 / runs[0]["every"]:
            grid.runner.stop()

    grid.observe(stop_at_100, "training")
    grid.hear(grid, {"do": "train"}, [])
    grid.choose("tree", 8, 64)  # what is trained stays what was chosen
    grid.runner.wait()
    (run,) = grid.runs
    assert run["name"] == "flat, block size 2, hidden width 32"
    assert abs(np.mean(run["losses"]) - stored["curve"][0]) < 0.006
    assert grid.training["status"].startswith("Stopped after 100 steps")
    assert 2 < run["val"] < 3.4

"""tools.stacks: a stack of seeds computes what course.runs.run computes for each."""

from dataclasses import replace

import pytest
import torch
from torch import Generator

from course import runs
from course.recipes import JUDGED_MODELS, RECIPES, with_recipe
from course.runs import RunConfig, load_data, run
from helpers import evaluate, train
from tools import stacks
from tools.stacks import run_stack, train_stack

FEW = replace(RECIPES["lecture"], steps=40)
SEEDS = [0, 3, 5]


def models_of(config):
    return [config.build(27, generator=Generator().manual_seed(seed)) for seed in SEEDS]


@pytest.mark.parametrize("name", JUDGED_MODELS)
def test_a_stack_learns_what_its_seeds_learn_alone(name):
    config = with_recipe(JUDGED_MODELS[name], FEW)
    _, data = load_data(config.block_size)
    stacked = models_of(config)
    histories = train_stack(stacked, *data["train"], config, seeds=SEEDS)
    few = [part[:500] for part in data["val"]]
    finals = set()
    for seed, model, history, alone in zip(
        SEEDS, stacked, histories, models_of(config)
    ):
        expected = train(alone, *data["train"], config, seed=seed, progress=False)
        assert history.losses == pytest.approx(expected.losses, abs=2e-4)
        for found, wanted in zip(model.parameters(), alone.parameters()):
            assert torch.allclose(found, wanted, atol=2e-4)
        # In eval mode the running statistics count.
        assert evaluate(model, *few) == pytest.approx(evaluate(alone, *few), abs=2e-4)
        finals.add(history.losses[-1])
    assert len(finals) == len(SEEDS)


def test_the_records_of_a_stack_are_those_of_runs(monkeypatch):
    vocab, data = load_data(3)
    few = {split: (X[:5_000], Y[:5_000]) for split, (X, Y) in data.items()}
    for module in (stacks, runs):
        monkeypatch.setattr(module, "load_data", lambda *which: (vocab, few))
    monkeypatch.setattr(stacks, "SEEDS_A_STACK", 2)
    config = with_recipe(RunConfig(architecture="flat", block_size=3, hidden=8), FEW)
    found = run_stack(config, 1)
    assert [record["seed"] for record in found["runs"]] == [2, 3]
    for record in found["runs"]:
        expected = run(config, record["seed"])
        assert record.keys() == {"seed", *expected}
        for what in ("train", "val", "seen", "unseen"):
            assert record[what] == pytest.approx(expected[what], abs=2e-4)
        assert record["config"] == expected["config"]
        assert record["curve"] == pytest.approx(expected["curve"], abs=2e-4)
    mean = sum(record["val"] for record in found["runs"]) / 2
    assert found["val"] == pytest.approx(mean)

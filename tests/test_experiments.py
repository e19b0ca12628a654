"""tools.experiments: what is stored is what the studies of today would run."""

import optuna
import pytest

from course import storage, studies
from course.comparisons import load_results
from course.runs import RunConfig
from course.wavenet import WaveNetConfig
from helpers import History
from tools import experiments
from tools.experiments import SEEDS, Study, adopt, find_todo, make_studies, time_config

PLAN = make_studies(SEEDS)


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    """A journal of the test's own, and no server."""
    monkeypatch.setattr(storage, "JOURNAL", tmp_path / "test.journal")
    monkeypatch.delenv(storage.SERVER, raising=False)


@pytest.mark.parametrize("name", ["rows", "leak_free", "notebooks", "grid", "ablation"])
def test_stored_runs_are_adopted_and_nothing_is_left_to_run(name):
    plan = {name: PLAN[name]}
    missing = len(find_todo(plan))
    adopt(name, PLAN[name])
    assert missing == len(load_results(name)) and find_todo(plan) == []
    adopt(name, PLAN[name])  # a second time adds nothing
    assert len(studies.open_study(name).get_trials()) == missing


def test_more_seeds_leave_the_new_ones_to_run():
    more = make_studies(SEEDS | {"grid": 3})["grid"]
    adopt("grid", more)
    assert len(find_todo({"grid": more})) == len(more.variants)


def test_a_changed_config_is_not_adopted():
    changed = WaveNetConfig(steps=1)
    adopt("ablation", Study({"full": changed}, range(6), PLAN["ablation"].run))
    assert studies.open_study("ablation").get_trials() == []


def test_the_finalists_are_the_searchs_best_and_the_lectures_largest():
    search = load_results("search")
    finalists = experiments.finalists({"search": search})
    best = search.loc[search["val"].idxmin(), "config"]
    assert finalists["search_best"] == RunConfig(**best)
    stored = load_results("final").groupby("variant")["config"].first()
    for name, config in finalists.items():
        assert RunConfig(**stored[name]) == config


def test_a_proposal_lies_in_the_space_of_the_search():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    config = experiments.propose(study.ask())
    stored = load_results("search")["params"][0].keys()
    assert study.trials[0].params.keys() == stored
    assert all(getattr(config, knob) == study.trials[0].params[knob] for knob in stored)


@pytest.mark.parametrize("name", ["rows", "ablation"])
def test_the_time_of_a_run_grows_with_its_steps(name, monkeypatch):
    steps = []

    def train(model, *data, progress):
        steps.append(data[-1].steps)
        return History(seconds=2.0)

    monkeypatch.setattr(experiments, "train", train)
    monkeypatch.setattr(experiments, "train_wavenet", train)
    config = next(iter(PLAN[name].variants.values()))
    assert time_config(config) == 2.0 * config.steps / 10
    assert steps == [10, 10]

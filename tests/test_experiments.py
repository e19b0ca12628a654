"""tools.experiments: what is stored is what the studies of today would run."""

import sys
from dataclasses import asdict

import optuna
import pandas as pd
import pytest
import torch

from course import storage, studies
from course.comparisons import load_results
from course.recipes import JUDGED_MODELS, MUON, with_recipe
from course.runs import RunConfig, load_data
from course.wavenet import WaveNetConfig
from helpers import History, smooth, train
from tools import experiments, peers
from tools.experiments import SEEDS, Study, adopt, find_todo, make_studies, time_config
from tools.stacks import SEEDS_A_STACK

PLAN = make_studies(SEEDS)


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    """A journal of the test's own, and no server."""
    monkeypatch.setattr(storage, "JOURNAL", tmp_path / "test.journal")
    monkeypatch.delenv(storage.SERVER, raising=False)


STORED = ["rows", "leak_free", "notebooks", "grid", "ablation", "recipe_muon"]


@pytest.mark.parametrize("name", STORED)
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


@pytest.mark.parametrize("name", ["rows", "ablation", "peers_search"])
def test_the_time_of_a_run_grows_with_its_steps(name, monkeypatch):
    steps = []

    def train(model, *data, progress, on_step):
        steps.append(data[-1].steps)
        return History(seconds=2.0)

    monkeypatch.setattr(peers, "train", train)
    monkeypatch.setattr(peers, "train_on_names", train)
    config = next(iter(PLAN[name].variants.values()))
    assert time_config(config) == 2.0 * config.steps / 10
    assert steps == [10, 10]


def test_a_stack_becomes_a_row_for_each_seed():
    runs = [{"seed": seed, "val": 2.0 + seed} for seed in (0, 1)]
    stacks = pd.DataFrame([{"variant": "flat3", "seed": 0, "val": 2.5, "runs": runs}])
    rows = experiments.one_row_a_seed(stacks).to_dict("records")
    assert rows == [{"variant": "flat3", **record} for record in runs]


def test_a_stack_counts_as_its_runs_in_what_is_left_to_do():
    plan = {"recipe_lecture": PLAN["recipe_lecture"]}
    assert len(find_todo(plan)) == SEEDS_A_STACK * len(JUDGED_MODELS)


def test_the_beginning_of_a_stored_run_is_what_training_gives_today():
    records = load_results("recipe_muon")
    of_flat3 = records[records["variant"] == "flat3"].set_index("seed")
    record = of_flat3.loc[3]
    config = RunConfig(**record["config"])
    window = 100  # steps for each point
    points = 2

    def stop(history):
        return len(history.losses) == points * window

    vocab, data = load_data(config.block_size)
    model = config.build(len(vocab), generator=torch.Generator().manual_seed(3))
    history = train(model, *data["train"], config, seed=3, progress=False, on_step=stop)
    found = smooth(history.losses, window)
    assert found.tolist() == pytest.approx(record["curve"][:points], abs=0.005)
    other = of_flat3.loc[4]["curve"][:points]
    assert found.tolist() != pytest.approx(other, abs=0.0005)


def test_the_stored_recipe_is_that_of_today():
    records = load_results("recipe_muon")
    assert list(records["variant"].unique()) == list(JUDGED_MODELS)
    for variant, runs in records.groupby("variant"):
        expected = with_recipe(JUDGED_MODELS[variant], MUON)
        assert all(RunConfig(**config) == expected for config in runs["config"])
        assert sorted(runs["seed"]) == list(range(SEEDS["recipe_muon"]))


def test_the_recipe_of_muon_is_near_the_searchs_best():
    search = load_results("muon_search")
    assert len(search) == experiments.TRIALS
    best = search.loc[search["val"].idxmin(), "config"]
    for field in ("lr", "embedding_boost", "matrix_lr", "matrix_decay"):
        assert getattr(MUON, field) == pytest.approx(best[field], rel=0.02)


def test_complete_stacks_of_stored_runs_are_adopted(monkeypatch):
    rows = []
    study = PLAN["recipe_lecture"]
    for seed in range(SEEDS_A_STACK):
        for variant in ("flat3", "flat8"):
            config = vars(study.variants[variant])
            versions = {"torch": torch.__version__}
            run = {"val": 2.0, "seconds": 1.0, "config": config, "versions": versions}
            rows.append({"variant": variant, "seed": seed, **run})
    some = pd.DataFrame(rows[:-1])  # a run of flat8 is missing
    monkeypatch.setattr(experiments, "load_results", lambda name: some)
    adopt("recipe_lecture", study)
    left = find_todo({"recipe_lecture": study})
    assert study.variants["flat3"] not in left and study.variants["flat8"] in left
    assert len(left) == SEEDS_A_STACK * (len(study.variants) - 1)


def quick_run(config, seed):
    """A record as run_timed gives it, the better the lower the learning rate."""
    return {
        "val": 2.0 + config.lr,
        "parameters": 1,
        "config": asdict(config),
        "core_seconds": 30.0,
        "versions": {"torch": torch.__version__},
    }


@pytest.mark.filterwarnings("ignore:.*heartbeat")
def test_the_peers_that_are_run_are_those_that_the_search_has_chosen(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(experiments, "run_timed", quick_run)
    monkeypatch.setattr(experiments, "RESULTS", tmp_path)
    monkeypatch.setattr(experiments, "time_config", lambda config: 1.0)
    only = ["--only", "peers_search", "peers", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["experiments.py", *only])
    plan = {name: make_studies(SEEDS)[name] for name in only[1:3]}
    shapes = sum(len(shapes) for shapes in peers.SHAPES.values())
    trials = len(peers.RECIPES) * shapes
    runs = len(peers.SHAPES) * peers.FINAL_SEEDS
    assert len(find_todo(plan)) == trials + runs
    experiments.main()
    assert find_todo(plan) == []
    search = pd.read_json(tmp_path / "peers_search.jsonl", lines=True)
    found = pd.read_json(tmp_path / "peers.jsonl", lines=True)
    assert len(search) == trials and set(search["seed"]) == {peers.SEARCH_SEED}
    assert len(found) == runs and peers.SEARCH_SEED not in set(found["seed"])
    for variant, config in peers.best_peers(search).items():
        stored = found.loc[found["variant"] == variant, "config"]
        assert len(stored) == peers.FINAL_SEEDS
        assert all(type(config)(**fields) == config for fields in stored)
        assert config.lr == min(lr for lr, _, _ in peers.RECIPES)  # the lowest val

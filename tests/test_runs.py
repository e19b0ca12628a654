"""course.runs: a record tells all; a seed, a split or an option changes its part."""

import json
import math
import random
import zlib
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from course import runs
from course.comparisons import load_results
from course.runs import (
    LECTURE_MODELS,
    RunConfig,
    load_data,
    load_splits,
    make_record,
    run,
)
from helpers import History, TrainConfig, build_dataset, evaluate, load_names

TINY = RunConfig(steps=3, hidden=8, embedding_dim=2, block_size=4)


@pytest.fixture(scope="module", autouse=True)
def few_names():
    """A tenth of the names represents all of them; equal names stay together."""
    names = [name for name in load_names() if zlib.crc32(name.encode()) % 10 == 0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "load_names", lambda: names)
        load_splits.__wrapped__.cache_clear()
        load_data.__wrapped__.cache_clear()
        yield names
    load_splits.__wrapped__.cache_clear()
    load_data.__wrapped__.cache_clear()


def without_seconds(record):
    return {key: value for key, value in record.items() if key != "seconds"}


@pytest.fixture(scope="module")
def tiny_record():
    return run(TINY, 0)


# ---- The record --------------------------------------------------------------------
def test_a_record_tells_all_and_json_holds_it(tiny_record):
    losses = {"train", "val", "seen", "unseen"}
    facts = {"parameters", "seconds", "curve", "config", "samples", "versions"}
    assert set(tiny_record) == losses | facts
    assert json.loads(json.dumps(tiny_record)) == tiny_record
    assert tiny_record["config"] == asdict(TINY)
    assert RunConfig(**tiny_record["config"]) == TINY
    assert len(tiny_record["curve"]) == 1 and len(tiny_record["samples"]) == 10
    seen_and_unseen = sorted([tiny_record["seen"], tiny_record["unseen"]])
    assert seen_and_unseen[0] < tiny_record["val"] < seen_and_unseen[1]


def test_a_record_holds_the_losses_of_the_trained_model(monkeypatch):
    models = []
    train = runs.train

    def watched(model, *arguments, **options):
        models.append(model)
        return train(model, *arguments, **options)

    monkeypatch.setattr(runs, "train", watched)
    record = run(TINY, 0, test=True)
    _, data = load_data(TINY.block_size)
    for split in ("train", "val", "test", "seen", "unseen"):
        assert record[split] == evaluate(models[0], *data[split])


# ---- The seed ----------------------------------------------------------------------
def test_a_run_repeats_with_its_seed_alone(tiny_record):
    other = run(TINY, 1)
    assert without_seconds(run(TINY, 0)) == without_seconds(tiny_record)
    assert other["val"] != tiny_record["val"]
    assert other["samples"] != tiny_record["samples"]
    for key in ("config", "parameters", "versions"):
        assert other[key] == tiny_record[key]


def first_losses(config, seeds):
    """The loss of the untrained model on the first batch, for each seed."""
    losses = []
    for seed in seeds:
        run(config, seed, on_step=lambda history: losses.append(history.losses[0]))
    return losses


def test_the_seed_chooses_the_initial_weights():
    # A batch of all windows is the same whatever the seed, but for its order. So the
    # first loss tells the weights apart, and an order alone changes its last digits.
    _, data = load_data(TINY.block_size)
    everything = replace(TINY, steps=1, batch_size=len(data["train"][0]))
    losses = first_losses(everything, [0, 1, 2, 0])
    assert losses[0] == losses[3]
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert abs(losses[one] - losses[other]) > 1e-4


class SameWeights(RunConfig):
    """Runs whose initial weights are those of seed 0, whatever the seed."""

    def build(self, vocab_size, *, generator=None):
        return super().build(vocab_size, generator=torch.Generator().manual_seed(0))


def test_the_seed_chooses_the_batches():
    config = SameWeights(**asdict(replace(TINY, steps=1)))
    losses = first_losses(config, [0, 1, 2, 0])
    assert losses[0] == losses[3]
    assert len(set(losses)) == 3  # equal models, other batches


def test_the_seed_chooses_the_samples(monkeypatch):
    monkeypatch.setattr(runs, "train", lambda *data, **options: History([3.0]))
    config = SameWeights(**asdict(TINY))
    samples = [run(config, seed)["samples"] for seed in (0, 1, 0)]
    assert samples[0] == samples[2] != samples[1]  # of equal, untrained models


def test_batches_are_the_same_whatever_the_model_is(monkeypatch):
    trained_with = []

    def watched(model, X, Y, config, *, seed, **options):
        trained_with.append((X, seed))
        return History([3.0])

    monkeypatch.setattr(runs, "train", watched)
    for hidden in (8, 16):
        run(replace(TINY, hidden=hidden), 5)
    (first, second) = trained_with
    assert first[0] is second[0] and first[1] == second[1] == 5


# ---- The options -------------------------------------------------------------------
CHANGES = {
    "steps": 4,
    "batch_size": 512,
    "lr": 0.03,
    "weight_decay": 0.5,
    "embedding_boost": 1.0,
    "architecture": "flat",
    "block_size": 8,
    "embedding_dim": 3,
    "hidden": 9,
    "leak_free": True,
    "optimizer": "Muon",
    "shuffle": False,
}
FOR_MUON = {"matrix_lr": 0.2, "matrix_decay": 0.5}


def test_every_option_of_a_config_has_a_test():
    assert CHANGES.keys() | FOR_MUON.keys() == asdict(TINY).keys()


@pytest.mark.parametrize("option", FOR_MUON)
def test_the_rates_of_muon_change_a_run_by_muon_alone(tiny_record, option):
    change = {option: FOR_MUON[option]}
    muon = replace(TINY, optimizer="Muon")
    assert run(replace(muon, **change), 0)["val"] != run(muon, 0)["val"]
    assert run(replace(TINY, **change), 0)["val"] == tiny_record["val"]


@pytest.mark.parametrize("option", CHANGES)
def test_each_option_of_a_config_changes_the_run(tiny_record, option):
    config = replace(TINY, **{option: CHANGES[option]})
    record = run(config, 0)
    assert record["val"] != tiny_record["val"]
    assert record["config"] == tiny_record["config"] | {option: CHANGES[option]}
    sizes = {"architecture", "block_size", "embedding_dim", "hidden"}
    same_size = record["parameters"] == tiny_record["parameters"]
    assert same_size == (option not in sizes)


def test_the_bug_of_notebook_04_is_an_architecture_of_its_own(tiny_record):
    buggy = run(replace(TINY, architecture="tree per position"), 0)
    assert buggy["val"] != tiny_record["val"]
    assert buggy["parameters"] == tiny_record["parameters"]


def test_the_test_split_is_evaluated_on_request_alone(tiny_record):
    record = run(TINY, 0, test=True)
    assert "test" not in tiny_record and 2 < record.pop("test") < 4
    assert without_seconds(record) == without_seconds(tiny_record)


def test_a_run_can_be_watched_and_stopped(tiny_record):
    steps = []
    watched = run(TINY, 0, on_step=lambda history: steps.append(len(history.losses)))
    assert steps == [1, 2, 3]
    assert without_seconds(watched) == without_seconds(tiny_record)
    stopped = run(TINY, 0, on_step=lambda history: len(history.losses) == 2)
    assert stopped["curve"] != tiny_record["curve"]
    assert stopped["val"] != tiny_record["val"]


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"architecture": "bush"}, "architecture is 'bush': choose one of 'flat', 't"),
        ({"architecture": None}, "architecture is None: choose one of 'flat', 'tree'"),
        ({"architecture": ["flat"]}, r"architecture is \['flat'\]: choose one of"),
        ({"hidden": 0}, "hidden is 0: give a whole number, 1 or more"),
        ({"hidden": -1}, "hidden is -1: give a whole number, 1 or more"),
        ({"hidden": 2.5}, "hidden is 2.5: give a whole number, 1 or more"),
        ({"hidden": 8.0}, "hidden is 8.0: give a whole number, .*; write 8"),
        ({"hidden": "68"}, "hidden is '68': give a whole number, .*without quotes"),
        ({"hidden": True}, "hidden is True: give a whole number"),
        ({"hidden": math.nan}, "hidden is nan: give a whole number"),
        ({"hidden": math.inf}, "hidden is inf: give a whole number"),
        ({"hidden": 10**9}, "hidden is 1000000000: give a whole number, .* at most"),
        ({"embedding_dim": 0}, "embedding_dim is 0: give a whole number, 1 or more"),
        ({"embedding_dim": None}, "embedding_dim is None: give a whole number"),
        ({"block_size": 8.0}, "block_size is 8.0: a tree takes 2, 4, 8, 16"),
        (
            {"block_size": True, "architecture": "flat"},
            "block_size is True: choose one",
        ),
        ({"leak_free": 1}, "leak_free is 1: give True or False"),
        ({"leak_free": "no"}, "leak_free is 'no': give True or False"),
        ({"block_size": 6}, "block_size is 6: a tree takes 2, 4, 8, 16"),
        ({"block_size": 0, "architecture": "flat"}, "block_size is 0: choose one of"),
        ({"steps": 0}, "steps is 0: give a whole number, 1 or more"),
        ({"lr": math.nan}, "lr is nan: give a number above 0"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        RunConfig(**wrong)


def test_numpys_numbers_are_plain_ones_in_a_config():
    sizes = {"hidden": np.int64(8), "embedding_dim": np.int32(2), "steps": np.uint8(3)}
    config = RunConfig(block_size=np.int64(4), leak_free=np.bool_(False), **sizes)
    assert config == TINY and hash(config) == hash(TINY)
    assert json.dumps(asdict(config)) == json.dumps(asdict(TINY))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"config": None}, "config is None: give a config"),
        ({"config": "tree"}, "config is 'tree': give a config"),
        ({"config": RunConfig}, "config is the class RunConfig: give a config"),
        ({"config": TrainConfig()}, "config is .*such as RunConfig"),
        ({"seed": -1}, "seed is -1: give a whole number, 0 or more"),
        ({"seed": 1.5}, "seed is 1.5: give a whole number"),
        ({"seed": True}, "seed is True: give a whole number"),
        ({"seed": "3"}, "seed is '3': give a whole number"),
        ({"seed": math.nan}, "seed is nan: give a whole number"),
        ({"seed": None}, "seed is None: give a whole number"),
        ({"seed": 2**64}, "seed is 18446744073709551616: give a whole number"),
        ({"test": "yes"}, "test is 'yes': give True or False"),
        ({"on_step": 3}, "on_step is 3: give a function"),
    ],
    ids=str,
)
def test_a_run_of_what_cannot_be_is_refused(monkeypatch, wrong, message):
    monkeypatch.setattr(runs, "train", None)  # nothing is trained
    with pytest.raises((ValueError, TypeError), match=message):
        run(**({"config": TINY, "seed": 0} | wrong))


@pytest.mark.parametrize("size", [0, -1, 2.5, 8.0, "8", True, None, math.nan, [8]])
def test_data_of_no_block_size_are_refused(size):
    with pytest.raises(ValueError, match="block_size is .*: choose one of 1, 2, 3"):
        load_data(size)
    with pytest.raises(ValueError, match="leak_free is .*: give True or False"):
        load_splits("yes")


# ---- What a run leaves as it was -----------------------------------------------------
def surroundings():
    """What a run could change outside itself."""
    return {
        "torch": torch.get_rng_state().tolist(),
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
    }


def interrupt(history):
    raise KeyboardInterrupt


def fail(history):
    raise ArithmeticError


def test_a_run_prints_nothing_and_leaves_all_around_it_as_it_was(capfd):
    # Away from the states that a seed gives, which an earlier test may have left.
    torch.rand(1)
    random.random()
    np.random.rand()
    before = surroundings()
    run(TINY, 0)
    assert surroundings() == before
    with pytest.raises(ArithmeticError):
        run(TINY, 0, on_step=fail)
    with pytest.raises(KeyboardInterrupt):
        run(TINY, 0, on_step=interrupt)
    assert surroundings() == before
    assert capfd.readouterr() == ("", "")


def test_a_run_changes_no_data_that_later_runs_read(tiny_record):
    vocab, splits = load_splits()
    _, data = load_data(TINY.block_size)
    copies = {split: (X.clone(), Y.clone()) for split, (X, Y) in data.items()}
    names = {split: list(part) for split, part in splits.items()}
    run(TINY, 3)
    assert load_splits()[1] == names
    for split, (X, Y) in load_data(TINY.block_size)[1].items():
        assert X.equal(copies[split][0]) and Y.equal(copies[split][1])
    assert without_seconds(run(TINY, 0)) == without_seconds(tiny_record)


def test_an_interrupted_training_has_no_record():
    model = TINY.build(27)
    history = History([3.0], interrupted=True)
    with pytest.raises(KeyboardInterrupt):
        make_record(TINY, model, history, losses={}, samples=[])


# ---- The split -----------------------------------------------------------------------
def test_val_names_are_seen_where_training_has_them(few_names):
    _, splits = load_splits()
    assert sorted(splits["seen"] + splits["unseen"]) == sorted(splits["val"])
    assert set(splits["seen"]) <= set(splits["train"])
    assert not set(splits["unseen"]) & set(splits["train"])
    assert splits["seen"] and splits["unseen"]
    names = splits["train"] + splits["val"] + splits["test"]
    assert sorted(names) == sorted(few_names)


def test_leak_free_splits_the_distinct_names(few_names):
    vocab, splits = load_splits(leak_free=True)
    names = splits["train"] + splits["val"] + splits["test"]
    assert sorted(names) == sorted(set(few_names))
    assert len(names) < len(few_names)
    assert splits["seen"] == [] and splits["unseen"] == splits["val"]
    assert vocab.itos == load_splits()[0].itos


def test_a_leak_free_run_has_seen_no_name_of_the_validation_split():
    record = run(replace(TINY, leak_free=True), 0)
    assert "seen" not in record and record["unseen"] == record["val"]


@pytest.mark.parametrize("block_size, leak_free", [(1, False), (3, True)])
def test_data_are_the_windows_of_the_splits(block_size, leak_free):
    vocab, data = load_data(block_size, leak_free)
    _, splits = load_splits(leak_free)
    assert data.keys() == {split for split, names in splits.items() if names}
    for split in data:
        X, Y = build_dataset(splits[split], vocab, block_size)
        assert data[split][0].equal(X) and data[split][1].equal(Y)


# ---- The stored results --------------------------------------------------------------
@pytest.mark.parametrize(
    "study", ["rows", "leak_free", "search", "final", "grid", "notebooks"]
)
def test_stored_results_are_whole(study):
    results = load_results(study)
    assert not results.duplicated(["variant", "seed"]).any()
    seeds = results.groupby("variant")["seed"].nunique()
    assert seeds.nunique() == 1  # as many seeds of each variant
    assert results["val"].between(1.9, 2.5).all()
    for config in results["config"]:
        RunConfig(**config)


def test_the_notebooks_models_are_stored_with_the_notebooks_seed():
    results = load_results("notebooks").set_index("variant")
    assert (results["seed"] == 42).all()
    stored = {name: RunConfig(**config) for name, config in results["config"].items()}
    assert stored == LECTURE_MODELS

"""What explorers of models have in common: names, refusals, trainings; no browser."""

import threading

import pytest

from course.explorers import packing, stored
from course.explorers.models import ModelExplorer
from course.explorers.reuse import ReuseExplorer
from course.explorers.trainable import TrainableExplorer
from course.explorers.tree import TreeExplorer
from course.explorers.wavenet import WaveNetExplorer, stored_wavenet
from course.explorers.windows import WindowsExplorer
from helpers import Vocab

PATIENCE = 60  # seconds that a training may take before a test gives up


def windows_explorer(vocab, **options):
    return WindowsExplorer(vocab, ["emma", "al"], **options)


def wavenet_explorer(vocab):
    return WaveNetExplorer(stored_wavenet(vocab), vocab)


# ---- Typed names, and other settings ----------------------------------------
@pytest.fixture(
    params=[TreeExplorer, windows_explorer, ReuseExplorer, wavenet_explorer],
    ids=["tree", "windows", "reuse", "wavenet"],
)
def named(request, vocab):
    """An explorer with a box to type a name in."""
    return request.param(vocab)


def check_refused(explorer, option, value, words):
    """The setting raises a ValueError with these words, and nothing changes."""
    before = explorer.page_state(), explorer.alt()
    with pytest.raises(ValueError, match=words):
        setattr(explorer, option, value)
    assert (explorer.page_state(), explorer.alt()) == before


WRONG_NAMES = [
    ("a.b", "holds the end mark"),
    ("mar1e", "holds the unknown"),
    ("ma rie", "holds the unknown"),
    ("m😀", "holds the unknown"),
    ("zoé", "holds the unknown"),
    ("<i>", "holds the unknown"),
    ("a" * 21, "has 21 characters: type at most 20 characters"),
    ("é" * 10_000, "has 10,000 characters: type at most 20 characters"),
]


@pytest.mark.parametrize("name, words", WRONG_NAMES, ids=lambda it: it[:9])
def test_a_wrong_name_is_refused_and_nothing_changes(named, name, words):
    check_refused(named, "name", name, words)


@pytest.mark.parametrize("name", ["Emma", " emma", "EMMA \t"])
def test_spaces_around_a_name_and_capitals_change_nothing(named, name):
    named.name = name
    assert named.name == "emma"


WRONG = [
    (TreeExplorer, "block_size", 6, "2, 4, 8, 16"),
    (TreeExplorer, "hidden", 7, "8 or more and 256 at most"),
    (TreeExplorer, "hidden", 257, "8 or more and 256 at most"),
    (windows_explorer, "block_size", 0, "1 or more and 16 at most"),
    (windows_explorer, "block_size", 17, "1 or more and 16 at most"),
    (windows_explorer, "hidden", 3, "4 or more and 700 at most"),
    (windows_explorer, "hidden", 701, "4 or more and 700 at most"),
    (ReuseExplorer, "block_size", 6, "2, 4, 8, 16"),
    (ReuseExplorer, "character", 0, "1 or more and 8 at most"),
    (ReuseExplorer, "character", 9, "1 or more and 8 at most"),
    (wavenet_explorer, "temperature", 0.1, "0.2 or more and 2.0 at most"),
    (wavenet_explorer, "temperature", float("nan"), "temperature is nan"),
]


@pytest.mark.parametrize("make, option, value, words", WRONG)
def test_a_wrong_setting_is_refused_and_nothing_changes(
    vocab, make, option, value, words
):
    check_refused(make(vocab), option, value, words)


# ---- Trainings ----------------------------------------
MAKERS = {"tree": TreeExplorer, "windows": windows_explorer}
WEIGHTS = {"tree": "tree", "windows": "network"}  # the trait that a training changes
CURVES = {"tree": "tree", "windows": "flat, block size 2, hidden width 8"}


def made_quick(explorer):
    """The explorer with short trainings of the smallest models."""
    explorer.steps = 60
    explorer.block_size = 2
    explorer.hidden = 8
    return explorer


@pytest.fixture(params=MAKERS)
def quick(request, vocab):
    explorer = made_quick(MAKERS[request.param](vocab))
    yield explorer
    explorer.runner.stop()
    explorer.runner.wait()


def press(explorer, what, **more):
    """Presses a button, and waits for the end unless that is to be seen."""
    explorer.hear(explorer, {"do": what} | more, [])


def press_and_wait(explorer, **more):
    press(explorer, "train", **more)
    explorer.runner.wait()


def weights_of(explorer):
    """The weights in view of the model that is trained."""
    return getattr(explorer, WEIGHTS[explorer.script])


def about(explorer):
    return packing.unpack(weights_of(explorer))[1]


def test_a_training_sends_new_weights_and_its_curve(quick):
    seen = []
    quick.observe(lambda change: seen.append(change["new"]), WEIGHTS[quick.script])
    said = []
    quick.observe(lambda change: said.append(change["new"]["status"]), "training")
    before = quick.probabilities_of(weights_of(quick))
    press_and_wait(quick)
    assert len(seen) == 60 // 25 + 1  # every 25 steps, and at the end
    assert any("block size 2, hidden width 8: step 25 of 60, loss" in it for it in said)
    (run,) = quick.training["runs"]
    assert run["name"] == CURVES[quick.script]
    assert len(run["losses"]) == 2
    assert run["losses"][1] < run["losses"][0] < 3.4
    assert not quick.training["running"]
    assert quick.training["steps"] == 60
    found = about(quick)
    assert found["trained"] == 60 and len(found["samples"]) == 5
    assert 2 < found["val"] < 3.3
    assert quick.training["status"].startswith("Trained after 60 steps")
    assert f"validation loss {found['val']:.3f}" in quick.training["status"]
    after = quick.probabilities_of(weights_of(quick))
    assert (after - before).abs().max() > 0.01


def test_what_was_trained_stays_until_it_is_forgotten(quick):
    press_and_wait(quick)
    trained = weights_of(quick)
    quick.hidden = 9
    assert about(quick)["trained"] == 0
    quick.hidden = 8
    assert weights_of(quick) == trained
    quick.forget()
    assert about(quick)["trained"] == 0
    assert quick.training["runs"] == []


def test_a_slider_moved_after_the_press_does_not_change_what_is_trained(quick):
    quick.steps = 2000
    cell = quick.cell_to_train()
    press(quick, "train")
    quick.hidden = 10
    press(quick, "stop")
    quick.runner.wait()
    assert about(quick)["hidden"] == 10
    kept = packing.unpack(quick.trained[cell])[1]
    assert kept["hidden"] == 8 and kept["trained"] < 2000


def test_a_second_press_starts_nothing_and_stop_ends_the_run(quick):
    quick.steps = 100_000
    press(quick, "train")
    first = quick.runner.thread
    cell = quick.cell_to_train()
    press(quick, "train", which="flat")
    assert quick.runner.thread is first
    assert quick.cell_to_train() == cell
    press(quick, "stop")
    first.join(PATIENCE)
    assert not first.is_alive()
    assert "Stopped after" in quick.training["status"]
    assert len(quick.runs) == 1


def test_an_error_is_shown_and_another_run_can_begin(quick, monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)

    def broken(*arguments, **options):
        raise ValueError("no room")

    with monkeypatch.context() as patch:
        patch.setattr("course.explorers.trainable.train", broken)
        press_and_wait(quick)
    assert quick.training["status"] == "no room"
    assert seen
    press_and_wait(quick)
    assert "Trained after 60 steps" in quick.training["status"]


def test_the_last_runs_are_shown_and_keep_their_numbers(quick):
    """So a curve keeps its colour."""
    quick.steps = 25
    for _ in range(5):
        press_and_wait(quick)
    shown = quick.training["runs"]
    kept = {"tree": [3, 4], "windows": [1, 2, 3, 4]}[quick.script]
    assert [run["number"] for run in shown] == kept
    assert [run["isLast"] for run in shown] == [number == 4 for number in kept]


def test_the_seed_is_that_of_the_training(quick, vocab):
    other = made_quick(MAKERS[quick.script](vocab, seed=7))
    losses = []
    for explorer in (quick, other, quick):
        explorer.steps = 25
        press_and_wait(explorer)
        losses.append(explorer.runs[-1]["losses"])
    assert losses[0] == losses[2] != losses[1]


@pytest.mark.parametrize("script", MAKERS)
def test_other_names_have_untrained_models_only(script):
    explorer = MAKERS[script](Vocab(["zoé", "anna", "emma", "al"]))
    explorer.name = "ZOE\u0301"
    assert explorer.name == "zoé"
    press_and_wait(explorer)
    assert "data/names.txt" in explorer.training["status"]
    assert about(explorer)["trained"] == 0


def test_both_models_beside_each_other_are_trained(vocab):
    tree = made_quick(TreeExplorer(vocab))
    tree.steps = 25
    press_and_wait(tree, which="flat")
    assert packing.unpack(tree.flat)[1]["trained"] == 25
    assert about(tree)["trained"] == 0
    trained = tree.flat
    press_and_wait(tree, which="tree")
    assert tree.flat == trained
    assert about(tree)["trained"] == 25
    assert [run["name"] for run in tree.training["runs"]] == ["flat", "tree"]


def test_the_base_classes_train_nothing(vocab):
    explorer = TrainableExplorer()
    with pytest.raises(NotImplementedError):
        explorer.chosen()
    with pytest.raises(NotImplementedError):
        explorer.keep(None, None, {})
    with pytest.raises(NotImplementedError):
        ModelExplorer(vocab, seed=1)


def test_a_stored_model_is_shown_as_it_was_stored(vocab):
    for make, cell in (
        (TreeExplorer, ("tree", 8, 64)),
        (windows_explorer, ("flat", 8, 64)),
    ):
        explorer = make(vocab)
        assert weights_of(explorer) == stored.stored_model(*cell)
        assert about(explorer)["trained"] == 3000

"""The windows explorer, and trainings of live explorers, without a browser."""

import threading
from io import BytesIO

import matplotlib.pyplot as plt
import pytest
import torch
from torch import Generator

from course.explorers import packing, stored
from course.explorers.trainable import TrainableExplorer
from course.explorers.windows import WindowsExplorer, share_cut_off
from course.explorers.windows_picture import areas_of
from course.runs import load_splits
from helpers import Vocab, build_flat, count_parameters, eval_mode

PATIENCE = 60  # seconds that a training may take before a test gives up


@pytest.fixture(scope="module")
def vocab():
    return load_splits()[0]


@pytest.fixture
def windows(vocab):
    explorer = WindowsExplorer(vocab, ["emma", "al"])
    yield explorer
    explorer.runner.stop()
    explorer.runner.wait()


def test_it_gives_the_weights_of_the_chosen_model(windows, vocab):
    for block_size, hidden in ((1, 4), (3, 200), (16, 700)):
        windows.block_size = block_size
        windows.hidden = hidden
        generator = Generator().manual_seed(42)
        model = build_flat(len(vocab), block_size, hidden=hidden, generator=generator)
        assert windows.about()["parameters"] == count_parameters(model)
        window = ("." * block_size + "diondre")[-block_size:]
        with eval_mode(model):
            expected = model(torch.tensor([vocab.encode(window)]))[0].softmax(-1)
        assert torch.allclose(windows.probabilities(), expected, atol=1e-6)


def test_a_stored_model_is_shown_as_it_was_stored(windows):
    assert windows.network == stored.stored_model("flat", 8, 64)
    assert windows.about()["trained"] == 3000


def test_the_layers_of_the_bar_have_all_parameters(windows):
    for block_size, hidden in ((8, 64), (5, 700)):
        windows.block_size = block_size
        windows.hidden = hidden
        arrays, about = packing.unpack(windows.network)
        areas = areas_of(arrays, about["hidden"])
        assert sum(areas.values()) == about["parameters"]
        assert areas[f"Linear {10 * block_size} × {hidden}"] == 10 * block_size * hidden


def test_windows_that_cut_off_a_part_are_counted(windows):
    found = []
    for block_size in (1, 3, 6, 7, 16):
        windows.block_size = block_size
        found.append(windows.cut_off())
    assert found == [6, 4, 1, 0, 0]


def test_the_share_that_is_cut_off_is_counted_position_by_position(windows):
    shares = share_cut_off(["emma", "al"])
    positions = [0, 1, 2, 3, 4, 0, 1, 2]  # how many characters stand before each
    for block_size, share in shares.items():
        assert share == sum(t > block_size for t in positions) / len(positions)
    assert list(shares.index) == list(range(1, 17))
    assert windows.shares == shares.round(4).tolist()


def test_sentence_picture_and_text_follow_what_is_chosen(windows):
    pictures = {windows.picture()}
    for option, value in (("block_size", 3), ("hidden", 68), ("name", "emma")):
        setattr(windows, option, value)
        pictures.add(windows.picture())
    assert len(pictures) == 4
    assert repr(windows) == "Windows explorer, block size 3, hidden width 68"
    assert "5 windows of 'emma' at block size 3, of which 1 cut off" in windows.alt()
    windows.name = ""
    height, width, _ = plt.imread(BytesIO(windows.picture())).shape
    assert width > 1.5 * height


WRONG = [
    ("name", "a.b", "holds the end mark"),
    ("name", "mar1e", "holds the unknown"),
    ("name", "ma rie", "holds the unknown"),
    ("name", "m😀", "holds the unknown"),
    ("name", "zoé", "holds the unknown"),
    ("name", "<i>", "holds the unknown"),
    ("name", "a" * 21, "has 21 characters: type at most 20 characters"),
    ("name", "é" * 10_000, "has 10,000 characters: type at most 20 characters"),
    ("block_size", 0, "1 or more and 16 at most"),
    ("block_size", 17, "1 or more and 16 at most"),
    ("hidden", 3, "4 or more and 700 at most"),
    ("hidden", 701, "4 or more and 700 at most"),
]


@pytest.mark.parametrize("option, value, words", WRONG, ids=lambda it: str(it)[:9])
def test_a_wrong_setting_is_refused_and_nothing_changes(windows, option, value, words):
    before = getattr(windows, option), windows.network
    with pytest.raises(ValueError, match=words):
        setattr(windows, option, value)
    assert (getattr(windows, option), windows.network) == before


@pytest.mark.parametrize("name", ["Emma", " emma", "EMMA \t"])
def test_spaces_around_a_name_and_capitals_change_nothing(windows, name):
    windows.name = name
    assert windows.name == "emma"


def test_the_page_offers_what_is_stored(windows):
    windows.hidden = 200
    windows.block_size = 4
    state = windows.page_state()
    assert state["block_sizes"] == stored.BLOCK_SIZES
    assert state["hidden"] in state["widths"] == stored.WIDTHS
    assert state["has_kernel"] is False and "network" not in state


# ---- Trainings ----------------------------------------
@pytest.fixture
def quick(windows):
    """An explorer whose trainings are short, of the smallest model."""
    windows.steps = 60
    windows.block_size = 2
    windows.hidden = 8
    return windows


def press(explorer, what):
    explorer.hear(explorer, {"do": what}, [])


def test_a_training_sends_new_weights_and_its_curve(quick):
    seen = []
    quick.observe(lambda change: seen.append(change["new"]["status"]), "training")
    before = quick.probabilities()
    press(quick, "train")
    quick.runner.wait()
    name = "flat, block size 2, hidden width 8"
    assert any(status.startswith(f"{name}: step 25 of 60, loss") for status in seen)
    (run,) = quick.training["runs"]
    assert run["name"] == name
    assert len(run["losses"]) == 2
    assert run["losses"][1] < run["losses"][0] < 3.4
    assert not quick.training["running"]
    about = quick.about()
    assert about["trained"] == 60 and len(about["samples"]) == 5
    assert 2 < about["val"] < 3.3
    assert f"validation loss {about['val']:.3f}" in quick.training["status"]
    assert (quick.probabilities() - before).abs().max() > 0.01


def test_what_was_trained_stays_until_it_is_forgotten(quick):
    press(quick, "train")
    quick.runner.wait()
    trained = quick.network
    quick.hidden = 9
    assert quick.about()["trained"] == 0
    quick.hidden = 8
    assert quick.network == trained
    quick.forget()
    assert quick.about()["trained"] == 0
    assert quick.training["runs"] == []


def test_a_slider_moved_after_the_press_does_not_change_what_is_trained(quick):
    quick.steps = 2000
    press(quick, "train")
    quick.hidden = 10
    press(quick, "stop")
    quick.runner.wait()
    assert quick.about()["hidden"] == 10
    assert packing.unpack(quick.trained["flat", 2, 8])[1]["trained"] < 2000


def test_a_second_press_starts_nothing_and_stop_ends_the_run(quick):
    quick.steps = 100_000
    press(quick, "train")
    first = quick.runner.thread
    press(quick, "train")
    assert quick.runner.thread is first
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
        press(quick, "train")
        quick.runner.wait()
    assert quick.training["status"] == "no room"
    assert seen
    press(quick, "train")
    quick.runner.wait()
    assert "Trained after 60 steps" in quick.training["status"]


def test_a_run_keeps_its_number_and_so_its_colour(quick):
    quick.steps = 25
    for _ in range(5):
        press(quick, "train")
        quick.runner.wait()
    shown = quick.training["runs"]
    assert [run["number"] for run in shown] == [1, 2, 3, 4]
    assert [run["isLast"] for run in shown] == [False, False, False, True]


def test_the_seed_is_that_of_the_training(quick, vocab):
    other = WindowsExplorer(vocab, ["emma"], seed=7)
    other.steps, other.block_size, other.hidden = 25, 2, 8
    quick.steps = 25
    losses = []
    for explorer in (quick, other, quick):
        press(explorer, "train")
        explorer.runner.wait()
        losses.append(explorer.runs[-1]["losses"])
    assert losses[0] == losses[2] != losses[1]


def test_other_names_have_untrained_models_only():
    explorer = WindowsExplorer(Vocab(["zoé", "anna"]), ["anna"])
    explorer.name = "ZOE\u0301"
    assert explorer.name == "zoé"
    press(explorer, "train")
    explorer.runner.wait()
    assert "data/names.txt" in explorer.training["status"]
    assert explorer.about()["trained"] == 0


def test_the_base_class_trains_nothing():
    explorer = TrainableExplorer()
    with pytest.raises(NotImplementedError):
        explorer.chosen()
    with pytest.raises(NotImplementedError):
        explorer.keep(None, None, {})

"""The windows explorer without a browser."""

from io import BytesIO

import matplotlib.pyplot as plt
import pytest
import torch
from torch import Generator

from course.explorers import packing, stored
from course.explorers.windows import WindowsExplorer, share_cut_off
from course.explorers.windows_picture import areas_of
from helpers import build_flat, count_parameters, eval_mode


@pytest.fixture
def windows(vocab):
    return WindowsExplorer(vocab, ["emma", "al"])


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


def test_the_page_offers_what_is_stored(windows):
    windows.hidden = 200
    windows.block_size = 4
    state = windows.page_state()
    assert state["block_sizes"] == stored.BLOCK_SIZES
    assert state["hidden"] in state["widths"] == stored.WIDTHS
    assert state["has_kernel"] is False and "network" not in state

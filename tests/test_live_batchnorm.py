"""The BatchNorm explorer without a browser."""

import json

import pytest
import torch
from torch import Generator

from course.explorers.batchnorm import BatchNormExplorer


@pytest.fixture(scope="module")
def x():
    return torch.randn(32, 4, 68, generator=Generator().manual_seed(1))


@pytest.fixture
def norms(x):
    return BatchNormExplorer(x)


def test_the_shapes_are_those_of_the_live_layers(norms):
    assert norms.buffers["bug"]["shape"] == "(1, 4, 68)"
    assert norms.buffers["fix"]["shape"] == "(68,)"


def test_the_means_are_those_of_the_batch(norms, x):
    drawn = x[:, :, :12]
    bug = torch.tensor(norms.buffers["bug"]["means"])
    fix = torch.tensor(norms.buffers["fix"]["means"])
    assert torch.allclose(bug, drawn.mean(0), atol=0.0006)
    assert torch.allclose(fix[0], drawn.mean((0, 1)), atol=0.0006)
    assert (bug.shape, fix.shape) == ((4, 12), (1, 12))


def test_it_says_over_how_many_numbers_a_mean_is_taken(norms):
    assert norms.buffers["bug"]["values"] == 32
    assert norms.buffers["fix"]["values"] == 32 * 4


def test_the_cube_holds_the_first_examples_and_channels(norms, x):
    assert torch.allclose(torch.tensor(norms.cube), x[:8, :, :12], atol=0.0006)
    assert norms.sizes == [32, 4, 68]
    assert len(json.dumps(norms.page_state())) < 10_000


def test_the_sentence_follows_the_switch(norms):
    begin = "BatchNorm explorer, with the"
    assert repr(norms) == f"{begin} bug running mean (1, 4, 68)"
    norms.fixed = True
    assert repr(norms) == f"{begin} fix running mean (68,)"
    assert "(1, 4, 68)" in norms.alt() and "(68,)" in norms.alt()


def test_the_picture_is_that_of_the_numbers(norms, x):
    assert norms.picture() == BatchNormExplorer(x).picture()
    assert norms.picture() != BatchNormExplorer(-x).picture()


def test_a_live_layer_may_want_gradients(x):
    explorer = BatchNormExplorer((2 * x).requires_grad_())
    assert explorer.buffers["fix"]["shape"] == "(68,)"


WRONG = [
    (torch.zeros(32, 68), "x has the shape|x is a tensor|x .*dim"),
    (torch.zeros(1, 4, 68), "two examples or more"),
    (torch.zeros(32, 9, 68), "T up to 8"),
    ("emma", "x is 'emma'"),
]


@pytest.mark.parametrize("x, words", WRONG, ids=["dims", "batch", "positions", "text"])
def test_another_input_is_refused(x, words):
    with pytest.raises((ValueError, TypeError), match=words):
        BatchNormExplorer(x)

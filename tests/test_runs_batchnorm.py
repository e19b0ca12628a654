"""course.runs: the BatchNorm of notebook 01, and the lecture's models."""

import math

import pytest
import torch
import torch.nn.functional as F
from test_helpers import check_momentum_and_eps
from torch import Generator, nn

from course.runs import LECTURE_MODELS, BatchNormPerPosition, load_data
from helpers import (
    BatchNorm1d,
    TrainConfig,
    build_tree,
    count_parameters,
    evaluate,
    train,
)

torch.set_num_threads(1)  # small models gain nothing from more; a busy machine loses


def seeded(seed):
    return Generator().manual_seed(seed)


def first_windows(variant):
    """X (N, T) and Y (N,): the first 15,000 windows of training."""
    _, data = load_data(LECTURE_MODELS[variant].block_size)
    X, Y = data["train"]
    return X[:15_000], Y[:15_000]


# ---- BatchNormPerPosition ----------------------------------------------------------
@pytest.mark.parametrize("settings", [{}, {"eps": 0.01, "momentum": 0.3}])
def test_equals_torch_where_each_example_is_one_row(settings):
    ours = BatchNormPerPosition(6, **settings)
    twin = nn.BatchNorm1d(6, **settings)
    for own, other in ((ours.weight, twin.weight), (ours.bias, twin.bias)):
        other.data = own.data.normal_().clone()
    for step in range(4):  # batches of different centre and scale
        x = torch.randn(32, 6) * (step + 1) + step
        slope = torch.randn(32, 6)
        gradients = []
        outputs = []
        for layer in (ours, twin):
            inputs = x.clone().requires_grad_()
            out = layer(inputs)
            parameters = [inputs, layer.weight, layer.bias]
            gradients.append(torch.autograd.grad((out * slope).sum(), parameters))
            outputs.append(out)
        torch.testing.assert_close(*outputs)
        torch.testing.assert_close(*gradients)
    torch.testing.assert_close(ours.running_mean.flatten(), twin.running_mean)
    torch.testing.assert_close(ours.running_var.flatten(), twin.running_var)

    before = ours.running_mean.clone()
    x = torch.randn(32, 6)
    torch.testing.assert_close(ours.eval()(x), twin.eval()(x))
    assert torch.equal(ours.running_mean, before)


def test_divides_by_the_biased_and_stores_the_unbiased_variance():
    norm = BatchNormPerPosition(6, momentum=1.0)
    x = torch.randn(12, 6)
    variances = norm(x).var(0, unbiased=False)
    torch.testing.assert_close(variances, torch.ones(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(norm.running_var.flatten(), x.var(0, unbiased=True))


def test_momentum_changes_the_buffers_and_eps_the_output_alone():
    check_momentum_and_eps(BatchNormPerPosition, torch.randn(8, 4, 6) + 1)


def test_keeps_a_mean_for_each_position_which_is_the_bug_of_notebook_04():
    norm = BatchNormPerPosition(6)
    norm(torch.randn(8, 4, 6))
    assert norm.running_mean.shape == norm.running_var.shape == (1, 4, 6)


def test_its_buffers_are_not_parameters():
    norm = BatchNormPerPosition(6)
    norm(torch.randn(8, 4, 6))
    assert [p.shape for p in norm.parameters()] == [(6,), (6,)]
    assert not norm.running_mean.requires_grad
    assert not norm.running_var.requires_grad


# ---- The lecture's models ----------------------------------------------------------
@pytest.mark.parametrize(
    "variant, count",
    [
        ("flat3", 12_097),
        ("flat8", 22_097),
        ("tree", 22_397),
        ("tree_fixed", 22_397),
        ("tree_large", 76_579),
    ],
)
def test_models_have_the_lectures_parameter_counts(variant, count):
    assert count_parameters(LECTURE_MODELS[variant].build(27)) == count


@pytest.mark.parametrize("variant", LECTURE_MODELS)
def test_first_loss_is_that_of_a_uniform_guess(variant):
    X, Y = first_windows(variant)
    model = LECTURE_MODELS[variant].build(27, generator=seeded(42))
    loss = F.cross_entropy(model(X), Y).item()
    assert loss == pytest.approx(math.log(27), abs=0.02)


@pytest.mark.parametrize("variant", LECTURE_MODELS)
def test_a_model_is_drawn_from_its_generator_alone(variant):
    def weights(seed, global_seed):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        model = LECTURE_MODELS[variant].build(27, generator=seeded(seed))
        assert torch.equal(torch.get_rng_state(), before)
        return model.parameters()

    first = weights(1, global_seed=1)
    same = weights(1, global_seed=2)
    other = weights(2, global_seed=1)
    for p, q, r in zip(first, same, other, strict=True):
        assert torch.equal(p, q)
        if p.ndim == 2:
            assert not torch.equal(p, r)


def test_the_tree_differs_from_the_fixed_one_in_its_norms_alone():
    tree = LECTURE_MODELS["tree"].build(27, generator=seeded(1))
    fixed = LECTURE_MODELS["tree_fixed"].build(27, generator=seeded(1))
    assert repr(tree).replace("BatchNormPerPosition", "BatchNorm1d") == repr(fixed)
    for p, q in zip(tree.parameters(), fixed.parameters(), strict=True):
        assert torch.equal(p, q)
    for layer, other in zip(tree.layers, fixed.layers, strict=True):
        assert isinstance(layer, BatchNorm1d) == isinstance(other, BatchNorm1d)


def test_200_steps_of_the_tree_learn_more_than_the_frequencies_of_characters():
    X, Y = first_windows("tree")
    p = torch.bincount(Y) / len(Y)
    entropy = -torch.xlogy(p, p).sum().item()
    model = build_tree(27, norm=BatchNormPerPosition, generator=seeded(42))
    train(model, X, Y, TrainConfig(steps=200, batch_size=128), progress=False)
    assert evaluate(model, X, Y) < entropy - 0.3

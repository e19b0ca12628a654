"""Muon against torch's own and against a step written out; who gets which optimizer."""

import math
from dataclasses import replace

import pytest
import torch
from torch.optim import SGD, AdamW

from course.convolution import CausalConv1d, CausalNetwork
from course.fitting import check_trainable
from course.optimizers import (
    Muon,
    build_optimizer,
    one_cycle,
    orthogonalise,
    parameter_groups,
)
from course.recipes import JUDGED_MODELS, RECIPES, with_recipe
from course.runs import LECTURE_MODELS, RunConfig
from course.wavenet import WaveNet, WaveNetConfig
from helpers import (
    RECIPE,
    BatchNorm1d,
    Embedding,
    Linear,
    Sequential,
    Tanh,
    TrainConfig,
    Vocab,
    build_dataset,
    build_flat,
    build_tree,
    load_names,
    split_names,
    train,
)

KINDS = {"table": Embedding, "matrix": Linear}
SHAPES = [(4, 4), (6, 3), (3, 6), (48, 128), (256, 128), (1, 5), (7, 1)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_matrix(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


# ---- Orthogonalisation -----------------------------------------------------------
@pytest.mark.parametrize("shape", SHAPES)
def test_an_orthogonalised_matrix_keeps_its_directions_with_lengths_near_one(shape):
    matrix = random_matrix(*shape)
    found = orthogonalise(matrix)
    U, S, V = torch.linalg.svd(matrix, full_matrices=False)
    lengths = U.mT @ found @ V.mT
    assert found.shape == shape
    off_diagonal = lengths - torch.diag(lengths.diag())
    assert off_diagonal.abs().max() < 1e-6  # the same singular vectors
    large = S > 0.05 * S.norm()  # those that five steps bring up to one
    assert lengths.diag()[large].min() > 0.6
    assert lengths.diag().max() < 1.25


def test_each_newton_schulz_step_is_the_polynomial_of_the_singular_values():
    U = torch.linalg.qr(random_matrix(5, 5)).Q
    V = torch.linalg.qr(random_matrix(8, 5, seed=1)).Q
    values = torch.tensor([0.8, 0.5, 0.3, 0.1, 0.02], dtype=torch.float64)
    matrix = U @ torch.diag(values) @ V.mT
    expected = values / values.norm()
    for _ in range(3):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    found = orthogonalise(matrix, repeats=3)
    assert torch.allclose(found, U @ torch.diag(expected) @ V.mT, atol=1e-6)


def test_the_scale_of_a_gradient_does_not_matter_and_zero_stays_zero():
    matrix = random_matrix(6, 9)
    once = orthogonalise(matrix)
    assert torch.allclose(orthogonalise(1e6 * matrix), once, atol=1e-6)
    assert torch.equal(orthogonalise(0 * matrix), 0 * matrix)
    assert torch.allclose(orthogonalise(matrix.mT), once.mT)


# ---- Muon ------------------------------------------------------------------------
def muon_steps(weight, gradients, make):
    """The weight after a step with each gradient."""
    weight = weight.clone().requires_grad_()
    optimizer = make([weight])
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_of_muon_is_the_one_written_out(shape):
    lr, decay, momentum = 0.03, 0.2, 0.9
    weight = random_matrix(*shape)
    gradients = [random_matrix(*shape, seed=seed) for seed in (1, 2, 3)]
    expected = weight.clone()
    velocity = torch.zeros_like(weight)
    for gradient in gradients:
        velocity = momentum * velocity + (1 - momentum) * gradient
        update = momentum * velocity + (1 - momentum) * gradient
        U, S, V = torch.linalg.svd(update, full_matrices=False)
        lengths = S / (S.norm() + 1e-7)
        for _ in range(5):
            lengths = 3.4445 * lengths - 4.775 * lengths**3 + 2.0315 * lengths**5
        scale = math.sqrt(max(1, shape[1] / shape[0]))
        direction = U @ torch.diag(lengths) @ V
        expected = (1 - lr * decay) * expected - lr * scale * direction
    settings = {"lr": lr, "weight_decay": decay, "momentum": momentum}
    found = muon_steps(weight, gradients, lambda w: Muon(w, **settings))
    assert torch.allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", [(48, 128), (256, 128), (64, 64)])
def test_muon_equals_torchs_but_for_its_bfloat16(shape):
    weight = random_matrix(*shape, dtype=torch.float32)
    gradients = [
        random_matrix(*shape, seed=seed, dtype=torch.float32) for seed in range(1, 6)
    ]
    settings = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.95}
    ours = muon_steps(weight, gradients, lambda w: Muon(w, **settings))
    transposed = [gradient.mT for gradient in gradients]  # torch: (out, in)
    theirs = muon_steps(
        weight.mT, transposed, lambda w: torch.optim.Muon(w, **settings)
    )
    moved = (ours - weight).abs().max()
    assert (ours - theirs.mT).abs().max() < 0.02 * moved  # bfloat16 has 8 bits
    assert moved > 0.001


# ---- Who gets which optimizer ----------------------------------------------------
def names_of(groups, model):
    """{group: indices of the model's parameters in it}."""
    places = {id(p): i for i, p in enumerate(model.parameters())}
    return {
        kind: sorted(places[id(p)] for p in group) for kind, group in groups.items()
    }


def test_groups_are_told_by_what_a_parameter_is():
    tree = build_tree(27, 8, hidden=12)
    groups = parameter_groups(tree, **KINDS)
    fuses = [layer.weight for layer in tree.layers[:-1] if isinstance(layer, Linear)]
    assert [id(p) for p in groups["tables"]] == [id(tree.layers[0].weight)]
    assert {id(p) for p in groups["matrices"]} == {id(weight) for weight in fuses}
    assert len(fuses) == 3
    found = [p for group in groups.values() for p in group]
    assert {id(p) for p in found} == {id(p) for p in tree.parameters()}
    assert len(found) == len(tree.parameters())  # none is in two groups
    others = {id(p) for p in groups["others"]}
    assert {id(p) for p in tree.layers[-1].parameters()} < others


def test_the_order_of_the_parameters_does_not_matter():
    tree = build_tree(27, 8, hidden=12)
    before = names_of(parameter_groups(tree, **KINDS), tree)
    reversed_tree = Sequential(*tree.layers)
    reversed_tree.parameters = lambda: tree.parameters()[::-1]
    groups = parameter_groups(reversed_tree, **KINDS)
    assert names_of(groups, tree) == before


def test_the_wavenets_matrices_are_found_inside_its_blocks():
    config = WaveNetConfig(channels=8, skip_channels=6, levels=2, stacks=2)
    net = WaveNet(config, 27)
    groups = parameter_groups(net, **KINDS)
    expected = [net.hidden.weight]
    for block in net.blocks:
        expected += [block.conv.linear.weight, block.skip.weight]
        if block.onward:
            expected.append(block.onward.weight)
    assert {id(p) for p in groups["matrices"]} == {id(p) for p in expected}
    assert id(net.out.weight) in {id(p) for p in groups["others"]}


def optimizers_of(config, model):
    scheduled = build_optimizer(model, config, **KINDS)
    return [schedule.optimizer for schedule in scheduled.schedules]


def ids(optimizer):
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize(
    ("name", "classes"), [("AdamW", [AdamW]), ("Muon", [AdamW, Muon]), ("SGD", [SGD])]
)
def test_each_parameter_has_one_optimizer(name, classes):
    model = build_tree(27, 8, hidden=12)
    optimizers = optimizers_of(TrainConfig(optimizer=name), model)
    assert [type(optimizer) for optimizer in optimizers] == classes
    sizes = [len(ids(optimizer)) for optimizer in optimizers]
    assert sum(sizes) == len(model.parameters())
    assert set().union(*map(ids, optimizers)) == {id(p) for p in model.parameters()}


def test_muon_gets_the_hidden_matrices_and_its_own_rate_and_decay():
    config = TrainConfig(optimizer="Muon", matrix_lr=0.06, matrix_decay=0.04)
    model = build_flat(27, 8, hidden=12)
    rest, muon = optimizers_of(config, model)
    assert ids(muon) == {id(model.layers[2].weight)}
    assert muon.param_groups[0]["max_lr"] == 0.06
    assert muon.param_groups[0]["weight_decay"] == 0.04
    assert id(model.layers[0].weight) in ids(rest)
    assert id(model.layers[-1].weight) in ids(rest)


def test_a_model_without_hidden_matrices_has_adamw_alone():
    model = Sequential(Embedding(5, 3), BatchNorm1d(3), Tanh(), Linear(3, 5))
    optimizers = optimizers_of(TrainConfig(optimizer="Muon"), model)
    assert [type(optimizer) for optimizer in optimizers] == [AdamW]


# ---- Schedules -------------------------------------------------------------------
def test_all_rates_follow_one_cycle():
    config = TrainConfig(steps=40, optimizer="Muon", lr=0.01, matrix_lr=0.05)
    scheduled = build_optimizer(build_tree(27, 8, hidden=4), config, **KINDS)
    shares = []
    for _ in range(config.steps):
        rest, muon = [s.get_last_lr() for s in scheduled.schedules]
        assert rest[1] == pytest.approx(3 * rest[0])
        assert muon[0] == pytest.approx(5 * rest[0])
        shares.append(muon[0] / 0.05)
        scheduled.step()
    assert max(shares) == pytest.approx(1)
    assert shares[0] == pytest.approx(0.04) and shares[-1] < 0.001


def test_the_lectures_rate_falls_to_a_tenth_at_three_quarters():
    config = replace(RECIPES["lecture"], steps=20)
    scheduled = build_optimizer(build_tree(27, 8, hidden=4), config, **KINDS)
    rates = []
    for _ in range(20):
        rates.append(scheduled.schedules[0].get_last_lr()[0])
        scheduled.step()
    assert rates == pytest.approx([0.1] * 15 + [0.01] * 5)


def test_a_cycle_of_one_step_is_none():
    weight = torch.zeros(2, 2, requires_grad=True)
    optimizer = SGD([weight], lr=1.0)
    assert one_cycle(optimizer, 1).total_steps == 10


# ---- Recipes ---------------------------------------------------------------------
@pytest.fixture(scope="module")
def data():
    names = load_names()
    vocab = Vocab(names)
    return build_dataset(split_names(names)["train"][:2_000], vocab, 8)


def losses(data, config, model=None, seed=0):
    model = model or build_tree(27, hidden=16, generator=seeded())
    return train(model, *data, config, seed=seed, progress=False).losses


def test_sgd_by_fit_is_the_lectures_own_loop(data):
    config = replace(RECIPES["lecture"], steps=8)
    model = build_tree(27, hidden=16, generator=seeded())
    found = losses(data, config, seed=3)
    X, Y = data
    batches = seeded(3)
    expected = []
    for step in range(8):
        rate = 0.1 if step < 6 else 0.01
        ix = torch.randint(0, len(X), (32,), generator=batches)
        loss = torch.nn.functional.cross_entropy(model(X[ix]), Y[ix])
        gradients = torch.autograd.grad(loss, model.parameters())
        expected.append(loss.item())
        for parameter, gradient in zip(model.parameters(), gradients):
            parameter.data -= rate * gradient
    assert found == pytest.approx(expected, rel=1e-5)


def test_muon_learns_faster_than_adamw_at_the_same_steps(data):
    few = {"steps": 60, "batch_size": 256}
    adamw = losses(data, replace(RECIPE, **few))
    muon = losses(data, replace(RECIPES["Muon"], **few))
    assert sum(muon[-10:]) < sum(adamw[-10:])
    assert losses(data, replace(RECIPES["Muon"], **few)) == muon  # bit for bit


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_changes_no_model(name):
    recipe = RECIPES[name]
    for config in JUDGED_MODELS.values():
        changed = with_recipe(config, recipe)
        assert with_recipe(changed, RECIPE) == config
        for field in vars(recipe):
            assert getattr(changed, field) == getattr(recipe, field)


def test_the_judged_models_are_the_lectures_and_a_flat_one_of_the_largest_size():
    assert list(JUDGED_MODELS) == [*LECTURE_MODELS, "flat_large"]
    sizes = []
    for name in ("tree_large", "flat_large"):
        model = JUDGED_MODELS[name].build(27)
        check_trainable("model", model)
        sizes.append(sum(p.numel() for p in model.parameters()))
    assert abs(sizes[0] - sizes[1]) < 100


def test_a_config_of_before_the_optimizers_means_adamw():
    old = {"steps": 10, "hidden": 12, "architecture": "flat"}
    assert RunConfig(**old).optimizer == "AdamW" and RunConfig(**old).shuffle


def test_convolutions_count_as_matrices():
    conv = CausalConv1d(3, 4)
    net = CausalNetwork(Embedding(5, 3), conv, Tanh(), Linear(4, 5))
    groups = parameter_groups(net, **KINDS)
    assert [id(p) for p in groups["matrices"]] == [id(conv.linear.weight)]

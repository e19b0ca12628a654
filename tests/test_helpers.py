"""helpers.py: what its parts promise, as far as the notebooks do not show it."""

import copy
import math
import random
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from tqdm import tqdm
from unchanged import unchanged

from helpers import (
    END,
    RECIPE,
    BatchNorm1d,
    Embedding,
    FlattenConsecutive,
    Layer,
    Linear,
    Sequential,
    Tanh,
    TrainConfig,
    Vocab,
    build_dataset,
    build_flat,
    build_tree,
    check_block_size,
    count_parameters,
    eval_mode,
    evaluate,
    fit,
    load_names,
    sample,
    smooth,
    split_names,
    train,
)

torch.set_num_threads(1)  # small models gain nothing from more; a busy machine loses

QUICK = TrainConfig(steps=20, batch_size=64)
BUILD = {  # the lecture's models; that with the bug is in test_runs_batchnorm.py
    "flat3": partial(build_flat, block_size=3),
    "flat8": partial(build_flat, block_size=8),
    "tree_fixed": build_tree,
    "tree_large": partial(build_tree, embedding_dim=24, hidden=128),
}


@pytest.fixture(scope="module")
def names():
    return load_names()


@pytest.fixture(scope="module")
def vocab(names):
    return Vocab(names)


@pytest.fixture(scope="module")
def data(names, vocab):
    """X (N, 8) and Y (N,) of the first 2,000 names."""
    return build_dataset(names[:2000], vocab, 8)


@pytest.fixture
def model(vocab, data):
    """A small tree after some steps, with running statistics that have moved."""
    model = build_tree(len(vocab), embedding_dim=4, hidden=16, generator=seeded(1))
    train(model, *data, QUICK, progress=False)
    return model


def seeded(seed):
    return Generator().manual_seed(seed)


def buffers(model):
    """Copies of all running statistics."""
    copies = []
    for layer in model.layers:
        if isinstance(layer, BatchNorm1d):
            copies += [layer.running_mean.clone(), layer.running_var.clone()]
    return copies


def modes(model):
    return [model.training, *(layer.training for layer in model.layers)]


def all_equal(tensors, others):
    return all(torch.equal(a, b) for a, b in zip(tensors, others, strict=True))


def untouched(*tensors):
    """Fails if the block changes a global state, or one of the tensors."""

    def own():
        return {
            "open progress bars": len(tqdm._instances),
            "tensors": [tensor.tolist() for tensor in tensors],
        }

    return unchanged(own)


# ---- Names, vocabulary, splits -----------------------------------------------------
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"emma\nava\n", id="plain"),
        pytest.param(b"emma\nava", id="no newline at the end"),
        pytest.param(b"\xef\xbb\xbfemma\nava\n", id="byte-order mark"),
        pytest.param(b"emma\r\nava\r\n", id="CRLF"),
        pytest.param(b"\n\nemma\n  \n\t\nava\n\n", id="blank lines"),
        pytest.param(b"  emma\t\nava \n", id="spaces around"),
    ],
)
def test_load_names_cleans_what_editors_leave_behind(tmp_path, content):
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    assert load_names(path) == ["emma", "ava"]


@pytest.mark.parametrize("content", [b"", b"\n \r\n\t\n", b"\xef\xbb\xbf"])
def test_a_file_without_names_is_refused(tmp_path, content):
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    cure = "put one name on each line"
    with pytest.raises(ValueError, match=rf"names\.txt contains no names: {cure}"):
        load_names(path)


def test_a_missing_file_is_refused(tmp_path):
    message = r"no names file at .*nowhere\.txt: give a UTF-8 file with one name"
    with pytest.raises(ValueError, match=message):
        load_names(tmp_path / "nowhere.txt")


def test_vocabulary_numbers_the_characters_in_order_after_the_end_mark():
    assert Vocab(["cab", "bad"]).itos == [END, "a", "b", "c", "d"]


def test_decode_undoes_encode(names, vocab):
    assert vocab.decode(vocab.encode("".join(names))) == "".join(names)


def test_a_name_that_holds_the_end_mark_is_refused():
    with pytest.raises(
        ValueError, match=r"'st\.john' holds the end mark '\.': take it"
    ):
        Vocab(["emma", "st.john"])


def test_an_unknown_character_is_named_with_those_allowed():
    message = r"'bÄx' holds the unknown \['x', 'Ä'\]: use \.abc$"
    with pytest.raises(ValueError, match=message):
        Vocab(["abc"]).encode("bÄx")


def test_split_is_the_lectures(names):
    shuffled = list(names)
    random.seed(42)
    random.shuffle(shuffled)
    n1 = int(0.8 * len(names))
    n2 = int(0.9 * len(names))
    assert split_names(names) == {
        "train": shuffled[:n1],
        "val": shuffled[n1:n2],
        "test": shuffled[n2:],
    }


@pytest.mark.parametrize("shares", [(0.8, 0.1), (0.5, 0.25), (0.1, 0.2)])
def test_splits_have_their_shares_and_hold_every_row_once(shares):
    rows = [str(i) for i in range(200)]
    splits = split_names(rows, *shares, seed=7)
    assert [len(splits["train"]) / 200, len(splits["val"]) / 200] == list(shares)
    assert sorted(sum(splits.values(), [])) == sorted(rows)


def test_splitting_leaves_the_list_and_the_global_generator_alone():
    rows = [str(i) for i in range(20)]
    with untouched():
        split_names(rows)
        with pytest.raises(ValueError):
            split_names(rows, 0.9, 0.1)
    assert rows == [str(i) for i in range(20)]


def test_a_seed_changes_who_is_in_a_split_and_not_how_many():
    rows = [str(i) for i in range(20)]
    first = split_names(rows)
    other = split_names(rows, seed=43)
    random.seed(0)
    assert split_names(rows) == split_names(rows, seed=42) == first
    for split in first:
        assert first[split] != other[split]
        assert len(first[split]) == len(other[split])
    assert sorted(sum(other.values(), [])) == sorted(rows)


def test_shares_move_the_cuts_and_not_the_order():
    rows = [str(i) for i in range(20)]
    order = sum(split_names(rows).values(), [])
    splits = split_names(rows, 0.5, 0.2)
    assert sum(splits.values(), []) == order
    assert [len(part) for part in splits.values()] == [10, 4, 6]


@pytest.mark.parametrize(
    "count, shares, empty",
    [
        (1, (0.8, 0.1), "train and val"),
        (3, (0.8, 0.1), "val"),
        (30, (0.9, 0.1), "test"),
    ],
)
def test_a_split_left_empty_is_refused(count, shares, empty):
    message = f"^{count} names leave {empty} empty: give 10 names or more, and shares"
    with pytest.raises(ValueError, match=message):
        split_names(["emma"] * count, *shares)


# ---- Windows -----------------------------------------------------------------------
def test_windows_of_a_tiny_list():
    X, Y = build_dataset(["ab", "b"], Vocab(["ab"]), 3)
    assert X.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [0, 0, 0], [0, 0, 2]]
    assert Y.tolist() == [
        1,
        2,
        0,
        2,
        0,
    ]  # each name's last window predicts the end mark


def test_there_is_a_window_for_each_character_and_each_end(names, vocab):
    X, Y = build_dataset(names, vocab, 1)
    assert len(X) == len(Y) == sum(map(len, names)) + len(names)
    assert (Y == 0).sum() == len(names)


@pytest.mark.parametrize("block_size", [1, 2, 3, 8, 20])
def test_a_window_holds_what_came_before_and_nothing_else(vocab, block_size):
    text = "seraphina"
    X, Y = build_dataset([text], vocab, block_size)
    for i, (x, y) in enumerate(zip(X, Y)):
        past = (END * block_size + text[:i])[-block_size:]
        assert vocab.decode(x.tolist()) == past
        assert vocab.decode([y]) == (text + END)[i]


def test_a_block_size_adds_older_characters_and_changes_nothing_else(names, vocab):
    short, Y = build_dataset(names[:100], vocab, 3)
    long, same = build_dataset(names[:100], vocab, 8)
    assert torch.equal(Y, same)
    assert torch.equal(short, long[:, -3:])


@pytest.mark.parametrize("block_size", [0, -1, 2.5, "8", None])
@pytest.mark.parametrize(
    "use, allowed",
    [
        (lambda size: build_dataset(["ab"], Vocab(["ab"]), size), "1, 2, 3"),
        (lambda size: build_flat(27, size), "1, 2, 3"),
        (lambda size: build_tree(27, size), "2, 4, 8, 16"),
    ],
    ids=["build_dataset", "build_flat", "build_tree"],
)
def test_a_block_size_that_is_no_number_above_zero_is_refused(use, allowed, block_size):
    message = f"block_size is .*{block_size}.*: (choose one of|a tree takes) {allowed}"
    with pytest.raises(ValueError, match=message):
        use(block_size)


@pytest.mark.parametrize("block_size", [1, 6, 12])
def test_a_block_size_that_halving_does_not_bring_to_one_is_refused(block_size):
    message = f"block_size is {block_size}: a tree takes 2, 4, 8, 16"
    with pytest.raises(ValueError, match=message):
        build_tree(27, block_size)
    with pytest.raises(ValueError, match=message):
        check_block_size(block_size, tree=True)
    check_block_size(block_size)  # a flat model takes it


# ---- Layers against torch.nn -------------------------------------------------------
def assert_twins(ours, twin, x, pairs=()):
    """Same output and, for a random loss, same gradients of x and of the parameters."""
    x1 = x.clone().requires_grad_()
    x2 = x.clone().requires_grad_()
    y1 = ours(x1)
    y2 = twin(x2)
    torch.testing.assert_close(y1, y2)
    slope = torch.randn(y1.shape)
    for y in (y1, y2):
        (y * slope).sum().backward()
    torch.testing.assert_close(x1.grad, x2.grad)
    for own, other in pairs:
        expected = other.grad.mT if other.ndim == 2 else other.grad
        torch.testing.assert_close(own.grad, expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 6), (5, 4, 6), (5, 2, 3, 6)])
def test_linear_equals_torch_on_any_leading_dims(shape, bias):
    ours, twin = Linear(6, 7, bias=bias), nn.Linear(6, 7, bias=bias)
    twin.weight.data = ours.weight.data.T.clone()
    pairs = [(ours.weight, twin.weight)]
    if bias:
        twin.bias.data = ours.bias.data.normal_().clone()
        pairs.append((ours.bias, twin.bias))
    assert_twins(ours, twin, torch.randn(shape), pairs)
    assert len(ours.parameters()) == 1 + bias


def test_linear_starts_with_outputs_of_the_scale_of_its_inputs():
    linear = Linear(1000, 400, generator=seeded(0))
    out = linear(torch.randn(400, 1000, generator=seeded(1)))
    assert out.std().item() == pytest.approx(1, rel=0.02)


def test_a_bias_is_zeros_and_changes_no_weight():
    with_bias = Linear(6, 7, generator=seeded(1))
    without = Linear(6, 7, bias=False, generator=seeded(1))
    assert torch.equal(with_bias.weight, without.weight)
    assert torch.equal(with_bias.bias, torch.zeros(7)) and without.bias is None
    assert [repr(with_bias), repr(without)] == [
        "Linear(6, 7)",
        "Linear(6, 7, bias=False)",
    ]


@pytest.mark.parametrize("layer", [partial(Linear, 6, 7), partial(Embedding, 6, 7)])
def test_a_layer_is_drawn_from_its_generator_alone(layer):
    with untouched():
        first = layer(generator=seeded(1)).weight
        other = layer(generator=seeded(2)).weight
    torch.manual_seed(3)
    assert torch.equal(layer(generator=seeded(1)).weight, first)
    assert not torch.equal(other, first)
    torch.manual_seed(1)
    assert torch.equal(layer().weight, first)  # without one, the global generator


def test_embedding_equals_torch():
    ours, x = Embedding(9, 3), torch.randint(9, (5, 4))
    twin = nn.Embedding.from_pretrained(ours.weight.detach().clone(), freeze=False)
    slope = torch.randn(5, 4, 3)
    for layer in (ours, twin):
        (layer(x) * slope).sum().backward()
    assert torch.equal(ours(x), twin(x))
    torch.testing.assert_close(ours.weight.grad, twin.weight.grad)


def test_tanh_equals_torch():
    assert_twins(Tanh(), nn.Tanh(), torch.randn(5, 4, 6))


def test_sequential_equals_torch():
    layers = Linear(3, 4), Tanh()
    assert_twins(
        Sequential(*layers), lambda x: layers[1](layers[0](x)), torch.randn(5, 3)
    )
    assert Sequential(*layers).parameters() == layers[0].parameters()


def channels_second(layer):
    """torch's layer takes (B, C, ...), ours (B, ..., C)."""
    return lambda x: layer(x.movedim(-1, 1)).movedim(1, -1)


@pytest.mark.parametrize("settings", [{}, {"eps": 0.01, "momentum": 0.3}])
@pytest.mark.parametrize(
    "ours, twin, shape",
    [
        (BatchNorm1d, nn.BatchNorm1d, (32, 6)),
        (BatchNorm1d, nn.BatchNorm1d, (16, 4, 6)),
        (BatchNorm1d, nn.BatchNorm2d, (8, 4, 2, 6)),
    ],
)
def test_batchnorm_equals_torch_on_any_leading_dims(ours, twin, shape, settings):
    ours, twin = ours(6, **settings), twin(6, **settings)
    pairs = [(ours.weight, twin.weight), (ours.bias, twin.bias)]
    for own, other in pairs:
        other.data = own.data.normal_().clone()
    for step in range(4):  # batches of different centre and scale
        assert_twins(
            ours, channels_second(twin), torch.randn(shape) * (step + 1) + step, pairs
        )
    torch.testing.assert_close(ours.running_mean.flatten(), twin.running_mean)
    torch.testing.assert_close(ours.running_var.flatten(), twin.running_var)
    ours.eval(), twin.eval()
    before = ours.running_mean.clone()
    assert_twins(ours, channels_second(twin), torch.randn(shape), pairs)
    assert torch.equal(ours.running_mean, before)


def test_batchnorm_divides_by_the_biased_and_stores_the_unbiased_variance():
    norm = BatchNorm1d(6, momentum=1.0)
    x = torch.randn(4, 3, 6)
    variances = norm(x).flatten(0, -2).var(0, unbiased=False)
    torch.testing.assert_close(variances, torch.ones(6), atol=1e-3, rtol=0)
    rows = x.flatten(0, -2)
    torch.testing.assert_close(norm.running_var, rows.var(0, unbiased=True))


def check_momentum_and_eps(norm_class, x):
    """Momentum changes the buffers alone, and eps the output alone."""
    norm = norm_class(6)
    faster = norm_class(6, momentum=0.5)
    softer = norm_class(6, eps=0.5)
    outputs = [layer(x) for layer in (norm, faster, softer)]
    assert torch.equal(outputs[1], outputs[0])
    assert not torch.allclose(outputs[2], outputs[0], atol=0.01)
    for buffer in ("running_mean", "running_var"):
        first = getattr(norm, buffer)
        assert torch.equal(getattr(softer, buffer), first)
        assert not torch.allclose(getattr(faster, buffer), first, atol=0.01)


def test_momentum_changes_the_buffers_and_eps_the_output_alone():
    check_momentum_and_eps(BatchNorm1d, torch.randn(8, 6) + 1)


def test_batchnorm_keeps_one_buffer_value_a_channel_and_updates_it_in_place():
    norm = BatchNorm1d(6)
    kept = norm.running_mean, norm.running_var
    norm(torch.randn(8, 4, 6) + 1)
    assert norm.running_mean is kept[0] and norm.running_var is kept[1]
    assert kept[0].shape == kept[1].shape == (6,)
    assert (kept[0] > 0).all()


def test_buffers_are_not_parameters():
    assert [p.shape for p in BatchNorm1d(6).parameters()] == [(6,), (6,)]
    assert all(p.requires_grad for p in BatchNorm1d(6).parameters())


def test_two_are_fused_as_in_even_beside_odd_positions():
    x = torch.randn(5, 8, 3)
    pairs = torch.cat([x[:, 0::2], x[:, 1::2]], dim=2)  # the older one first
    assert torch.equal(FlattenConsecutive(2)(x), pairs)
    assert torch.equal(
        FlattenConsecutive(2)(x.mT.contiguous().mT), pairs
    )  # another order in memory


@pytest.mark.parametrize(
    "n, shape", [(1, (5, 8, 3)), (2, (5, 4, 6)), (4, (5, 2, 12)), (8, (5, 24))]
)
def test_flattening_keeps_the_order_and_drops_the_middle_when_one_is_left(n, shape):
    x = torch.arange(120).view(5, 8, 3)
    assert torch.equal(FlattenConsecutive(n)(x), x.view(shape))


@pytest.mark.parametrize("n", [3, 16])
def test_a_number_that_does_not_divide_the_positions_is_refused(n):
    message = f"8 positions cannot be grouped by {n}: take a divisor of 8"
    with pytest.raises(ValueError, match=message):
        FlattenConsecutive(n)(torch.randn(5, 8, 3))


def test_mode_reaches_every_layer_inside():
    model = Sequential(Sequential(BatchNorm1d(2)), Tanh())
    inner = model.layers[0].layers[0]
    assert model.eval() is model and not inner.training
    assert model.train() is model and inner.training


# ---- Models ------------------------------------------------------------------------
def flat_count(V, T, E, H):
    return V * E + T * E * H + 2 * H + H * V + V


def tree_count(V, T, E, H):
    levels = T.bit_length() - 1
    return V * E + 2 * E * H + (levels - 1) * 2 * H * H + levels * 2 * H + H * V + V


@pytest.mark.parametrize(
    "variant, formula, count",
    [
        ("flat3", flat_count(27, 3, 10, 200), 12_097),
        ("flat8", flat_count(27, 8, 10, 200), 22_097),
        ("tree_fixed", tree_count(27, 8, 10, 68), 22_397),
        ("tree_large", tree_count(27, 8, 24, 128), 76_579),
    ],
)
def test_models_have_the_lectures_parameter_counts(variant, formula, count):
    assert count_parameters(BUILD[variant](27)) == formula == count


@pytest.mark.parametrize("block_size", [1, 2, 5, 16])
def test_flat_takes_any_block_size(block_size):
    model = build_flat(7, block_size, embedding_dim=3, hidden=4)
    assert model(torch.randint(7, (5, block_size))).shape == (5, 7)
    assert count_parameters(model) == flat_count(7, block_size, 3, 4)


@pytest.mark.parametrize("block_size", [2, 4, 16, 64])
def test_tree_takes_any_power_of_two(block_size):
    model = build_tree(7, block_size, embedding_dim=3, hidden=4)
    assert model(torch.randint(7, (5, block_size))).shape == (5, 7)
    assert count_parameters(model) == tree_count(7, block_size, 3, 4)


@pytest.mark.parametrize("variant", BUILD)
def test_first_loss_is_that_of_a_uniform_guess(variant, vocab, data):
    model = BUILD[variant](len(vocab), generator=seeded(42))
    X, Y = data
    X = X[:, -3:] if variant == "flat3" else X
    loss = F.cross_entropy(model(X), Y).item()
    assert loss == pytest.approx(math.log(len(vocab)), abs=0.02)


@pytest.mark.parametrize("variant", BUILD)
def test_a_model_is_drawn_from_its_generator_alone(variant):
    with untouched():
        first = BUILD[variant](27, generator=seeded(1)).parameters()
        other = BUILD[variant](27, generator=seeded(2)).parameters()
    torch.manual_seed(2)
    assert all_equal(first, BUILD[variant](27, generator=seeded(1)).parameters())
    for one, another in zip(first, other):
        if one.ndim == 2:
            assert not torch.equal(one, another)
    torch.manual_seed(1)
    assert all_equal(first, BUILD[variant](27).parameters())  # the global generator


def shapes_of(model):
    return [tuple(p.shape) for p in model.parameters()]


def test_the_sizes_of_a_model_reach_their_layers_alone():
    flat = [(27, 10), (80, 200), (200,), (200,), (200, 27), (27,)]
    assert shapes_of(build_flat(27, 8)) == flat
    wider = [(27, 10), (80, 9), (9,), (9,), (9, 27), (27,)]
    assert shapes_of(build_flat(27, 8, hidden=9)) == wider
    larger = [(27, 4), (32, 200), (200,), (200,), (200, 27), (27,)]
    assert shapes_of(build_flat(27, 8, embedding_dim=4)) == larger
    level = [(136, 68), (68,), (68,)]
    tree = [(27, 10), (20, 68), (68,), (68,), *level, (68, 27), (27,)]
    assert shapes_of(build_tree(27, 4)) == tree
    tree = [(5, 3), (6, 4), (4,), (4,), (8, 4), (4,), (4,), (4, 5), (5,)]
    assert shapes_of(build_tree(5, 4, embedding_dim=3, hidden=4)) == tree


def test_another_norm_takes_the_place_of_each_batchnorm_and_changes_no_weight():
    class OtherNorm(BatchNorm1d):
        pass

    usual = build_tree(27, generator=seeded(1))
    other = build_tree(27, generator=seeded(1), norm=OtherNorm)
    assert all_equal(usual.parameters(), other.parameters())
    assert repr(usual).replace("BatchNorm1d", "OtherNorm") == repr(other)


# ---- Training ----------------------------------------------------------------------
class Recording(Sequential):
    """A model that records the first number of every window it sees in training."""

    def __init__(self, *layers):
        super().__init__(*layers)
        self.seen = []

    def __call__(self, x):
        self.seen.append(x[:, 0].tolist())
        return super().__call__(x)


def numbered(rows):
    """A model and `rows` windows of one position: window i holds the number i."""
    X = torch.arange(rows)[:, None]
    return Recording(*build_flat(rows, 1, embedding_dim=2, hidden=4).layers), X, X[:, 0]


@pytest.fixture
def optimizer_steps():
    """The groups of each optimizer step: {number of values: (rate, weight decay)}."""
    steps = []

    def record(optimizer, args, kwargs):
        groups = {}
        for group in optimizer.param_groups:
            size = sum(p.numel() for p in group["params"])
            groups[size] = (group["lr"], group["weight_decay"])
        steps.append(groups)

    handle = register_optimizer_step_pre_hook(record)
    yield steps
    handle.remove()


def losses_of(data, config=QUICK, seed=0, **more):
    model = build_tree(27, embedding_dim=4, hidden=16, generator=seeded(1))
    return train(model, *data, config, seed=seed, progress=False, **more).losses


def test_training_repeats_bit_for_bit_with_its_seed_alone(data):
    with untouched(*data):
        first = losses_of(data, seed=3)
        other = losses_of(data, seed=4)
    torch.manual_seed(2)
    assert losses_of(data, seed=3) == first != other


def batches_of(seed):
    model, X, Y = numbered(11)
    config = TrainConfig(steps=6, batch_size=3)
    train(model, X, Y, config, seed=seed, progress=False)
    return model.seen


def test_the_seed_chooses_the_batches_and_the_default_is_0():
    torch.manual_seed(1)
    first = batches_of(seed=1)
    torch.manual_seed(2)
    assert batches_of(seed=1) == first
    assert batches_of(seed=2) != first
    model, X, Y = numbered(11)
    train(model, X, Y, TrainConfig(steps=6, batch_size=3), progress=False)
    assert model.seen == batches_of(seed=0)


def test_a_seed_of_training_orders_batches_and_touches_no_weight(data):
    everything = TrainConfig(steps=1, batch_size=len(data[0]))
    first = losses_of(data, everything, seed=0)
    assert losses_of(data, everything, seed=1) == pytest.approx(first, abs=1e-5)


def test_fit_takes_the_batches_in_their_order_and_no_more_than_its_steps():
    model, X, Y = numbered(6)
    batches = iter([(X[i : i + 2], Y[i : i + 2]) for i in (4, 0, 2, 0)])
    history = fit(model, batches, TrainConfig(steps=3), progress=False)
    assert model.seen == [[4, 5], [0, 1], [2, 3]]
    assert len(history.losses) == 3
    assert len(list(batches)) == 1  # the fourth was left for another


def test_fit_counts_no_loss_where_the_target_is_minus_100():
    model, X, Y = numbered(6)
    logits = copy.deepcopy(model)(X)
    targets = Y.clone()
    targets[3:] = -100
    history = fit(model, [(X, targets)], TrainConfig(steps=1), progress=False)
    expected = F.cross_entropy(logits[:3], Y[:3]).item()
    assert history.losses == pytest.approx([expected])


def test_an_epoch_takes_no_row_twice_and_the_next_is_shuffled_again():
    model, X, Y = numbered(11)
    train(model, X, Y, TrainConfig(steps=6, batch_size=3), progress=False)
    epochs = [sum(model.seen[:3], []), sum(model.seen[3:], [])]
    assert [len(batch) for batch in model.seen] == [3] * 6
    assert [len(set(epoch)) for epoch in epochs] == [9, 9]
    assert sorted(epochs[0]) != epochs[0] != epochs[1]


def test_a_batch_larger_than_the_data_is_the_data():
    model, X, Y = numbered(5)
    train(model, X, Y, TrainConfig(steps=2), progress=False)
    assert [sorted(batch) for batch in model.seen] == [[0, 1, 2, 3, 4]] * 2


def test_learning_rate_peaks_at_the_configs_and_the_embedding_has_its_own(
    data, optimizer_steps
):
    rates = {"lr": 0.004, "weight_decay": 0.07, "embedding_boost": 5.0}
    config = TrainConfig(steps=100, batch_size=32, **rates)
    model = build_tree(27, embedding_dim=4, hidden=16)
    train(model, *data, config, progress=False)
    embedding = 27 * 4
    others = count_parameters(model) - embedding
    rates = [step[others][0] for step in optimizer_steps]
    assert max(rates) == pytest.approx(0.004)
    assert rates[0] < 0.0004 and rates[-1] < 0.0004  # up from nearly 0 and down again
    boosted = [step[embedding][0] for step in optimizer_steps]
    assert boosted == pytest.approx([5 * rate for rate in rates])
    for step in optimizer_steps:
        assert step[others][1] == 0.07
        assert step[embedding][1] == 0.0


@pytest.mark.parametrize("steps", [1, 2, 30])
def test_steps_are_the_number_of_optimizer_steps(data, optimizer_steps, steps):
    assert len(losses_of(data, replace(QUICK, steps=steps))) == steps
    assert len(optimizer_steps) == steps


def test_the_recipes_learning_rate_beats_ten_times_less_and_ten_times_more(data):
    reached = {}
    for factor in (0.1, 1, 10):
        model = build_flat(27, 8, generator=seeded(42))
        config = replace(RECIPE, steps=200, batch_size=128, lr=factor * RECIPE.lr)
        train(model, *data, config, progress=False)
        reached[factor] = evaluate(model, *data)
    assert min(reached, key=reached.get) == 1, reached


@pytest.mark.parametrize("variant", ["flat8", "tree_fixed"])
def test_200_steps_learn_more_than_the_frequencies_of_characters(variant, data):
    X, Y = data
    p = torch.bincount(Y) / len(Y)
    entropy = -torch.xlogy(p, p).sum().item()
    model = BUILD[variant](27, generator=seeded(42))
    train(model, X, Y, TrainConfig(steps=200, batch_size=128), progress=False)
    assert evaluate(model, X, Y) < entropy - 0.3


def test_each_step_follows_the_gradient_of_its_own_batch_alone():
    model, X, Y = numbered(11)
    compared = []

    def compare(optimizer, args, kwargs):
        ix = model.seen[-1]
        parameters = model.parameters()
        own = torch.autograd.grad(F.cross_entropy(model(X[ix]), Y[ix]), parameters)
        torch.testing.assert_close([p.grad for p in parameters], list(own))
        compared.append(ix)

    handle = register_optimizer_step_pre_hook(compare)
    try:
        train(model, X, Y, TrainConfig(steps=6, batch_size=5), progress=False)
    finally:
        handle.remove()
    assert len(compared) == 6


def test_one_step_is_enough_to_ask_for(data):
    assert len(losses_of(data, replace(QUICK, steps=1))) == 1


class FailsAt(Sequential):
    """Raises `error` in the middle of its call number `number`."""

    def __init__(self, *layers, error, number=3):
        super().__init__(*layers)
        self.calls_left = number
        self.error = error

    def __call__(self, x):
        self.calls_left -= 1
        if self.calls_left == 0:
            super().__call__(x)
            raise self.error
        return super().__call__(x)


def failing(model, error, number=3):
    """A model with the layers of `model`, in the same mode."""
    return FailsAt(*model.layers, error=error, number=number).train(model.training)


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, RuntimeError])
def test_training_ends_in_the_mode_it_began_in(model, data, mode, error):
    def on_step(history):
        assert all(modes(model))
        if error and len(history.losses) == 3:
            raise error

    model.train(mode)
    with untouched(*data):
        if error is RuntimeError:
            with pytest.raises(RuntimeError):
                train(model, *data, QUICK, progress=False, on_step=on_step)
        else:
            history = train(model, *data, QUICK, progress=False, on_step=on_step)
            assert len(history.losses) == (3 if error else QUICK.steps)
            assert history.interrupted is (error is KeyboardInterrupt)
            assert history.seconds > 0
    assert modes(model) == [mode] * len(modes(model))


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("progress", [True, False])
def test_an_error_in_the_model_goes_on_and_leaves_its_mode(model, data, mode, progress):
    model = failing(model.train(mode), RuntimeError("broken"))
    with untouched(*data), pytest.raises(RuntimeError, match="broken"):
        train(model, *data, QUICK, progress=progress)
    assert modes(model) == [mode] * len(modes(model))


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("progress", [True, False])
def test_an_interrupt_in_the_model_keeps_what_is_there(model, data, mode, progress):
    model = failing(model.train(mode), KeyboardInterrupt)
    with untouched(*data):
        history = train(model, *data, QUICK, progress=progress)
    assert history.interrupted and len(history.losses) == 2 and history.seconds > 0
    assert modes(model) == [mode] * len(modes(model))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_in_the_batches_leaves_the_mode(model, data, error):
    def batches():
        yield data[0][:64], data[1][:64]
        raise error

    model.eval()
    with untouched(*data):
        try:
            history = fit(model, batches(), QUICK, progress=False)
            assert history.interrupted and len(history.losses) == 1
        except RuntimeError:
            assert error is RuntimeError
    assert not any(modes(model))


def test_neither_progress_nor_on_step_changes_what_is_learned(data, capsys):
    seen = []
    plain = losses_of(data)
    watched = losses_of(data, on_step=lambda history: seen.append(history.losses[-1]))
    model = build_tree(27, embedding_dim=4, hidden=16, generator=seeded(1))
    assert train(model, *data, QUICK).losses == watched == seen == plain
    assert capsys.readouterr().out


def test_training_stops_when_on_step_returns_true(data):
    full = losses_of(data)
    assert losses_of(data, on_step=lambda history: len(history.losses) == 5) == full[:5]


def test_progress_bar_ends_with_the_loss_and_the_steps(model, data, capsys):
    history = train(model, *data, QUICK)
    mean = sum(history.losses) / len(history.losses)
    out, err = capsys.readouterr()
    last = out.rstrip().split("\r")[-1]
    assert last.startswith(f"loss {mean:.3f}") and last.endswith("| 20/20 steps")
    assert not err
    train(model, *data, QUICK, progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"steps": 0}, "steps is 0: give a whole number, 1 or more"),
        ({"batch_size": 1}, "batch_size is 1: give a whole number, 2 or more"),
        ({"lr": 0.0}, "lr is 0.0: give a number above 0"),
        ({"lr": -0.1}, "lr is -0.1: give a number above 0"),
    ],
)
def test_a_config_that_cannot_train_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**wrong)


# ---- Evaluation --------------------------------------------------------------------
@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("batch_size", [1000, 4096, 10**6])
def test_evaluation_is_one_big_batch_in_eval_mode(model, data, batch_size, mode):
    X, Y = data
    expected = F.cross_entropy(model.eval()(X), Y).item()
    model.train(mode)
    before = buffers(model)
    with untouched(X, Y):
        loss = evaluate(model, X, Y, batch_size=batch_size)
    assert loss == pytest.approx(expected, abs=1e-5)
    assert all_equal(buffers(model), before)
    assert modes(model) == [mode] * len(modes(model))


def test_the_batch_size_of_an_evaluation_is_that_of_its_batches():
    model, X, Y = numbered(10)
    evaluate(model, X, Y, batch_size=4)
    assert [len(batch) for batch in model.seen] == [4, 4, 2]


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("grad", [True, False])
def test_eval_mode_ends_with_the_old_mode_even_after_an_error(model, mode, error, grad):
    model.train(mode)
    with torch.set_grad_enabled(grad), untouched():
        with pytest.raises(error), eval_mode(model) as same:
            assert same is model
            assert not any(modes(model)) and not torch.is_grad_enabled()
            raise error
        assert torch.is_grad_enabled() is grad
    assert modes(model) == [mode] * len(modes(model))


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_in_an_evaluation_goes_on_and_leaves_its_mode(
    model, data, mode, error
):
    model = failing(model.train(mode), error)
    before = buffers(model)
    with untouched(*data), pytest.raises(error):
        evaluate(model, *data, batch_size=1000)
    assert modes(model) == [mode] * len(modes(model))
    assert all_equal(buffers(model), before)


# ---- Sampling ----------------------------------------------------------------------
class Repeats(Layer):
    """Any first character; character number i comes i times: a, bb or ccc."""

    vocab = Vocab(["abc"])

    def __call__(self, x):
        last = x[:, -1]
        count = (x == last[:, None]).sum(1)
        logits = 1000.0 * F.one_hot(torch.where(count < last, last, 0), len(self.vocab))
        logits[last == 0] = torch.tensor([-1000.0, 0, 0, 0])
        return logits


class Endless(Layer):
    """Never the end mark."""

    def __call__(self, x):
        return torch.tensor([-1000.0, 0, 0, 0]).repeat(len(x), 1)


def test_each_name_ends_at_its_own_end_mark():
    drawn = sample(Repeats(), Repeats.vocab, 3, n=50, generator=seeded(0))
    assert len(drawn) == 50 and set(drawn) == {"a", "bb", "ccc"}


@pytest.mark.parametrize(
    "prompt, name",
    [("a", "a"), ("c", "ccc"), ("cc", "ccc"), ("cba", "cba"), ("ab", "abb")],
)
def test_a_prompt_is_continued(prompt, name):
    assert sample(Repeats(), Repeats.vocab, 3, n=2, prompt=prompt) == [name, name]


@pytest.mark.parametrize("prompt", ["", "ab"])
def test_a_name_without_an_end_is_cut(prompt):
    (drawn,) = sample(Endless(), Repeats.vocab, 3, n=1, prompt=prompt, max_length=7)
    assert len(drawn) == 7 and drawn.startswith(prompt)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("prompt", ["", "jo"])
def test_characters_are_as_frequent_as_the_model_says(
    model, vocab, prompt, temperature
):
    n = 20_000
    context = ([0] * 8 + vocab.encode(prompt))[-8:]
    with eval_mode(model):
        p = (model(torch.tensor([context]))[0] / temperature).softmax(0)
    length = len(prompt) + 1
    options = {"prompt": prompt, "temperature": temperature, "max_length": length}
    drawn = sample(model, vocab, 8, n, **options, generator=seeded(5))
    counts = Counter(name[len(prompt) :] or END for name in drawn)
    seen = torch.tensor([counts[character] for character in vocab.itos]) / n
    assert ((seen - p).abs() < 5 * (p * (1 - p) / n).sqrt() + 1e-3).all()


def test_samples_repeat_with_their_generator_alone(model, vocab):
    def draw(generator=None):
        return sample(model, vocab, 8, n=20, generator=generator)

    with untouched():
        first = draw(seeded(1))
        other = draw(seeded(2))
    torch.manual_seed(2)
    assert draw(seeded(1)) == first != other
    torch.manual_seed(1)
    assert draw() == first  # without one, the global generator


def test_max_length_cuts_the_names_and_changes_nothing_else(model, vocab):
    long = sample(model, vocab, 8, n=20, generator=seeded(1))
    short = sample(model, vocab, 8, n=20, max_length=3, generator=seeded(1))
    assert max(map(len, long)) > 3
    assert short == [name[:3] for name in long]


def test_no_temperature_is_a_temperature_of_1_and_a_low_one_takes_the_likeliest(
    model, vocab
):
    first = sample(model, vocab, 8, n=20, generator=seeded(1))
    assert sample(model, vocab, 8, 20, temperature=1.0, generator=seeded(1)) == first
    assert len(set(first)) > 10
    likeliest = sample(model, vocab, 8, 20, temperature=1e-4, generator=seeded(1))
    assert len(set(likeliest)) == 1


@pytest.mark.parametrize("mode", [True, False])
def test_sampling_changes_nothing_in_the_model(model, vocab, mode):
    model.train(mode)
    before = buffers(model)
    with untouched():
        sample(model, vocab, 8, generator=seeded(1))
    assert all_equal(buffers(model), before)
    assert modes(model) == [mode] * len(modes(model))


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_in_sampling_goes_on_and_leaves_the_mode(model, vocab, mode, error):
    model = failing(model.train(mode), error)
    before = buffers(model)
    with untouched(), pytest.raises(error):
        sample(model, vocab, 8, generator=seeded(1))
    assert modes(model) == [mode] * len(modes(model))
    assert all_equal(buffers(model), before)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"temperature": 0}, "temperature is 0: give a number 0.0001 or more"),
        ({"temperature": -1.0}, "temperature is -1.0: give a number 0.0001 or more"),
        ({"n": 0}, "n is 0: give a whole number, 1 or more"),
        ({"prompt": "a.b"}, r"'a\.b' holds the end mark '\.': take it out"),
        ({"prompt": "aé"}, r"'aé' holds the unknown \['é'\]: use \.abc"),
        (
            {"prompt": "abc", "max_length": 3},
            "max_length=3 leaves no room .*: raise it",
        ),
    ],
)
def test_a_request_that_cannot_be_sampled_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        sample(Repeats(), Repeats.vocab, 3, **wrong)


def test_another_alphabet_works_from_file_to_samples(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\n".join(["zoé", "weiß", "жанна", "йосип"] * 10), encoding="utf-8")
    names = load_names(path)
    vocab = Vocab(names)
    block_size = 4
    X, Y = build_dataset(split_names(names)["train"], vocab, block_size)
    model = build_tree(len(vocab), block_size, generator=seeded(1))
    train(model, X, Y, TrainConfig(steps=60, batch_size=32), progress=False)
    drawn = sample(model, vocab, block_size, n=50, prompt="ж", generator=seeded(1))
    assert Counter(drawn).most_common(1)[0][0] == "жанна"
    characters = set("".join(sample(model, vocab, block_size, n=50)))
    assert characters <= set("zoéweißжаннайосип")


# ---- Inspection and curves ---------------------------------------------------------
@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 25])
def test_smoothing_takes_any_number_of_losses(length):
    losses = [float(i * i) for i in range(length)]
    parts = [losses[i : i + 10] for i in range(0, length, 10)]
    smoothed = smooth(losses, window=10)
    assert smoothed.tolist() == pytest.approx([sum(part) / len(part) for part in parts])
    assert smoothed.index.tolist() == [10 * i + 5 for i in range(len(parts))]
    assert losses == [float(i * i) for i in range(length)]


def test_smoothing_takes_100_losses_together_unless_told_otherwise():
    losses = list(range(1000))
    assert smooth(losses).equals(smooth(losses, window=100))
    assert len(smooth(losses)) == 10


def test_only_what_is_trained_counts_as_a_parameter():
    linear = Linear(2, 3)
    assert count_parameters(linear) == 9
    linear.weight.requires_grad_(False)
    assert count_parameters(linear) == 3
    assert (
        count_parameters(Sequential(linear, Sequential(BatchNorm1d(4)), Tanh())) == 11
    )

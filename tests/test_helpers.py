"""helpers.py: what its parts promise, as far as the notebooks do not show it."""

import math
import random
from collections import Counter
from dataclasses import replace

import matplotlib
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

import helpers
from helpers import (
    END,
    RECIPE,
    ROWS,
    BatchNorm1d,
    BatchNormOverBatch,
    Embedding,
    FlattenConsecutive,
    History,
    Layer,
    Linear,
    Sequential,
    Tanh,
    TrainConfig,
    Vocab,
    build_dataset,
    build_flat,
    build_tree,
    count_parameters,
    eval_mode,
    evaluate,
    load_names,
    plot_losses,
    sample,
    smooth,
    split_names,
    summary,
    train,
)

matplotlib.use("Agg")  # no window, whatever the machine
torch.set_num_threads(1)  # such small models gain nothing from more, and lose much on a busy machine

QUICK = TrainConfig(steps=20, batch_size=64)


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
    """A small tree after some steps: its running statistics are no longer those of the start."""
    model = build_tree(len(vocab), embedding_dim=4, hidden=16, generator=seeded(1))
    train(model, *data, QUICK, progress=False)
    return model


def seeded(seed):
    return Generator().manual_seed(seed)


def buffers(model):
    """Copies of all running statistics."""
    norms = [layer for layer in model.layers if isinstance(layer, BatchNorm1d)]
    return [buffer.clone() for norm in norms for buffer in (norm.running_mean, norm.running_var)]


def modes(model):
    return [model.training, *(layer.training for layer in model.layers)]


def all_equal(tensors, others):
    return all(torch.equal(a, b) for a, b in zip(tensors, others, strict=True))


# ---- Names, vocabulary, splits -------------------------------------------------------------------
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
    with pytest.raises(ValueError, match=r"names\.txt holds no name: put one name on each line"):
        load_names(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no names file at .*nowhere\.txt: give a UTF-8 text file"):
        load_names(tmp_path / "nowhere.txt")


def test_vocabulary_numbers_the_characters_in_order_after_the_end_mark():
    assert Vocab(["cab", "bad"]).itos == [END, "a", "b", "c", "d"]


def test_decode_undoes_encode(names, vocab):
    assert vocab.decode(vocab.encode("".join(names))) == "".join(names)


def test_a_name_that_holds_the_end_mark_is_refused():
    with pytest.raises(ValueError, match=r"the name 'st\.john' holds the end mark '\.': take it out"):
        Vocab(["emma", "st.john"])


def test_an_unknown_character_is_named_with_those_allowed():
    with pytest.raises(ValueError, match=r"'bÄx' holds the unknown \['x', 'Ä'\]: allowed are \.abc$"):
        Vocab(["abc"]).encode("bÄx")


def test_split_is_the_lectures(names):
    shuffled = list(names)
    random.seed(42)
    random.shuffle(shuffled)
    n1, n2 = int(0.8 * len(names)), int(0.9 * len(names))
    assert split_names(names) == {"train": shuffled[:n1], "val": shuffled[n1:n2], "test": shuffled[n2:]}


@pytest.mark.parametrize("shares", [(0.8, 0.1), (0.5, 0.25), (0.1, 0.2)])
def test_splits_have_their_shares_and_hold_every_row_once(shares):
    rows = [str(i) for i in range(200)]
    splits = split_names(rows, *shares, seed=7)
    assert [len(splits["train"]) / 200, len(splits["val"]) / 200] == list(shares)
    assert sorted(sum(splits.values(), [])) == sorted(rows)


def test_splitting_leaves_the_list_and_the_global_generator_alone():
    rows, state = [str(i) for i in range(20)], random.getstate()
    assert split_names(rows) == split_names(rows) != split_names(rows, seed=43)
    assert rows == [str(i) for i in range(20)]
    assert random.getstate() == state


@pytest.mark.parametrize(
    "count, shares, empty",
    [(0, (0.8, 0.1), "train and val and test"), (3, (0.8, 0.1), "val"), (30, (0.9, 0.1), "test")],
)
def test_a_split_left_empty_is_refused(count, shares, empty):
    with pytest.raises(ValueError, match=f"^{count} names leave {empty} empty: give 10 or more, shares"):
        split_names(["emma"] * count, *shares)


# ---- Windows -------------------------------------------------------------------------------------
def test_windows_of_a_tiny_list():
    X, Y = build_dataset(["ab", "b"], Vocab(["ab"]), 3)
    assert X.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [0, 0, 0], [0, 0, 2]]
    assert Y.tolist() == [1, 2, 0, 2, 0]  # each name's last window predicts the end mark


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
        assert (vocab.decode(x.tolist()), vocab.decode([y])) == (past, (text + END)[i])


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
    with pytest.raises(ValueError, match=f"block_size is .*{block_size}.*: choose one of {allowed}"):
        use(block_size)


@pytest.mark.parametrize("block_size", [1, 6, 12])
def test_a_block_size_that_halving_does_not_bring_to_one_is_refused(block_size):
    with pytest.raises(ValueError, match=f"block_size is {block_size}: choose one of 2, 4, 8, 16"):
        build_tree(27, block_size)


# ---- Layers against torch.nn ---------------------------------------------------------------------
def assert_twins(ours, twin, x, pairs=()):
    """Same output and, for a random loss, same gradients of x and of each pair of parameters."""
    x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
    y1, y2 = ours(x1), twin(x2)
    torch.testing.assert_close(y1, y2)
    slope = torch.randn(y1.shape)
    for y in (y1, y2):
        (y * slope).sum().backward()
    torch.testing.assert_close(x1.grad, x2.grad)
    for own, other in pairs:
        torch.testing.assert_close(own.grad, other.grad.mT if other.ndim == 2 else other.grad)


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
    out = Linear(1000, 400, generator=seeded(0))(torch.randn(400, 1000, generator=seeded(1)))
    assert out.std().item() == pytest.approx(1, rel=0.02)


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
    assert_twins(Sequential(*layers), lambda x: layers[1](layers[0](x)), torch.randn(5, 3))
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
        (BatchNormOverBatch, nn.BatchNorm1d, (32, 6)),
    ],
)
def test_batchnorm_equals_torch_on_any_leading_dims(ours, twin, shape, settings):
    ours, twin = ours(6, **settings), twin(6, **settings)
    pairs = [(ours.weight, twin.weight), (ours.bias, twin.bias)]
    for own, other in pairs:
        other.data = own.data.normal_().clone()
    for step in range(4):  # batches of different centre and scale
        assert_twins(ours, channels_second(twin), torch.randn(shape) * (step + 1) + step, pairs)
    torch.testing.assert_close(ours.running_mean.flatten(), twin.running_mean)
    torch.testing.assert_close(ours.running_var.flatten(), twin.running_var)
    ours.eval(), twin.eval()
    before = ours.running_mean.clone()
    assert_twins(ours, channels_second(twin), torch.randn(shape), pairs)
    assert torch.equal(ours.running_mean, before)


@pytest.mark.parametrize("norm, shape", [(BatchNorm1d, (4, 3, 6)), (BatchNormOverBatch, (12, 6))])
def test_batchnorm_divides_by_the_biased_and_stores_the_unbiased_variance(norm, shape):
    norm, x = norm(6, momentum=1.0), torch.randn(shape)
    rows = x.flatten(0, -2)
    torch.testing.assert_close(
        norm(x).flatten(0, -2).var(0, unbiased=False), torch.ones(6), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(norm.running_var.flatten(), rows.var(0, unbiased=True))


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


def test_batchnorm_over_the_batch_alone_keeps_a_buffer_for_each_slot():
    norm = BatchNormOverBatch(6)
    norm(torch.randn(8, 4, 6))
    assert norm.running_mean.shape == norm.running_var.shape == (1, 4, 6)  # the lecture's bug


def test_two_are_fused_as_in_even_beside_odd_positions():
    x = torch.randn(5, 8, 3)
    pairs = torch.cat([x[:, 0::2], x[:, 1::2]], dim=2)  # the older one first
    assert torch.equal(FlattenConsecutive(2)(x), pairs)
    assert torch.equal(FlattenConsecutive(2)(x.mT.contiguous().mT), pairs)  # another order in memory


@pytest.mark.parametrize("n, shape", [(1, (5, 8, 3)), (2, (5, 4, 6)), (4, (5, 2, 12)), (8, (5, 24))])
def test_flattening_keeps_the_order_and_drops_the_middle_when_one_is_left(n, shape):
    x = torch.arange(120).view(5, 8, 3)
    assert torch.equal(FlattenConsecutive(n)(x), x.view(shape))


@pytest.mark.parametrize("n", [0, -2, 3, 16])
def test_a_number_that_does_not_divide_the_positions_is_refused(n):
    with pytest.raises(ValueError, match=f"8 positions cannot be put together by {n}: take a divisor of 8"):
        FlattenConsecutive(n)(torch.randn(5, 8, 3))


def test_mode_reaches_every_layer_inside():
    model = Sequential(Sequential(BatchNorm1d(2)), Tanh())
    inner = model.layers[0].layers[0]
    assert model.eval() is model and not inner.training
    assert model.train() is model and inner.training


# ---- Models --------------------------------------------------------------------------------------
def flat_count(V, T, E, H):
    return V * E + T * E * H + 2 * H + H * V + V


def tree_count(V, T, E, H):
    levels = T.bit_length() - 1
    return V * E + 2 * E * H + (levels - 1) * 2 * H * H + levels * 2 * H + H * V + V


@pytest.mark.parametrize(
    "row, formula, count",
    [
        ("flat3", flat_count(27, 3, 10, 200), 12_097),
        ("flat8", flat_count(27, 8, 10, 200), 22_097),
        ("tree", tree_count(27, 8, 10, 68), 22_397),
        ("tree_fixed", tree_count(27, 8, 10, 68), 22_397),
        ("tree_large", tree_count(27, 8, 24, 128), 76_579),
    ],
)
def test_rows_have_the_lectures_parameter_counts(row, formula, count):
    assert count_parameters(ROWS[row].build(27)) == formula == count


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


@pytest.mark.parametrize("row", ROWS)
def test_first_loss_is_that_of_a_uniform_guess(row, vocab, data):
    model, (X, Y) = ROWS[row].build(len(vocab), generator=seeded(42)), data
    X = X[:, -3:] if row == "flat3" else X
    assert F.cross_entropy(model(X), Y).item() == pytest.approx(math.log(len(vocab)), abs=0.02)


@pytest.mark.parametrize("row", ROWS)
def test_a_model_is_drawn_from_its_generator_alone(row):
    def weights(seed, global_seed):
        torch.manual_seed(global_seed)
        return ROWS[row].build(27, generator=seeded(seed)).parameters()

    first, other = weights(1, global_seed=1), weights(2, global_seed=1)
    assert all_equal(first, weights(1, global_seed=2))
    matrices = [(a, b) for a, b in zip(first, other) if a.ndim == 2]
    assert not any(torch.equal(a, b) for a, b in matrices)


# ---- Training ------------------------------------------------------------------------------------
class Recording(Sequential):
    """A model that writes down the first character number of every window it sees in training."""

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
    """Of each optimizer step taken, its groups as {number of values: (learning rate, weight decay)}."""
    steps = []

    def record(optimizer, args, kwargs):
        groups = optimizer.param_groups
        steps.append({sum(p.numel() for p in g["params"]): (g["lr"], g["weight_decay"]) for g in groups})

    handle = register_optimizer_step_pre_hook(record)
    yield steps
    handle.remove()


def losses_of(data, config=QUICK, seed=0, **more):
    model = build_tree(27, embedding_dim=4, hidden=16, generator=seeded(1))
    return train(model, *data, config, seed=seed, progress=False, **more).losses


def test_training_repeats_bit_for_bit_with_its_seed_alone(data):
    torch.manual_seed(1)
    first = losses_of(data, seed=3)
    torch.manual_seed(2)
    assert losses_of(data, seed=3) == first
    assert losses_of(data, seed=4) != first


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


def test_learning_rate_peaks_at_the_configs_and_the_embedding_has_its_own(data, optimizer_steps):
    config = TrainConfig(steps=100, batch_size=32, lr=0.004, weight_decay=0.07, embedding_boost=5.0)
    model = build_tree(27, embedding_dim=4, hidden=16)
    train(model, *data, config, progress=False)
    embedding = 27 * 4
    others = count_parameters(model) - embedding
    rates = {group: [step[group][0] for step in optimizer_steps] for group in (others, embedding)}
    assert max(rates[others]) == pytest.approx(0.004)
    assert max(rates[embedding]) == pytest.approx(0.02)
    assert rates[others][0] < 0.0004 and rates[others][-1] < 0.0004  # up from nearly 0 and down again
    decays = {(group, step[group][1]) for step in optimizer_steps for group in step}
    assert decays == {(others, 0.07), (embedding, 0.0)}


def test_the_recipes_learning_rate_beats_ten_times_less_and_ten_times_more(data):
    reached = {}
    for factor in (0.1, 1, 10):
        model = build_flat(27, 8, generator=seeded(42))
        config = replace(RECIPE, steps=200, batch_size=128, lr=factor * RECIPE.lr)
        train(model, *data, config, progress=False)
        reached[factor] = evaluate(model, *data)
    assert min(reached, key=reached.get) == 1, reached


@pytest.mark.parametrize("row", ["flat8", "tree", "tree_fixed"])
def test_some_hundred_steps_learn_more_than_how_frequent_letters_are(row, data):
    X, Y = data
    p = torch.bincount(Y) / len(Y)
    entropy = -torch.xlogy(p, p).sum().item()
    model = ROWS[row].build(27, generator=seeded(42))
    train(model, X, Y, TrainConfig(steps=200, batch_size=128), progress=False)
    assert evaluate(model, X, Y) < entropy - 0.3


def test_each_step_follows_the_gradient_of_its_own_batch_alone():
    model, X, Y = numbered(11)
    compared = []

    def compare(optimizer, args, kwargs):
        ix, parameters = model.seen[-1], model.parameters()
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


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, RuntimeError])
def test_training_ends_in_the_mode_it_began_in(model, data, mode, error):
    def on_step(history):
        assert all(modes(model))
        if error and len(history.losses) == 3:
            raise error

    model.train(mode)
    if error is RuntimeError:
        with pytest.raises(RuntimeError):
            train(model, *data, QUICK, progress=False, on_step=on_step)
    else:
        history = train(model, *data, QUICK, progress=False, on_step=on_step)
        assert len(history.losses) == (3 if error else QUICK.steps)
        assert history.seconds > 0
    assert modes(model) == [mode] * len(modes(model))


def test_training_stops_when_on_step_returns_true(data):
    full = losses_of(data)
    assert losses_of(data, on_step=lambda history: len(history.losses) == 5) == full[:5]


def test_progress_bar_ends_with_the_loss_and_the_steps(model, data, capsys):
    history = train(model, *data, QUICK)
    mean = sum(history.losses) / len(history.losses)
    out, err = capsys.readouterr()
    last = out.rstrip().split("\r")[-1]
    assert last.startswith(f"loss {mean:.3f}") and last.endswith("| 20/20 steps") and not err
    train(model, *data, QUICK, progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 1}, {"lr": 0.0}, {"lr": -0.1}])
def test_a_config_that_cannot_train_is_refused(wrong):
    (key,) = wrong
    with pytest.raises(
        ValueError, match=rf"{key}=.*: steps take 1 or more, batch_size 2 or more, lr a value"
    ):
        TrainConfig(**wrong)


# ---- Evaluation ----------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("batch_size", [1000, 4096, 10**6])
def test_evaluation_is_one_big_batch_in_eval_mode(model, data, batch_size, mode):
    X, Y = data
    for layer in model.layers:
        layer.training = False
    expected = F.cross_entropy(model(X), Y).item()
    model.train(mode)
    before = buffers(model)
    assert evaluate(model, X, Y, batch_size) == pytest.approx(expected, abs=1e-5)
    assert all_equal(buffers(model), before)
    assert modes(model) == [mode] * len(modes(model))


@pytest.mark.parametrize("mode", [True, False])
def test_eval_mode_ends_with_the_old_mode_even_after_an_error(model, mode):
    model.train(mode)
    with pytest.raises(RuntimeError), eval_mode(model):
        assert not any(modes(model)) and not torch.is_grad_enabled()
        raise RuntimeError
    assert modes(model) == [mode] * len(modes(model)) and torch.is_grad_enabled()


# ---- Sampling ------------------------------------------------------------------------------------
class Repeats(Layer):
    """Any first letter; letter number i then stands i times: a, bb or ccc."""

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
    "prompt, name", [("a", "a"), ("c", "ccc"), ("cc", "ccc"), ("cba", "cba"), ("ab", "abb")]
)
def test_a_prompt_is_continued(prompt, name):
    assert sample(Repeats(), Repeats.vocab, 3, n=2, prompt=prompt) == [name, name]


@pytest.mark.parametrize("prompt", ["", "ab"])
def test_a_name_without_an_end_is_cut(prompt):
    (drawn,) = sample(Endless(), Repeats.vocab, 3, n=1, prompt=prompt, max_length=7)
    assert len(drawn) == 7 and drawn.startswith(prompt)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("prompt", ["", "jo"])
def test_first_letters_are_as_frequent_as_the_model_says(model, vocab, prompt, temperature):
    n, context = 20_000, ([0] * 8 + vocab.encode(prompt))[-8:]
    with eval_mode(model):
        p = (model(torch.tensor([context]))[0] / temperature).softmax(0)
    length = len(prompt) + 1
    drawn = sample(model, vocab, 8, n, prompt, temperature, max_length=length, generator=seeded(5))
    letters = Counter(name[len(prompt) :] or END for name in drawn)
    seen = torch.tensor([letters[letter] for letter in vocab.itos]) / n
    assert ((seen - p).abs() < 5 * (p * (1 - p) / n).sqrt() + 1e-3).all()


def test_samples_repeat_with_their_generator_alone(model, vocab):
    def draw(seed, global_seed):
        torch.manual_seed(global_seed)
        return sample(model, vocab, 8, n=20, generator=seeded(seed))

    assert draw(1, global_seed=1) == draw(1, global_seed=2) != draw(2, global_seed=1)


@pytest.mark.parametrize("mode", [True, False])
def test_sampling_changes_nothing_in_the_model(model, vocab, mode):
    model.train(mode)
    before = buffers(model)
    sample(model, vocab, 8)
    assert all_equal(buffers(model), before)
    assert modes(model) == [mode] * len(modes(model))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"temperature": 0}, "temperature=0, .*: .*temperature above 0"),
        ({"temperature": -1.0}, "temperature=-1.0, .*: .*temperature above 0"),
        ({"n": 0}, "n=0, .*: .*n.* above 0"),
        ({"prompt": "a.b"}, r"prompt='a\.b': .* no \. in prompt"),
        ({"prompt": "aé"}, r"'aé' holds the unknown \['é'\]: allowed are \.abc"),
    ],
)
def test_a_request_that_cannot_be_sampled_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        sample(Repeats(), Repeats.vocab, 3, **wrong)


def test_another_alphabet_works_from_file_to_samples(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\n".join(["zoé", "weiß", "жанна", "йосип"] * 10), encoding="utf-8")
    names = load_names(path)
    vocab, block_size = Vocab(names), 4
    X, Y = build_dataset(split_names(names)["train"], vocab, block_size)
    model = build_tree(len(vocab), block_size, generator=seeded(1))
    train(model, X, Y, TrainConfig(steps=60, batch_size=32), progress=False)
    drawn = sample(model, vocab, block_size, n=50, prompt="ж", generator=seeded(1))
    assert Counter(drawn).most_common(1)[0][0] == "жанна"
    assert set("".join(sample(model, vocab, block_size, n=50))) <= set("zoéweißжаннайосип")


# ---- Inspection and figures ----------------------------------------------------------------------
def test_summary_lists_shapes_and_parameters(data):
    table = summary(build_tree(27, generator=seeded(1)), data[0][:32])
    assert [shape for shape in table["output shape"] if shape[-1] != 68] == [
        (32, 8, 10),
        (32, 4, 20),
        (32, 2, 136),
        (32, 136),
        (32, 27),
    ]
    assert table["parameters"].sum() == table["total"].iloc[-1] == 22_397
    assert table["layer"].iloc[0] == "Embedding(27, 10)"


@pytest.mark.parametrize("mode", [True, False])
def test_summary_changes_nothing_in_the_model(model, data, mode):
    model.train(mode)
    before = buffers(model)
    summary(model, data[0][:1])  # a batch of one, which BatchNorm could not train on
    assert all_equal(buffers(model), before)
    assert modes(model) == [mode] * len(modes(model))


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 25])
def test_smoothing_takes_any_number_of_losses(length):
    losses = [float(i * i) for i in range(length)]
    parts = [losses[i : i + 10] for i in range(0, length, 10)]
    smoothed = smooth(losses, window=10)
    assert smoothed.tolist() == pytest.approx([sum(part) / len(part) for part in parts])
    assert smoothed.index.tolist() == [10 * i + 5 for i in range(len(parts))]


def test_loss_figure_names_its_axes_and_each_model_once():
    histories = {name: History([3.0, 2.0, 1.5]) for name in ["flat3", "tree", "another"]}
    ax = plot_losses(histories | {"interrupted at once": History()}, window=2)
    assert ax.get_xlabel() == "step" and ax.get_ylabel() == "loss, nats per character"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [*histories, "interrupted at once"]
    assert plot_losses(histories, ax=ax) is ax
    helpers.plt.close(ax.figure)

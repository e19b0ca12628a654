"""course.checks, texts and fitting: what they let pass, and what comes out of them.

What they refuse, and in which words, is in test_hostile.py.
"""

import json
import math
import unicodedata
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Generator

import helpers
from course import texts
from course.checks import (
    LARGEST_SEED,
    check_block_size,
    check_bool,
    check_choice,
    check_integer,
    check_number,
    checked,
    whole,
)
from course.fitting import try_out
from course.runs import BatchNormPerPosition, RunConfig
from helpers import (
    END,
    BatchNorm1d,
    TrainConfig,
    Vocab,
    build_dataset,
    build_flat,
    build_tree,
    evaluate,
    fit,
    load_names,
    sample,
    smooth,
    split_names,
    train,
)

torch.set_num_threads(1)
QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,  # the same examples each time
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

NUMPY_INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint64, np.intp]
NO_NUMBERS = st.one_of(
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.complex_numbers(),
    st.sampled_from([np.bool_(True), np.arange(2), torch.tensor(True), int, object()]),
)


# ---- Numbers -----------------------------------------------------------------------
@QUICK
@given(st.integers(), st.integers(), st.integers())
def test_an_integer_passes_if_and_only_if_it_is_within(value, least, most):
    if least <= value <= most:
        assert check_integer("n", value, least=least, most=most) == value
    else:
        with pytest.raises(ValueError, match="^n is .*: give a whole number, "):
            check_integer("n", value, least=least, most=most)


@pytest.mark.parametrize("kind", NUMPY_INTEGERS)
def test_an_integer_of_numpy_becomes_one_of_python(kind):
    found = check_integer("n", kind(100), least=1)
    assert type(found) is int and found == 100
    assert type(check_number("n", kind(100))) is int


@QUICK
@given(st.floats(allow_nan=True) | NO_NUMBERS)
def test_nothing_else_is_an_integer(value):
    with pytest.raises(ValueError, match="^n is .*: give a whole number"):
        check_integer("n", value)


@QUICK
@given(st.floats() | st.integers() | st.fractions(), st.floats(0, 10), st.floats(0, 10))
def test_a_number_passes_if_and_only_if_it_is_finite_and_within(value, above, most):
    fits = math.isfinite(value) if isinstance(value, float) else True
    if fits and above < value <= most:
        found = check_number("lr", value, above=above, most=most)
        assert found == pytest.approx(float(value)) and type(found) in (int, float)
    else:
        with pytest.raises(ValueError, match="^lr is .*: give a number above "):
            check_number("lr", value, above=above, most=most)


@QUICK
@given(NO_NUMBERS)
def test_nothing_else_is_a_number(value):
    with pytest.raises(ValueError, match="^lr is .*: give a number"):
        check_number("lr", value)


@pytest.mark.parametrize("value", [math.nan, np.nan, np.float32("nan"), math.inf])
@pytest.mark.parametrize("within", [{}, {"least": 0}, {"above": 0}, {"below": 1}])
def test_nan_and_infinity_pass_nowhere(value, within):
    with pytest.raises(ValueError, match="give a number"):
        check_number("lr", value, **within)


@pytest.mark.parametrize(
    "value", [0.5, np.float32(0.5), np.float64(0.5), Fraction(1, 2)]
)
def test_a_number_becomes_one_of_python(value):
    found = check_number("lr", value)
    assert type(found) is float and found == 0.5


def test_an_int_stays_an_int_for_what_is_stored_is_known_by_its_config():
    assert type(check_number("lr", 1)) is int
    assert asdict(TrainConfig(lr=1, embedding_boost=3))["embedding_boost"] == 3


def test_true_and_false_are_those_of_numpy_too_and_no_numbers():
    assert check_bool("bias", np.True_) is True and check_bool("bias", False) is False
    for value in (0, 1, "True", None, np.int64(1)):
        with pytest.raises(ValueError, match="bias is .*: give True or False"):
            check_bool("bias", value)


@QUICK
@given(st.text(max_size=4) | st.integers() | st.none() | st.floats())
def test_a_choice_is_one_of_them(value):
    assert check_choice("gate", "tanh", choices=("tanh", "glu")) == "tanh"
    assume(value not in ("tanh", "glu"))
    with pytest.raises(ValueError, match="^gate is .*: choose one of 'tanh', 'glu'$"):
        check_choice("gate", value, choices=("tanh", "glu"))


@QUICK
@given(st.integers(-5, 2**21))
def test_a_tree_takes_powers_of_two_and_a_flat_model_all_sizes(size):
    for tree in (True, False):
        allowed = size.bit_count() == 1 and size > 1 if tree else size > 0
        if allowed and size <= 2**20:
            assert check_block_size(np.int64(size), tree=tree) == size
        else:
            with pytest.raises(ValueError, match=f"block_size is {size}: "):
                check_block_size(size, tree=tree)


def test_integers_of_numpy_work_in_all_that_takes_a_size():
    two, eight, three = np.int64(2), np.int32(8), np.uint8(3)
    names = ["emma", "ava", "zoe", "ida", "leo", "max", "mia", "eva", "tom", "ann"]
    vocab = Vocab(split_names(names, seed=two)["train"] + names)
    X, Y = build_dataset(names, vocab, eight)
    config = TrainConfig(steps=two, batch_size=eight, lr=np.float32(0.01))
    assert json.loads(json.dumps(asdict(config)))["steps"] == 2
    run = RunConfig(hidden=np.int64(68), block_size=eight)
    assert json.dumps(asdict(run)) == json.dumps(asdict(RunConfig()))
    generator = Generator().manual_seed(0)
    sizes = {"embedding_dim": two, "hidden": three}
    for build in (build_flat, build_tree):
        model = build(np.int64(len(vocab)), eight, **sizes, generator=generator)
        history = train(model, X, Y, config, seed=three, progress=False)
        assert len(smooth(history.losses, two)) == 1
        assert evaluate(model, X, Y, batch_size=three) > 0
        drawn = sample(model, vocab, eight, three, max_length=two, generator=generator)
        assert [len(name) <= 2 for name in drawn] == [True] * 3
    assert vocab.decode(np.array(vocab.encode("emma"))) == "emma"


# ---- Texts: file -> names -> windows -> text -----------------------------------------
# Characters of all alphabets, combining marks, emoji, odd spaces; but for those that no
# name holds: newlines, the end mark, a zero byte, and half of a pair of surrogates.
CHARACTERS = st.characters(
    exclude_characters="\n\r.\0\ufeff", exclude_categories=["Cs"]
)
LINES = st.lists(st.text(CHARACTERS, max_size=8), min_size=1, max_size=12)
TYPICAL = [
    "o'neil",
    "anne-marie",
    "mary ann",
    "zoé",
    "zoe\u0301",
    "weiß",
    "жанна",
    "李娜",
    "नेहा",
    "👩\u200d🚀",
    "a\u2028b",
    "a\x85b",
    "a\x0bb\x1cc",
]


def nfc(text):
    return unicodedata.normalize("NFC", text)


@QUICK
@given(LINES | st.just(TYPICAL), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_names_come_out_of_a_file_as_windows_and_as_the_same_text(
    tmp_path, lines, newline, mark
):
    path = tmp_path / "names.txt"
    encoding = "utf-8-sig" if mark else "utf-8"
    path.write_bytes(newline.join(lines).encode(encoding))
    expected = [nfc(line).strip() for line in lines if line.strip()]
    if not expected:
        with pytest.raises(ValueError, match="contains no names"):
            load_names(path)
        return
    names = load_names(path)
    assert names == expected
    vocab = Vocab(names)
    assert vocab.itos == [END, *sorted(set("".join(expected)))]
    block_size = 1 + max(map(len, names))
    X, Y = build_dataset(names, vocab, block_size)
    assert len(X) == len(Y) == sum(len(name) + 1 for name in names)
    ends = (Y == 0).nonzero().flatten()  # the last window of each name holds all of it
    read = [vocab.decode(X[i]).lstrip(END) for i in ends]
    assert read == names
    following = "".join(vocab.decode(Y)).split(END)[:-1]
    assert following == names


@QUICK
@given(st.text(CHARACTERS, min_size=1))
def test_a_text_and_its_numbers_are_the_same_however_its_accents_were_typed(text):
    vocab = Vocab([text])
    assert vocab.decode(vocab.encode(text)) == nfc(text)
    apart = unicodedata.normalize("NFD", text)
    assert Vocab([apart]).itos == vocab.itos
    assert vocab.encode(apart) == vocab.encode(text)


@QUICK
@given(st.binary(max_size=40))
def test_any_bytes_are_a_list_of_names_or_refused_by_the_name_of_their_file(
    tmp_path, content
):
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    try:
        names = load_names(path)
    except ValueError as error:
        assert str(error).startswith(str(path))
    else:
        assert names and all(name and name == name.strip() for name in names)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "names.txt"
    path.write_text("emma\n", encoding="utf-8")
    monkeypatch.setattr(type(path), "read_bytes", refuse)
    with pytest.raises(ValueError, match=r"names.txt cannot be read \(Permission den"):
        load_names(path)


def test_the_end_mark_is_that_of_helpers():
    assert texts.END == helpers.END


@pytest.mark.parametrize("accent", ["é", "e\u0301"])
def test_a_prompt_may_be_typed_with_either_accent(accent):
    vocab = Vocab(["zoé"])
    model = build_tree(len(vocab), generator=Generator().manual_seed(1))
    seeds = [Generator().manual_seed(2), Generator().manual_seed(2)]
    drawn = sample(model, vocab, 8, prompt="zo" + accent, generator=seeds[0])
    assert drawn == sample(model, vocab, 8, prompt="zoé", generator=seeds[1])
    assert all(name.startswith("zoé") for name in drawn)


# ---- The decorator -------------------------------------------------------------------
@checked(extra=whole(1))
def example(block_size, extra=0, *layers, seed=None):
    """Its text."""
    return block_size, extra, layers, seed


def test_arguments_are_checked_wherever_they_stand_and_defaults_are_not():
    three, four = np.int64(3), np.int64(4)
    assert example(three) == (3, 0, (), None)
    assert type(example(three)[0]) is int
    assert example(block_size=three, seed=four) == (3, 0, (), 4)
    layer = torch.tanh
    assert example(three, four, layer, layer) == (3, 4, (layer, layer), None)
    for call in (
        lambda: example(0),
        lambda: example(1, 0),
        lambda: example(1, extra=0),
        lambda: example(1, seed=-1),
        lambda: example(1, 1, torch.tanh, "tanh"),
    ):
        with pytest.raises((ValueError, TypeError)):
            call()
    assert example.__doc__ == "Its text." and example.__name__ == "example"


def test_the_largest_seed_is_one_that_torch_takes():
    Generator().manual_seed(LARGEST_SEED)


# ---- A model and its data ------------------------------------------------------------
@pytest.mark.parametrize("training", [True, False])
def test_trying_a_model_out_changes_nothing(training):
    model = build_tree(27)
    state = torch.get_rng_state()
    before = [layer.running_mean.clone() for layer in model.layers[3::4]]
    logits = try_out(model, torch.zeros(3, 8, dtype=torch.long), training=training)
    assert logits.shape == (3, 27) and not logits.requires_grad
    assert model.training and torch.equal(torch.get_rng_state(), state)
    for layer, mean in zip(model.layers[3::4], before):
        assert torch.equal(layer.running_mean, mean)


def test_a_model_that_keeps_a_tensor_with_its_gradient_can_be_trained_on():
    model = build_tree(5, hidden=3)
    model.kept = [model(torch.zeros(2, 8, dtype=torch.long))]
    X = torch.zeros(4, 8, dtype=torch.long)
    train(model, X, X[:, 0], TrainConfig(steps=2), progress=False)


@pytest.mark.parametrize("norm", [BatchNorm1d, BatchNormPerPosition])
def test_one_row_is_refused_while_training_and_answered_afterwards(norm):
    layer = norm(3)
    buffers = [layer.running_mean, layer.running_var]
    before = [buffer.clone() for buffer in buffers]
    with pytest.raises(ValueError, match="two rows or more, or call eval"):
        layer(torch.randn(1, 3))
    assert all(map(torch.equal, buffers, before))
    assert layer.running_var is buffers[1]
    assert layer.eval()(torch.randn(1, 3)).isfinite().all()


def test_a_single_row_among_the_batches_is_refused_before_it_is_trained_on():
    model = build_tree(5, hidden=3)
    X = torch.zeros(4, 8, dtype=torch.long)
    batches = [(X, X[:, 0]), (X[:1], X[:1, 0])]
    with pytest.raises(ValueError, match="two rows or more"):
        fit(model, batches, TrainConfig(steps=2), progress=False)
    norms = [layer for layer in model.layers if isinstance(layer, BatchNorm1d)]
    assert all(norm.running_var.isfinite().all() for norm in norms)

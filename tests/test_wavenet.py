"""course.wavenet: what its parts promise, on random networks and names, mostly in
float64; what each option and seed changes, and what must stay as it was."""

import ast
import json
import random
from dataclasses import asdict, fields, replace
from inspect import unwrap
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator

from course import runs, wavenet
from course.convolution import receptive_field, sample_with_queues, whole_names
from course.inspection import in_float64
from course.runs import RunConfig
from course.wavenet import (
    Block,
    Dropout,
    Gate,
    WaveNet,
    WaveNetConfig,
    evaluate_names,
    length_batches,
    load_weights,
    name_losses,
    run_wavenet,
    save_weights,
    train_wavenet,
)
from helpers import Layer, Vocab, build_dataset, count_parameters, evaluate, sample

torch.set_num_threads(1)

EXACT = {"rtol": 0, "atol": 1e-12}  # of two ways to compute the same in float64
NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "08_full_wavenet.ipynb"
TINY = WaveNetConfig(steps=4, batch_size=8, channels=6, skip_channels=5, levels=3)
VARIANTS = {
    "full": {},
    "no gate": {"gate": "none"},
    "GLU": {"gate": "glu"},
    "no residual": {"residual": False},
    "no skip": {"skip": False},
    "half the depth": {"stacks": 1},
    "no dropout": {"dropout": 0.0},
}
SHAPES = [
    {"levels": 1, "stacks": 1},
    {"levels": 2, "stacks": 3},
    {"levels": 4},
    {"levels": 5, "stacks": 1, "channels": 3},
]


class LastPosition(Layer):
    """A WaveNet as helpers.py knows models: windows (B, T) -> logits (B, V)."""

    def __init__(self, model):
        self.layers = [model]

    def __call__(self, X):
        return self.layers[0](X)[:, -1]


def seeded(seed):
    return Generator().manual_seed(seed)


def random_names(rng, n=7):
    alphabet = rng.sample("abcdefghijklmnopqrstuvwxyzäß", rng.randint(3, 10))
    return ["".join(rng.choices(alphabet, k=rng.randint(1, 18))) for _ in range(n)]


def make(seed=0, **changes):
    """Names, and a network in float64 with biases and logits that do something."""
    names = random_names(random.Random(f"{seed} {changes}"))
    vocab = Vocab(names)
    config = replace(TINY, **changes)
    model = WaveNet(config, len(vocab), generator=seeded(seed))
    model.out.weight.data *= 10
    for p in model.parameters():
        if p.ndim == 1:
            p.data += torch.randn(p.shape, generator=seeded(seed))
    model = in_float64(model)
    return SimpleNamespace(model=model, config=config, names=names, vocab=vocab)


@pytest.fixture(params=[*SHAPES, *VARIANTS.values()], ids=str)
def case(request):
    return make(**request.param)


def tokens_of(case, name):
    return torch.tensor([case.vocab.encode("." + name)])  # (1, 1 + len(name))


# ---- The network -------------------------------------------------------------------
def by_the_paper(model, config, tokens):
    """The equations of arXiv 1609.03499 by torch's conv1d, channels before time."""

    def one_by_one(linear, x):
        return F.conv1d(x, linear.weight.T[:, :, None], linear.bias)

    C = config.channels
    x = model.embedding.weight[tokens].mT  # (B, C, T)
    skips = 0
    dilations = (1, 2, 4, 8, 16)[: config.levels] * config.stacks
    for block, d in zip(model.blocks, dilations, strict=True):
        linear = block.conv.linear
        kernel = linear.weight.view(2, C, -1).permute(2, 1, 0)  # (2*C, H) -> (H, C, 2)
        dots = torch.cat([x[..., :1]] * d, -1)
        y = F.conv1d(torch.cat([dots, x], -1), kernel, linear.bias, dilation=d)
        if config.gate == "none":
            z = y.tanh()
        elif config.gate == "glu":
            z = F.glu(y, 1)
        else:
            z = y[:, :C].tanh() * y[:, C:].sigmoid()
        if config.skip:
            skips = skips + one_by_one(block.skip, z)
        if block is not model.blocks[-1] or not config.skip:
            x = one_by_one(block.onward, z) + (x if config.residual else 0)
    out = one_by_one(model.hidden, F.relu(skips if config.skip else x))
    return one_by_one(model.out, F.relu(out)).mT


def test_network_is_the_papers(case):
    for name in case.names:
        tokens = tokens_of(case, name)
        expected = by_the_paper(case.model, case.config, tokens)
        torch.testing.assert_close(case.model(tokens), expected, **EXACT)


def test_before_a_name_there_are_dots(case):
    T = receptive_field(case.model)
    for name in case.names[:3]:
        X, _ = build_dataset([name], case.vocab, T)
        windows = LastPosition(case.model)(X)
        logits = case.model(tokens_of(case, name))[0]
        torch.testing.assert_close(logits, windows, **EXACT)


def test_steps_with_queues_are_the_full_pass_however_the_name_is_cut(case):
    rng = random.Random(0)
    for name in [*case.names, case.names[0]]:
        tokens = tokens_of(case, name)
        expected = case.model(tokens)
        queues = {}
        others = {}
        at = 0
        while at < tokens.shape[1]:
            step = tokens[:, at : at + rng.randint(1, 3)]
            found = case.model(step, queues)
            wanted = expected[:, at : at + step.shape[1]]
            torch.testing.assert_close(found, wanted, **EXACT)
            case.model(torch.ones_like(step), others)  # another name at the same time
            at += step.shape[1]
        assert list(queues) == [block.conv for block in case.model.blocks]
        for conv, queue in queues.items():
            assert len(queue) == conv.dilation
            assert queue[0].shape == (1, case.config.channels)


def test_a_changed_character_moves_its_own_output_first_and_none_before(case):
    tokens = tokens_of(case, max(case.names, key=len))
    expected = case.model(tokens)
    for position in range(1, tokens.shape[1]):
        changed = tokens.clone()
        changed[0, position] = tokens[0, position] % (len(case.vocab) - 1) + 1
        moved = (expected != case.model(changed)).any(-1)[0].nonzero()[:, 0]
        assert moved[0] == position


@pytest.mark.parametrize("stacks", [1, 2, 3])
@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_receptive_field_is_one_and_the_sum_of_the_dilations(levels, stacks):
    case = make(levels=levels, stacks=stacks)
    reach = 1 + stacks * (2**levels - 1)
    assert case.config.dilations() == [1, 2, 4, 8][:levels] * stacks
    assert receptive_field(case.model) == reach
    embedded = torch.randn(1, reach + 5, 6, dtype=torch.float64, generator=seeded(1))
    embedded.requires_grad_()
    case.model.embedding = lambda tokens: tokens  # the embedded characters themselves
    case.model(embedded)[0, -1].sum().backward()
    reads = embedded.grad[0].abs().amax(-1) > 0
    assert reads.tolist() == [False] * 5 + [True] * reach


def silence_onward(block):
    for p in block.onward.parameters():
        p.data.zero_()


def test_residual_is_added():
    block = Block(TINY, 2, has_next=True, generator=seeded(0)).eval()
    x = torch.randn(2, 7, TINY.channels, generator=seeded(1))
    onward, skipped = block(x)
    z = block.gate(block.conv(x))
    torch.testing.assert_close(onward, x + block.onward(z))
    torch.testing.assert_close(skipped, block.skip(z))
    silence_onward(block)
    assert torch.equal(block(x)[0], x)  # with nothing to say, it lets everything pass


def test_without_residual_nothing_passes_by():
    config = replace(TINY, residual=False)
    block = Block(config, 2, has_next=True, generator=seeded(0)).eval()
    silence_onward(block)
    assert not block(torch.ones(1, 3, TINY.channels))[0].any()


@pytest.mark.parametrize("residual", [True, False])
def test_a_block_without_a_next_one_has_no_onward_weights(residual):
    config = replace(TINY, residual=residual)
    block = Block(config, 2, has_next=False, generator=seeded(0)).eval()
    x = torch.randn(2, 7, TINY.channels, generator=seeded(1))
    assert block.onward is None
    assert block(x)[0] is x


def test_every_parameter_has_a_gradient(case):
    tokens, _ = whole_names(case.names, case.vocab)
    case.model(tokens).square().sum().backward()
    for p in case.model.parameters():
        assert p.grad is not None
        assert p.grad.any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_has_the_parameters_that_it_should(variant):
    config = replace(WaveNetConfig(), **VARIANTS[variant])
    V, C, S = 27, 64, 64
    H = C if variant == "no gate" else 2 * C
    blocks = 4 if variant == "half the depth" else 8
    onward = blocks if variant == "no skip" else blocks - 1
    skip = 0 if variant == "no skip" else blocks
    convolutions = blocks * (2 * C + 1) * H
    head = (S + 1) * S + (S + 1) * V
    expected = V * C + convolutions + onward * (C + 1) * C + skip * (C + 1) * S + head
    model = WaveNet(config, V, generator=seeded(0))
    assert count_parameters(model) == expected
    for block in model.blocks:
        assert block.residual == (variant != "no residual")
        assert block.gate.kind == {"no gate": "none", "GLU": "glu"}.get(variant, "tanh")
        assert block.dropout.p == (0 if variant == "no dropout" else config.dropout)


def test_first_loss_is_near_a_uniform_guess():
    vocab = Vocab(["abcdefghijklmnopqrstuvwxyz"])
    model = WaveNet(WaveNetConfig(), len(vocab), generator=seeded(0))
    loss = evaluate_names(model, ["emma", "olivia", "zoe"], vocab)
    assert loss == pytest.approx(np.log(27), abs=0.05)


def test_gates_are_torchs():
    x = torch.randn(2, 3, 8, generator=seeded(0))
    torch.testing.assert_close(Gate("glu")(x), F.glu(x, -1))
    torch.testing.assert_close(Gate("none")(x), x.tanh())
    expected = x[..., :4].tanh() * x[..., 4:].sigmoid()
    torch.testing.assert_close(Gate("tanh")(x), expected)
    assert Gate().kind == "tanh"


def test_dropout_leaves_out_whole_channels_in_training_alone():
    x = torch.ones(400, 5, 30)
    dropout = Dropout(0.25)
    y = dropout(x)
    assert torch.equal(y, y[:, :1].expand(-1, 5, -1))
    assert sorted(y.unique().tolist()) == pytest.approx([0, 4 / 3])
    assert y.mean().item() == pytest.approx(1, abs=0.03)
    per_name = y[:, 0].mean(1)
    assert len(per_name.unique()) > 5  # each name loses channels of its own
    assert dropout.eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_a_model_prints_as_a_readable_stack():
    lines = repr(WaveNet(TINY, 9)).splitlines()
    assert len(lines) == 1 + 1 + 6 + 2 + 1
    assert "CausalConv1d(6, 12, kernel_size=2, dilation=4), Gate(tanh)" in lines[4]
    assert "Dropout(0.15), Linear(6, 6), Linear(6, 5)" in lines[4]


# ---- What an option changes, and what it does not ----------------------------------
NAMES = random_names(random.Random(11), 40)
VOCAB = Vocab(NAMES)


def traces(config):
    """All that a config can change of a network and its training."""
    tokens, _ = whole_names(NAMES[:9], VOCAB)
    model = WaveNet(config, len(VOCAB), generator=seeded(0))
    shapes = [tuple(p.shape) for p in model.parameters()]
    weights = [p.tolist() for p in model.parameters()]
    torch.manual_seed(0)
    in_training = model(tokens).tolist()
    in_eval = model.eval()(tokens).tolist()
    history = train_wavenet(model, NAMES, VOCAB, config, progress=False)
    return {
        "receptive field": receptive_field(model),
        "shapes": shapes,
        "weights": weights,
        "in eval mode": in_eval,
        "in training": in_training,
        "first loss": history.losses[0],
        "losses": history.losses,
    }


NETWORK = {"weights", "in eval mode", "in training", "first loss", "losses"}
COMPUTES = {"in eval mode", "in training", "first loss", "losses"}
CHANGES = [
    ("steps", 6, {"losses"}),
    ("batch_size", 16, {"first loss", "losses"}),
    ("lr", 0.02, {"losses"}),
    ("weight_decay", 5.0, {"losses"}),
    ("embedding_boost", 3.0, {"losses"}),
    ("optimizer", "Muon", {"losses"}),
    ("channels", 7, {"shapes", *NETWORK}),
    ("skip_channels", 6, {"shapes", *NETWORK}),
    ("levels", 2, {"receptive field", "shapes", *NETWORK}),
    ("stacks", 3, {"receptive field", "shapes", *NETWORK}),
    ("gate", "glu", COMPUTES),
    ("gate", "none", {"shapes", *NETWORK}),
    ("residual", False, COMPUTES),
    ("skip", False, {"shapes", *NETWORK}),
    ("dropout", 0.5, {"in training", "first loss", "losses"}),
    ("dropout", 0.0, {"in training", "first loss", "losses"}),
    ("leak_free", True, set()),  # a matter of the names, see the runs
]


CASES = [f"{option} {value}" for option, value, _ in CHANGES]  # a set has no order


@pytest.mark.parametrize("option, value, expected", CHANGES, ids=CASES)
def test_each_option_changes_what_it_should_and_nothing_else(option, value, expected):
    before = traces(TINY)
    after = traces(replace(TINY, **{option: value}))
    changed = {what for what in before if before[what] != after[what]}
    assert changed == expected


def test_no_option_is_left_out_above():
    options = {field.name for field in fields(WaveNetConfig)}
    changed = {option for option, _, _ in CHANGES}
    assert options - changed == {"matrix_lr", "matrix_decay", "shuffle"}


@pytest.mark.parametrize("option, value", [("matrix_lr", 0.2), ("matrix_decay", 0.5)])
def test_the_rates_of_muon_change_what_muon_learns(option, value):
    muon = replace(TINY, optimizer="Muon")
    losses = traces(replace(muon, **{option: value}))["losses"]
    assert losses[:1] == traces(muon)["losses"][:1]
    assert losses[1:] != traces(muon)["losses"][1:]
    assert traces(replace(TINY, **{option: value})) == traces(TINY)  # AdamW has none


def test_drawing_names_again_and_again_is_refused():
    with pytest.raises(ValueError, match="shuffle is False: choose one of True"):
        WaveNetConfig(shuffle=False)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=str)
def test_weights_come_from_the_generator_alone(changes):
    config = replace(TINY, **changes)
    state = torch.get_rng_state()
    model, same, other = (
        WaveNet(config, 9, generator=seeded(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(torch.get_rng_state(), state)
    for p, q, r in zip(*(m.parameters() for m in (model, same, other)), strict=True):
        assert torch.equal(p, q)
        if p.ndim == 2:  # biases begin at zero
            assert not torch.isclose(p, r).any()


def test_without_a_generator_the_global_one_is_used():
    torch.manual_seed(1)
    model = WaveNet(TINY, 9)
    torch.manual_seed(1)
    same = WaveNet(TINY, 9)
    other = WaveNet(TINY, 9)
    assert torch.equal(model.out.weight, same.out.weight)
    assert not torch.equal(model.out.weight, other.out.weight)


# ---- Whole names, masked, in batches by length -------------------------------------
def test_padding_changes_no_loss(case):
    alone = [name_losses(case.model, [name], case.vocab) for name in case.names]
    alone = torch.cat(alone)
    together = name_losses(case.model, case.names, case.vocab)
    torch.testing.assert_close(together, alone, **EXACT)
    tokens, targets = whole_names(case.names, case.vocab)
    assert (targets >= 0).sum() == sum(len(name) + 1 for name in case.names)
    other = torch.where(targets < 0, 1, tokens)  # another character as padding
    for x in (tokens, other):
        logits = case.model(x).flatten(0, 1)
        loss = F.cross_entropy(logits, targets.flatten(), reduction="sum")
        torch.testing.assert_close(loss, alone.sum(), rtol=1e-12, atol=0)


def test_training_loss_is_the_mean_over_the_characters_of_the_batch():
    case = make(dropout=0.0, batch_size=4, steps=1)
    lengths = torch.tensor([len(name) + 1 for name in case.names])
    batch = next(length_batches(lengths, 4, seeded(5))).tolist()
    batch_names = [case.names[i] for i in batch]
    expected = evaluate_names(case.model, batch_names, case.vocab)
    history = train_wavenet(
        case.model, case.names, case.vocab, case.config, seed=5, progress=False
    )
    assert history.losses == pytest.approx([expected], abs=1e-12)


def test_evaluate_names_is_helpers_evaluate(case):
    X, Y = build_dataset(case.names, case.vocab, receptive_field(case.model))
    expected = evaluate(LastPosition(case.model), X, Y)
    case.model.train()
    for batch_size in (1, 2, 1024):
        parts = name_losses(case.model, case.names, case.vocab, batch_size=batch_size)
        assert parts.sum().item() / len(Y) == pytest.approx(expected, abs=1e-12)
    found = evaluate_names(case.model, case.names, case.vocab)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("judge", [name_losses, evaluate_names])
@pytest.mark.parametrize("mode", [True, False])
def test_evaluation_leaves_mode_grad_and_random_state_alone(judge, mode):
    case = make()
    case.model.train(mode)
    state = torch.get_rng_state()
    first = torch.as_tensor(judge(case.model, case.names, case.vocab))
    again = torch.as_tensor(judge(case.model, case.names, case.vocab))
    assert torch.equal(first, again)  # no dropout
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert case.model.training == case.model.blocks[0].dropout.training == mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_evaluation_puts_mode_and_grad_back_after_an_error(error):
    def broken(x):
        raise error

    case = make()
    case.model.train()
    case.model.out = broken
    with pytest.raises(error):
        name_losses(case.model, case.names, case.vocab)
    assert torch.is_grad_enabled()
    assert case.model.training
    assert case.model.blocks[0].dropout.training


SIZES = [(1, 4), (7, 2), (1000, 16), (1024, 128), (50, 500)]


@pytest.mark.parametrize("n, size", SIZES)
def test_batches_hold_each_name_once(n, size):
    lengths = torch.randint(2, 16, (n,), generator=seeded(n))
    for seed in range(3):
        batches = list(length_batches(lengths, size, seeded(seed)))
        assert sorted(torch.cat(batches).tolist()) == list(range(n))
        assert max(map(len, batches)) <= size
        assert sum(len(batch) < size for batch in batches) <= 1


def test_batches_by_length_hold_little_padding_and_come_in_any_order():
    lengths = torch.randint(2, 16, (4096,), generator=seeded(0))
    batches = list(length_batches(lengths, 32, seeded(1)))
    positions = sum(len(ix) * lengths[ix].max().item() for ix in batches)
    assert lengths.sum().item() / positions > 0.85
    longest = [lengths[ix].max().item() for ix in batches]
    assert longest != sorted(longest)
    assert len(set(longest[:16])) > 4


def test_batches_come_from_the_generator_alone():
    lengths = torch.randint(2, 16, (400,), generator=seeded(0))
    state = torch.get_rng_state()
    first, same, other = (
        torch.cat(list(length_batches(lengths, 32, seeded(seed)))) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


# ---- Training ----------------------------------------------------------------------
def train_tiny(seed, *, global_seed=0, config=TINY, **options):
    """The losses of a short training that begins with the same weights each time."""
    torch.manual_seed(global_seed)
    model = WaveNet(config, len(VOCAB), generator=seeded(0))
    history = train_wavenet(
        model, NAMES, VOCAB, config, seed=seed, progress=False, **options
    )
    return history.losses


def test_training_repeats_itself_whatever_the_global_generator_has_drawn():
    assert train_tiny(1) == train_tiny(1, global_seed=5) != train_tiny(2)


def test_the_seed_sets_the_batches():
    config = replace(TINY, dropout=0.0)
    assert train_tiny(1, config=config)[0] != train_tiny(2, config=config)[0]


@pytest.mark.parametrize("dropout, differ", [(0.5, True), (0.0, False)])
def test_the_seed_sets_the_dropout(dropout, differ):
    names = ["aba"] * 20  # all batches are alike, whatever the seed
    vocab = Vocab(names)
    config = replace(TINY, steps=1, dropout=dropout)
    losses = []
    for seed in (1, 2):
        model = WaveNet(config, len(vocab), generator=seeded(0))
        history = train_wavenet(model, names, vocab, config, seed=seed, progress=False)
        losses.append(history.losses[0])
    assert (abs(losses[0] - losses[1]) > 1e-5) == differ


def test_training_lowers_the_loss_and_can_be_ended(capsys):
    names = ["ab" * n for n in range(1, 9)] * 4
    vocab = Vocab(names)
    config = replace(TINY, steps=40, lr=0.02)
    model = WaveNet(config, len(vocab), generator=seeded(0))
    before = evaluate_names(model, names, vocab)
    train_wavenet(model, names, vocab, config)
    assert evaluate_names(model, names, vocab) < before - 0.3
    assert "40/40 steps" in capsys.readouterr().out
    ended = train_wavenet(
        model,
        names,
        vocab,
        config,
        progress=False,
        on_step=lambda history: len(history.losses) == 3,
    )
    assert len(ended.losses) == 3
    assert not capsys.readouterr().out


def go_on(history):
    return False


def interrupt(history):
    raise KeyboardInterrupt


def fail(history):
    raise OSError("no space left")


@pytest.mark.parametrize("on_step", [go_on, interrupt, fail])
@pytest.mark.parametrize("mode", [True, False])
def test_training_leaves_mode_grad_and_random_state_as_they_were(mode, on_step):
    model = WaveNet(TINY, len(VOCAB), generator=seeded(0)).train(mode)
    state = torch.get_rng_state()
    try:
        history = train_wavenet(
            model, NAMES, VOCAB, TINY, progress=False, on_step=on_step
        )
        assert history.interrupted == (on_step is interrupt)
        assert len(history.losses) == (1 if on_step is interrupt else TINY.steps)
    except OSError:
        assert on_step is fail
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert model.training == model.blocks[0].dropout.training == mode


# ---- Sampling ----------------------------------------------------------------------
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_samples_are_those_of_helpers_sample(case, temperature):
    T = receptive_field(case.model)
    windows = LastPosition(case.model)
    for seed, prompt in enumerate(["", case.names[0][:2]]):
        options = {"prompt": prompt, "temperature": temperature, "max_length": 12}
        generator = seeded(seed)
        expected = sample(windows, case.vocab, T, 6, generator=generator, **options)
        for _ in range(2):  # the second time with new queues
            generator = seeded(seed)
            found = sample_with_queues(
                case.model, case.vocab, 6, generator=generator, **options
            )
            assert found == expected
        assert all(name.startswith(prompt) for name in found)


def test_sampling_keeps_the_mode():
    case = make()
    sample_with_queues(case.model.train(), case.vocab, 2)
    assert case.model.training
    assert case.model.blocks[1].conv.training


WRONG_WISHES = [
    ({"n": 0}, "n is 0: give a whole number, 1 or more"),
    ({"temperature": 0.0}, "temperature is 0.0: give a number"),
    ({"temperature": -1.0}, "temperature is -1.0: give a number"),
    ({"temperature": float("nan")}, "temperature is nan: give a number"),
    ({"prompt": "a.b"}, "'a.b' holds the end mark"),
]


@pytest.mark.parametrize("wrong, message", WRONG_WISHES, ids=str)
def test_wrong_wishes_for_samples_are_refused(wrong, message):
    case = make()
    with pytest.raises(ValueError, match=message):
        sample_with_queues(case.model, case.vocab, **wrong)


def test_an_unknown_character_in_a_prompt_is_refused():
    case = make()
    with pytest.raises(ValueError, match="holds the unknown"):
        sample_with_queues(case.model, case.vocab, prompt="A")


# ---- Configs -----------------------------------------------------------------------
NAN = float("nan")
COUNTS = ("channels", "skip_channels", "levels", "stacks")
NO_COUNTS = [0, -1, 2.5, 8.0, "3", True, None, NAN, float("inf"), [4], 10**9]
SWITCHES = ("residual", "skip", "leak_free")
WRONG_CONFIGS = [
    *[({name: value}, f"{name} is .*whole") for name in COUNTS for value in NO_COUNTS],
    *[({name: value}, f"{name} is .*True") for name in SWITCHES for value in (1, "no")],
    *[({"gate": value}, "gate is .*choose one of") for value in ("relu", "", None, 1)],
    *[({"dropout": value}, "dropout is .*below 1") for value in (1.0, -0.1, NAN, "0")],
    ({"levels": 13}, "levels is 13: give a whole number, 1 or more and 12 at most"),
    ({"steps": 0}, "steps is 0: give a whole number, 1 or more"),
    ({"batch_size": 1}, "batch_size is 1: give a whole number, 2 or more"),
    ({"lr": 0.0}, "lr is 0.0: give a number above 0"),
]


@pytest.mark.parametrize("wrong, message", WRONG_CONFIGS, ids=str)
def test_a_wrong_config_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        WaveNetConfig(**wrong)


def test_numpys_numbers_are_numbers():
    numbers = {"levels": np.uint8(3), "dropout": np.float32(0.5)}
    config = WaveNetConfig(channels=np.int64(6), **numbers)
    assert config == WaveNetConfig(channels=6, levels=3, dropout=0.5)
    assert json.loads(json.dumps(asdict(config))) == asdict(config)


WRONG_LAYERS = [
    (lambda: Gate("relu"), "kind is 'relu': choose one of 'tanh', 'glu', 'none'"),
    (lambda: Gate(None), "kind is None: choose one of"),
    (lambda: Dropout(1), "p is 1: give a number 0 or more and below 1"),
    (lambda: Dropout(-0.5), "p is -0.5: give"),
    (lambda: Dropout(NAN), "p is nan: give"),
    (lambda: Dropout("0.1"), "p is '0.1': give a number .*without quotes"),
    (lambda: Block(TINY, 0, has_next=True), "dilation is 0: give a whole number"),
    (lambda: Block(TINY, 2.0, has_next=True), "dilation is 2.0: .*write 2"),
    (lambda: Block(TINY, 1, has_next="no"), "has_next is 'no': give True or False"),
    (lambda: Block({}, 1, has_next=True), "config is {}: give a WaveNetConfig"),
    (lambda: WaveNet(TINY, 0), "vocab_size is 0: give a whole number"),
    (lambda: WaveNet(TINY, VOCAB), "vocab_size is a Vocab: give a whole number"),
    (lambda: WaveNet(WaveNetConfig, 9), "the class WaveNetConfig: give a WaveNetConf"),
    (lambda: WaveNet(RunConfig(), 9), "config is a RunConfig: give a WaveNetConfig"),
    (lambda: WaveNet(TINY, 9, generator=42), "generator is 42: give torch.Generator"),
    (lambda: length_batches(torch.ones(3).long(), 0), "size is 0: give a whole number"),
]


@pytest.mark.parametrize("call, message", WRONG_LAYERS)
def test_a_wrong_layer_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def other_vocab(case):
    return Vocab(["".join(case.vocab.itos[1:]) + "ÿ"])


WRONG_NAMES = [
    (lambda case: {"names": "emma"}, "names is the text 'emma': give a list of names"),
    (lambda case: {"names": []}, "names is empty: give one name or more"),
    (lambda case: {"names": None}, "names is None: give a list of names"),
    (lambda case: {"names": 3}, "names is 3: give a list of names"),
    (lambda case: {"names": {"train": ["a"]}}, "give one of its parts, names"),
    (lambda case: {"names": {"emma"}}, "names is a set, which has no order"),
    (lambda case: {"names": ["a", 3]}, "names.1. is 3: a name is a text"),
    (lambda case: {"names": ["a", None]}, "names.1. is None: a name is a text"),
    (lambda case: {"names": ["a.b"]}, "'a.b' holds the end mark"),
    (lambda case: {"names": ["a\n"]}, "strip its line end"),
    (lambda case: {"names": ["A😀"]}, "'A😀' holds the unknown"),
    (lambda case: {"names": [" "]}, "' ' holds the unknown"),
    (lambda case: {"names": ["a" * 10_000]}, "10,000 characters .*at most 1,000"),
    (lambda case: {"vocab": case.names}, "vocab is .*give a Vocab"),
    (lambda case: {"vocab": other_vocab(case)}, "characters, the vocabulary has"),
    (lambda case: {"model": None}, "model is None: give a model"),
    (lambda case: {"model": WaveNet}, "model is the class WaveNet: give a model"),
]


@pytest.mark.parametrize("judge", [name_losses, evaluate_names, train_wavenet])
@pytest.mark.parametrize("wrong, message", WRONG_NAMES)
def test_names_that_a_model_cannot_read_are_refused_and_change_nothing(
    judge, wrong, message
):
    case = make()
    before = [p.tolist() for p in case.model.parameters()]
    given = {"model": case.model, "names": case.names, "vocab": case.vocab}
    if judge is train_wavenet:
        given["config"] = TINY
    with pytest.raises((ValueError, TypeError), match=message):
        judge(**given | wrong(case))
    assert [p.tolist() for p in case.model.parameters()] == before
    assert not case.model.training


WRONG_TRAININGS = [
    ({"config": {"steps": 3}}, "config is {'steps': 3}: give a WaveNetConfig"),
    ({"config": RunConfig()}, "config is a RunConfig: give a WaveNetConfig"),
    ({"seed": 1.5}, "seed is 1.5: give a whole number"),
    ({"seed": True}, "seed is True: give a whole number"),
    ({"seed": "0"}, "seed is '0': give a whole number"),
    ({"seed": -1}, "seed is -1: give a whole number"),
    ({"on_step": 3}, "on_step is 3: give a function"),
    ({"progress": "no"}, "progress is 'no': give True or False"),
]


@pytest.mark.parametrize("wrong, message", WRONG_TRAININGS, ids=str)
def test_a_wrong_training_is_refused(wrong, message):
    case = make()
    given = {"names": case.names, "vocab": case.vocab, "config": TINY}
    with pytest.raises((ValueError, TypeError), match=message):
        train_wavenet(case.model, **given | wrong)
    if "progress" not in wrong:
        with pytest.raises((ValueError, TypeError), match=message):
            run_wavenet(**{"config": TINY, "seed": 0} | wrong)


@pytest.mark.parametrize("batch_size", [0, 2.5, "8", True])
def test_a_wrong_batch_size_for_evaluation_is_refused(batch_size):
    case = make()
    with pytest.raises(ValueError, match="batch_size is .*whole number"):
        name_losses(case.model, case.names, case.vocab, batch_size=batch_size)


def test_names_may_come_one_by_one():
    case = make()
    expected = evaluate_names(case.model, case.names, case.vocab)
    found = evaluate_names(case.model, (name for name in case.names), case.vocab)
    assert found == expected


def test_an_empty_name_has_the_loss_of_its_end():
    case = make()
    assert name_losses(case.model, [""], case.vocab).shape == (1,)


def test_a_config_survives_json():
    assert WaveNetConfig(**json.loads(json.dumps(asdict(TINY)))) == TINY


# ---- Runs --------------------------------------------------------------------------
@pytest.fixture
def few_names(monkeypatch):
    """200 short names, some of them twice, in place of the real list."""
    rng = random.Random(0)
    names = ["".join(rng.choices("abc", k=rng.randint(1, 4))) for _ in range(200)]
    monkeypatch.setattr(runs, "load_names", lambda: names)
    monkeypatch.setattr(runs, "load_splits", unwrap(runs.load_splits))  # no cache
    monkeypatch.setattr(runs, "load_data", unwrap(runs.load_data))
    monkeypatch.setattr(wavenet, "load_splits", runs.load_splits)
    return names


def without_time(record):
    return {key: value for key, value in record.items() if key != "seconds"}


def test_a_run_has_the_record_of_course_runs(few_names):
    record = json.loads(json.dumps(run_wavenet(TINY, 0, test=True)))
    other = runs.run(RunConfig(steps=1, hidden=2), 0, test=True)
    assert set(record) == set(other)
    assert WaveNetConfig(**record["config"]) == TINY
    assert len(record["samples"]) == 10
    _, splits = runs.load_splits()
    total = 0
    characters = 0
    for part in ("seen", "unseen"):
        count = sum(len(name) + 1 for name in splits[part])
        total += count * record[part]
        characters += count
    assert record["val"] == pytest.approx(total / characters)


def test_a_run_is_the_parts_put_together(few_names, tmp_path):
    record = run_wavenet(TINY, 3, test=True, keep=tmp_path / "w.npz")
    vocab, splits = runs.load_splits()
    generator = seeded(3)
    model = WaveNet(TINY, len(vocab), generator=generator)
    history = train_wavenet(model, splits["train"], vocab, TINY, seed=3, progress=False)
    assert record["curve"] == [pytest.approx(np.mean(history.losses), abs=1e-4)]
    for split in ("train", "val", "test", "seen", "unseen"):
        assert record[split] == evaluate_names(model, splits[split], vocab)
    samples = sample_with_queues(model, vocab, generator=generator)
    assert record["samples"] == samples
    stored = load_weights(WaveNet(TINY, len(vocab)), tmp_path / "w.npz")
    for p, q in zip(model.parameters(), stored.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("seed", [0, 3])
def test_the_seed_of_a_run_starts_the_weights(few_names, tmp_path, seed):
    """With next to no learning the stored weights are those of the beginning."""
    config = replace(TINY, steps=1, lr=1e-9, weight_decay=0.0)
    run_wavenet(config, seed, keep=tmp_path / "w.npz")
    stored = load_weights(WaveNet(config, 4), tmp_path / "w.npz")
    begun = WaveNet(config, 4, generator=seeded(seed))
    for p, q in zip(begun.parameters(), stored.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-7)


def test_the_seed_of_a_run_sets_the_batches_too(few_names, monkeypatch):
    seeds = []
    real = wavenet.train_wavenet

    def watched(*args, seed, **options):
        seeds.append(seed)
        return real(*args, seed=seed, **options)

    monkeypatch.setattr(wavenet, "train_wavenet", watched)
    run_wavenet(TINY, 3)
    run_wavenet(TINY, 8)
    assert seeds == [3, 8]


def test_a_run_repeats_itself_and_test_and_keep_only_add(few_names, tmp_path):
    torch.manual_seed(1)
    first = without_time(run_wavenet(TINY, 3))
    torch.manual_seed(2)
    second = without_time(run_wavenet(TINY, 3, test=True, keep=tmp_path / "w.npz"))
    assert "test" not in first
    second.pop("test")
    assert first == second
    assert first != without_time(run_wavenet(TINY, 4))


def test_a_leak_free_run_has_no_names_seen(few_names):
    record = run_wavenet(replace(TINY, leak_free=True), 0)
    assert "seen" not in record
    assert record["unseen"] == record["val"]
    usual = run_wavenet(TINY, 0)
    assert usual["val"] != record["val"]
    assert usual["parameters"] == record["parameters"]


def test_on_step_is_asked_and_can_end_a_run(few_names):
    steps = []

    def after_two(history):
        steps.append(len(history.losses))
        return len(steps) == 2

    run_wavenet(TINY, 0, on_step=after_two)
    assert steps == [1, 2]


@pytest.mark.parametrize("on_step", [interrupt, fail])
def test_an_unfinished_run_leaves_nothing_behind(few_names, tmp_path, on_step):
    state = torch.get_rng_state()
    with pytest.raises((KeyboardInterrupt, OSError)):
        run_wavenet(TINY, 0, on_step=on_step, keep=tmp_path / "w.npz")
    assert not list(tmp_path.iterdir())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_a_run_leaves_the_random_state_alone(few_names):
    state = torch.get_rng_state()
    run_wavenet(TINY, 0)
    assert torch.equal(torch.get_rng_state(), state)


# ---- Stored weights ----------------------------------------------------------------
def test_weights_come_back_and_stay_trainable(tmp_path):
    model = WaveNet(TINY, 9, generator=seeded(0))
    other = WaveNet(TINY, 9, generator=seeded(1))
    save_weights(model, tmp_path / "w.npz")
    assert load_weights(other, tmp_path / "w.npz") is other
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
        assert q.requires_grad


def test_weights_of_another_model_are_refused_and_change_nothing(tmp_path):
    save_weights(WaveNet(TINY, 9, generator=seeded(0)), tmp_path / "w.npz")
    smaller = WaveNet(replace(TINY, stacks=1), 9, generator=seeded(1))
    before = [p.clone() for p in smaller.parameters()]
    with pytest.raises(ValueError, match="build it with the stored config"):
        load_weights(smaller, tmp_path / "w.npz")
    for p, q in zip(before, smaller.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_pickle_is_not_read(tmp_path):
    np.savez(tmp_path / "w.npz", np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_weights(WaveNet(TINY, 9), tmp_path / "w.npz")


# ---- Notebook 08 -------------------------------------------------------------------
def test_the_notebook_teaches_every_part():
    """That it has the same code as the module is a test of test_notebooks.py."""
    taught = set()
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            for node in ast.parse(cell.source).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    taught.add(node.name)
    assert taught >= {"Gate", "Dropout", "Block", "WaveNet", "length_batches"}

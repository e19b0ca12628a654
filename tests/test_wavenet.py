"""wavenet.py: what its parts promise, on random models and names, mostly in float64; and that notebook 07
defines them by the same code."""

import ast
import json
import random
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_notebooks import defined_otherwise, definitions, parsed

import wavenet
from helpers import Generator, Layer, RunConfig, Vocab, build_dataset, count_parameters, evaluate, run, sample
from wavenet import (
    Block,
    CausalConv,
    Dropout,
    Gate,
    WaveNet,
    WaveNetConfig,
    evaluate_names,
    length_batches,
    load_weights,
    name_losses,
    run_wavenet,
    sample_cached,
    save_weights,
    train_wavenet,
    whole_names,
)

torch.set_num_threads(1)

EXACT = {"rtol": 0, "atol": 1e-12}  # what float64 leaves of two ways to compute the same
NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "07_full_wavenet.ipynb"
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


class LastPlace(Layer):
    """A WaveNet as helpers.py knows models: windows (B, T) -> logits of the next letter (B, V)."""

    def __init__(self, model):
        self.layers = [model]

    def __call__(self, X):
        return self.layers[0](X)[:, -1]


def seeded(seed):
    return Generator().manual_seed(seed)


def random_names(rng, n=7):
    alphabet = rng.sample("abcdefghijklmnopqrstuvwxyzäß", rng.randint(3, 10))
    return ["".join(rng.choices(alphabet, k=rng.randint(1, 18))) for _ in range(n)]


def in_float64(model, seed):
    """The model itself, with biases that do something and no small last layer."""
    for p in model.parameters():
        p.data = p.data.double()
        if p.ndim == 1:
            p.data += torch.randn(p.shape, generator=seeded(seed))
    model.out.weight.data *= 10
    return model


def make(seed=0, **changes):
    names = random_names(random.Random(f"{seed} {changes}"))
    vocab, config = Vocab(names), replace(TINY, **changes)
    model = in_float64(WaveNet(config, len(vocab), seeded(seed)), seed).eval()
    return SimpleNamespace(model=model, config=config, names=names, vocab=vocab)


SHAPES = [
    dict(levels=1, stacks=1),
    dict(levels=2, stacks=3),
    dict(levels=4),
    dict(levels=5, stacks=1, channels=3),
]


@pytest.fixture(params=[*SHAPES, *VARIANTS.values()], ids=str)
def case(request):
    return make(**request.param)


def tokens_of(case, name, dots=1):
    return torch.tensor([case.vocab.encode("." * dots + name)])  # (1, dots+len(name))


# ---- The network ---------------------------------------------------------------------------------
def by_the_paper(model, config, tokens):
    """The equations of arXiv 1609.03499 with torch's own convolution, channels before time."""

    def one_by_one(linear, x):
        return F.conv1d(x, linear.weight.T[:, :, None], linear.bias)

    x, skips = model.embedding.weight[tokens].transpose(1, 2), 0
    dilations = [d for _ in range(config.stacks) for d in (1, 2, 4, 8, 16)[: config.levels]]
    for block, d in zip(model.blocks, dilations, strict=True):
        C = config.channels
        kernel = block.conv.linear.weight.view(2, C, -1).permute(2, 1, 0)  # (2*C, H) -> (H, C, 2)
        dots = torch.cat([x[..., :1]] * d, -1)
        y = F.conv1d(torch.cat([dots, x], -1), kernel, block.conv.linear.bias, dilation=d)
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
    return one_by_one(model.out, F.relu(out)).transpose(1, 2)


def test_network_is_the_papers(case):
    for name in case.names:
        tokens = tokens_of(case, name)
        expected = by_the_paper(case.model, case.config, tokens)
        torch.testing.assert_close(case.model(tokens), expected, **EXACT)


def test_before_a_name_there_are_dots(case):
    T = case.model.receptive_field
    for name in case.names[:3]:
        windows = LastPlace(case.model)(build_dataset([name], case.vocab, T)[0])
        torch.testing.assert_close(case.model(tokens_of(case, name))[0], windows, **EXACT)


def test_steps_with_queues_are_the_full_pass_however_the_name_is_cut(case):
    rng = random.Random(0)
    for name in [*case.names, case.names[0]]:
        tokens = tokens_of(case, name)
        expected, queues, other, at = case.model(tokens), {}, {}, 0
        while at < tokens.shape[1]:
            step = tokens[:, at : at + rng.randint(1, 3)]
            found = case.model(step, queues)
            torch.testing.assert_close(found, expected[:, at : at + step.shape[1]], **EXACT)
            case.model(torch.ones_like(step), other)  # another name at the same time
            at += step.shape[1]
        for conv, queue in queues.items():
            assert queue.shape == (1, conv.dilation, case.config.channels)
    assert len(queues) == len(case.model.blocks)


def test_a_changed_letter_moves_its_own_output_first_and_none_before(case):
    tokens = tokens_of(case, max(case.names, key=len))
    for place in range(1, tokens.shape[1]):
        changed = tokens.clone()
        changed[0, place] = tokens[0, place] % (len(case.vocab) - 1) + 1
        moved = (case.model(tokens) != case.model(changed)).any(-1)[0].nonzero()[:, 0]
        assert moved[0] == place


@pytest.mark.parametrize("levels, stacks", [(1, 1), (1, 3), (2, 2), (3, 2), (4, 2), (5, 1)])
def test_receptive_field_is_one_and_the_sum_of_the_dilations(levels, stacks):
    case = make(levels=levels, stacks=stacks)
    reach = 1 + stacks * (2**levels - 1)
    assert case.model.receptive_field == reach
    embedded = torch.randn(1, reach + 5, 6, dtype=torch.float64, generator=seeded(1), requires_grad=True)
    case.model.embedding = lambda tokens: tokens  # the embedded letters themselves
    case.model(embedded)[0, -1].sum().backward()
    reads = embedded.grad[0].abs().amax(-1) > 0
    assert reads.tolist() == [False] * 5 + [True] * reach


def test_residual_is_added():
    block = Block(TINY, 2, True, seeded(0)).eval()
    x = torch.randn(2, 7, TINY.channels, generator=seeded(1))
    onward, skipped = block(x)
    z = block.gate(block.conv(x))
    torch.testing.assert_close(onward, x + block.onward(z))
    torch.testing.assert_close(skipped, block.skip(z))
    for p in block.onward.parameters():
        p.data.zero_()
    assert torch.equal(block(x)[0], x)  # a block that has nothing to say lets everything pass


def test_without_residual_nothing_passes_by():
    block = Block(replace(TINY, residual=False), 2, True, seeded(0)).eval()
    for p in block.onward.parameters():
        p.data.zero_()
    assert not block(torch.ones(1, 3, TINY.channels))[0].any()


def test_every_parameter_has_a_gradient(case):
    case.model(whole_names(case.names, case.vocab)[0]).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in case.model.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_has_the_parameters_that_it_should(variant):
    config = replace(WaveNetConfig(), **VARIANTS[variant])
    V, C, S = 27, 64, 64
    conv = (2 * C + 1) * C * (1 if variant == "no gate" else 2)
    blocks = 4 if variant == "half the depth" else 8
    onward = blocks if variant == "no skip" else blocks - 1
    skip = 0 if variant == "no skip" else blocks
    expected = V * C + blocks * conv + onward * (C + 1) * C + skip * (C + 1) * S + (S + 1) * S + (S + 1) * V
    model = WaveNet(config, V, seeded(0))
    assert count_parameters(model) == expected
    assert {block.residual for block in model.blocks} == {variant != "no residual"}
    assert {block.gate.kind for block in model.blocks} == {
        {"no gate": "none", "GLU": "glu"}.get(variant, "tanh")
    }
    assert {block.dropout.p for block in model.blocks} == {0 if variant == "no dropout" else config.dropout}


def test_first_loss_is_near_a_uniform_guess():
    vocab = Vocab(["abcdefghijklmnopqrstuvwxyz"])
    model = WaveNet(WaveNetConfig(), len(vocab), seeded(0))
    assert evaluate_names(model, ["emma", "olivia", "zoe"], vocab) == pytest.approx(np.log(27), abs=0.05)


def test_gate_glu_is_torchs():
    x = torch.randn(2, 3, 8, generator=seeded(0))
    torch.testing.assert_close(Gate("glu")(x), F.glu(x, -1))


def test_dropout_leaves_out_whole_channels_in_training_alone():
    x, dropout = torch.ones(400, 5, 30), Dropout(0.25)
    y = dropout(x)
    assert torch.equal(y, y[:, :1].expand(-1, 5, -1))
    assert sorted(y.unique().tolist()) == pytest.approx([0, 4 / 3])
    assert y.mean().item() == pytest.approx(1, abs=0.03)
    assert dropout.eval()(x) is x and Dropout(0.0)(x) is x


def test_a_model_prints_as_a_readable_stack():
    lines = repr(WaveNet(TINY, 9)).splitlines()
    assert len(lines) == 1 + 1 + 6 + 2 + 1 and "CausalConv(6, 12, dilation=4)" in lines[4]


# ---- Whole names, masked, in batches by length ---------------------------------------------------
def test_filling_changes_no_loss(case):
    alone = torch.cat([name_losses(case.model, [name], case.vocab) for name in case.names])
    torch.testing.assert_close(name_losses(case.model, case.names, case.vocab), alone, **EXACT)
    tokens, targets = whole_names(case.names, case.vocab)
    assert (targets >= 0).sum() == sum(map(len, case.names)) + len(case.names)
    other = torch.where(targets < 0, 1, tokens)  # another letter for a filling
    for x in (tokens, other):
        loss = F.cross_entropy(case.model(x).flatten(0, 1), targets.flatten(), reduction="sum")
        torch.testing.assert_close(loss, alone.sum(), rtol=1e-12, atol=0)


def test_training_loss_is_the_mean_over_the_letters_of_the_batch():
    case = make(dropout=0.0, batch_size=4, steps=1)
    lengths = torch.tensor([len(name) + 1 for name in case.names])
    batch = next(length_batches(lengths, 4, seeded(5))).tolist()
    expected = evaluate_names(case.model, [case.names[i] for i in batch], case.vocab)
    history = train_wavenet(case.model, case.names, case.vocab, case.config, 5, progress=False)
    assert history.losses == pytest.approx([expected], abs=1e-12)


def test_evaluate_names_is_helpers_evaluate(case):
    X, Y = build_dataset(case.names, case.vocab, case.model.receptive_field)
    case.model.train()
    for batch_size in (2, 1024):
        parts = name_losses(case.model, case.names, case.vocab, batch_size)
        assert parts.sum().item() / len(Y) == pytest.approx(evaluate(LastPlace(case.model), X, Y), abs=1e-12)
    assert evaluate_names(case.model, case.names, case.vocab) == pytest.approx(parts.sum().item() / len(Y))
    assert case.model.training and case.model.blocks[0].dropout.training


@pytest.mark.parametrize("n, size", [(1, 4), (7, 2), (1000, 16), (1024, 128), (50, 500)])
def test_batches_hold_each_name_once(n, size):
    lengths = torch.randint(2, 16, (n,), generator=seeded(n))
    for seed in range(3):
        batches = list(length_batches(lengths, size, seeded(seed)))
        assert sorted(torch.cat(batches).tolist()) == list(range(n))
        assert max(map(len, batches)) <= size and sum(len(batch) < size for batch in batches) <= 1


def test_batches_by_length_hold_little_filling_and_come_in_any_order():
    lengths = torch.randint(2, 16, (4096,), generator=seeded(0))
    batches = list(length_batches(lengths, 32, seeded(1)))
    slots = sum(len(ix) * lengths[ix].max().item() for ix in batches)
    assert lengths.sum().item() / slots > 0.85
    longest = [lengths[ix].max().item() for ix in batches]
    assert longest != sorted(longest) and len(set(longest[:16])) > 4
    assert not torch.equal(batches[0], next(length_batches(lengths, 32, seeded(2))))


# ---- Training ------------------------------------------------------------------------------------
def test_training_repeats_itself_and_leaves_the_global_generator_and_the_mode_alone():
    names = random_names(random.Random(3), 40)
    losses, state = [], torch.get_rng_state()
    for seed in (1, 1, 2):
        model = WaveNet(TINY, len(Vocab(names)), seeded(0)).eval()
        losses.append(train_wavenet(model, names, Vocab(names), TINY, seed, progress=False).losses)
        assert not model.training and not model.blocks[0].dropout.training
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_training_lowers_the_loss_and_can_be_ended(capsys):
    names = ["ab" * n for n in range(1, 9)] * 4
    vocab, config = Vocab(names), replace(TINY, steps=40, lr=0.02)
    model = WaveNet(config, len(vocab), seeded(0))
    before = evaluate_names(model, names, vocab)
    train_wavenet(model, names, vocab, config)
    assert evaluate_names(model, names, vocab) < before - 0.3
    assert "40/40 steps" in capsys.readouterr().out
    ended = train_wavenet(model, names, vocab, config, progress=False, on_step=lambda h: len(h.losses) == 3)
    assert len(ended.losses) == 3


def interrupt(history):
    raise KeyboardInterrupt


def test_an_interrupt_leaves_what_there_is():
    names = random_names(random.Random(4), 30)
    model = WaveNet(TINY, len(Vocab(names)))
    history = train_wavenet(model, names, Vocab(names), TINY, progress=False, on_step=interrupt)
    assert len(history.losses) == 1 and history.seconds > 0


# ---- Sampling ------------------------------------------------------------------------------------
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_samples_are_those_of_helpers_sample(case, temperature):
    T = case.model.receptive_field
    for seed, prompt in enumerate(["", case.names[0][:2]]):
        options = {"n": 6, "prompt": prompt, "temperature": temperature, "max_length": 12}
        expected = sample(LastPlace(case.model), case.vocab, T, **options, generator=seeded(seed))
        found = sample_cached(case.model, case.vocab, **options, generator=seeded(seed))
        assert found == expected
        assert found == sample_cached(
            case.model, case.vocab, **options, generator=seeded(seed)
        )  # fresh queues
        assert all(name.startswith(prompt) for name in found)


def test_sampling_keeps_the_mode():
    case = make()
    sample_cached(case.model.train(), case.vocab, 2)
    assert case.model.training and case.model.blocks[1].conv.training


@pytest.mark.parametrize("wrong", [{"n": 0}, {"temperature": 0.0}, {"temperature": -1.0}, {"prompt": "a.b"}])
def test_wrong_wishes_for_samples_are_refused(wrong):
    case = make()
    with pytest.raises(ValueError, match="n, temperature above 0, no . in prompt"):
        sample_cached(case.model, case.vocab, **wrong)
    with pytest.raises(ValueError, match="holds the unknown"):
        sample_cached(case.model, case.vocab, prompt="A")


# ---- Configs, runs, weights ----------------------------------------------------------------------
@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 0},
        {"skip_channels": -1},
        {"levels": 0},
        {"stacks": 0},
        {"gate": "relu"},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"steps": 0},
        {"batch_size": 1},
    ],
    ids=str,
)
def test_a_wrong_config_is_refused(wrong):
    with pytest.raises(ValueError, match="take"):
        WaveNetConfig(**wrong)


def test_a_config_survives_json():
    assert WaveNetConfig(**json.loads(json.dumps(asdict(TINY)))) == TINY


def test_a_run_has_the_record_of_helpers_run(monkeypatch, tmp_path):
    rng = random.Random(0)
    names = ["".join(rng.choices("abc", k=rng.randint(1, 4))) for _ in range(200)]
    monkeypatch.setattr(wavenet, "load_names", lambda: names)
    path = tmp_path / "weights.npz"
    record = json.loads(json.dumps(run_wavenet(TINY, 0, test=True, keep=path)))
    expected = {*run(RunConfig(steps=1, hidden=2), 0), "test"}
    assert set(record) == expected
    assert WaveNetConfig(**record["config"]) == TINY and len(record["samples"]) == 10
    known, counts = set(wavenet.split_names(names)["train"]), {}
    for part in ("seen", "unseen"):
        some = [name for name in wavenet.split_names(names)["val"] if (name in known) == (part == "seen")]
        counts[part] = sum(len(name) + 1 for name in some)
    mean = sum(record[part] * count for part, count in counts.items()) / sum(counts.values())
    assert record["val"] == pytest.approx(mean)
    model = load_weights(WaveNet(TINY, 4), path)
    assert evaluate_names(model, wavenet.split_names(names)["val"], Vocab(names)) == record["val"]


def test_a_leak_free_run_has_no_names_seen(monkeypatch):
    names = ["".join(random.Random(i).choices("abc", k=3)) for i in range(200)]
    monkeypatch.setattr(wavenet, "load_names", lambda: names)
    record = run_wavenet(replace(TINY, leak_free=True), 0)
    assert "seen" not in record and record["unseen"] == record["val"]


def test_weights_come_back_and_stay_trainable(tmp_path):
    model, other = (WaveNet(TINY, 9, seeded(seed)) for seed in (0, 1))
    save_weights(model, tmp_path / "w.npz")
    assert load_weights(other, tmp_path / "w.npz") is other
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q) and q.requires_grad


def test_weights_of_another_model_are_refused(tmp_path):
    save_weights(WaveNet(TINY, 9), tmp_path / "w.npz")
    with pytest.raises(ValueError, match="build it with the stored config"):
        load_weights(WaveNet(replace(TINY, stacks=1), 9), tmp_path / "w.npz")


def test_a_pickle_is_not_read(tmp_path):
    np.savez(tmp_path / "w.npz", np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_weights(WaveNet(TINY, 9), tmp_path / "w.npz")


def test_causal_conv_says_what_it_is():
    assert repr(CausalConv(3, 4, 2)) == "CausalConv(3, 4, dilation=2)"


# ---- Notebook 07 ---------------------------------------------------------------------------------
def test_notebook_defines_the_parts_by_the_same_code():
    notebook = parsed(nbformat.read(NOTEBOOK, as_version=4))
    source = ast.parse(Path(wavenet.__file__).read_text(encoding="utf-8"))
    taught = {
        "CausalConv",
        "Gate",
        "Dropout",
        "Block",
        "WaveNet",
        "whole_names",
        "length_batches",
        "sample_cached",
    }
    assert taught <= {node.name for node in definitions(notebook)}
    assert not defined_otherwise(notebook, source)

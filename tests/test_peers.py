"""course.peers and tools.peers: a GRU and a transformer that see no future, runs that
repeat themselves, and a search in which each kind of model has the same chances."""

import random
from dataclasses import asdict, replace

import pandas as pd
import pytest
import torch
from torch import Generator, nn

from course import peers, runs
from course.convolution import whole_names
from course.peers import (
    CoreClock,
    FromTorch,
    PeerConfig,
    build_peer,
    run_peer,
    run_timed,
    sample_whole,
)
from course.runs import RunConfig
from course.wavenet import (
    WaveNet,
    WaveNetConfig,
    evaluate_names,
    name_losses,
    train_on_names,
)
from helpers import Sequential, Vocab, count_parameters, eval_mode
from tools import peers as study

torch.set_num_threads(1)

EXACT = {"rtol": 0, "atol": 1e-12}
NAMES = ["ava", "emma", "noah", "liam", "o", "charlotte"] * 4
VOCAB = Vocab(NAMES)
SMALL = {"steps": 3, "batch_size": 8, "embedding_dim": 8, "hidden": 10}
SHAPES = [
    {"architecture": "gru"},
    {"architecture": "gru", "depth": 2},
    {"architecture": "transformer"},
    {"architecture": "transformer", "depth": 3, "heads": 2},
]


@pytest.fixture(params=SHAPES, ids=str)
def config(request):
    return PeerConfig(**SMALL | request.param)


@pytest.fixture
def few_names(monkeypatch):
    """Runs train on a few names only."""
    splits = {"train": NAMES, "val": ["ava", "mila"], "test": ["eve"]}
    splits |= {"seen": ["ava"], "unseen": ["mila"]}
    vocab = Vocab([*NAMES, "mila", "eve"])
    loaded = (vocab, splits)
    monkeypatch.setattr(peers, "load_splits", lambda leak_free: loaded)


def exact(config, seed=0):
    """A model in float64 with logits that do something."""
    model = build_peer(config, len(VOCAB), seed=seed).eval()
    model.layers[-1].weight.data *= 10
    for layer in model.layers:
        if isinstance(layer, FromTorch):
            layer.module.double()
        for name in ("weight", "bias"):
            if hasattr(layer, name):
                value = getattr(layer, name).detach().double()
                setattr(layer, name, value.requires_grad_())
    return model


def tokens_of(name):
    return torch.tensor([VOCAB.encode("." + name)])


# ---- The models ----------------------------------------------------------------------
@pytest.mark.parametrize("grad", [True, False])  # without, torch has a faster way
def test_no_position_sees_a_later_one_and_each_sees_its_own(config, grad):
    model = exact(config)
    tokens = tokens_of("charlotte")
    with torch.set_grad_enabled(grad):
        expected = model(tokens)
        for position in range(1, tokens.shape[1]):
            changed = tokens.clone()
            changed[0, position] = tokens[0, position] % (len(VOCAB) - 1) + 1
            moved = (expected - model(changed)).abs().amax(-1)[0] > 1e-9
            assert moved[position:].all() and not moved[:position].any()


def test_training_mode_without_dropout_and_eval_mode_compute_the_same(config):
    model = exact(replace(config, dropout=0.0))
    tokens = tokens_of("emma")
    with torch.no_grad():
        expected = model(tokens)
        torch.testing.assert_close(model.train()(tokens), expected, **EXACT)


def test_padding_changes_no_loss(config):
    model = exact(config)
    alone = torch.cat([name_losses(model, [name], VOCAB) for name in NAMES])
    torch.testing.assert_close(name_losses(model, NAMES, VOCAB), alone, **EXACT)


def test_a_gru_is_its_equations():
    """arXiv 1406.1078 as torch writes it: r, z and n share one matrix, one below the
    other, and the reset comes after the product with the state."""
    config = PeerConfig(**SMALL)
    model = exact(config)
    embedding, middle, _, out = model.layers
    gru = middle.module.gru
    tokens = tokens_of("emma")
    state = torch.zeros(config.hidden, dtype=torch.float64)
    for t in range(tokens.shape[1]):
        x = embedding.weight[tokens[0, t]]
        from_x = (gru.weight_ih_l0 @ x + gru.bias_ih_l0).chunk(3)
        from_state = (gru.weight_hh_l0 @ state + gru.bias_hh_l0).chunk(3)
        reset = torch.sigmoid(from_x[0] + from_state[0])
        keep = torch.sigmoid(from_x[1] + from_state[1])
        new = torch.tanh(from_x[2] + reset * from_state[2])
        state = (1 - keep) * new + keep * state
        logits = state @ out.weight + out.bias
        torch.testing.assert_close(logits, model(tokens)[0, t], **EXACT)


def test_a_transformer_is_its_equations():
    """Attention by hand, layer norm first (arXiv 2002.04745), in each of two layers."""
    config = PeerConfig(**SMALL, architecture="transformer", depth=2, heads=2)
    model = exact(config)
    embedding, middle, _, out = model.layers
    tokens = tokens_of("liam")
    T = tokens.shape[1]
    x = embedding.weight[tokens[0]] + middle.module.position.weight[:T]
    for block in middle.module.blocks:
        attention = block.self_attn
        q, k, v = (
            block.norm1(x) @ attention.in_proj_weight.T + attention.in_proj_bias
        ).chunk(3, -1)
        mixed = []
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)  # 8 channels for 2 heads
            scores = q[:, part] @ k[:, part].T / 4**0.5
            for t in range(T):
                scores[t, t + 1 :] = -torch.inf
            mixed.append(scores.softmax(-1) @ v[:, part])
        x = x + attention.out_proj(torch.cat(mixed, -1))
        hidden = nn.functional.gelu(block.linear1(block.norm2(x)))
        x = x + block.linear2(hidden)
    logits = middle.module.norm(x) @ out.weight + out.bias
    torch.testing.assert_close(logits, model(tokens)[0], **EXACT)


def test_the_layers_of_a_transformer_begin_with_weights_of_their_own():
    config = PeerConfig(**SMALL, architecture="transformer", depth=3)
    model = build_peer(config, len(VOCAB))
    first, second, third = (block.linear1.weight for block in peer_blocks(model))
    assert not torch.equal(first, second) and not torch.equal(second, third)


def peer_blocks(model):
    return model.layers[1].module.blocks


def test_a_name_that_is_too_long_is_refused_in_plain_words():
    config = PeerConfig(**SMALL, architecture="transformer", positions=4)
    model = build_peer(config, len(VOCAB))
    with pytest.raises(ValueError, match="5 positions, but only 4 fit: give PeerCon"):
        model(tokens_of("emma"))


def test_the_first_loss_is_about_that_of_a_uniform_guess(config):
    model = build_peer(config, len(VOCAB)).eval()
    uniform = torch.tensor(float(len(VOCAB))).log().item()
    assert evaluate_names(model, NAMES, VOCAB) == pytest.approx(uniform, abs=0.1)


def test_the_seed_draws_all_weights_and_leaves_the_global_state_alone(config):
    state = torch.get_rng_state()
    first = build_peer(config, len(VOCAB), seed=1).parameters()
    torch.manual_seed(7)
    second = build_peer(config, len(VOCAB), seed=1).parameters()
    other = build_peer(config, len(VOCAB), seed=2).parameters()
    torch.set_rng_state(state)
    build_peer(config, len(VOCAB), seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    for p, q, r in zip(first, second, other, strict=True):
        assert torch.equal(p, q)
        if p.ndim == 2:
            assert not torch.equal(p, r)


def test_a_torch_module_is_a_layer_like_others():
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))
    module[0].bias.requires_grad_(False)
    layer = FromTorch(module)
    assert layer.parameters() == [module[0].weight]
    assert count_parameters(Sequential(layer)) == 12
    with eval_mode(Sequential(layer)):
        assert not module.training and not module[1].training
    assert module.training and module[1].training
    with pytest.raises(ValueError, match="FromTorch.*cannot take a tensor"):
        layer(torch.ones(2, 5))
    with pytest.raises(TypeError, match="give a torch.nn.Module"):
        FromTorch(Sequential())


def test_dropout_acts_in_training_alone(config):
    model = build_peer(replace(config, dropout=0.5), len(VOCAB))
    tokens, _ = whole_names(NAMES, VOCAB)
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


# ---- Configs -------------------------------------------------------------------------
WRONG = [
    ({"architecture": "lstm"}, "architecture is 'lstm': choose one of 'gru'"),
    ({"depth": 0}, "depth is 0: give a whole number, 1 or more"),
    ({"dropout": 1}, "dropout is 1: give a number 0 or more and below 1"),
    ({"positions": 1}, "positions is 1: give a whole number, 2 or more"),
    ({"hidden": 1.5}, "hidden is 1.5: give a whole number"),
    ({"shuffle": False}, "shuffle is False: choose one of True"),
    ({"steps": 0}, "steps is 0"),
    (
        {"architecture": "transformer", "embedding_dim": 10, "heads": 4},
        "embedding_dim is 10 and heads is 4: give a multiple",
    ),
]


@pytest.mark.parametrize("wrong, message", WRONG, ids=str)
def test_a_config_that_cannot_be_built_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        PeerConfig(**wrong)


OPTIONS = {
    "steps": 2,
    "batch_size": 4,
    "lr": 0.02,
    "weight_decay": 1.0,
    "embedding_boost": 3.0,
    "architecture": "gru",
    "embedding_dim": 12,
    "hidden": 11,
    "depth": 2,
    "heads": 2,
    "positions": 17,
    "dropout": 0.5,
}
# They change nothing here: Muon is tested in test_optimizers.py, shuffle is fixed.
OTHERS = {"optimizer", "matrix_lr", "matrix_decay", "shuffle", "leak_free"}


def test_every_option_of_a_config_has_a_test():
    assert OPTIONS.keys() | OTHERS == asdict(PeerConfig()).keys()


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_of_a_config_changes_the_run(few_names, option):
    config = PeerConfig(**SMALL, architecture="transformer")
    usual = run_peer(config, 0)
    changed = run_peer(replace(config, **{option: OPTIONS[option]}), 0)
    assert usual["val"] != changed["val"]


# ---- Training, samples and runs ------------------------------------------------------
def test_training_lowers_the_loss(config):
    config = replace(config, steps=60, lr=0.02, dropout=0.0)
    model = build_peer(config, len(VOCAB))
    before = evaluate_names(model, NAMES, VOCAB)
    state = torch.get_rng_state()
    train_on_names(model, NAMES, VOCAB, config, progress=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert evaluate_names(model, NAMES, VOCAB) < before - 0.8


def test_samples_are_drawn_from_what_the_model_says(config):
    model = build_peer(config, len(VOCAB))
    model.layers[-1].bias.data[VOCAB.stoi["a"]] = 50.0  # nothing but a
    seeded = Generator().manual_seed(0)
    names = sample_whole(model, VOCAB, 3, longest=5, generator=seeded)
    assert names == ["aaaaa"] * 3
    model.layers[-1].bias.data[0] = 100.0  # the end
    assert sample_whole(model, VOCAB, 2, longest=5) == ["", ""]


def test_a_run_is_the_parts_put_together(few_names, config):
    record = run_peer(config, 3, test=True)
    vocab, splits = peers.load_splits(False)
    model = build_peer(config, len(vocab), seed=3)
    history = train_on_names(
        model, splits["train"], vocab, config, seed=3, progress=False
    )
    mean = sum(history.losses) / len(history.losses)
    assert record["curve"] == [pytest.approx(mean, abs=1e-4)]
    for split in ("train", "val", "test", "seen", "unseen"):
        assert record[split] == evaluate_names(model, splits[split], vocab)
    assert record["parameters"] == count_parameters(model)
    assert record["config"] == asdict(config)
    assert PeerConfig(**record["config"]) == config
    assert len(record["samples"]) == 10


def test_a_run_repeats_itself_whatever_was_drawn_before(few_names, config):
    records = []
    for before, seed in ((1, 3), (2, 3), (2, 4)):
        torch.manual_seed(before)
        record = run_peer(config, seed)
        record.pop("seconds")
        records.append(record)
    first, second, other = records
    assert "test" not in first
    assert first == second and first["val"] != other["val"]


def test_an_interrupted_run_has_no_record(few_names):
    def interrupt(history):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_peer(PeerConfig(**SMALL), 0, on_step=interrupt)


def test_the_clock_counts_this_process_alone(monkeypatch):
    times = iter([5.0, 7.0, 8.0])
    monkeypatch.setattr(peers.time, "process_time", lambda: next(times))
    clock = CoreClock()
    clock(None)
    with pytest.raises(ValueError, match="1 steps are too few: train for 2 or more"):
        clock.seconds_a_step()
    clock(None)
    clock(None)
    assert clock.seconds_a_step() == 1.5


def test_a_timed_run_is_the_run_of_its_kind(few_names, monkeypatch):
    def fake(name):
        def run(config, seed, *, on_step):
            on_step(None)
            on_step(None)
            return {"val": 2.0, "by": name, "seed": seed}

        return run

    for config_class in (RunConfig, WaveNetConfig):
        monkeypatch.setitem(peers.RUNS, config_class, fake(config_class.__name__))
        record = run_timed(config_class(), 5)
        assert (record["by"], record["seed"]) == (config_class.__name__, 5)
        assert record["core_seconds"] >= 0
    record = run_timed(PeerConfig(**SMALL), 5)
    assert 0 < record["core_seconds"] < 60
    expected = run_peer(PeerConfig(**SMALL), 5)
    assert record["val"] == expected["val"]
    with pytest.raises(TypeError, match="give a RunConfig, a WaveNetConfig or a Peer"):
        run_timed({}, 5)


# ---- The study -----------------------------------------------------------------------
def build(config, vocab_size=27):
    if isinstance(config, RunConfig):
        return config.build(vocab_size)
    if isinstance(config, WaveNetConfig):
        return WaveNet(config, vocab_size)
    return build_peer(config, vocab_size)


def test_all_shapes_have_about_the_parameters_of_the_largest_tree():
    wanted = count_parameters(build(runs.LECTURE_MODELS["tree_large"]))
    for shapes in study.SHAPES.values():
        for config in shapes.values():
            found = count_parameters(build(config))
            assert found == pytest.approx(wanted, rel=0.01)


def test_each_kind_has_the_same_chances():
    variants = study.make_search()
    tried = {kind: [] for kind in study.SHAPES}
    for name, config in variants.items():
        kind, shape, _ = name.split(", ")
        planned = config.steps * study.MILLISECONDS[kind, shape] / 1000
        assert planned == pytest.approx(study.BUDGET, rel=0.03)
        tried[kind].append((config.lr, config.weight_decay))
        assert config.leak_free is False and config.optimizer == "AdamW"
    expected = [recipe[:2] for recipe in study.RECIPES] * 2
    assert all(found == expected for found in tried.values())
    assert len(variants) == len(study.RECIPES) * 2 * 4


def test_no_two_fields_of_the_recipes_rise_or_fall_together():
    table = pd.DataFrame(study.RECIPES)
    assert table.nunique().tolist() == [len(table)] * 3
    ranks = table.rank().corr().to_numpy()
    for i in range(3):
        assert abs(ranks[i, :i]).max(initial=0) < 0.1


def searched(rng):
    """Rows as the search would store them."""
    rows = []
    for name, config in study.make_search().items():
        row = {"variant": name, "seed": 0, "val": rng.uniform(1.9, 2.1)}
        row["config"] = asdict(config)
        row["core_seconds"] = study.BUDGET * 1.25
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_each_kind_goes_on_with_steps_that_fit_the_budget(seed):
    search = searched(random.Random(seed))
    variants = study.make_search()
    best = study.best_peers(search)
    assert list(best) == list(study.SHAPES)
    for kind, config in best.items():
        runs_of_kind = search[search["variant"].str.startswith(kind)]
        winner = variants[runs_of_kind.loc[runs_of_kind["val"].idxmin(), "variant"]]
        assert config == replace(winner, steps=config.steps)
        assert config.steps == pytest.approx(winner.steps / 1.25, abs=study.ROUND / 2)


def test_a_shape_takes_the_seconds_of_its_own_runs():
    search = searched(random.Random(0))
    slow = search["variant"].str.startswith("GRU, two layers")
    search.loc[slow, "core_seconds"] *= 2
    search.loc[slow, "val"] = 1.0
    steps = study.make_search()["GRU, two layers, recipe 0"].steps
    expected = study.steps_within(study.BUDGET, 2.5 * study.BUDGET / steps)
    assert study.best_peers(search)["GRU"].steps == expected


@pytest.mark.parametrize("kind", study.SHAPES)
def test_each_kind_can_be_timed(kind):
    config = replace(next(iter(study.SHAPES[kind].values())), steps=2)
    clock = CoreClock()
    history = study.train_some(config, on_step=clock)
    assert clock.steps == len(history.losses) == 2

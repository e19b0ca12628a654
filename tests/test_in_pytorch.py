"""course.in_pytorch: the networks in torch.nn compute what ours do, of any size, with
any weights; and whatever could be carried over wrongly would be noticed."""

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn

from course import in_pytorch
from course.convolution import CausalConv1d, whole_names
from course.in_pytorch import (
    ConvTree,
    LinearTree,
    TorchBlock,
    TorchWaveNet,
    as_kernel,
    check_gradients,
    operators,
    step_ms,
    step_multiply_adds,
    tree_state,
    try_compile,
    wavenet_state,
    with_gradients,
)
from course.inspection import in_float64
from course.peers import FromTorch
from course.wavenet import WaveNet, WaveNetConfig
from helpers import Linear, Sequential, TrainConfig, Vocab, build_tree, train

torch.set_num_threads(1)

V = 7
EXACT = {"rtol": 0, "atol": 1e-10}
FORMS = {ConvTree: True, LinearTree: False}
SIZES = [(2, 3, 5), (4, 1, 4), (8, 6, 6), (16, 5, 3)]  # T, embedding, hidden
NETWORKS = [
    {"channels": 4, "skip_channels": 6, "levels": 3, "stacks": 1},
    {"channels": 5, "skip_channels": 3, "levels": 2, "stacks": 2},
    {"channels": 3, "skip_channels": 3, "levels": 1, "stacks": 1},
]


def seeded(seed=0):
    return Generator().manual_seed(seed)


def windows(block_size, n=40, seed=1):
    return torch.randint(V, (n, block_size), generator=seeded(seed))


def tree_of(block_size, embedding_dim, hidden):
    """A tree in float64 whose running statistics, gains and shifts have moved."""
    tree = build_tree(V, block_size, embedding_dim, hidden, generator=seeded())
    for layer in tree.layers:
        if hasattr(layer, "running_mean"):
            layer.weight.data += torch.rand(hidden, generator=seeded(2))
            layer.bias.data += torch.randn(hidden, generator=seeded(3))
    tree(windows(block_size))
    return in_float64(tree)


def twin_of(form, tree, sizes):
    twin = form(V, *sizes).double()
    twin.load_state_dict(tree_state(tree, conv=FORMS[form]))
    return twin


def wavenet_of(options):
    model = WaveNet(WaveNetConfig(**options), V, generator=seeded())
    for p in model.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=seeded(4))  # biases, too
    twin = TorchWaveNet(WaveNetConfig(**options), V)
    return in_float64(model), twin.double().eval()


# ---- The trees -----------------------------------------------------------------------
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", SIZES)
def test_a_tree_in_torch_nn_has_our_logits_in_both_modes(form, sizes):
    tree = tree_of(*sizes)
    twin = twin_of(form, tree, sizes)
    x = windows(sizes[0], seed=5)
    torch.testing.assert_close(twin.eval()(x), tree(x), **EXACT)
    torch.testing.assert_close(twin.train()(x), tree.train()(x), **EXACT)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", SIZES)
def test_a_tree_in_torch_nn_has_our_gradients_and_running_statistics(form, sizes):
    tree = tree_of(*sizes).train()
    twin = twin_of(form, tree, sizes).train()

    def state(model):
        return tree_state(model, conv=FORMS[form])

    x = windows(sizes[0], seed=6)
    told = check_gradients(tree, twin, x, x[:, 0], state=state)
    assert told.startswith(f"{len(tree.parameters())} gradients")


def test_each_form_trains_as_ours_does():
    names = ["ava", "emma", "noah", "liam", "olivia"] * 40
    vocab = Vocab(names)
    X = torch.randint(len(vocab), (300, 8), generator=seeded())
    Y = X[:, 3]
    config = TrainConfig(
        steps=12, batch_size=100, lr=0.003, weight_decay=0.0, embedding_boost=1.0
    )
    ours = build_tree(len(vocab), 8, 6, 10, generator=seeded())
    models = {}
    for form, conv in FORMS.items():
        models[form] = form(len(vocab), 8, 6, 10)
        models[form].load_state_dict(tree_state(ours, conv=conv))
    expected = train(ours, X, Y, config, progress=False).losses
    for model in models.values():
        found = train(Sequential(FromTorch(model)), X, Y, config, progress=False)
        assert found.losses == pytest.approx(expected, abs=1e-3)


# ---- The WaveNet ---------------------------------------------------------------------
@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_the_wavenet_in_torch_nn_has_our_logits_at_every_position(options):
    ours, twin = wavenet_of(options)
    twin.load_state_dict(wavenet_state(ours))
    tokens = torch.randint(V, (5, 11), generator=seeded(7))
    torch.testing.assert_close(twin(tokens), ours(tokens), **EXACT)
    for T in (1, 2, 6):  # also of texts that are shorter than a dilation
        torch.testing.assert_close(twin(tokens[:, :T]), ours(tokens[:, :T]), **EXACT)


@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_the_wavenet_in_torch_nn_has_our_gradients(options):
    ours, twin = wavenet_of(options)
    twin.load_state_dict(wavenet_state(ours))
    vocab = Vocab(["abcdef"])
    tokens, targets = whole_names(["abc", "fade", "b"], vocab)
    assert check_gradients(ours, twin, tokens, targets, state=wavenet_state)


def test_no_output_sees_the_future():
    _, twin = wavenet_of(NETWORKS[1])
    tokens = torch.randint(V, (1, 12), generator=seeded(8))
    before = twin(tokens)
    for t in range(12):
        changed = tokens.clone()
        changed[0, t] = (changed[0, t] + 1) % V
        after = twin(changed)
        assert torch.equal(after[:, :t], before[:, :t])
        assert not torch.equal(after[:, t], before[:, t])


def test_dropout_drops_a_channel_at_all_positions():
    config = WaveNetConfig(channels=50, dropout=0.5)
    block = TorchBlock(config, 1, has_next=False)
    ones = torch.ones(4, 50, 9)
    torch.manual_seed(0)
    dropped = block.dropout(ones)
    assert torch.equal(dropped, dropped[..., :1].expand_as(dropped))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}


# ---- Names and layouts ---------------------------------------------------------------
@pytest.mark.parametrize("taps", [1, 2, 3])
@pytest.mark.parametrize("C, H", [(1, 4), (3, 3), (5, 2)])
def test_the_filter_of_a_linear_computes_the_same(taps, C, H):
    conv = CausalConv1d(C, H, taps, dilation=2, padding="none", generator=seeded())
    x = torch.randn(2, 9, C, generator=seeded(1))
    kernel = as_kernel(conv.linear.weight, taps)
    assert kernel.shape == (H, C, taps)
    found = F.conv1d(x.mT, kernel, conv.linear.bias, dilation=2).mT
    torch.testing.assert_close(found, conv(x))


@pytest.mark.parametrize("form", FORMS)
def test_a_state_has_each_name_of_the_module_and_no_other(form):
    sizes = (8, 3, 5)
    state = tree_state(tree_of(*sizes), conv=FORMS[form])
    wanted = form(V, *sizes).state_dict()
    assert {name: value.shape for name, value in state.items()} == {
        name: value.shape for name, value in wanted.items()
    }


def test_the_buffers_go_over_too():
    sizes = (8, 3, 5)
    tree = tree_of(*sizes)
    state = tree_state(tree)
    norms = [layer for layer in tree.layers if hasattr(layer, "running_mean")]
    for i, norm in enumerate(norms):
        assert norm.running_mean.abs().max() > 0.01  # they have moved
        assert torch.equal(state[f"norms.{i}.running_mean"], norm.running_mean)
        assert torch.equal(state[f"norms.{i}.running_var"], norm.running_var)


def test_gradients_take_the_place_of_weights_in_a_copy():
    layer = Linear(3, 2, generator=seeded())
    weight = layer.weight.detach().clone()
    layer(torch.ones(4, 3)).sum().backward()
    found = with_gradients(layer)
    assert torch.equal(found.weight, torch.full((3, 2), 4.0))
    assert torch.equal(layer.weight, weight)


# ---- Speed -------------------------------------------------------------------------
def test_operators_are_counted_without_views_and_callers():
    x = torch.randn(4, 3)
    layer = nn.Linear(3, 2, bias=False)
    assert operators(lambda: layer(x.view(2, 2, 3)).mT) == ["mm"]
    assert operators(torch.tanh, x) == ["tanh"]
    assert operators(lambda: None) == []


def test_multiply_adds_are_three_for_each_use_of_a_weight():
    sizes = (8, 3, 5)
    linears = [m for m in LinearTree(V, *sizes).modules() if isinstance(m, nn.Linear)]
    uses = [4, 2, 1, 1]  # positions of each level, and of the last layer
    expected = sum(use * m.weight.numel() for use, m in zip(uses, linears, strict=True))
    assert step_multiply_adds(V, *sizes) == 3 * expected


def test_a_step_is_timed_for_each_model_and_the_threads_stay():
    threads = torch.get_num_threads()
    x = windows(4)
    models = {"ours": build_tree(V, 4, 3, 5), "theirs": ConvTree(V, 4, 3, 5)}
    before = models["theirs"].out.weight.detach().clone()
    found = step_ms(models, x, x[:, 0], rounds=3)
    assert list(found) == ["ours", "theirs"] and min(found.values()) > 0
    assert not torch.equal(models["theirs"].out.weight, before)  # it was trained
    assert torch.get_num_threads() == threads


def test_where_nothing_compiles_there_is_a_sentence(monkeypatch):
    def broken(model):
        def call(x):
            raise RuntimeError("Compiler: cl is not found")

        return call

    monkeypatch.setattr(in_pytorch.torch, "compile", broken)
    compiled, sentence = try_compile(ConvTree(V), windows(8))
    assert compiled is None
    assert "RuntimeError" in sentence and "C++ compiler" in sentence


def test_what_compiles_is_returned_with_its_time(monkeypatch):
    monkeypatch.setattr(in_pytorch.torch, "compile", lambda model: model)
    model = ConvTree(V)
    compiled, sentence = try_compile(model, windows(8))
    assert compiled is model and sentence.startswith("compiled in")
    assert all(p.grad is None for p in model.parameters())

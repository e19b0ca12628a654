"""What notebooks 06 and 07 claim of course.convolution, on random models and names."""

import random
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Generator

from course.convolution import (
    CausalConv1d,
    CausalNetwork,
    Packed,
    WithQueues,
    as_convolution,
    convolutions,
    pack,
    receptive_field,
    sample_with_queues,
    whole_names,
    with_queue,
)
from course.inspection import in_float64
from helpers import (
    BatchNorm1d,
    Sequential,
    Vocab,
    build_dataset,
    build_flat,
    build_tree,
    sample,
)

EXACT = 1e-12  # what float64 leaves of two ways to compute the same
CASES = [(T, seed) for T in (2, 4, 8, 16, 32, 64, "flat") for seed in (0, 1)]


def seeded(seed=0):
    return Generator().manual_seed(seed)


def random_names(rng, n=6):
    alphabet = rng.sample("abcdefghijklmnopqrstuvwxyzäß", rng.randint(2, 10))
    return ["".join(rng.choices(alphabet, k=rng.randint(1, 20))) for _ in range(n)]


@pytest.fixture(params=CASES, ids=str)
def case(request):
    """A random model in float64, whose BatchNorms do something, and names."""
    block_size, seed = request.param
    rng = random.Random(f"{block_size} {seed}")
    names = random_names(rng)
    vocab = Vocab(names)
    generator = seeded(seed)
    build = build_tree
    if block_size == "flat":
        build = build_flat
        block_size = rng.randint(1, 12)
    sizes = {"embedding_dim": rng.randint(1, 6), "hidden": rng.randint(1, 12)}
    model = build(len(vocab), block_size, **sizes, generator=generator)
    model.layers[-1].weight.data *= 10  # build_* makes it small
    for layer in model.layers:
        if isinstance(layer, BatchNorm1d):
            for value in (layer.weight.data, layer.bias.data, layer.running_mean):
                value += torch.randn(value.shape, generator=generator)
            shape = layer.running_var.shape
            layer.running_var += torch.rand(shape, generator=generator)
    model = in_float64(model)
    return SimpleNamespace(model=model, names=names, vocab=vocab, block_size=block_size)


def windows(case, name):
    """The model's own answer: (len(name) + 1, V)."""
    X, _ = build_dataset([name], case.vocab, case.block_size)
    return case.model(X)


def tokens(case, name, dots=1):
    return torch.tensor([case.vocab.encode("." * dots + name)])  # (1, dots+len(name))


def assert_equal(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=EXACT)


# ---- The layer ---------------------------------------------------------------------
def by_torch(layer, x):
    """The layer without padding, by F.conv1d: (B, T, C) -> (B, T - reach, H)."""
    kC, H = layer.linear.weight.shape
    by_tap = layer.linear.weight.view(layer.kernel_size, kC // layer.kernel_size, H)
    weight = by_tap.permute(2, 1, 0)  # (k, C, H) -> (H, C, k)
    out = F.conv1d(x.mT, weight, layer.linear.bias, dilation=layer.dilation)
    return out.mT


SHAPES = [(2, 1), (2, 4), (3, 2), (8, 1), (1, 3)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel_size, dilation", SHAPES)
def test_the_layer_is_torchs_convolution(kernel_size, dilation, bias):
    options = {"dilation": dilation, "bias": bias, "generator": seeded()}
    layer = CausalConv1d(3, 5, kernel_size, padding="none", **options)
    if bias:
        layer.linear.bias.data += torch.randn(5, generator=seeded(1))
    layer = in_float64(layer)
    x = torch.randn(2, 20, 3, dtype=torch.float64, generator=seeded(2))
    assert layer.reach == (kernel_size - 1) * dilation
    assert layer(x).shape == (2, 20 - layer.reach, 5)
    assert_equal(layer(x), by_torch(layer, x))


@pytest.mark.parametrize("kernel_size, dilation", SHAPES)
def test_padding_is_what_it_is_called(kernel_size, dilation):
    x = torch.randn(2, 6, 3, generator=seeded(2))
    layers = {}
    for padding in ("none", "zeros", "dots"):
        options = {"dilation": dilation, "generator": seeded()}
        layers[padding] = CausalConv1d(3, 5, kernel_size, padding=padding, **options)
    reach = layers["none"].reach
    zeros = torch.zeros(2, reach, 3)
    first = x[:, :1].expand(2, reach, 3)
    behind_zeros = layers["none"](torch.cat([zeros, x], 1))
    behind_first = layers["none"](torch.cat([first, x], 1))
    torch.testing.assert_close(layers["zeros"](x), behind_zeros)
    torch.testing.assert_close(layers["dots"](x), behind_first)


def test_each_option_changes_what_it_should():
    def layer(**options):
        return CausalConv1d(3, 5, **{"generator": seeded(), **options})

    x = torch.randn(2, 6, 3, generator=seeded(2))
    usual = layer()
    assert usual.padding == "dots" and usual.linear.bias is not None
    assert layer(bias=False).linear.bias is None
    assert layer(kernel_size=3).linear.weight.shape == (9, 5)
    assert torch.equal(layer()(x), usual(x))
    for other in ({"dilation": 2}, {"padding": "zeros"}, {"generator": seeded(1)}):
        assert not torch.equal(layer(**other)(x), usual(x)), other
    # The same weights in each, and the positions far from the start do not change.
    assert torch.equal(layer(padding="zeros")(x)[:, 1:], usual(x)[:, 1:])
    assert torch.equal(layer(dilation=2).linear.weight, usual.linear.weight)


def test_too_few_positions_are_refused():
    layer = CausalConv1d(1, 1, dilation=4, padding="none")
    with pytest.raises(ValueError, match="give 5 or more"):
        layer(torch.zeros(1, 4, 1))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"padding": "same"}, "padding is 'same': choose one of"),
        ({"kernel_size": 0}, "kernel_size is 0: give a whole number, 1 or more"),
        ({"dilation": 0}, "dilation is 0: give a whole number, 1 or more"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CausalConv1d(1, 1, **options)


# ---- A model as a convolution ------------------------------------------------------
def test_convolution_equals_the_model_at_every_position(case):
    network = as_convolution(case.model, padding="none")
    assert receptive_field(network) == case.block_size
    for name in case.names:
        x = tokens(case, name, case.block_size)  # behind as many dots as it looks back
        assert_equal(network(x)[0], windows(case, name))
        for layer in network.layers:
            is_convolution = isinstance(layer, CausalConv1d)
            x = by_torch(layer, x) if is_convolution else layer(x)
        assert_equal(x[0], windows(case, name))


def test_padding_with_dots_is_right_and_with_zeros_wrong_at_the_first_positions(case):
    dots = as_convolution(case.model)
    zeros = as_convolution(case.model, padding="zeros")
    for name in case.names:
        expected = windows(case, name)
        assert_equal(dots(tokens(case, name))[0], expected)
        off = (zeros(tokens(case, name))[0] - expected).abs().amax(-1)
        assert (off[: case.block_size - 1] > EXACT).all()
        assert (off[case.block_size - 1 :] < EXACT).all()


def test_a_changed_character_moves_no_output_before_it_and_none_beyond_its_reach(case):
    name = max(case.names, key=len)
    network = as_convolution(case.model)
    before = tokens(case, name)
    for position in range(1, len(name) + 1):
        after = before.clone()
        # another character, never the dot
        after[0, position] = before[0, position] % (len(case.vocab) - 1) + 1
        moved = (network(before) != network(after)).any(-1)[0].nonzero()[:, 0]
        assert moved[0] == position  # its own output first, and nothing earlier
        assert moved[-1] < position + case.block_size


def test_a_linear_with_a_bias_becomes_a_convolution_with_that_bias():
    model = build_flat(5, 3, 2, 4, generator=seeded())
    model.layers[2].bias = torch.randn(4, generator=seeded(1))
    network = as_convolution(model.eval(), padding="none")
    x = torch.tensor([[1, 2, 3], [0, 4, 1]])
    torch.testing.assert_close(network(x)[:, 0], model(x))


def test_a_convolution_is_a_copy_and_leaves_mode_and_random_state(case):
    state = torch.random.get_rng_state()
    assert not as_convolution(case.model).training
    network = as_convolution(case.model.train())
    assert network.training
    assert all(layer.training for layer in network.layers)
    assert torch.equal(torch.random.get_rng_state(), state)
    for ours, theirs in zip(network.parameters(), case.model.parameters(), strict=True):
        assert ours is not theirs and torch.equal(ours, theirs)


def test_convolutions_are_found_at_any_depth_in_their_order():
    layers = [CausalConv1d(1, 1, dilation=dilation) for dilation in (1, 2, 4)]
    inner = Sequential(layers[1], BatchNorm1d(1))
    network = Sequential(layers[0], inner, layers[2])
    assert list(convolutions(network)) == layers
    assert receptive_field(network) == 8


# ---- Names in one go ---------------------------------------------------------------
def test_packed_names_give_the_logits_and_gradients_of_all_windows(case):
    packed = Packed(*as_convolution(case.model).layers)
    text, targets = pack(case.names, case.vocab)
    X, Y = build_dataset(case.names, case.vocab, case.block_size)
    assert torch.equal(targets, Y)
    assert_equal(packed(text), case.model(X))
    F.cross_entropy(packed(text), targets).backward()
    F.cross_entropy(case.model(X), Y).backward()
    for p, q in zip(packed.parameters(), case.model.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-9, atol=EXACT)


def test_masked_loss_of_whole_names_is_the_loss_of_all_windows(case):
    network = as_convolution(case.model)
    x, targets = whole_names(case.names, case.vocab)
    X, Y = build_dataset(case.names, case.vocab, case.block_size)
    masked = F.cross_entropy(network(x).flatten(0, 1), targets.flatten())
    assert_equal(masked, F.cross_entropy(case.model(X), Y))


def test_whole_names_are_padded_on_the_right_and_masked():
    vocab = Vocab(["ab", "b"])
    x, targets = whole_names(["ab", "b"], vocab)
    assert x.tolist() == [[0, 1, 2], [0, 2, 0]]
    assert targets.tolist() == [[1, 2, 0], [2, 0, -100]]


# ---- Queues ------------------------------------------------------------------------
def test_queues_equal_the_windows_at_every_step_and_an_empty_dict_begins_anew(case):
    network = as_convolution(case.model)
    for name in [*case.names, case.names[0]]:
        queues = {}
        others = {}
        for token, expected in zip(tokens(case, name)[0], windows(case, name)):
            assert_equal(network(token.view(1, 1), queues)[0, 0], expected)
            network(torch.ones(1, 1, dtype=torch.long), others)  # another name
    lengths = [len(queues[convolution]) for convolution in convolutions(network)]
    assert lengths == [convolution.reach for convolution in convolutions(network)]


@pytest.mark.parametrize("padding", ["dots", "zeros"])
def test_many_names_and_many_positions_a_call_do_not_mix(case, padding):
    network = as_convolution(case.model, padding=padding)
    texts, _ = whole_names(case.names, case.vocab)  # (B, T)
    expected = network(texts)
    for size in (1, 2, texts.shape[1]):
        queues = {}
        parts = [network(part, queues) for part in texts.split(size, dim=1)]
        assert_equal(torch.cat(parts, dim=1), expected)


def test_queues_without_padding_are_refused():
    convolution = CausalConv1d(1, 1, padding="none")
    with pytest.raises(ValueError, match="queues need 'dots' or 'zeros'"):
        with_queue(convolution, torch.zeros(1, 1, 1), {})


def test_generated_names_are_those_of_sample(case):
    network = as_convolution(case.model)
    prompt = case.names[0][:2]
    cases = [{}, {"prompt": prompt}, {"temperature": 0.5}, {"max_length": 5}]
    for seed, options in enumerate(cases):
        sizes = (case.vocab, case.block_size)
        random_numbers = {"generator": seeded(seed)}
        expected = sample(case.model, *sizes, n=4, **options, **random_numbers)
        random_numbers = {"generator": seeded(seed)}
        found = sample_with_queues(network, case.vocab, 4, **options, **random_numbers)
        assert found == expected
        assert all(name.startswith(options.get("prompt", "")) for name in found)


def test_the_generator_decides_what_is_drawn_and_nothing_else_changes():
    vocab = Vocab(["abcdefgh"])
    model = build_tree(len(vocab), generator=seeded())
    network = as_convolution(model)
    state = torch.random.get_rng_state()
    one = sample_with_queues(network, vocab, generator=seeded(1))
    again = sample_with_queues(network, vocab, generator=seeded(1))
    other = sample_with_queues(network, vocab, generator=seeded(2))
    assert one == again != other
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("mode", [True, False])
def test_sampling_leaves_the_network_in_its_mode(mode):
    vocab = Vocab(["abcdefgh"])
    network = as_convolution(build_tree(len(vocab))).train(mode)
    sample_with_queues(network, vocab, 2, generator=seeded())
    assert all(layer.training is mode for layer in network.layers)
    with pytest.raises(ValueError, match="unknown"):
        sample_with_queues(network, vocab, 2, prompt="ä")
    assert all(layer.training is mode for layer in network.layers)


def test_a_step_reads_the_whole_first_window_and_then_the_last_character():
    read = []

    class Spy(CausalNetwork):
        def __call__(self, x, queues=None):
            read.append(tuple(x.shape))
            return super().__call__(x, queues)

    vocab = Vocab(["abcdefgh"])
    network = Spy(*as_convolution(build_tree(len(vocab))).layers)
    step = WithQueues(network.eval())
    for _ in range(3):
        step(torch.zeros(2, 5, dtype=torch.long))
    assert read == [(2, 5), (2, 1), (2, 1)]

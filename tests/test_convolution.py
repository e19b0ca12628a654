"""What notebook 06 claims, on random models and random names. Its classes and functions are taken from the
notebook's own cells: imports and definitions are run, nothing else is."""

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from bench import definitions
from helpers import Generator, Vocab, build_dataset, build_flat, build_tree, sample

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "06_convolution.ipynb"
EXACT = 1e-12  # what float64 leaves of two ways to compute the same


nb = definitions(NOTEBOOK)


def random_names(rng, n=6):
    alphabet = rng.sample("abcdefghijklmnopqrstuvwxyzäß", rng.randint(2, 10))
    return ["".join(rng.choices(alphabet, k=rng.randint(1, 20))) for _ in range(n)]


@pytest.fixture(
    params=[(T, seed) for T in (2, 4, 8, 16, 32, 64) for seed in (0, 1)] + [(0, 0), (0, 1)], ids=str
)
def case(request):
    """A random tree (or, for 0, a flat model) in float64, with BatchNorms that do something, and names."""
    block_size, seed = request.param
    rng = random.Random(f"{block_size} {seed}")
    names = random_names(rng)
    vocab, g = Vocab(names), Generator().manual_seed(seed)
    build, block_size = (build_tree, block_size) if block_size else (build_flat, rng.randint(1, 12))
    model = build(len(vocab), block_size, rng.randint(1, 6), rng.randint(1, 12), generator=g)
    model.layers[-1].weight.data *= 10  # build_* makes it small
    for layer in model.layers:
        if hasattr(layer, "running_mean"):
            for value in (layer.weight.data, layer.bias.data, layer.running_mean):
                value += torch.randn(value.shape, generator=g)
            layer.running_var += torch.rand(layer.running_var.shape, generator=g)
    return SimpleNamespace(model=nb.in_float64(model), names=names, vocab=vocab, block_size=block_size)


def windows(case, name):
    """The model's own answer: (len(name)+1, vocab_size)."""
    return case.model(build_dataset([name], case.vocab, case.block_size)[0])


def tokens(case, name, dots=1):
    return torch.tensor([case.vocab.encode("." * dots + name)])  # (1, dots+len(name))


def test_convolution_equals_the_model_at_every_place(case):
    convolution = nb.as_convolution(case.model)
    assert nb.receptive_field(convolution) == case.block_size
    for name in case.names:
        behind_dots = tokens(case, name, case.block_size)
        for logits in (convolution(behind_dots)[0], nb.by_torch(convolution, behind_dots)[0]):
            torch.testing.assert_close(logits, windows(case, name), rtol=0, atol=EXACT)


def test_padding_with_the_all_dots_activations_is_right_and_with_zeros_wrong(case):
    for name in case.names:
        dots, zeros = (nb.as_convolution(case.model, padded) for padded in (nb.DotsPadded, nb.ZeroPadded))
        expected = windows(case, name)
        torch.testing.assert_close(dots(tokens(case, name))[0], expected, rtol=0, atol=EXACT)
        off = (zeros(tokens(case, name))[0] - expected).abs().amax(-1)
        assert (off[: case.block_size - 1] > EXACT).all() and (off[case.block_size - 1 :] < EXACT).all()


def test_joined_names_give_the_logits_and_gradients_of_all_windows(case):
    joined = nb.Joined(*nb.as_convolution(case.model).layers)
    text, targets = nb.join(case.names, case.vocab)
    X, Y = build_dataset(case.names, case.vocab, case.block_size)
    assert torch.equal(targets, Y)
    torch.testing.assert_close(joined(text), case.model(X), rtol=0, atol=EXACT)
    F.cross_entropy(joined(text), targets).backward()
    F.cross_entropy(case.model(X), Y).backward()
    for p, q in zip(joined.parameters(), case.model.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-9, atol=EXACT)


def test_masked_loss_of_whole_names_is_the_loss_of_all_windows(case):
    nb.check_losses_equal(case.model, case.names, case.vocab)


def test_a_changed_letter_moves_no_output_before_it_and_none_beyond_the_receptive_field(case):
    name = max(case.names, key=len)
    convolution = nb.as_convolution(case.model, nb.DotsPadded)
    for place in range(1, len(name) + 1):
        moved = nb.moved_places(convolution, tokens(case, name), place, len(case.vocab))
        assert moved[0] == place  # its own output first: no shift in time, and nothing earlier
        assert moved[-1] < place + case.block_size


def test_queues_equal_the_windows_at_every_step_and_start_anew_for_each_name(case):
    convolution = nb.as_convolution(case.model, nb.DotsPadded)
    dots = nb.all_dots(convolution)
    for name in [*case.names, case.names[0]]:
        step, other = nb.Queues(convolution, dots), nb.Queues(convolution, dots)
        for token, expected in zip(tokens(case, name)[0], windows(case, name), strict=True):
            torch.testing.assert_close(step(token[None])[0], expected, rtol=0, atol=EXACT)
            other(torch.ones(1, dtype=torch.long))  # another name at the same time
    assert all(len(queue) == conv.reach for conv, queue in step.queues.items())


def test_many_names_in_one_queue_do_not_mix(case):
    convolution = nb.as_convolution(case.model, nb.DotsPadded)
    texts, _ = nb.whole_names(case.names, case.vocab)  # (B, T)
    step = nb.Queues(convolution, nb.all_dots(convolution), len(texts))
    together = torch.stack([step(column) for column in texts.T], 1)
    torch.testing.assert_close(together, convolution(texts), rtol=0, atol=EXACT)


def test_generated_names_are_those_of_sample(case):
    convolution = nb.as_convolution(case.model, nb.DotsPadded)
    dots = nb.all_dots(convolution)
    for seed in range(3):
        a, b = (Generator().manual_seed(seed) for _ in range(2))
        expected = sample(case.model, case.vocab, case.block_size, n=1, generator=a)
        assert nb.generate(convolution, dots, case.vocab, generator=b) == expected


def test_a_model_keeps_its_mode(case):
    assert not nb.as_convolution(case.model).training and nb.as_convolution(case.model.train()).training
    convolution = nb.as_convolution(case.model)
    nb.all_dots(convolution)
    assert all(layer.training for layer in convolution.layers)


def test_too_few_places_are_refused():
    with pytest.raises(ValueError, match="give 5 or more"):
        nb.CausalConv1d(1, 1, dilation=4)(torch.zeros(1, 4, 1))

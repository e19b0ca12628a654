"""course.costs: its count is torch's own, and it measures what it says."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from course import costs
from course.convolution import as_convolution, receptive_field
from course.costs import (
    CONVOLUTION,
    DOTS_COMPUTED,
    QUEUES,
    TREE,
    fastest,
    in_portions,
    large_tree,
    multiply_adds,
    run_all,
    step_seconds,
    ways,
    whole_seconds,
)
from helpers import Vocab, build_dataset

NAMES = ["diondre", "al", "maryelizabeth"]
VOCAB = Vocab(NAMES)


def torchs_count(model, batches):
    """Multiply-adds: a product and a sum are two operations for torch."""
    with FlopCounterMode(display=False) as counter:
        run_all(model, batches)
    return counter.get_total_flops() / 2


def counted(block_size, way):
    lengths = [len(name) + 1 for name in NAMES]
    return sum(multiply_adds(block_size, n, len(VOCAB))[way] for n in lengths)


@pytest.mark.parametrize("block_size", [2, 8, 64])
def test_the_count_is_torchs(block_size):
    for way, work in ways(block_size, NAMES, VOCAB).items():
        assert torchs_count(*work) == counted(block_size, way)
    network = as_convolution(large_tree(block_size, len(VOCAB)), padding="none")
    rows = [VOCAB.encode("." * block_size + name) for name in NAMES]
    batches = [torch.tensor([row]) for row in rows]
    assert torchs_count(network, batches) == counted(block_size, DOTS_COMPUTED)


@pytest.mark.parametrize("block_size", [2, 8, 64])
def test_a_step_of_the_queues_costs_what_one_position_costs(block_size):
    network = as_convolution(large_tree(block_size, len(VOCAB)))
    queues = {}
    token = torch.zeros(3, 1, dtype=torch.long)
    network(token, queues)
    with FlopCounterMode(display=False) as counter:
        network(token, queues)
    one = multiply_adds(block_size, 1, len(VOCAB))[CONVOLUTION]
    assert counter.get_total_flops() == 2 * 3 * one


def test_the_sizes_change_the_count():
    usual = multiply_adds(8, 5, 27)
    others = [
        multiply_adds(16, 5, 27),
        multiply_adds(8, 6, 27),
        multiply_adds(8, 5, 28),
        multiply_adds(8, 5, 27, embedding_dim=25),
        multiply_adds(8, 5, 27, hidden=129),
    ]
    for other in others:
        assert all(other[way] > usual[way] for way in usual)


def test_both_ways_give_the_same_logits():
    results = []
    for model, batches in ways(8, NAMES, VOCAB).values():
        results.append(torch.cat(run_all(model, batches)))
    assert len(results[0]) == sum(len(name) + 1 for name in NAMES)
    torch.testing.assert_close(*results)


def test_portions_hold_all_windows_in_their_order(monkeypatch):
    monkeypatch.setattr(costs, "BATCH_CHARACTERS", 20)
    windows, _ = build_dataset(NAMES, VOCAB, 8)
    portions = in_portions(windows)
    assert {len(portion) for portion in portions[:-1]} == {2}  # 2 * 8 <= 20
    assert torch.equal(torch.cat(portions), windows)


def test_the_tree_is_the_large_one_and_always_the_same():
    state = torch.random.get_rng_state()
    one = large_tree(8, 27)
    assert sum(p.numel() for p in one.parameters()) == 76_579
    assert not one.training
    assert receptive_field(as_convolution(large_tree(32, 27))) == 32
    for p, q in zip(one.parameters(), large_tree(8, 27).parameters(), strict=True):
        assert torch.equal(p, q)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_fastest_of_some_runs(monkeypatch):
    clock = iter([0, 5, 10, 12, 20, 29])  # runs of 5, 2 and 9 seconds
    monkeypatch.setattr(costs.time, "perf_counter", lambda: next(clock))
    calls = []
    assert fastest(calls.append, "x", repeats=3) == 2
    assert calls == ["x"] * 3


def test_both_measure_what_they_say_and_keep_the_gradient_mode():
    whole = whole_seconds(8, NAMES, VOCAB)
    step = step_seconds(8, len(VOCAB), n=2)
    assert list(whole) == [TREE, CONVOLUTION] and list(step) == [TREE, QUEUES]
    assert min(*whole.values(), *step.values()) > 0
    assert torch.is_grad_enabled()

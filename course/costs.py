"""What a tree and its convolution cost: multiply-adds counted, seconds measured.

There are three ways to get the logits at every position of every name, which notebook
07 explains and compares; two of them are measured, too. Times are those of the fastest
of several runs, because other programs can only make a run slower.
"""

import time

import torch
from torch import Generator, Tensor

from course.checks import check_callable, checked, context, tensor
from course.convolution import Packed, as_convolution, pack
from helpers import Layer, Sequential, Vocab, build_dataset, build_tree

TREE = "tree on windows"
CONVOLUTION = "convolution on packed names"  # the all-dots activations are copied
DOTS_COMPUTED = "convolution, dots computed"  # counted, not measured
QUEUES = "queues"

# Characters of windows in one batch: more would not fit into a processor's cache.
BATCH_CHARACTERS = 2**15


@checked(block_size=context(tree=True))
def multiply_adds(
    block_size: int, n: int, vocab_size: int, *, embedding_dim=24, hidden=128
) -> dict[str, int]:
    """{way: multiply-adds} of a tree of pairs for the n positions of one name.

    n = 1 gives the cost of one more character: the whole tree on a window, or one step
    with queues, which does what CONVOLUTION does for one position.
    """
    last_layer = n * hidden * vocab_size
    counts = {TREE: last_layer, CONVOLUTION: last_layer, DOTS_COMPUTED: last_layer}
    channels = embedding_dim
    level = 1
    while 2**level <= block_size:
        fusion = 2 * channels * hidden  # the size of the level's matrix
        counts[TREE] += n * (block_size // 2**level) * fusion
        counts[CONVOLUTION] += n * fusion
        counts[DOTS_COMPUTED] += (n + block_size - 2**level) * fusion
        channels = hidden
        level += 1
    return counts


@checked(block_size=context(tree=True))
def ways(
    block_size: int, names: list[str], vocab: Vocab
) -> dict[str, tuple[Layer, list[Tensor]]]:
    """{TREE, CONVOLUTION: (model in eval mode, the batches that it reads)}."""
    tree = large_tree(block_size, len(vocab))
    windows, _ = build_dataset(names, vocab, block_size)  # (N, block_size)
    text, _ = pack(names, vocab)  # (N,)
    return {
        TREE: (tree, in_portions(windows)),
        CONVOLUTION: (Packed(*as_convolution(tree).layers).eval(), [text]),
    }


@checked(block_size=context(tree=True))
def large_tree(block_size: int, vocab_size: int) -> Sequential:
    """An untrained tree as large as the lecture's last one, in eval mode."""
    sizes = {"embedding_dim": 24, "hidden": 128}
    generator = Generator().manual_seed(0)
    return build_tree(vocab_size, block_size, **sizes, generator=generator).eval()


@checked(windows=tensor(dims=2))
def in_portions(windows: Tensor) -> list[Tensor]:
    """Windows (N, T) in batches of BATCH_CHARACTERS characters."""
    T = windows.shape[1]
    return list(windows.split(max(1, BATCH_CHARACTERS // T)))


@checked()
def run_all(model: Layer, batches: list[Tensor]) -> list[Tensor]:
    """The logits of each batch, without gradients."""
    with torch.no_grad():
        return [model(batch) for batch in batches]


@checked(work=check_callable)
def fastest(work, *arguments, repeats: int = 3) -> float:
    """Seconds of the fastest of `repeats` calls of work(*arguments)."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


@checked(block_size=context(tree=True))
def whole_seconds(block_size: int, names: list[str], vocab: Vocab) -> dict[str, float]:
    """{TREE, CONVOLUTION: seconds} for the logits at every position of all names."""
    seconds = {}
    for way, (model, batches) in ways(block_size, names, vocab).items():
        seconds[way] = fastest(run_all, model, batches)
    return seconds


@checked(block_size=context(tree=True))
def step_seconds(block_size: int, vocab_size: int, *, n: int = 256) -> dict[str, float]:
    """{TREE, QUEUES: seconds} for one more character of `n` names.

    The tree reads a whole window for each name, the queues read one character.
    """
    tree = large_tree(block_size, vocab_size)
    network = as_convolution(tree)
    windows = torch.zeros(n, block_size, dtype=torch.long)
    character = torch.zeros(n, 1, dtype=torch.long)
    queues = {}
    with torch.no_grad():
        network(character, queues)  # the first call fills the queues
        return {
            TREE: fastest(run_all, tree, in_portions(windows)),
            QUEUES: fastest(network, character, queues),
        }

"""The full WaveNet of notebook 08, which teaches each part (arXiv 1609.03499).

Layers, training on whole names, evaluation and stored weights. Shapes: B names,
T positions, C channels, S skip channels, V characters. Each name is read behind one
dot. Before that dot there are only dots, as in the windows of helpers.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from course.convolution import CausalConv1d, Queues, sample_with_queues, whole_names
from course.runs import load_splits, make_record
from helpers import (
    Embedding,
    History,
    Layer,
    Linear,
    Sequential,
    TrainConfig,
    Vocab,
    eval_mode,
    fit,
)

GATES = ("tanh", "glu", "none")
POOL = 8  # batches whose names are sorted by length together


@dataclass(frozen=True)
class WaveNetConfig(TrainConfig):
    """All that a run depends on but its seed; a batch is `batch_size` whole names."""

    steps: int = 5_000
    batch_size: int = 128
    lr: float = 0.004
    weight_decay: float = 0.15
    embedding_boost: float = 1.0  # no BatchNorm follows the embedding
    channels: int = 64
    skip_channels: int = 64
    levels: int = 4  # dilations 1, 2, 4, ... in each stack
    stacks: int = 2
    gate: str = "tanh"  # one of GATES
    residual: bool = True
    skip: bool = True  # False: the last block alone feeds the head
    dropout: float = 0.15
    leak_free: bool = False  # True: split the distinct names, so that none is in two

    def __post_init__(self):
        super().__post_init__()
        sizes = (self.channels, self.skip_channels, self.levels, self.stacks)
        if min(sizes) < 1:
            named = "channels, skip_channels, levels and stacks"
            raise ValueError(f"{self}: {named} must be 1 or more")
        if self.gate not in GATES:
            raise ValueError(f"gate is {self.gate!r}: choose one of {GATES}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}: give 0 or more, below 1")

    def dilations(self) -> list[int]:
        """The dilation of each block: 1, 2, 4, ..., repeated in each further stack."""
        return [2**level for level in range(self.levels)] * self.stacks


# ---- Layers ------------------------------------------------------------------------
class Gate(Layer):
    """Half of the channels, times the sigmoid of the others: (B, T, 2*C) -> (B, T, C).

    "tanh" bends the first half (WaveNet), "glu" leaves it as it is (arXiv 1612.08083).
    "none" is a tanh without a gate: (B, T, C) -> (B, T, C).
    """

    def __init__(self, kind: str = "tanh"):
        self.kind = kind
        self.label = kind

    def __call__(self, x: Tensor) -> Tensor:
        if self.kind == "none":
            return torch.tanh(x)
        signal, gate = x.chunk(2, dim=-1)  # (B, T, 2*C) -> twice (B, T, C)
        if self.kind == "tanh":
            signal = torch.tanh(signal)
        return signal * torch.sigmoid(gate)


class Dropout(Layer):
    """Drops each channel of a name with probability `p`: (B, T, C) -> (B, T, C).

    A channel is dropped at all positions of the name alike (arXiv 1512.05287), and the
    others are scaled up. In eval mode nothing happens.
    """

    def __init__(self, p: float):
        self.p = p
        self.label = f"{p}"

    def __call__(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        B, T, C = x.shape
        kept = torch.rand(B, 1, C) >= self.p
        return x * kept / (1 - self.p)


class Block(Layer):
    """z = gate(W * x). On goes x + W_r z, and W_s z goes to the head.

    (B, T, C) -> (B, T, C) and (B, T, S). Without a next block there is no W_r, and x
    comes back unchanged. Without skips there is no W_s, and None stands for its output.
    """

    def __init__(
        self, config: WaveNetConfig, dilation: int, *, has_next: bool, generator=None
    ):
        C = config.channels
        H = C if config.gate == "none" else 2 * C
        self.residual = config.residual
        self.conv = CausalConv1d(C, H, dilation=dilation, generator=generator)
        self.gate = Gate(config.gate)
        self.dropout = Dropout(config.dropout)
        self.onward = None
        self.skip = None
        self.layers = [self.conv, self.gate, self.dropout]
        if has_next:
            self.onward = Linear(C, C, generator=generator)
            self.layers.append(self.onward)
        if config.skip:
            self.skip = Linear(C, config.skip_channels, generator=generator)
            self.layers.append(self.skip)
        self.label = ", ".join(map(repr, self.layers))

    def __call__(
        self, x: Tensor, queues: Queues | None = None
    ) -> tuple[Tensor, Tensor | None]:
        z = self.dropout(self.gate(self.conv(x, queues)))  # (B, T, C)
        skipped = self.skip(z) if self.skip else None  # (B, T, S)
        if self.onward and self.residual:
            x = x + self.onward(z)
        elif self.onward:
            x = self.onward(z)
        return x, skipped


class WaveNet(Layer):
    """Logits of the next character at each position: (B, T) -> (B, T, V)."""

    def __init__(self, config: WaveNetConfig, vocab_size: int, *, generator=None):
        self.skips = config.skip
        self.embedding = Embedding(vocab_size, config.channels, generator=generator)
        self.blocks = []
        dilations = config.dilations()
        for i, dilation in enumerate(dilations):
            is_last = i == len(dilations) - 1
            # With skips, what the last block hands on would go nowhere.
            has_next = not (is_last and config.skip)
            block = Block(config, dilation, has_next=has_next, generator=generator)
            self.blocks.append(block)
        S = config.skip_channels if config.skip else config.channels
        self.hidden = Linear(S, S, generator=generator)
        self.out = Linear(S, vocab_size, generator=generator)
        self.out.weight.data *= 0.1  # logits near zero: the first loss is ln(V)
        self.layers = [self.embedding, *self.blocks, self.hidden, self.out]

    def __call__(self, tokens: Tensor, queues: Queues | None = None) -> Tensor:
        x = self.embedding(tokens)  # (B, T) -> (B, T, C)
        total = 0
        for block in self.blocks:
            x, skipped = block(x, queues)
            if self.skips:
                total = total + skipped  # (B, T, S)
        if not self.skips:
            total = x
        hidden = torch.relu(self.hidden(torch.relu(total)))  # (B, T, S)
        return self.out(hidden)  # (B, T, S) -> (B, T, V)

    __repr__ = Sequential.__repr__  # a line for each layer


# ---- Training and evaluation -------------------------------------------------------
def length_batches(
    lengths: Tensor, size: int, generator: Generator | None = None
) -> Iterator[Tensor]:
    """Row numbers in batches of `size` (the last may be smaller), each row once.

    The rows are shuffled. Then POOL batches' worth of them at a time are sorted by
    length and cut, so that a batch needs hardly any padding, and all batches shuffled.
    """
    batches = []
    shuffled = torch.randperm(len(lengths), generator=generator)
    for pool in shuffled.split(POOL * size):
        by_length = pool[lengths[pool].argsort(stable=True)]
        batches += by_length.split(size)
    for i in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[i]


def train_wavenet(
    model: WaveNet,
    names: list[str],
    vocab: Vocab,
    config: WaveNetConfig,
    *,
    seed: int = 0,
    **options,
) -> History:
    """As helpers.train, on batches of whole names, in place.

    The same `seed` gives the same batches and the same dropout. The options are those
    of helpers.fit. The global random state is left as it was.
    """
    tokens, targets = whole_names(names, vocab)
    lengths = (targets >= 0).sum(1)  # (N,)
    generator = Generator().manual_seed(seed)

    def batches():
        while True:
            for ix in length_batches(lengths, config.batch_size, generator):
                longest = lengths[ix].max()
                yield tokens[ix, :longest], targets[ix, :longest]

    # Dropout draws from the global generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return fit(model, batches(), config, **options)


def name_losses(
    model: WaveNet, names: list[str], vocab: Vocab, *, batch_size: int = 1024
) -> Tensor:
    """For each name minus the log of its probability (with its end), in nats: (N,)."""
    tokens, targets = whole_names(names, vocab)
    lengths = (targets >= 0).sum(1)
    losses = torch.zeros(len(names), dtype=torch.float64)
    with eval_mode(model):
        for ix in lengths.argsort(stable=True).split(batch_size):
            longest = lengths[ix].max()
            logits = model(tokens[ix, :longest]).mT  # (B, T, V) -> (B, V, T)
            wanted = targets[ix, :longest]
            parts = F.cross_entropy(logits, wanted, reduction="none")  # 0 for -100
            losses[ix] = parts.double().sum(1)  # (B, T) -> (B,)
    return losses


def evaluate_names(model: WaveNet, names: list[str], vocab: Vocab) -> float:
    """Mean cross-entropy, as helpers.evaluate: over characters and ends, in nats."""
    characters = sum(len(name) + 1 for name in names)
    return name_losses(model, names, vocab).sum().item() / characters


# ---- Runs and stored weights -------------------------------------------------------
def run_wavenet(
    config: WaveNetConfig,
    seed: int,
    *,
    on_step: Callable[[History], bool | None] | None = None,
    test: bool = False,
    keep: str | Path | None = None,
) -> dict:
    """As course.runs.run: trains one WaveNet and gives its record.

    `keep` is the path of a .npz file for its weights.
    """
    vocab, splits = load_splits(config.leak_free)
    generator = Generator().manual_seed(seed)
    model = WaveNet(config, len(vocab), generator=generator)
    history = train_wavenet(
        model,
        splits["train"],
        vocab,
        config,
        seed=seed,
        progress=False,
        on_step=on_step,
    )
    losses = {}
    for split, names in splits.items():
        if names and (split != "test" or test):
            losses[split] = evaluate_names(model, names, vocab)
    samples = sample_with_queues(model, vocab, generator=generator)
    record = make_record(config, model, history, losses=losses, samples=samples)
    if keep:
        save_weights(model, keep)
    return record


def save_weights(model: Layer, path: str | Path) -> None:
    """The parameters in their order as a .npz file of plain arrays."""
    arrays = [p.detach().numpy() for p in model.parameters()]
    np.savez(path, *arrays)


def load_weights(model: Layer, path: str | Path) -> Layer:
    """Puts stored parameters into `model`. No pickle is read: no file can run code."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = [stored[f"arr_{i}"] for i in range(len(stored.files))]
    parameters = model.parameters()
    found = [array.shape for array in arrays]
    wanted = [tuple(p.shape) for p in parameters]
    if found != wanted:
        cure = "build it with the stored config"
        raise ValueError(f"{path} holds {found}, the model wants {wanted}: {cure}")
    for parameter, array in zip(parameters, arrays):
        parameter.data = torch.from_numpy(array)
    return model

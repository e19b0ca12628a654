"""The full WaveNet of notebook 07, which teaches each part (arXiv 1609.03499): layers, whole names, training,
evaluation, sampling with queues and stored weights. Shapes: B names, T places, C channels, V vocabulary.
Each name is read behind one dot, and before that dot only dots are seen, as in the windows of helpers.py."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.nn.utils.rnn import pad_sequence

from helpers import (
    END,
    Embedding,
    History,
    Layer,
    Linear,
    TrainConfig,
    Vocab,
    count_parameters,
    eval_mode,
    fit,
    load_names,
    smooth,
    split_names,
)

GATES = ("tanh", "glu", "none")
POOL = 8  # batches that are sorted by length together


@dataclass(frozen=True)
class WaveNetConfig(TrainConfig):
    """All that a run depends on but its seed; a batch is of `batch_size` whole names."""

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
    leak_free: bool = False  # True splits the distinct names, so that none stands in two splits

    def __post_init__(self):
        super().__post_init__()
        sizes = min(self.channels, self.skip_channels, self.levels, self.stacks)
        if sizes < 1 or self.gate not in GATES or not 0 <= self.dropout < 1:
            raise ValueError(f"{self}: sizes take 1 or more, gate one of {GATES}, dropout 0 up to below 1")


# ---- Layers --------------------------------------------------------------------------------------
class CausalConv(Layer):
    """Each place beside the one `dilation` before it, times one matrix: (B, T, C) -> (B, T, H). What stands
    before the first place is what stands there: dots. `queues` keeps the last places for the next call."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int, generator=None):
        self.linear = Linear(2 * in_channels, out_channels, generator=generator)  # the older place first
        self.layers, self.dilation = [self.linear], dilation
        self.arguments = f"{in_channels}, {out_channels}, dilation={dilation}"

    def __call__(self, x: Tensor, queues: dict | None = None) -> Tensor:
        B, T, C = x.shape
        first = x[:, :1].expand(-1, self.dilation, -1)  # (B, 1, C) -> (B, dilation, C)
        before = first if queues is None else queues.get(self, first)
        seen = torch.cat([before, x], 1)  # (B, dilation+T, C)
        if queues is not None:
            queues[self] = seen[:, T:]  # the last `dilation` places
        return self.linear(torch.cat([seen[:, :T], x], -1))  # (B, T, 2*C) -> (B, T, H)


class Gate(Layer):
    """One half of the channels, times the sigmoid of the other: (B, T, 2*C) -> (B, T, C). "none": tanh."""

    def __init__(self, kind: str = "tanh"):
        self.kind = self.arguments = kind

    def __call__(self, x: Tensor) -> Tensor:
        if self.kind == "none":
            return torch.tanh(x)
        filtered, gate = x.chunk(2, -1)  # (B, T, 2*C) -> twice (B, T, C)
        return (torch.tanh(filtered) if self.kind == "tanh" else filtered) * torch.sigmoid(gate)


class Dropout(Layer):
    """In training mode leaves each channel of a name out with probability `p`, at all its places alike
    (arXiv 1512.05287), and makes up for it by the scale: (B, T, C) -> (B, T, C)."""

    def __init__(self, p: float):
        self.p = p
        self.arguments = f"{p}"

    def __call__(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        kept = torch.rand(len(x), 1, x.shape[-1]) >= self.p  # (B, 1, C)
        return x * kept / (1 - self.p)


class Block(Layer):
    """z = gate(W * x); on goes x + W_r z, to the head goes W_s z: (B, T, C) -> (B, T, C) and (B, T, S)."""

    def __init__(self, config: WaveNetConfig, dilation: int, onward: bool, generator=None):
        C, H = config.channels, config.channels * (1 if config.gate == "none" else 2)
        self.residual = config.residual
        self.conv = CausalConv(C, H, dilation, generator)
        self.gate, self.dropout = Gate(config.gate), Dropout(config.dropout)
        self.onward = Linear(C, C, generator=generator) if onward else None  # if there is a next block
        self.skip = Linear(C, config.skip_channels, generator=generator) if config.skip else None
        parts = self.conv, self.gate, self.dropout, self.onward, self.skip
        self.layers = [layer for layer in parts if layer]
        self.arguments = ", ".join(map(repr, self.layers))

    def __call__(self, x: Tensor, queues: dict | None = None) -> tuple[Tensor, Tensor | None]:
        z = self.dropout(self.gate(self.conv(x, queues)))  # (B, T, C)
        skipped = self.skip(z) if self.skip else None  # (B, T, S)
        if self.onward:
            x = x + self.onward(z) if self.residual else self.onward(z)
        return x, skipped


class WaveNet(Layer):
    """Logits of the letter after each place, from this place and those before: (B, T) -> (B, T, V)."""

    def __init__(self, config: WaveNetConfig, vocab_size: int, generator: Generator | None = None):
        C, S = config.channels, config.skip_channels if config.skip else config.channels
        dilations = [2**level for level in range(config.levels)] * config.stacks
        last = len(dilations) - 1
        self.embedding = Embedding(vocab_size, C, generator=generator)
        onward = [i < last or not config.skip for i in range(last + 1)]  # the last one's would go nowhere
        self.blocks = [Block(config, *pair, generator) for pair in zip(dilations, onward)]
        self.hidden, self.out = (Linear(S, size, generator=generator) for size in (S, vocab_size))
        self.out.weight.data *= 0.1  # a first guess near uniform: the first loss is ln(vocab_size)
        self.layers = [self.embedding, *self.blocks, self.hidden, self.out]
        self.receptive_field = 1 + sum(dilations)

    def __call__(self, tokens: Tensor, queues: dict | None = None) -> Tensor:
        x, skips = self.embedding(tokens), []  # (B, T) -> (B, T, C)
        for block in self.blocks:
            x, skipped = block(x, queues)
            skips.append(skipped)
        total = x if skips[-1] is None else sum(skips)  # (B, T, S)
        return self.out(torch.relu(self.hidden(torch.relu(total))))  # (B, T, S) -> (B, T, V)

    def __repr__(self) -> str:
        return "\n  ".join(["WaveNet(", *map(repr, self.layers)]) + "\n)"


# ---- Whole names ---------------------------------------------------------------------------------
def whole_names(names: list[str], vocab: Vocab) -> tuple[Tensor, Tensor]:
    """Names of any length: tokens (B, T) from the dot on, targets (B, T), filled up with 0 and with -100."""
    rows = [torch.tensor(vocab.encode(END + name + END)) for name in names]
    tokens = pad_sequence([row[:-1] for row in rows], batch_first=True)
    return tokens, pad_sequence([row[1:] for row in rows], batch_first=True, padding_value=-100)


def length_batches(lengths: Tensor, size: int, generator: Generator | None = None) -> Iterator[Tensor]:
    """Row numbers in batches of `size`, the last may be smaller; each row once. Rows are shuffled, some
    batches' worth of them sorted by length, cut, and the batches shuffled again: hardly any filling."""
    shuffled = torch.randperm(len(lengths), generator=generator)
    pools = [pool[lengths[pool].argsort(stable=True)] for pool in shuffled.split(POOL * size)]
    batches = [batch for pool in pools for batch in pool.split(size)]
    for i in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[i]


# ---- Training and evaluation ---------------------------------------------------------------------
def train_wavenet(model, names, vocab, config, seed=0, progress=True, on_step=None) -> History:
    """As helpers.train, on batches of whole names; `seed` gives the batches and the dropout."""
    tokens, targets = whole_names(names, vocab)
    lengths, generator = (targets >= 0).sum(1), Generator().manual_seed(seed)  # (N,)

    def batches():
        while True:
            for ix in length_batches(lengths, config.batch_size, generator):
                longest = lengths[ix].max()
                yield tokens[ix, :longest], targets[ix, :longest]

    with torch.random.fork_rng(devices=[]):  # dropout draws from the global generator: left as it was
        torch.manual_seed(seed)
        return fit(model, batches(), config, progress, on_step)


def name_losses(model: WaveNet, names: list[str], vocab: Vocab, batch_size: int = 1024) -> Tensor:
    """For each name minus the log of its probability, its end included, in nats: (N,)."""
    tokens, targets = whole_names(names, vocab)
    lengths, losses = (targets >= 0).sum(1), torch.zeros(len(names), dtype=torch.float64)
    with eval_mode(model):
        for ix in lengths.argsort(stable=True).split(batch_size):
            longest = lengths[ix].max()
            logits = model(tokens[ix, :longest]).mT  # (B, T, V) -> (B, V, T), as cross_entropy wants
            parts = F.cross_entropy(logits, targets[ix, :longest], reduction="none")  # 0 where it is -100
            losses[ix] = parts.double().sum(1)  # (B, T) -> (B,)
    return losses


def evaluate_names(model: WaveNet, names: list[str], vocab: Vocab) -> float:
    """Mean cross-entropy over all characters of the names and their ends, in nats: helpers.evaluate's."""
    return name_losses(model, names, vocab).sum().item() / sum(len(name) + 1 for name in names)


def sample_cached(model, vocab, n=10, prompt="", temperature=1.0, max_length=40, generator=None):
    """What helpers.sample draws from the same generator, by one step for each letter: each convolution keeps
    a queue of its last inputs (Fast WaveNet, arXiv 1611.09482), new ones for each call."""
    if n < 1 or temperature <= 0 or END in prompt:
        raise ValueError(f"{n=}, {temperature=}, {prompt=}: n, temperature above 0, no {END} in prompt")
    rows = torch.arange(n)  # numbers of the names that are not yet at their end
    drawn = torch.zeros(n, max_length, dtype=torch.long)
    tokens, queues = torch.tensor([vocab.encode(END + prompt)]).expand(n, -1), {}
    with eval_mode(model):
        for t in range(max_length - len(prompt)):
            ps = (model(tokens, queues)[:, -1] / temperature).softmax(-1)  # (rows, V)
            ix = torch.multinomial(ps, 1, generator=generator)  # (rows, 1)
            drawn[rows, t] = ix[:, 0]
            going = ix[:, 0] != 0
            tokens, rows = ix[going], rows[going]
            if not len(rows):
                break
            if not going.all():
                queues = {conv: queue[going] for conv, queue in queues.items()}
    return [prompt + vocab.decode(takewhile(bool, row)) for row in drawn.tolist()]  # up to the end, 0


# ---- Runs and stored weights ---------------------------------------------------------------------
@cache
def load_splits(leak_free: bool = False) -> tuple[Vocab, dict[str, list[str]]]:
    """The vocabulary, and the names of each split and of the val names that train has too (seen) or not."""
    names = load_names()
    vocab, splits = Vocab(names), split_names(list(dict.fromkeys(names)) if leak_free else names)
    known = set(splits["train"])
    splits["seen"] = [name for name in splits["val"] if name in known]
    splits["unseen"] = [name for name in splits["val"] if name not in known]
    return vocab, splits


def run_wavenet(config: WaveNetConfig, seed: int, on_step=None, test=False, keep=None) -> dict:
    """As helpers.run: trains one model, and gives its record. `keep`: a path for the weights."""
    vocab, splits = load_splits(config.leak_free)
    generator = Generator().manual_seed(seed)
    model = WaveNet(config, len(vocab), generator)
    history = train_wavenet(model, splits["train"], vocab, config, seed, progress=False, on_step=on_step)
    if history.interrupted:
        raise KeyboardInterrupt  # an unfinished model has no record
    wanted = [split for split, part in splits.items() if part and (test or split != "test")]
    record = {split: evaluate_names(model, splits[split], vocab) for split in wanted}
    record |= {"parameters": count_parameters(model), "seconds": round(history.seconds, 2)}
    record |= {"curve": smooth(history.losses).round(4).tolist(), "config": asdict(config)}
    record |= {"samples": sample_cached(model, vocab, generator=generator)}
    if keep:
        save_weights(model, keep)
    return record | {"versions": {"python": platform.python_version(), "torch": torch.__version__}}


def save_weights(model: Layer, path: str | Path) -> None:
    """The parameters in their order as a .npz file of plain arrays."""
    np.savez(path, *[p.detach().numpy() for p in model.parameters()])


def load_weights(model: Layer, path: str | Path) -> Layer:
    """Puts stored parameters into `model`; no pickle is read, so a file cannot run code."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = [stored[f"arr_{i}"] for i in range(len(stored.files))]
    parameters = model.parameters()
    shapes, wanted = [array.shape for array in arrays], [tuple(p.shape) for p in parameters]
    if shapes != wanted:
        raise ValueError(f"{path} holds {shapes}, the model wants {wanted}: build it with the stored config")
    for parameter, array in zip(parameters, arrays):
        parameter.data = torch.from_numpy(array)
    return model

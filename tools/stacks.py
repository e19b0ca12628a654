"""Trains several seeds of one model side by side, as one model with one more dimension.

With the lecture's batches of 32, a step is mostly overhead, so eight seeds in one step
take about as long as three in turn. Each seed has the weights and the batches that
course.runs.run gives it, and the same losses up to rounding (tests/test_stacks.py).
Shapes: S seeds, B examples of a batch, T positions, C channels, V characters.
"""

import time

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from tqdm import tqdm

from course.optimizers import build_optimizer
from course.runs import BatchNormPerPosition, RunConfig, load_data, make_record
from helpers import (
    BatchNorm1d,
    Embedding,
    FlattenConsecutive,
    History,
    Layer,
    Linear,
    Sequential,
    Tanh,
    evaluate,
    sample,
)

SEEDS_A_STACK = 8


# ---- Layers of a stack: each made of S layers, and taken apart again -----------------
def stack_of(layers: list[Layer], name: str) -> Tensor:
    """(S, ...): copies of the parameters that the layers call `name`."""
    values = [getattr(layer, name).detach() for layer in layers]
    return torch.stack(values)


class StackedEmbedding(Layer):
    """All embedding tables as one: numbers (S, B, T) -> (S, B, T, C)."""

    def __init__(self, layers: list[Embedding]):
        self.size = len(layers[0].weight)
        weights = stack_of(layers, "weight").flatten(0, 1)
        self.weight = weights.requires_grad_()  # (S * V, C)
        self.first_rows = self.size * torch.arange(len(layers))[:, None, None]

    def __call__(self, x: Tensor) -> Tensor:
        return F.embedding(x + self.first_rows, self.weight)

    def take_apart(self, layers: list[Embedding]) -> None:
        for layer, weight in zip(layers, self.weight.split(self.size)):
            layer.weight.data.copy_(weight)


class StackedFlatten(Layer):
    """(S, B, T, C) -> (S, B, T//n, n*C), or (S, B, n*C)."""

    def __init__(self, layers: list[FlattenConsecutive]):
        self.n = layers[0].n

    def __call__(self, x: Tensor) -> Tensor:
        S, B, T, C = x.shape
        return x.reshape(S, B, T // self.n, self.n * C).squeeze(2)

    def take_apart(self, layers: list[FlattenConsecutive]) -> None:
        pass


class StackedLinear(Layer):
    """(S, ..., in_features) -> (S, ..., out_features)."""

    def __init__(self, layers: list[Linear]):
        self.weight = stack_of(layers, "weight").requires_grad_()  # (S, in, out)
        self.bias = None
        if layers[0].bias is not None:
            biases = stack_of(layers, "bias")[:, None]
            self.bias = biases.requires_grad_()  # (S, 1, out)

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.flatten(1, -2)  # (S, ..., in) -> (S, N, in)
        if self.bias is None:
            out = torch.bmm(rows, self.weight)
        else:
            out = torch.baddbmm(self.bias, rows, self.weight)
        return out.view(*x.shape[:-1], -1)

    def take_apart(self, layers: list[Linear]) -> None:
        for i, layer in enumerate(layers):
            layer.weight.data.copy_(self.weight[i])
            if layer.bias is not None:
                layer.bias.data.copy_(self.bias[i, 0])


class StackedTanh(Layer):
    def __init__(self, layers: list[Tanh]):
        pass

    def __call__(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def take_apart(self, layers: list[Tanh]) -> None:
        pass


class StackedNorm(Layer):
    """BatchNorm1d, or BatchNormPerPosition, of each seed: (S, ..., C) -> (S, ..., C).

    F.batch_norm sees them as more channels: S * C, or S * T * C.
    """

    def __init__(self, layers: list[BatchNorm1d]):
        first = layers[0]
        self.per_position = isinstance(first, BatchNormPerPosition)
        self.eps = first.eps
        self.momentum = first.momentum
        self.weight = stack_of(layers, "weight").requires_grad_()  # (S, C)
        self.bias = stack_of(layers, "bias").requires_grad_()
        self.running_mean = None  # made at the first batch, which shows T
        self.running_var = None

    def __call__(self, x: Tensor) -> Tensor:
        S, B, *positions, C = x.shape
        kept = positions if self.per_position else []  # each has its own statistics
        rows = x.movedim(0, -1 - len(kept) - 1)  # (B, ..., S, kept, C)
        shape = rows.shape
        rows = rows.reshape(-1, S * torch.Size([*kept, C]).numel())
        if self.running_mean is None:
            self.running_mean = torch.zeros(rows.shape[1])
            self.running_var = torch.ones(rows.shape[1])
        ones = [1] * len(kept)
        weight = self.weight.view(S, *ones, C).expand(S, *kept, C).flatten()
        bias = self.bias.view(S, *ones, C).expand(S, *kept, C).flatten()
        buffers = (self.running_mean, self.running_var)
        out = F.batch_norm(rows, *buffers, weight, bias, True, self.momentum, self.eps)
        self.kept = kept
        return out.view(shape).movedim(-1 - len(kept) - 1, 0)

    def take_apart(self, layers: list[BatchNorm1d]) -> None:
        S, C = self.weight.shape
        for name in ("running_mean", "running_var"):
            buffers = getattr(self, name).view(S, *self.kept, C)
            for layer, buffer in zip(layers, buffers):
                buffer = buffer[None] if self.per_position else buffer
                setattr(layer, name, buffer.clone())
        for i, layer in enumerate(layers):
            layer.weight.data.copy_(self.weight[i])
            layer.bias.data.copy_(self.bias[i])


KINDS = {
    Embedding: StackedEmbedding,
    FlattenConsecutive: StackedFlatten,
    Linear: StackedLinear,
    BatchNorm1d: StackedNorm,
    BatchNormPerPosition: StackedNorm,
    Tanh: StackedTanh,
}


# ---- Training ----------------------------------------------------------------------
def train_stack(
    models: list[Sequential],
    X: Tensor,
    Y: Tensor,
    config: RunConfig,
    *,
    seeds: list[int],
    progress: bool = False,
) -> list[History]:
    """Like helpers.train with each model and its seed, in place; a History for each.

    Only for configs with shuffle=False. Each gets an equal share of the seconds.
    """
    stack = Sequential()
    for layers in zip(*(model.layers for model in models)):
        stack.layers.append(KINDS[type(layers[0])](layers))
    kinds = {"table": StackedEmbedding, "matrix": StackedLinear}
    optimizer = build_optimizer(stack, config, **kinds)
    generators = [Generator().manual_seed(seed) for seed in seeds]
    losses = []
    start = time.perf_counter()
    for _ in tqdm(range(config.steps), disable=not progress):
        rows = []
        for generator in generators:
            ix = torch.randint(len(X), (config.batch_size,), generator=generator)
            rows.append(ix)
        ix = torch.stack(rows)  # (S, B)
        logits = stack(X[ix])  # (S, B, V)
        each = F.cross_entropy(logits.mT, Y[ix], reduction="none").mean(1)  # (S,)
        optimizer.zero_grad()
        each.sum().backward()  # no seed's loss depends on another's weights
        optimizer.step()
        losses.append(each.detach())
    seconds = (time.perf_counter() - start) / len(models)
    for i, layer in enumerate(stack.layers):
        layer.take_apart([model.layers[i] for model in models])
    columns = torch.stack(losses).T.tolist()
    return [History(column, seconds) for column in columns]


def run_stack(config: RunConfig, number: int) -> dict:
    """The records of SEEDS_A_STACK runs, from seed `number * SEEDS_A_STACK` on, as one.

    Its "runs" is a list of records as course.runs.run returns them, each with its seed.
    Its "val" is their mean, and its "seconds" is their sum.
    """
    first = number * SEEDS_A_STACK
    seeds = list(range(first, first + SEEDS_A_STACK))
    vocab, data = load_data(config.block_size, config.leak_free)
    generators = [Generator().manual_seed(seed) for seed in seeds]
    models = []
    for generator in generators:
        models.append(config.build(len(vocab), generator=generator))
    histories = train_stack(models, *data["train"], config, seeds=seeds)
    runs = []
    for seed, model, history, generator in zip(seeds, models, histories, generators):
        losses = {}
        for split in data:
            if split != "test":
                losses[split] = evaluate(model, *data[split])
        samples = sample(model, vocab, config.block_size, generator=generator)
        record = make_record(config, model, history, losses=losses, samples=samples)
        runs.append({"seed": seed, **record})
    return as_stack(runs)


def as_stack(runs: list[dict]) -> dict:
    """One record made of the records of several seeds."""
    return {
        "val": sum(record["val"] for record in runs) / len(runs),
        "seconds": sum(record["seconds"] for record in runs),
        "config": runs[0]["config"],
        "versions": runs[0]["versions"],
        "runs": runs,
    }

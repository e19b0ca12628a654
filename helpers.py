"""The module that the notebooks share, in the order in which data flows:
names -> splits -> (X, Y) -> model -> losses -> figures and tables.
Shapes are written with B for batch, T for time (positions of the context) and C for channels.
A loss is a mean cross-entropy in nats per character."""

from __future__ import annotations

import platform
import random
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from io import BytesIO
from itertools import takewhile
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from tqdm import tqdm

# ---- Data ----------------------------------------------------------------------------------------
END = "."  # ends every name, and fills the context before a name's first character
NAMES = Path(__file__).parent / "data" / "names.txt"


def load_names(path: str | Path = NAMES) -> list[str]:
    """Names of a UTF-8 file, one a line; blank lines, CRLF and a byte-order mark are cleaned away."""
    if not Path(path).is_file():
        raise ValueError(f"no names file at {path}: give a UTF-8 text file with one name a line")
    text = Path(path).read_text(encoding="utf-8-sig")
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise ValueError(f"{path} holds no name: put one name on each line")
    return names


class Vocab:
    """The characters of a list of names, numbered in order; number 0 is the end mark."""

    def __init__(self, names: list[str]):
        for name in names:
            if END in name:
                raise ValueError(f"the name {name!r} holds the end mark {END!r}: take it out of the name")
        self.itos = [END, *sorted(set("".join(names)))]
        self.stoi = {character: i for i, character in enumerate(self.itos)}

    def __len__(self) -> int:
        return len(self.itos)

    def encode(self, text: str) -> list[int]:
        """Numbers of the characters of `text`; ValueError for one outside the vocabulary."""
        unknown = sorted(set(text) - set(self.itos))
        if unknown:
            raise ValueError(f"{text!r} holds the unknown {unknown}: allowed are {''.join(self.itos)}")
        return [self.stoi[character] for character in text]

    def decode(self, numbers: Iterable[int]) -> str:
        """The text that belongs to a sequence of numbers."""
        return "".join(self.itos[i] for i in numbers)


def split_names(names: list[str], train=0.8, val=0.1, seed=42) -> dict[str, list[str]]:
    """A shuffled copy of `names`, cut by row into train, val and test: the lecture's rule."""
    shuffled = list(names)
    random.Random(seed).shuffle(shuffled)
    a, b = int(train * len(names)), int((train + val) * len(names))
    splits = {"train": shuffled[:a], "val": shuffled[a:b], "test": shuffled[b:]}
    empty = " and ".join(split for split, part in splits.items() if not part)
    if empty:
        raise ValueError(
            f"{len(names)} names leave {empty} empty: give 10 or more, shares summing to below 1"
        )
    return splits


def check_block_size(block_size: int, tree: bool = False) -> None:
    """ValueError unless a flat model, or a tree of pairs, can take a context of `block_size`."""
    allowed = "2, 4, 8, 16, ... (a tree halves it down to 1)" if tree else "1, 2, 3, ..."
    if block_size not in range(1 + tree, 2**20) or (tree and block_size & (block_size - 1)):
        raise ValueError(f"block_size is {block_size}: choose one of {allowed}")


def build_dataset(names: Iterable[str], vocab: Vocab, block_size: int) -> tuple[Tensor, Tensor]:
    """Every window of the names and the character that follows it: X (N, block_size), Y (N,)."""
    check_block_size(block_size)
    X, Y = [], []
    for name in names:
        context = [0] * block_size
        for i in [*vocab.encode(name), 0]:  # the end mark is predicted like any other character
            X.append(context)
            Y.append(i)
            context = [*context[1:], i]
    return torch.tensor(X), torch.tensor(Y)


# ---- Layers: torch.nn in plain Python, taught in notebooks 01, 03 and 04 -------------------------
class Layer:
    """What layers share: inner layers, parameters (tensors that are trained) and a mode."""

    training = True
    layers = ()  # the layers inside this one
    arguments = ""  # what print() shows between the brackets

    def parameters(self) -> list[Tensor]:
        own = [value for value in vars(self).values() if isinstance(value, Tensor) and value.requires_grad]
        return own + [p for layer in self.layers for p in layer.parameters()]

    def train(self, mode: bool = True) -> Layer:
        self.training = mode
        for layer in self.layers:
            layer.train(mode)
        return self

    def eval(self) -> Layer:
        return self.train(False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.arguments})"


class Embedding(Layer):
    """Row i of `weight` for each number i: (...) -> (..., embedding_dim)."""

    def __init__(self, num_embeddings: int, embedding_dim: int, generator: Generator | None = None):
        self.weight = torch.randn(num_embeddings, embedding_dim, generator=generator).requires_grad_()
        self.arguments = f"{num_embeddings}, {embedding_dim}"

    def __call__(self, x: Tensor) -> Tensor:
        return F.embedding(x, self.weight)


class FlattenConsecutive(Layer):
    """Puts each `n` neighbours side by side: (B, T, C) -> (B, T//n, n*C), without the middle if T == n."""

    def __init__(self, n: int):
        self.n = n
        self.arguments = f"{n}"

    def __call__(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        if self.n < 1 or T % self.n:
            raise ValueError(f"{T} positions cannot be put together by {self.n}: take a divisor of {T}")
        x = x.reshape(B, T // self.n, self.n * C)  # (B, T, C) -> (B, T//n, n*C)
        return x.squeeze(1)  # (B, 1, T*C) -> (B, T*C); nothing happens while T//n > 1


class Linear(Layer):
    """x @ weight + bias on the last dimension: (..., in_features) -> (..., out_features)."""

    def __init__(self, in_features: int, out_features: int, bias=True, generator: Generator | None = None):
        weight = torch.randn(in_features, out_features, generator=generator) / in_features**0.5
        self.weight = weight.requires_grad_()
        self.bias = torch.zeros(out_features, requires_grad=True) if bias else None
        self.arguments = f"{in_features}, {out_features}" + ("" if bias else ", bias=False")

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.weight if self.bias is None else x @ self.weight + self.bias


class BatchNorm1d(Layer):
    """Normalises each channel over all leading dimensions: (..., C) -> (..., C) (arXiv 1502.03167).
    Divides by the biased and stores the unbiased variance, as torch.nn does on (B, C, T)."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        self.eps, self.momentum = eps, momentum
        self.weight = torch.ones(num_features, requires_grad=True)  # gamma
        self.bias = torch.zeros(num_features, requires_grad=True)  # beta
        self.running_mean = torch.zeros(num_features)
        self.running_var = torch.ones(num_features)
        self.arguments = f"{num_features}"

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (B, ..., C) -> (B*..., C)
        buffers = self.running_mean, self.running_var
        out = F.batch_norm(rows, *buffers, self.weight, self.bias, self.training, self.momentum, self.eps)
        return out.view(x.shape)  # (B*..., C) -> (B, ..., C)


class BatchNormOverBatch(BatchNorm1d):
    """Notebook 01's BatchNorm: averages over dimension 0 alone, right for (B, C) and no other shape."""

    def __call__(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(0, keepdim=True), x.var(0, keepdim=True, unbiased=False)
            n, m = len(x), self.momentum
            with torch.no_grad():
                self.running_mean = (1 - m) * self.running_mean + m * mean
                self.running_var = (1 - m) * self.running_var + m * var * n / (n - 1)
        return self.weight * (x - mean) / (var + self.eps) ** 0.5 + self.bias


class Tanh(Layer):
    """The hyperbolic tangent of each element; the shape stays."""

    def __call__(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


class Sequential(Layer):
    """Layers called one after the other."""

    def __init__(self, *layers: Layer):
        self.layers = list(layers)

    def __call__(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def __repr__(self) -> str:
        return "\n  ".join(["Sequential(", *map(repr, self.layers)]) + "\n)"


# ---- Models --------------------------------------------------------------------------------------
def build_flat(vocab_size: int, block_size: int, embedding_dim=10, hidden=200, generator=None) -> Sequential:
    """The whole context squashed into one hidden layer: (B, block_size) -> logits (B, vocab_size)."""
    check_block_size(block_size)
    model = Sequential(
        Embedding(vocab_size, embedding_dim, generator=generator),
        FlattenConsecutive(block_size),
        Linear(block_size * embedding_dim, hidden, bias=False, generator=generator),
        BatchNorm1d(hidden),
        Tanh(),
        Linear(hidden, vocab_size, generator=generator),
    )
    model.layers[-1].weight.data *= 0.1  # a first guess near uniform: the first loss is ln(vocab_size)
    return model


def build_tree(vocab_size, block_size=8, embedding_dim=10, hidden=68, generator=None, batchnorm=BatchNorm1d):
    """Neighbours fused two by two until one is left: (B, block_size) -> logits (B, vocab_size)."""
    check_block_size(block_size, tree=True)
    layers, channels = [Embedding(vocab_size, embedding_dim, generator=generator)], embedding_dim
    while block_size > 1:
        fuse = Linear(2 * channels, hidden, bias=False, generator=generator)
        layers += [FlattenConsecutive(2), fuse, batchnorm(hidden), Tanh()]
        block_size, channels = block_size // 2, hidden
    model = Sequential(*layers, Linear(hidden, vocab_size, generator=generator))
    model.layers[-1].weight.data *= 0.1  # a first guess near uniform: the first loss is ln(vocab_size)
    return model


# ---- Training ------------------------------------------------------------------------------------
@dataclass(frozen=True)
class TrainConfig:
    """A recipe for AdamW, on epochs shuffled without replacement, with one cycle of the learning rate:
    up to `lr` and down to 0 (arXiv 1708.07120). The embedding, whose scale BatchNorm hides from the
    loss, learns `embedding_boost` times as fast and has no weight decay."""

    steps: int = 3_000
    batch_size: int = 1_024
    lr: float = 0.015
    weight_decay: float = 0.02
    embedding_boost: float = 3.0

    def __post_init__(self):
        if self.steps < 1 or self.batch_size < 2 or self.lr <= 0:
            raise ValueError(f"{self}: steps take 1 or more, batch_size 2 or more, lr a value above 0")


RECIPE = TrainConfig()  # the one that models are compared with, from notebook 02 on


@dataclass
class History:
    """What training leaves behind: the loss of each step, the time it took, and how it ended."""

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


def train(model: Layer, X: Tensor, Y: Tensor, config=RECIPE, seed=0, progress=True, on_step=None) -> History:
    """Trains `model` in place on X (N, T), Y (N,); the same `seed` gives the same batches. Kernel ->
    Interrupt ends it with what there is; so does on_step(history), called each step, if it returns True."""
    generator, size = Generator().manual_seed(seed), min(config.batch_size, len(X))

    def batches():
        while True:
            shuffled = torch.randperm(len(X), generator=generator).split(size)
            for ix in shuffled[: len(X) // size]:  # (batch_size,)
                yield X[ix], Y[ix]

    return fit(model, batches(), config, progress, on_step)


def fit(model: Layer, batches: Iterable, config: TrainConfig, progress=True, on_step=None) -> History:
    """The loop of train, on any batches of x and y: logits (..., V) of x; y (...), -100 where none counts."""
    embedding, *others = model.parameters()  # the embedding comes first in every model
    rest = {"params": others, "weight_decay": config.weight_decay}
    optimizer = torch.optim.AdamW([rest, {"params": embedding, "weight_decay": 0.0}], fused=True)
    rates, cycle = [config.lr, config.lr * config.embedding_boost], max(config.steps, 10)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, cycle, cycle_momentum=False)
    layout = "{desc} |{bar}| {n_fmt}/{total_fmt} steps"  # no clock: the stored bars of two runs are equal
    bar = tqdm(total=config.steps, disable=not progress, file=sys.stdout, ncols=79, bar_format=layout)
    history, mode, start = History(), model.training, time.perf_counter()
    model.train()
    try:
        for _, (x, y) in zip(range(config.steps), batches):
            loss = F.cross_entropy(model(x).flatten(0, -2), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.losses.append(loss.item())
            schedule.step()
            bar.set_description(f"loss {fmean(history.losses[-100:]):.3f}", refresh=False)
            bar.update()
            if on_step and on_step(history):
                break
    except KeyboardInterrupt:
        history.interrupted = True
    finally:
        model.train(mode)  # the mode that the model was in
        bar.close()
    history.seconds = time.perf_counter() - start
    return history


# ---- Evaluation and sampling ---------------------------------------------------------------------
@contextmanager
def eval_mode(model: Layer) -> Iterator[Layer]:
    """The model in eval mode and without gradients; afterwards in the mode that it was in."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        model.train(mode)


def evaluate(model: Layer, X: Tensor, Y: Tensor, batch_size: int = 8192) -> float:
    """Mean cross-entropy over all of X (N, T) and Y (N,), in nats per character."""
    with eval_mode(model):
        parts = zip(X.split(batch_size), Y.split(batch_size), strict=True)
        return sum(F.cross_entropy(model(x), y, reduction="sum").item() for x, y in parts) / len(Y)


def sample(model, vocab, block_size, n=10, prompt="", temperature=1.0, max_length=40, generator=None):
    """`n` names at once, each begun with `prompt`; one with no end is cut at `max_length` characters."""
    if n < 1 or temperature <= 0 or END in prompt:
        raise ValueError(f"{n=}, {temperature=}, {prompt=}: n, temperature above 0, no {END} in prompt")
    X = torch.tensor([([0] * block_size + vocab.encode(prompt))[-block_size:]])  # (1, T): all begin alike
    rows = torch.arange(n)  # numbers of the names that are not yet at their end
    drawn = torch.zeros(n, max_length, dtype=torch.long)
    with eval_mode(model):
        for t in range(max_length - len(prompt)):
            ps = (model(X) / temperature).softmax(-1).expand(len(rows), -1)  # (rows, vocab_size)
            ix = torch.multinomial(ps, 1, generator=generator)  # (rows, 1)
            drawn[rows, t] = ix[:, 0]
            going = ix[:, 0] != 0
            X, rows = torch.cat([X[:, 1:].expand(len(rows), -1), ix], 1)[going], rows[going]
            if not len(rows):
                break
    return [prompt + vocab.decode(takewhile(bool, row)) for row in drawn.tolist()]  # up to the end, 0


# ---- Experiments: a run and its record; studies.py does many ---------------------------------------
BUILDERS = {
    "flat": build_flat,
    "tree": build_tree,
    "tree per slot": partial(build_tree, batchnorm=BatchNormOverBatch),  # the bug of notebook 04
}


@dataclass(frozen=True)
class RunConfig(TrainConfig):
    """All that a run depends on but its seed: model, split and, from TrainConfig, the recipe."""

    architecture: str = "tree"  # a key of BUILDERS
    block_size: int = 8
    embedding_dim: int = 10
    hidden: int = 68
    leak_free: bool = False  # True splits the distinct names, so that none stands in two splits

    def __post_init__(self):
        super().__post_init__()
        if self.architecture not in BUILDERS or min(self.embedding_dim, self.hidden) < 1:
            raise ValueError(f"{self}: architecture takes {list(BUILDERS)}, sizes take 1 or more")
        check_block_size(self.block_size, tree=self.architecture != "flat")

    def build(self, vocab_size: int, generator: Generator | None = None) -> Sequential:
        sizes = self.block_size, self.embedding_dim, self.hidden
        return BUILDERS[self.architecture](vocab_size, *sizes, generator)


ROWS = {  # the lecture's five models
    "flat3": RunConfig(architecture="flat", block_size=3, hidden=200),
    "flat8": RunConfig(architecture="flat", hidden=200),
    "tree": RunConfig(architecture="tree per slot"),
    "tree_fixed": RunConfig(),
    "tree_large": RunConfig(embedding_dim=24, hidden=128),
}


@cache
def load_data(block_size: int, leak_free: bool = False) -> tuple[Vocab, dict[str, tuple[Tensor, Tensor]]]:
    """The vocabulary, and (X, Y) of each split and of the val names that train has too (seen) or not."""
    names = load_names()
    vocab, splits = Vocab(names), split_names(list(dict.fromkeys(names)) if leak_free else names)
    known = set(splits["train"])
    splits["seen"] = [name for name in splits["val"] if name in known]
    splits["unseen"] = [name for name in splits["val"] if name not in known]
    return vocab, {split: build_dataset(part, vocab, block_size) for split, part in splits.items() if part}


def run(config: RunConfig, seed: int, on_step=None, test: bool = False) -> dict:
    """Trains one model, its weights and its batches from two generators that `seed` starts. Its record has
    losses in nats per character, parameters, seconds, the curve in means of 100 steps and sampled names."""
    vocab, data = load_data(config.block_size, config.leak_free)
    generator = Generator().manual_seed(seed)
    model = config.build(len(vocab), generator)
    history = train(model, *data["train"], config, seed, progress=False, on_step=on_step)
    if history.interrupted:
        raise KeyboardInterrupt  # an unfinished model has no record
    record = {split: evaluate(model, *data[split]) for split in data if test or split != "test"}
    record |= {"parameters": count_parameters(model), "seconds": round(history.seconds, 2)}
    record |= {"curve": smooth(history.losses).round(4).tolist(), "config": asdict(config)}
    record |= {"samples": sample(model, vocab, config.block_size, generator=generator)}
    return record | {"versions": {"python": platform.python_version(), "torch": torch.__version__}}


# ---- Inspection and figures ----------------------------------------------------------------------
def count_parameters(model: Layer) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters())


def summary(model: Sequential, x: Tensor) -> pd.DataFrame:
    """For the batch `x`: each layer's output shape, its parameters and their running total."""
    rows = []
    with eval_mode(model):
        for layer in model.layers:
            x = layer(x)
            rows.append((repr(layer), tuple(x.shape), count_parameters(layer)))
    table = pd.DataFrame(rows, columns=["layer", "output shape", "parameters"])
    return table.assign(total=table["parameters"].cumsum())


def smooth(losses: Iterable[float], window: int = 100) -> pd.Series:
    """Means of each `window` consecutive losses, by the middle step; the last may be of fewer losses."""
    return pd.Series(losses).groupby(lambda step: (step // window + 0.5) * window).mean()


# One colour (of Okabe and Ito) and one line for each model, in every figure.
COLORS = dict(zip(ROWS, ["#999999", "#E69F00", "#56B4E9", "#0072B2", "#D55E00"]))
LINES = dict(zip(ROWS, [":", "-.", "--", "-", "-"]))


def plot_losses(histories: dict[str, History], window: int = 100, ax: plt.Axes | None = None) -> plt.Axes:
    """Loss against step: the raw curve pale, the means of `window` steps thick on top."""
    ax = ax or plt.subplots(figsize=(8, 4))[1]
    for name, history in histories.items():
        style = {"color": COLORS.get(name), "linestyle": LINES.get(name), "label": name}
        (thick,) = ax.plot(smooth(history.losses, window), lw=2, zorder=3, **style)
        ax.plot(history.losses, color=thick.get_color(), lw=0.5, alpha=0.25, zorder=2)
    ax.set(xlabel="step", ylabel="loss, nats per character")
    ax.legend(title=f"thick: means of {window} steps")
    return ax


def as_png(fig: plt.Figure) -> bytes:
    """The figure for a widgets.Image; equal figures give equal bytes."""
    png = BytesIO()
    fig.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()

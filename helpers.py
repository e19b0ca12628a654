"""The code that the notebooks share, in the order in which data flows through it:
names -> windows -> layers -> models -> training -> evaluation -> samples -> curves.
Shapes: B examples in a batch, T positions (time), C channels, V characters.
A loss is the mean cross-entropy in nats per character."""

import random
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from tqdm import tqdm

from course import checks, fitting, texts
from course.checks import check_block_size, checked
from course.fitting import explained
from course.interrupts import Interrupts
from course.optimizers import TRAINING, build_optimizer

# ---- Data ------------------------------------------------------------------------
END = "."  # ends every name, and pads the context before its first character
NAMES = Path(__file__).parent / "data" / "names.txt"


def load_names(path: str | Path = NAMES) -> list[str]:
    """The names in a UTF-8 file, one per line, without blank lines or outer spaces."""
    return texts.read_names(path)


class Vocab:
    """The sorted characters of a list of names; number 0 is the end mark."""

    def __init__(self, names: list[str]):
        names = texts.check_alphabet("names", names)
        self.itos = [END, *sorted(set("".join(names)))]
        self.stoi = {character: i for i, character in enumerate(self.itos)}

    def __len__(self) -> int:
        return len(self.itos)

    def encode(self, text: str) -> list[int]:
        """The number of each character; ValueError for one outside the vocabulary."""
        text = texts.check_known("text", text, characters=self.itos)
        return [self.stoi[character] for character in text]

    def decode(self, numbers: Iterable[int]) -> str:
        """The text that these numbers stand for."""
        numbers = checks.check_characters("numbers", numbers, size=len(self))
        return "".join(self.itos[i] for i in numbers)


@checked()
def split_names(names: list[str], train=0.8, val=0.1, *, seed=42) -> dict:
    """A shuffled copy of the names, split by row: {"train", "val", "test": names}."""
    shuffled = list(names)
    random.Random(seed).shuffle(shuffled)
    train_end = int(train * len(names))
    val_end = int((train + val) * len(names))
    splits = {"train": shuffled[:train_end], "val": shuffled[train_end:val_end]}
    splits["test"] = shuffled[val_end:]
    texts.check_splits(splits)
    return splits


@checked()
def build_dataset(names: Iterable[str], vocab: Vocab, block_size: int):
    """All windows of the names, and the character after each: X (N, T) and Y (N,)."""
    X = []
    Y = []
    for name in names:
        context = [0] * block_size
        for i in [*vocab.encode(name), 0]:  # the end is predicted, too
            X.append(context)
            Y.append(i)
            context = [*context[1:], i]
    return torch.tensor(X), torch.tensor(Y)


# ---- Layers: torch.nn in plain Python, taught in notebooks 01, 03 and 04 -----------
class Layer:
    """The base of every layer: its inner layers, its trained parameters, its mode."""

    training = True
    layers = ()  # the layers inside this one
    label = ""  # what print() shows in the brackets

    def parameters(self) -> list[Tensor]:
        found = []
        for value in vars(self).values():
            if isinstance(value, Tensor) and value.requires_grad:
                found.append(value)
        for layer in self.layers:
            found += layer.parameters()
        return found

    @checked()
    def train(self, mode: bool = True):
        self.training = mode
        for layer in self.layers:
            layer.train(mode)
        return self

    def eval(self):
        return self.train(False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.label})"


class Embedding(Layer):
    """Looks up row i of `weight` for each number i: (...) -> (..., embedding_dim)."""

    @checked(fitting.check_weights)
    def __init__(self, num_embeddings: int, embedding_dim: int, *, generator=None):
        weight = torch.randn(num_embeddings, embedding_dim, generator=generator)
        self.weight = weight.requires_grad_()
        self.label = f"{num_embeddings}, {embedding_dim}"

    @explained("whole numbers from 0 to num_embeddings - 1")
    def __call__(self, x: Tensor) -> Tensor:
        return F.embedding(x, self.weight)


class FlattenConsecutive(Layer):
    """Concatenates every `n` neighbours: (B, T, C) -> (B, T//n, n*C), or (B, n*C)."""

    @checked()
    def __init__(self, n: int):
        self.n = n
        self.label = f"{n}"

    @checked(x=checks.tensor(dims=3))
    def __call__(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        if self.n < 1 or T % self.n:
            cure = f"take a divisor of {T}"
            raise ValueError(f"{T} positions cannot be grouped by {self.n}: {cure}")
        x = x.reshape(B, T // self.n, self.n * C)  # (B, T, C) -> (B, T//n, n*C)
        return x.squeeze(1)  # (B, 1, n*C) -> (B, n*C); unchanged if T//n > 1


class Linear(Layer):
    """x @ weight + bias: (..., in_features) -> (..., out_features)."""

    @checked(fitting.check_weights)
    def __init__(self, in_features, out_features, *, bias=True, generator=None):
        weight = torch.randn(in_features, out_features, generator=generator)
        self.weight = (weight / in_features**0.5).requires_grad_()  # output std near 1
        self.bias = torch.zeros(out_features, requires_grad=True) if bias else None
        self.label = f"{in_features}, {out_features}{'' if bias else ', bias=False'}"

    @explained("numbers (..., in_features) with its weight's dtype")
    def __call__(self, x: Tensor) -> Tensor:
        out = x @ self.weight
        return out if self.bias is None else out + self.bias


class BatchNorm1d(Layer):
    """Normalises each channel over all other dimensions: (..., C) -> (..., C).
    It divides by the biased variance and stores the unbiased one (arXiv 1502.03167)."""

    @checked()
    def __init__(self, num_features: int, *, eps: float = 1e-5, momentum: float = 0.1):
        self.eps = eps
        self.momentum = momentum
        self.weight = torch.ones(num_features, requires_grad=True)  # gamma
        self.bias = torch.zeros(num_features, requires_grad=True)  # beta
        self.running_mean = torch.zeros(num_features)
        self.running_var = torch.ones(num_features)
        self.label = f"{num_features}"

    @explained("numbers (..., C) with its weight's dtype", before=fitting.check_rows)
    def __call__(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (B, ..., C) -> (B*..., C)
        buffers = (self.running_mean, self.running_var)  # updated in place in training
        settings = (self.training, self.momentum, self.eps)
        out = F.batch_norm(rows, *buffers, self.weight, self.bias, *settings)
        return out.view(x.shape)  # (B*..., C) -> (B, ..., C)


class Tanh(Layer):
    """The hyperbolic tangent of each element; the shape does not change."""

    @explained("a tensor")
    def __call__(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


class Sequential(Layer):
    """Calls its layers one after the other."""

    @checked()
    def __init__(self, *layers: Layer):
        self.layers = list(layers)

    def __call__(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def __repr__(self) -> str:
        lines = [f"  {layer}" for layer in self.layers]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


# ---- Models ----------------------------------------------------------------------
@checked()
def build_flat(vocab_size, block_size, embedding_dim=10, hidden=200, *, generator=None):
    """One hidden layer over the whole context: (B, block_size) -> logits (B, V)."""
    check_block_size(block_size)
    model = Sequential(
        Embedding(vocab_size, embedding_dim, generator=generator),
        FlattenConsecutive(block_size),
        Linear(block_size * embedding_dim, hidden, bias=False, generator=generator),
        BatchNorm1d(hidden),
        Tanh(),
        Linear(hidden, vocab_size, generator=generator),
    )
    model.layers[-1].weight.data *= 0.1  # logits near 0, so the initial loss is ln(V)
    return model


@checked(block_size=checks.context(tree=True))
def build_tree(vocab_size, block_size=8, embedding_dim=10, hidden=68, *,
               generator=None, norm=BatchNorm1d):  # fmt: skip
    """Fuses pairs of neighbours until one is left: (B, block_size) -> logits (B, V)."""
    check_block_size(block_size, tree=True)
    layers = [Embedding(vocab_size, embedding_dim, generator=generator)]
    channels = embedding_dim
    positions = block_size
    while positions > 1:
        fuse = Linear(2 * channels, hidden, bias=False, generator=generator)
        layers += [FlattenConsecutive(2), fuse, norm(hidden), Tanh()]
        channels = hidden
        positions //= 2
    model = Sequential(*layers, Linear(hidden, vocab_size, generator=generator))
    model.layers[-1].weight.data *= 0.1  # logits near 0, so the initial loss is ln(V)
    return model


# ---- Training --------------------------------------------------------------------
@dataclass(frozen=True)
class TrainConfig:
    """How to train: by default, AdamW with one cycle of the learning rate, up to `lr`
    and down to zero (arXiv 1708.07120). The embedding learns `embedding_boost` times
    as fast, without weight decay, because BatchNorm hides its scale from the loss."""

    steps: int = 3_000
    batch_size: int = 1_024
    lr: float = 0.015
    weight_decay: float = 0.02
    embedding_boost: float = 3.0
    optimizer: str = "AdamW"  # or "Muon" (notebook 05), or the lecture's "SGD"
    matrix_lr: float = 0.05  # Muon's learning rate for the hidden matrices
    matrix_decay: float = 0.0
    shuffle: bool = True  # False: each batch is drawn from all rows, as in the lecture

    def __post_init__(self):
        checks.check_fields(self, **TRAINING)


RECIPE = TrainConfig()  # what notebooks 02 to 05 train with unless they say otherwise
# A progress bar shows no time, so that the stored outputs of two runs are equal.
BAR = {"ncols": 79, "bar_format": "{desc} |{bar}| {n_fmt}/{total_fmt} {unit}"}


@dataclass
class History:
    """What training returns: each step's loss (nats per character) and how it ended."""

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


@checked()
def train(model, X: Tensor, Y: Tensor, config=RECIPE, *, seed=0, **options) -> History:
    """Trains `model` in place on X (N, T) and Y (N,), reshuffled in each epoch.
    The same `seed` gives the same batches. The options are those of `fit`."""
    fitting.check_data(model, X, Y, rows=2)  # before anything is changed
    generator = Generator().manual_seed(seed)
    size = min(config.batch_size, len(X))

    def batches():
        while not config.shuffle:
            ix = torch.randint(len(X), (size,), generator=generator)
            yield X[ix], Y[ix]
        while True:
            shuffled = torch.randperm(len(X), generator=generator)
            for ix in shuffled.split(size)[: len(X) // size]:  # only full batches
                yield X[ix], Y[ix]

    return fit(model, batches(), config, **options)


@checked(model=fitting.check_trainable)
def fit(model, batches: Iterable, config, *, progress=True, on_step=None) -> History:
    """The loop of `train`: `config.steps` steps on any batches (x, y).
    The logits of x have shape (..., V) and y has shape (...); targets of -100 are
    ignored. Kernel -> Interrupt stops the training and keeps what was learned so far.
    So does `on_step(history)`, which is called after each step, if it returns True."""
    kinds = {"table": Embedding, "matrix": Linear}  # have their own learning rates
    optimizer = build_optimizer(model, config, **kinds)
    show = {"total": config.steps, "unit": "steps", "disable": not progress}
    bar = tqdm(**show, file=sys.stdout, **BAR)
    history = History()
    mode = model.training
    start = time.perf_counter()
    with Interrupts() as interrupts:  # they wait for the end of a step
        try:
            model.train()
            batches = fitting.watched(model, batches)
            for _, (x, y) in zip(range(config.steps), batches):
                logits = model(x).flatten(0, -2)  # (..., V) -> (N, V)
                loss = F.cross_entropy(logits, y.flatten())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                history.losses.append(loss.item())
                recent = fmean(history.losses[-100:])
                bar.set_description(f"loss {recent:.3f}", refresh=False)
                bar.update()
                if on_step and on_step(history):
                    break
                interrupts.check()
        except KeyboardInterrupt:
            history.interrupted = True
        finally:
            model.train(mode)  # back to the mode it was in
            bar.close()
    history.seconds = time.perf_counter() - start
    return history


# ---- Evaluation and sampling -----------------------------------------------------
@checked()
@contextmanager
def eval_mode(model: Layer) -> Iterator[Layer]:
    """Switches to eval mode without gradients, and back to the old mode afterwards."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        model.train(mode)


@checked(fitting.check_evaluation)
def evaluate(model: Layer, X: Tensor, Y: Tensor, *, batch_size: int = 8192) -> float:
    """The mean cross-entropy over all of X (N, T) and Y (N,), in nats per character."""
    total = 0.0
    with eval_mode(model):
        for x, y in zip(X.split(batch_size), Y.split(batch_size), strict=True):
            total += F.cross_entropy(model(x), y, reduction="sum").item()
    return total / len(Y)


@checked()
def sample(model: Layer, vocab: Vocab, block_size: int, n: int = 10, *, prompt="",
           temperature=1.0, max_length=40, generator=None) -> list[str]:  # fmt: skip
    """Draws `n` names that begin with `prompt`, of at most `max_length` characters."""
    if len(prompt) >= max_length:
        raise ValueError(f"{max_length=} leaves no room after {prompt=}: raise it")
    context = [0] * block_size + vocab.encode(prompt)
    window = torch.tensor([context[-block_size:]] * n)  # (n, T)
    fitting.check_sampling(model, window, len(vocab))
    ended = torch.zeros(n, dtype=torch.bool)
    drawn = []
    with eval_mode(model):
        while len(prompt) + len(drawn) < max_length and not ended.all():
            chances = (model(window) / temperature).softmax(-1)  # (n, V)
            character = torch.multinomial(chances, 1, generator=generator)  # (n, 1)
            window = torch.cat([window[:, 1:], character], dim=1)
            drawn.append(character)
            ended |= character[:, 0] == 0
    texts = [vocab.decode(row) for row in torch.cat(drawn, dim=1).tolist()]
    return [prompt + text.split(END)[0] for text in texts]  # nothing after the end


# ---- Inspection and curves -------------------------------------------------------
@checked()
def count_parameters(model: Layer) -> int:
    """The number of trainable parameters."""
    return sum(p.numel() for p in model.parameters())


@checked()
def smooth(losses: Iterable[float], window: int = 100) -> pd.Series:
    """The mean of every `window` losses, by middle step; the last may have fewer."""
    series = pd.Series(losses)
    return series.groupby(lambda step: (step // window + 0.5) * window).mean()

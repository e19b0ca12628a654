"""Does a model fit its data? Checks before training, evaluation and sampling.

A copy of the model reads a few rows first, so that a mistake is found before anything
is changed. helpers.py imports this module, so it imports only course.checks.
Shapes: B examples in a batch, T positions, V characters.
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from functools import wraps

import torch
from torch import Tensor

from course.checks import check_layers, check_tensor, described, shown

NOT_COUNTED = -100  # a target that F.cross_entropy ignores
MOST_WEIGHTS = 2**28  # of one layer: 1 GiB
# What torch and Python raise for a tensor that does not fit.
MISFITS = (RuntimeError, IndexError, ValueError, TypeError, AttributeError)


def try_out(model, x: Tensor, *, training: bool = False) -> Tensor | None:
    """The output of a copy of the model for x; ValueError if the model cannot read x.

    A copy is used so that nothing changes: no running statistics, no queues, no random
    state. None for a model that cannot be copied.
    """
    try:
        twin = copy.deepcopy(model).train(training)
    except (RuntimeError, TypeError):  # for example, it keeps a tensor with a gradient
        return None
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            return twin(x)
        except MISFITS as error:
            cure = "build it with the block_size and the vocabulary of the data"
            given = f"the model cannot read {described(x)}"
            raise ValueError(f"{given}: {cure} ({error})") from error


def check_batch(model, x: Tensor, y: Tensor, *, training: bool = False) -> None:
    """ValueError unless the model can read x, and y has targets for its logits."""
    logits = try_out(model, x, training=training)
    if logits is None:
        return
    check_tensor("the model's output", logits)
    if logits.shape[:-1] != y.shape:
        given = f"logits {tuple(logits.shape)} for targets {tuple(y.shape)}"
        cure = "give a model and windows with the same block_size"
        raise ValueError(f"the model gives {given}: {cure}")
    V = logits.shape[-1]
    unknown = (y >= V) | (y < 0) & (y != NOT_COUNTED)
    if unknown.any():
        cure = "build it with the vocabulary of the data"
        given = f"Y contains {y[unknown][0]}, but the model knows 0 to {V - 1}"
        raise ValueError(f"{given}: {cure}")


def extremes(tensor: Tensor) -> Tensor:
    """Three rows: its first, one of its smallest number and one of its largest."""
    first = tensor[:1]
    rows = [first, first.clone().fill_(tensor.min()), first.clone().fill_(tensor.max())]
    return torch.cat(rows)


def check_pair(x: Tensor, y: Tensor, *, rows: int = 1) -> None:
    """ValueError unless X and Y are whole numbers, with a target for each row of X."""
    check_tensor("X", x, whole=True, rows=rows)
    check_tensor("Y", y, whole=True, rows=0)
    if len(x) != len(y):
        cure = "give a target for each row"
        raise ValueError(f"X has {len(x):,} rows and Y has {len(y):,}: {cure}")


def check_trainable(name, value):
    """A model whose parameters can be trained; TypeError or ValueError otherwise."""
    parameters = check_layers(name, value).parameters()
    if not parameters:
        raise ValueError(f"{name} has no parameters: give a model that can be trained")
    if not all(parameter.is_leaf for parameter in parameters):
        cure = "keep x.detach() instead, or it counts as a parameter"
        raise ValueError(f"a layer of {name} keeps a tensor that it computed: {cure}")
    return value


def check_data(model, X: Tensor, Y: Tensor, *, rows: int = 1) -> None:
    """ValueError unless X and Y belong together, and the model can read all of X."""
    check_pair(X, Y, rows=rows)
    check_batch(model, extremes(X), extremes(Y))


def check_evaluation(arguments: dict) -> None:
    """check_data for the arguments of `evaluate`, where each target counts."""
    Y = check_tensor("Y", arguments["Y"], dims=1, whole=True)
    if Y.min() < 0:
        cure = "give a target of 0 or more for each window"
        raise ValueError(f"Y contains {Y.min().item()}: {cure}")
    check_data(arguments["model"], arguments["X"], Y)


def watched(model, batches: Iterable) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches one by one; ValueError for one that the model cannot be trained on.

    The first batch is tried out before anything is changed. So is every batch of a
    single row, which BatchNorm cannot be trained on.
    """
    count = 0
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise ValueError(f"a batch is {described(batch)}: give pairs (x, y)")
        x, y = batch
        if count == 0 or len(x) != len(y):
            check_pair(x, y)
        if len(x) == 1:
            check_batch(model, x, y, training=True)
        elif count == 0:
            check_batch(model, extremes(x), extremes(y), training=True)
        count += 1
        yield x, y
    if count == 0:
        raise ValueError("batches is empty: give one batch or more")


def check_sampling(model, window: Tensor, size: int) -> None:
    """ValueError unless the model gives a logit for each character of a vocabulary."""
    logits = try_out(model, window[:1])
    if logits is None:
        return
    if tuple(logits.shape) != (1, size):
        given = f"logits {tuple(logits.shape)} for a window and a vocabulary of {size}"
        cure = "give the block_size and the vocabulary that the model was built with"
        raise ValueError(f"the model gives {given} characters: {cure}")
    if logits.isnan().any():
        cure = "train a new one with a lower learning rate"
        raise ValueError(f"the model gives nan, as its training has diverged: {cure}")


def check_rows(layer, x: Tensor) -> None:
    """ValueError for a norm in training mode that gets only one value per channel."""
    if layer.training and isinstance(x, Tensor) and x.shape[:-1].numel() < 2:
        cure = "give two rows or more, or call eval() first"
        raise ValueError(f"{layer} in training mode got {described(x)}: {cure}")


def check_examples(layer, x: Tensor) -> None:
    """check_rows for a norm that averages over dimension 0 alone."""
    check_rows(layer, x.flatten(1)[:, :1] if isinstance(x, Tensor) and x.ndim else x)


def check_halves(gate, x: Tensor) -> None:
    """ValueError unless the channels of x (B, T, C) can be split for a gate."""
    check_tensor("x", x, dims=3)
    if gate.kind != "none" and x.shape[-1] % 2:
        cure = "give an even number of channels, half signals and half gates"
        raise ValueError(f"{gate} cannot halve {described(x)}: {cure}")


def check_weights(arguments: dict) -> None:
    """ValueError for a layer whose weight would not fit into memory."""
    sizes = [size for size in arguments.values() if type(size) is int]
    if math.prod(sizes) > MOST_WEIGHTS:
        given = " x ".join(f"{size:,}" for size in sizes)
        raise ValueError(f"{given} weights: give fewer than {MOST_WEIGHTS:,}")


def explained(takes: str, *, before: Callable | None = None) -> Callable:
    """A decorator for a layer's call, which turns torch's errors into plain ones.

    `takes` says what the layer accepts; `before` is a check that gets the same
    arguments. Notebooks define the same layers without it, as with `checked`.
    """

    def decorate(call: Callable) -> Callable:
        @wraps(call)
        def explain(layer, *given, **options):
            if before is not None:
                before(layer, *given, **options)
            try:
                return call(layer, *given, **options)
            except (RuntimeError, IndexError, TypeError, AttributeError) as error:
                got = described(given[0]) if given else "nothing"
                message = f"{shown(layer)} cannot take {got}: give {takes}"
                raise ValueError(message) from error

        return explain

    return decorate

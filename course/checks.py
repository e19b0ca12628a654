"""Checks of what a person typed, in one place for all modules, with uniform messages.

A message says what was given, what is allowed and how to fix it. The error is a
ValueError for a number, a text, a choice or a tensor that cannot be used, and a
TypeError for an object of the wrong class.
A checker takes a name and a value, and returns the value in plain Python: an int for
numpy's integers, for example. helpers.py and the other modules import this one, so it
imports none of them. It imports torch only where it is needed, because each worker of a
study is a new process.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from inspect import Parameter, signature
from numbers import Real
from typing import TYPE_CHECKING

from course.texts import END, check_names, check_text, shown

if TYPE_CHECKING:
    from torch import Generator

LARGEST_SIZE = 2**20  # of a context or a layer: anything larger is a mistake
LARGEST_SEED = 2**63 - 1  # torch accepts no larger one
TREE_BLOCK_SIZES = [2**levels for levels in range(1, 21)]


# ---- Numbers -----------------------------------------------------------------------
def limits(*, least=None, most=None, above=None, below=None) -> str:
    """The limits of a number in words: "1 or more", "above 0 and below 1"."""
    words = []
    if least is not None:
        words.append(f"{least:,} or more")
    if above is not None:
        words.append(f"above {above:,}")
    if most is not None:
        words.append(f"{most:,} at most")
    if below is not None:
        words.append(f"below {below:,}")
    return " and ".join(words)


def plain_number(value) -> int | float | None:
    """The value as an int or a float; None for True, a text, a list, ..."""
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        return None
    if type(value) in (int, float):
        return value
    try:
        return operator.index(value)  # numpy's and torch's integers
    except (TypeError, ValueError):
        pass
    try:
        return float(value) if isinstance(value, Real) else None
    except OverflowError:
        return None


def is_within(found, *, least=None, most=None, above=None, below=None) -> bool:
    """Whether a number is within the limits; nan never is."""
    if not abs(found) <= sys.float_info.max:
        return False
    if least is not None and found < least or most is not None and found > most:
        return False
    return (above is None or found > above) and (below is None or found < below)


def check_integer(name, value, *, least: int | None = None, most: int | None = None):
    """A whole number, numpy's too, from `least` to `most`; ValueError otherwise."""
    found = plain_number(value)
    if isinstance(found, int) and is_within(found, least=least, most=most):
        return found
    if most in (LARGEST_SIZE, LARGEST_SEED) and not (found and found > most):
        most = None  # this limit was not the problem, so the message leaves it out
    allowed = f"give a whole number, {limits(least=least, most=most)}".rstrip(", ")
    if isinstance(found, float) and found.is_integer():
        allowed += f"; write {int(found)}"
    elif isinstance(value, str):
        allowed += "; write it without quotes"
    raise ValueError(f"{name} is {shown(value)}: {allowed}")


def check_number(name, value, **within):
    """A finite number, numpy's too, within `limits`; ValueError otherwise.

    An int stays an int, because a study identifies its stored runs by their config.
    """
    found = plain_number(value)
    if found is not None and is_within(found, **within):
        return found
    allowed = f"give a number {limits(**within)}".rstrip()
    if isinstance(value, str):
        allowed += "; write it without quotes"
    raise ValueError(f"{name} is {shown(value)}: {allowed}")


def check_seed(name, value) -> int:
    """A whole number from 0 up that torch accepts as a seed; ValueError otherwise."""
    return check_integer(name, value, least=0, most=LARGEST_SEED)


def check_bool(name, value) -> bool:
    """True or False, numpy's too; ValueError otherwise."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise ValueError(f"{name} is {shown(value)}: give True or False")
    return bool(value)


def check_choice(name, value, *, choices: Iterable):
    """One of the choices; ValueError otherwise."""
    for choice in choices:
        if isinstance(value, type(choice)) and value == choice:
            return choice
    allowed = ", ".join(map(repr, choices))
    raise ValueError(f"{name} is {shown(value)}: choose one of {allowed}")


def check_block_size(block_size, *, tree: bool = False) -> int:
    """The context's length, if a flat model, or a tree, can take it; or ValueError."""
    check_defaults()  # here, because tensors of this size are made next
    found = plain_number(block_size)
    if tree:
        allowed = "2, 4, 8, 16, ... because it halves its context down to one position"
        if not isinstance(found, int) or found not in TREE_BLOCK_SIZES:
            given = shown(block_size)
            raise ValueError(f"block_size is {given}: a tree takes {allowed}")
    elif not isinstance(found, int) or not 1 <= found <= LARGEST_SIZE:
        allowed = f"1, 2, 3, ..., {LARGEST_SIZE:,}"
        raise ValueError(f"block_size is {shown(block_size)}: choose one of {allowed}")
    return found


# ---- Objects and tensors -----------------------------------------------------------
def check_kind(name, value, *, kind: type | tuple, cure: str):
    """An object of this class; TypeError with the cure otherwise."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {shown(value)}: {cure}")
    return value


def check_callable(name, value, *, optional: bool = False):
    """A callable, or None if it is optional; TypeError otherwise."""
    if not callable(value) and (value is not None or not optional):
        raise TypeError(f"{name} is {shown(value)}: give a function, without ()")
    return value


def check_layer(name, value):
    """A layer, or another callable; TypeError otherwise, also for a class."""
    if isinstance(value, type) or not callable(value):
        cure = "give layers one after the other, Sequential(*layers)"
        raise TypeError(f"one of {name} is {shown(value)}: {cure}")
    return value


def check_model(name, value):
    """A model, ours or torch's; TypeError otherwise, also for a class."""
    is_model = hasattr(value, "parameters") and hasattr(value, "training")
    if isinstance(value, type) or not is_model:
        cure = "give a model, such as build_tree(len(vocab))"
        raise TypeError(f"{name} is {shown(value)}: {cure}")
    return value


def check_layers(name, value):
    """A model made of this project's layers; TypeError otherwise."""
    check_model(name, value)
    if not hasattr(value, "layers"):
        cure = "give one made of the layers of helpers.py"
        raise TypeError(f"{name} is a {type(value).__name__}: {cure}")
    return value


def check_vocab(name, value):
    """A Vocab; TypeError otherwise."""
    if isinstance(value, type) or not hasattr(value, "itos"):
        raise TypeError(f"{name} is {shown(value)}: give a Vocab, such as Vocab(names)")
    check_defaults()  # here, because tensors of its numbers are made next
    return value


def check_config(name, value):
    """A TrainConfig or one of its kind; TypeError otherwise."""
    if isinstance(value, type) or not hasattr(value, "embedding_boost"):
        cure = "give a config, such as TrainConfig(steps=100)"
        raise TypeError(f"{name} is {shown(value)}: {cure}")
    check_defaults()  # here, because training comes next
    return value


def check_batches(name, value):
    """An iterable of batches; TypeError otherwise."""
    if not isinstance(value, Iterable) or isinstance(value, str | Mapping):
        cure = "give pairs (x, y), such as [(X, Y)]"
        raise TypeError(f"{name} is {shown(value)}: {cure}")
    return value


def check_defaults() -> None:
    """ValueError unless torch makes new tensors on the CPU, of float32 or float64."""
    import torch

    device = torch.get_default_device()
    if device.type != "cpu":
        cure = 'call torch.set_default_device("cpu")'
        raise ValueError(f"torch's default device is {str(device)!r}: {cure}")
    dtype = torch.get_default_dtype()
    if dtype not in (torch.float32, torch.float64):
        cure = "call torch.set_default_dtype(torch.float32)"
        raise ValueError(f"torch's default dtype is {dtype}: {cure}")


def check_generator(name, value) -> Generator | None:
    """A torch.Generator or None; TypeError otherwise, also for a seed."""
    import torch

    if value is not None and not isinstance(value, torch.Generator):
        cure = "give torch.Generator().manual_seed(42), for example"
        raise TypeError(f"{name} is {shown(value)}: {cure}")
    return value


def described(x) -> str:
    """How a message describes a tensor: by its shape and its dtype."""
    import torch

    if not isinstance(x, torch.Tensor):
        return shown(x)
    kind = str(x.dtype).removeprefix("torch.")
    return f"a tensor {tuple(x.shape)} of {kind}"


def check_tensor(name, value, *, dims: int | None = None, whole: bool = False, rows=1):
    """A tensor with `dims` dimensions and `rows` or more; ValueError otherwise.

    With `whole`, its numbers must be whole. TypeError for anything but a tensor.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} is {shown(value)}: give a torch tensor")
    cure = ""
    if value.is_meta:
        cure = 'it has no numbers; call torch.set_default_device("cpu")'
    elif dims is not None and value.ndim != dims:
        cure = f"give one with {dims} dimensions"
    elif value.ndim == 0 or len(value) < rows or rows and value.numel() == 0:
        cure = f"give {rows} or more rows"
    elif whole and value.dtype != torch.int64:
        cure = f"give whole numbers, such as {name}.long()"
    if cure:
        raise ValueError(f"{name} is {described(value)}: {cure}")
    return value


def check_losses(name, value):
    """One loss for each step: a list of numbers or a tensor; TypeError otherwise."""
    if hasattr(value, "losses"):
        raise TypeError(f"{name} is a {type(value).__name__}: give its .losses")
    dims = getattr(value, "ndim", None)
    if dims == 1:
        return value  # a tensor, an array or a pandas.Series
    losses = [value]
    if isinstance(value, Iterable) and not isinstance(value, Mapping) and dims is None:
        losses = list(value)
    if (
        isinstance(value, str)
        or not all(isinstance(loss, Real) for loss in losses)
        or (losses == [value])
    ):
        cure = "give a list of numbers, one for each step"
        raise TypeError(f"{name} is {shown(value)}: {cure}")
    return losses


def check_characters(name, value, *, size: int) -> list[int]:
    """Character numbers, each from 0 to size - 1; ValueError otherwise."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name} is {shown(value)}: give a sequence of whole numbers")
    if getattr(value, "ndim", 1) != 1:
        raise ValueError(f"{name} is {described(value)}: give one row of it")
    return [check_integer(name, i, least=0, most=size - 1) for i in value]


# ---- Checks of many arguments at once ----------------------------------------------
def whole(least: int | None = None, most: int | None = None) -> Callable:
    """A checker for `checked` and `check_fields`: check_integer within these limits."""
    return partial(check_integer, least=least, most=most)


def number(**within) -> Callable:
    """A checker: check_number within these limits."""
    return partial(check_number, **within)


def choice(choices: Iterable) -> Callable:
    """A checker: check_choice among these choices."""
    return partial(check_choice, choices=choices)


def context(*, tree: bool = False) -> Callable:
    """A checker: check_block_size for a flat model, or for a tree."""
    return lambda _, value: check_block_size(value, tree=tree)


def instance(kind: type | tuple, cure: str) -> Callable:
    """A checker: check_kind for this class."""
    return partial(check_kind, kind=kind, cure=cure)


def tensor(**needs) -> Callable:
    """A checker: check_tensor with these requirements."""
    return partial(check_tensor, **needs)


size = whole(1, LARGEST_SIZE)
share = number(above=0, below=1)
rate = number(above=0, most=1_000)
SIZES = """vocab_size num_embeddings embedding_dim in_features out_features num_features
    hidden n batch_size max_length window in_channels out_channels kernel_size dilation
    repeats"""
# What an argument of this name must be, in every function that is `checked`.
ARGUMENTS = dict.fromkeys(SIZES.split(), size) | {
    "block_size": context(),
    "seed": check_seed,
    "generator": check_generator,
    "names": check_names,
    "vocab": check_vocab,
    "prompt": partial(check_text, without=END),
    "model": check_model,
    "network": check_layers,
    "layers": check_layer,
    "norm": check_callable,
    "config": check_config,
    "batches": check_batches,
    "on_step": partial(check_callable, optional=True),
    "losses": check_losses,
    "train": share,
    "val": share,
    "temperature": number(least=1e-4),
    "eps": number(above=0),
    "momentum": number(least=0, most=1),
    "bias": check_bool,
    "mode": check_bool,
    "progress": check_bool,
}


def check_fields(config, **checkers: Callable) -> None:
    """Checks fields of a frozen dataclass in its __post_init__.

    What a checker returns replaces the field: steps=whole(1), lr=number(above=0).
    """
    for field, checker in checkers.items():
        object.__setattr__(config, field, checker(field, getattr(config, field)))


def checked(*together: Callable, **special: Callable) -> Callable:
    """A decorator that checks the arguments of a call by their names, as in ARGUMENTS.

    `special` adds checks by name. What a check returns replaces the argument. The
    checks in `together` are called last, with all arguments in one dict. Notebooks
    define the same functions without the decorator, which does not change what they
    compute.
    """

    def decorate(function: Callable) -> Callable:
        parameters = signature(function).parameters
        names = list(parameters)
        rules = {name: ARGUMENTS[name] for name in names if name in ARGUMENTS} | special
        kinds = {name: parameters[name].kind for name in rules}

        @wraps(function)
        def guarded(*given, **options):
            given = list(given)
            for name, check in rules.items():
                place = names.index(name)
                if name in options:
                    options[name] = check(name, options[name])
                elif kinds[name] == Parameter.VAR_POSITIONAL:
                    given[place:] = [check(name, value) for value in given[place:]]
                elif kinds[name] != Parameter.KEYWORD_ONLY and place < len(given):
                    given[place] = check(name, given[place])
            for check in together:
                check(dict(zip(names, given)) | options)
            return function(*given, **options)

        return guarded

    return decorate

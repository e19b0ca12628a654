"""How the check of an exercise replies: it returns one sentence and raises nothing.

The sentence begins with RIGHT, WRONG or TODO, and then says what was given and what was
expected. The checks themselves are in `course.exercises`.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import torch
from torch import Generator, Tensor

RIGHT = "right"
WRONG = "not right yet"
TODO = "not done yet"


class NotRight(Exception):
    """Says what is wrong with an answer."""


class NotDone(Exception):
    """Says what is still missing."""


@contextmanager
def same_state() -> Iterator[None]:
    """Restores the global state afterwards, whatever an answer has done to it.

    This covers the random state of Python and torch, and torch's dtype and grad mode.
    """
    python_state = random.getstate()
    torch_state = torch.get_rng_state()
    dtype = torch.get_default_dtype()
    grad_mode = torch.is_grad_enabled()
    try:
        yield
    finally:
        random.setstate(python_state)
        torch.set_rng_state(torch_state)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad_mode)


def exercise(check: Callable) -> Callable:
    """Makes a check, which raises NotRight or NotDone or returns what it tested, return
    a sentence instead. An error in the answer's own code becomes part of it."""

    @wraps(check)
    def verdict(answer) -> str:
        with same_state():
            try:
                return f"{RIGHT}: {check(answer)}"
            except NotDone as missing:
                return f"{TODO}: {missing}"
            except NotRight as mistake:
                return f"{WRONG}: {mistake}"
            except Exception as error:
                return f"{WRONG}: your code raised {type(error).__name__}: {error}"

    return verdict


def expect(condition: bool, message: str) -> None:
    """NotRight with this message unless the condition is true."""
    if not condition:
        raise NotRight(message)


def given(answer, name: str):
    """The answer, if there is one; NotDone if not."""
    if answer is None or answer is ...:
        raise NotDone(f"{name} is None")
    return answer


def two_values(answer, contents: str):
    """The answer, if it is a pair; `contents` names the two values."""
    given(answer, "the answer")
    is_pair = isinstance(answer, tuple | list) and len(answer) == 2
    kind = type(answer).__name__
    expect(is_pair, f"the answer is a {kind}: expected two values, {contents}")
    return answer


def compare(got, expected, name: str, mistakes: dict | None = None) -> None:
    """NotRight unless `got` has the shape and the numbers of `expected`.

    Both are tensors or numbers. `mistakes` is {explanation: known wrong result}; a
    learner who gets that result reads the explanation.
    """
    given(got, name)
    kind = type(got).__name__
    is_numeric = isinstance(got, Tensor | int | float)
    expect(is_numeric, f"{name} is a {kind}: expected a tensor or a number")
    got = to_float64(got)
    expected = to_float64(expected)
    for explanation, wrong in (mistakes or {}).items():
        expect(not is_close(got, to_float64(wrong)), f"{name}: {explanation}")
    shape = tuple(got.shape)
    goal = tuple(expected.shape)
    expect(shape == goal, f"{name} has shape {shape}: expected {goal}")
    if is_close(got, expected):
        return
    if expected.ndim == 0:
        raise NotRight(f"{name} is {got:.4f}: expected {expected:.4f}")
    distance = (got - expected).abs().max()
    wrong = f"its numbers are wrong by up to {distance:.2g}"
    raise NotRight(f"{name} has the expected shape, but {wrong}")


def to_float64(value: Tensor | float) -> Tensor:
    return torch.as_tensor(value).detach().double()


def is_close(a: Tensor, b: Tensor) -> bool:
    """Whether the shapes are equal, and the numbers except for float32 rounding."""
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def compare_lines(answers: dict, truth: dict, explain: Callable) -> str:
    """Compares each line of a dict with the truth; returns how many are right.

    `explain(line, answer)` says what is wrong with an answer.
    """
    unchanged = isinstance(answers, dict) and list(answers) == list(truth)
    cure = "leave the keys as they are"
    expect(unchanged, f"expected a dict with the keys {list(truth)}: {cure}")
    right = 0
    missing = []
    mistakes = []
    for line, answer in answers.items():
        if answer is None:
            missing.append(line)
        elif answer == truth[line]:
            right += 1
        else:
            mistakes.append(f"{line}: {explain(line, answer)}")
    count = f"{right} of {len(truth)} lines are right"
    expect(not mistakes, "\n  ".join([count, *mistakes]))
    if missing:
        raise NotDone(f"{count}, {missing[0]!r} is None")
    return count


def random_tensor(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers that depend on `seed` alone."""
    return torch.randn(*shape, generator=Generator().manual_seed(seed))

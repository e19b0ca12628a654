"""Which function made a finished run, and with what code.

Studies keep runs for years and look them up by name. So a name must distinguish a
function from every other one, and an edited function from its earlier version. The code
that it calls may change, too. A run stores checksums of that code, so that a study can
say later what has changed.
"""

from __future__ import annotations

import inspect
import io
import sys
import sysconfig
import textwrap
import tokenize
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

UNREADABLE = (OSError, SyntaxError, tokenize.TokenError)  # errors of an unusable source
PLAIN = (bool, int, float, complex, str, bytes, type(None))
LAYOUT = {tokenize.NEWLINE: "\n", tokenize.INDENT: "\n{", tokenize.DEDENT: "\n}"}
CACHED = type(cache(print))  # the type of what functools.cache returns
LIBRARIES = [sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")]


# ---- The name of a function ----------------------------------------------------------
def identify(function: Callable, version: str | None = None) -> list[str]:
    """Module and qualified name, with the version, or else a checksum of the source.

    Comments, docstrings and line breaks do not count. TypeError for anything without a
    name of its own, such as a lambda, a partial or a method. ValueError for a function
    that depends on something outside its source, unless it has a version.
    """
    function = inspect.unwrap(function) if callable(function) else function
    if not isinstance(function, FunctionType) or function.__name__ == "<lambda>":
        raise TypeError(
            f"{function!r} has no name that could identify its runs: "
            "give a function defined with def"
        )
    name = f"{function.__module__}.{function.__qualname__}"
    if version is not None:
        return [name, f"version {version}"]
    cure = "or give it a version, as in run_study(..., version='1')"
    if function.__closure__:
        outside = ", ".join(function.__code__.co_freevars)
        raise ValueError(
            f"{name} uses {outside} from the function around it, which may differ "
            f"next time: make that a field of the config, {cure}"
        )
    try:
        return [name, f"source {checksum(source_of(function))}"]
    except UNREADABLE:
        raise ValueError(
            f"the source of {name} cannot be read: define it in a notebook or a file, "
            f"and restart Python if that file has changed since, {cure}"
        ) from None


@cache
def source_of(function: FunctionType) -> str:
    """The source of the function without comments, docstrings and line breaks."""
    text = io.StringIO(textwrap.dedent(inspect.getsource(function)))
    tokens = []
    for token in tokenize.generate_tokens(text.readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            tokens.append(token)
    words = ["\n"]
    for token, following in zip(tokens, tokens[1:]):
        begins = words[-1] in LAYOUT.values()  # begins a statement
        ends = following.type == tokenize.NEWLINE
        if begins and (token.type == tokenize.STRING and ends):
            continue  # a docstring
        if begins and token.type == tokenize.NEWLINE:
            continue  # its line end
        words.append(LAYOUT.get(token.type, token.string))
    defaults = [function.__defaults__, function.__kwdefaults__]  # `n=N` hides N's value
    return f"{' '.join(words)} {describe(defaults)}"


def checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def describe(value: object) -> str:
    """The value if it is a plain one, otherwise the name of its type."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(describe, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {describe(v)}' for k, v in value.items())}}}"
    return type(value).__qualname__


# ---- The code that a run uses --------------------------------------------------------
def describe_code(*used: object) -> dict:
    """The version of torch, and {name: checksum} of all own code that `used` reaches.

    Own code is everything outside installed packages: the course's modules and the
    cells of a notebook, with the constants that a function uses.
    """
    try:
        torch = release(version("torch"))
    except PackageNotFoundError:
        torch = None
    return {"torch": torch, "code": collect_code(used)}


def release(version: str) -> str:
    """2.13.0 of 2.13.0+cpu, the build for one kind of machine."""
    return version.partition("+")[0]


def list_changes(before: dict, now: dict) -> list[str]:
    """What differs between two results of `describe_code`, in words."""
    changes = []
    if before["torch"] != now["torch"]:
        changes.append(f"torch {before['torch']} is now {now['torch']}")
    if "code" in before:
        for name in sorted(before["code"].keys() | now["code"].keys()):
            if before["code"].get(name) != now["code"].get(name):
                changes.append(f"{name} has changed")
    return changes


def collect_code(used: Iterable[object]) -> dict[str, str]:
    """{name: checksum} of the functions and methods that `used` reaches."""
    code = {}
    visited = set()
    waiting = list(used)
    while waiting:
        item = waiting.pop()
        if id(item) in visited:
            continue
        visited.add(id(item))
        waiting += parts_of(item)
        if isinstance(item, FunctionType) and is_own(item) and not is_wrapper(item):
            values = find_globals(item)
            waiting += values.values()
            with suppress(*UNREADABLE):  # methods that a dataclass has generated
                text = source_of(item)
                for name, value in values.items():
                    if isinstance(value, (*PLAIN, tuple)):
                        text += f"\n{name} = {describe(value)}"
                code[f"{item.__module__}.{item.__qualname__}"] = checksum(text)
    return code


def parts_of(item: object) -> list:
    """What a class, a dict, or something that wraps a function is made of."""
    if isinstance(item, type) and is_own(item):
        return [*vars(item).values(), *item.__bases__]
    if isinstance(item, dict):
        return list(item.values())
    if isinstance(item, partial):
        return [item.func, *item.args, *item.keywords.values()]
    if isinstance(item, property):
        return [item.fget, item.fset]
    if isinstance(item, (FunctionType, staticmethod, classmethod, CACHED)):
        return [inspect.unwrap(item)]
    return []


def is_wrapper(function: FunctionType) -> bool:
    """Whether a decorator made it to wrap another function of the same name."""
    return inspect.unwrap(function) is not function


def find_globals(function: FunctionType) -> dict[str, object]:
    """{name: value} of the globals, own modules' too, that the function uses."""
    found = {}
    names = sorted(names_in(function.__code__))
    for name in names:
        if name not in function.__globals__:
            continue
        found[name] = function.__globals__[name]
        if isinstance(found[name], ModuleType) and is_own(found[name]):
            for attribute in names:
                if attribute in vars(found[name]):
                    found[f"{name}.{attribute}"] = vars(found[name])[attribute]
    return found | inspect.getclosurevars(function).nonlocals


def names_in(code: CodeType) -> set[str]:
    """The names in the code of a function, and of those defined within it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= names_in(constant)
    return names


def is_own(item: object) -> bool:
    """Whether a function, class or module belongs to this project or to a notebook."""
    name = item.__name__ if isinstance(item, ModuleType) else item.__module__
    if name == "__main__":
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return False
    return not any(Path(file).is_relative_to(folder) for folder in LIBRARIES)

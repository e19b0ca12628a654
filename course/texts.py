"""Checks of texts and names as they really come: their files, accents and line ends.

The checks return a text in NFC, where an accent and its letter are one character. This
module imports no other module of the project.
"""

import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

END = "."  # as in helpers, which imports this module
LONGEST_SHOWN = 60  # how many characters of a value a message shows
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")  # how a file in UTF-16 begins


def shown(value) -> str:
    """How a message shows a value: its repr if that is short, otherwise its class."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    try:
        text = repr(value)
    except Exception:  # an int of 5,000 digits, or an object that is half made
        text = "\n"
    if len(text) <= LONGEST_SHOWN and "\n" not in text and " at 0x" not in text:
        return text
    if isinstance(value, str):
        return f"a text of {len(value):,} characters"
    return f"a {type(value).__name__}"


def check_text(name, value, *, without: str = "") -> str:
    """A text (NFC) without the end mark `without`; ValueError otherwise."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {shown(value)}: give a text")
    if without and without in value:
        raise ValueError(f"{value!r} holds the end mark {without!r}: take it out")
    return unicodedata.normalize("NFC", value)


def check_known(name, value, *, characters: list[str]) -> str:
    """A text (NFC) of these characters; ValueError if it contains any other."""
    text = check_text(name, value)
    unknown = sorted(set(text) - set(characters))
    if unknown:
        allowed = "".join(characters)
        raise ValueError(f"{text!r} holds the unknown {unknown}: use {allowed}")
    return text


def check_names(name, value, *, ordered: bool = True) -> list[str]:
    """A list of one or more names (NFC) without the end mark.

    TypeError for anything but texts in a fixed order, ValueError for unusable ones.
    """
    cure = "give a list of names"
    if isinstance(value, str):
        raise TypeError(f"{name} is the text {shown(value)}: {cure}")
    if isinstance(value, Mapping) or hasattr(value, "columns"):
        keys = ", ".join(map(repr, list(value)[:5]))
        part = f"give one of its parts, {name}[key] (keys: {keys})"
        raise TypeError(f"{name} is a {type(value).__name__}: {part}")
    if ordered and isinstance(value, set | frozenset):
        raise TypeError(f"{name} is a set, which has no order: give sorted({name})")
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise TypeError(f"{name} is {shown(value)}: {cure}")
    names = list(value)
    if not names:
        raise ValueError(f"{name} is empty: give one name or more")
    for i, text in enumerate(names):
        if not isinstance(text, str):
            raise TypeError(f"{name}[{i}] is {shown(text)}: a name is a text")
        if "\n" in text or "\r" in text:
            raise ValueError(f"{name}[{i}] is {text!r}: strip its line end")
        names[i] = check_text(name, text, without=END)
    return names


def check_alphabet(name, value) -> list[str]:
    """check_names for a vocabulary: in any order, with at least one character."""
    names = check_names(name, value, ordered=False)
    if not any(names):
        raise ValueError(f"{name} has no characters: give one name or more")
    return names


def check_splits(splits: dict[str, list]) -> None:
    """ValueError if one of the parts is empty."""
    empty = " and ".join(split for split, part in splits.items() if not part)
    if empty:
        count = sum(map(len, splits.values()))
        cure = "give 10 names or more, and shares that sum to less than 1"
        raise ValueError(f"{count} names leave {empty} empty: {cure}")


def read_names(path: str | Path) -> list[str]:
    """The names in a file, as helpers.load_names returns them; ValueError if not UTF-8.

    Lines end only at newlines (those of Windows, too). str.splitlines would also split
    at U+2028.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path is {shown(path)}: give the path of a names file")
    path = Path(path)
    allowed = "give a UTF-8 file with one name per line"
    try:
        if path.is_dir():
            raise ValueError(f"{path} is a folder: {allowed}")
        if not path.is_file():
            raise ValueError(f"no names file at {path}: {allowed}")
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror
        raise ValueError(f"{path} cannot be read ({reason}): {allowed}") from None
    cure = "open it in an editor and save it with the encoding UTF-8"
    if content.startswith(UTF16_MARKS) or b"\0" in content:
        raise ValueError(f"{path} is in UTF-16 (as PowerShell writes it): {cure}")
    try:
        text = content.decode("utf-8-sig")  # -sig: drops a byte-order mark
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        given = f"{path} is not in UTF-8 (line {line}), perhaps in Latin-1"
        raise ValueError(f"{given}: {cure}") from None
    text = unicodedata.normalize("NFC", text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ValueError(f"{path} contains no names: put one name on each line")
    return names

"""The fusions of a tree over the examples of one name, and which of them are new.

Notebook 06 teaches these functions; its explorer draws what they find. A fusion is
called by its level (1 fuses two characters) and the position where its characters end:
position 0 is the dot before the first character, and left of it are dots too.
"""

from helpers import END

KIND_LOOKS = {  # how each kind of fusion is drawn
    "only dots": {"marker": "s", "color": "white"},
    "again": {"marker": "o", "color": "#E69F00"},
    "first time": {"marker": "D", "color": "#0072B2"},
}


def fusions(name: str, block_size: int) -> list[tuple[int, int, int]]:
    """All fusions of all examples of `name`, as (last, level, position).

    `last` is the position where the example ends: 0 for the first one, all dots.
    """
    found = []
    for last in range(len(name) + 1):
        for level in range(1, block_size.bit_length()):
            for i in range(block_size // 2**level):
                found.append((last, level, last - i * 2**level))
    return found


def characters_of(name: str, level: int, position: int) -> str:
    """The 2**level characters that the fusion at this level and position reads."""
    text = END * 2**level + name
    start = max(position, 0)  # position 0 and all before it read dots only
    return text[start : start + 2**level]


def kind_of(last: int, level: int, position: int) -> str:
    """What a fusion is to the example that ends at `last`."""
    if position <= 0:
        return "only dots"
    if position < last:
        return "again"  # an earlier example has computed it
    return "first time"

"""The fusions of a tree over the examples of one name, and which of them are new.

Notebook 06 teaches these functions; its explorer draws what they find. A fusion is
identified by its level (level 1 fuses two characters) and by the position of its last
character. Position 0 is the dot before the first character, and everything to the left
of it is dots as well.
"""

from functools import partial

from course.checks import check_block_size, checked, whole
from course.colors import BEFORE, LOOKED_AT, PAPER
from course.texts import check_text
from helpers import END

name_text = partial(check_text, without=END)


def power_of_two(_, value) -> int:
    """A block_size of a tree, or 1, which needs no fusion; ValueError otherwise."""
    return 1 if value == 1 and value is not True else check_block_size(value, tree=True)


KIND_LOOKS = {  # how each kind of fusion is drawn
    "only dots": {"marker": "s", "color": PAPER},
    "again": {"marker": "o", "color": BEFORE},
    "first time": {"marker": "D", "color": LOOKED_AT},
}


@checked(name=name_text, block_size=power_of_two)
def fusions(name: str, block_size: int) -> list[tuple[int, int, int]]:
    """All fusions of all examples of `name`, as (last, level, position).

    `last` is the position where the example ends: 0 for the first, which is all dots.
    """
    found = []
    for last in range(len(name) + 1):
        for level in range(1, block_size.bit_length()):
            for i in range(block_size // 2**level):
                found.append((last, level, last - i * 2**level))
    return found


@checked(name=name_text, level=whole(0, 20), position=whole())
def characters_of(name: str, level: int, position: int) -> str:
    """The 2**level characters that the fusion at this level and position reads."""
    text = END * 2**level + name
    start = max(position, 0)  # position 0 and all positions before it read only dots
    return text[start : start + 2**level]


@checked(last=whole(0), level=whole(0, 20), position=whole())
def kind_of(last: int, level: int, position: int) -> str:
    """The kind of a fusion for the example that ends at `last`: a key of KIND_LOOKS."""
    if position <= 0:
        return "only dots"
    if position < last:
        return "again"  # an earlier example has computed it
    return "first time"

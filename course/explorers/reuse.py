"""Notebook 06: which fusions a character of a name needs, and which of them are new."""

from collections import Counter

import traitlets

from course.checks import check_block_size, check_integer, checked
from course.explorers import reuse_picture
from course.explorers.controls import OFFERED, typed_name
from course.explorers.live import Explorer
from course.fusions import fusions, kind_of
from helpers import Vocab

Nodes = dict[tuple[int, int], str]  # (level, position): kind of fusion


class ReuseExplorer(Explorer):
    """A step through a name: what each next character needs of the tree's nodes.

    `name`, `block_size` and `character` can be set in code, too. The first character is
    number 1; the one after the last is the end of the name.
    """

    script = "reuse"
    title = "Reuse explorer"

    block_sizes = traitlets.List(OFFERED).tag(sync=True)
    block_size = traitlets.Int(8).tag(sync=True)
    name = traitlets.Unicode().tag(sync=True)
    character = traitlets.Int(1).tag(sync=True)

    @checked()
    def __init__(self, vocab: Vocab, name: str = "diondre"):
        self.vocab = vocab
        name = typed_name(name, vocab)
        last = max(1, len(name))
        super().__init__(characters="".join(vocab.itos), name=name, character=last)
        self.observe(self.stay_inside, "name")

    @traitlets.validate("block_size")
    def check_size(self, proposal: dict) -> int:
        return check_block_size(proposal["value"], tree=True)

    @traitlets.validate("name")
    def check_name(self, proposal: dict) -> str:
        return typed_name(proposal["value"], self.vocab)

    @traitlets.validate("character")
    def check_character(self, proposal: dict) -> int:
        most = len(self.name) + 1
        return check_integer("character", proposal["value"], least=1, most=most)

    def stay_inside(self, change: dict) -> None:
        """A shorter name has fewer characters to choose from."""
        self.character = min(self.character, len(self.name) + 1)

    # ---- What it says of itself ----
    def settings(self) -> dict[str, object]:
        return {
            "name": self.name,
            "block size": self.block_size,
            "character": self.character,
        }

    def alt(self) -> str:
        return f"a tree over {self.block_size} characters at each step: {self.counts()}"

    def picture(self) -> bytes:
        return reuse_picture.draw(
            self.name, self.block_size, self.character, seen=self.seen()
        )

    def needed(self) -> Nodes:
        """The fusions that the character needs, and what each is to it."""
        return needed(self.name, self.block_size, self.character)

    def seen(self) -> Nodes:
        """All fusions of this character and of those before it, each once."""
        nodes = {}
        for character in range(1, self.character + 1):
            nodes |= needed(self.name, self.block_size, character)
        return nodes

    def counts(self) -> str:
        """The counts as a sentence, those of the script."""
        kinds = Counter(self.needed().values())
        which = f"character {self.character} of “{self.name}”"
        if self.character > len(self.name):
            which = f"the end of “{self.name}”"
        count = kinds.total()
        total = "1 fusion" if count == 1 else f"{count} fusions"
        return (
            f"{which} needs {total}: {kinds['first time']} new, "
            f"{kinds['again']} computed before, {kinds['only dots']} of dots only"
        )


def needed(name: str, block_size: int, character: int) -> Nodes:
    """The fusions of the example that predicts a character, and the kind of each."""
    last = character - 1  # the example ends one position before the character
    nodes = {}
    for end, level, position in fusions(name, block_size):
        if end == last:
            nodes[level, position] = kind_of(last, level, position)
    return nodes

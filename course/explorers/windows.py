"""Notebook 02: the windows of a name, and the flat model that reads them, live."""

import pandas as pd
import traitlets
from torch import Tensor

from course.checks import check_integer, checked
from course.explorers import stored, windows_picture
from course.explorers.models import ModelExplorer
from course.explorers.packing import unpack
from helpers import Vocab

LONGEST_CONTEXT = 16
NARROWEST = 4
WIDEST = 700
BLOCK_SIZES = range(1, LONGEST_CONTEXT + 1)


class WindowsExplorer(ModelExplorer):
    """What the chosen context cuts off, where the parameters are, what is expected.

    `names` are those whose positions are counted (of the validation split, say).
    `block_size` (1 to 16), `hidden` (4 to 700) and `name` can be set in code, too.
    """

    script = "windows"
    title = "Windows explorer"
    widths_allowed = (NARROWEST, WIDEST)

    block_sizes = traitlets.List(list(BLOCK_SIZES)).tag(sync=True)
    widths = traitlets.List(list(range(NARROWEST, WIDEST + 1, 4))).tag(sync=True)
    block_size = traitlets.Int(8).tag(sync=True)
    hidden = traitlets.Int(64).tag(sync=True)
    name = traitlets.Unicode("diondre").tag(sync=True)
    shares = traitlets.List().tag(sync=True)  # cut off, for block sizes 1 to 16
    network = traitlets.Bytes().tag(sync=True)  # packed weights

    @checked()
    def __init__(self, vocab: Vocab, names: list[str], *, seed: int = 42):
        shares = share_cut_off(names).round(4).tolist()
        super().__init__(vocab, seed=seed, shares=shares)
        self.observe(self.bring, ["block_size", "hidden"])

    @traitlets.validate("block_size")
    def check_size(self, proposal: dict) -> int:
        value = proposal["value"]
        return check_integer("block_size", value, least=1, most=LONGEST_CONTEXT)

    # ---- What it says of itself ----
    def about(self) -> dict[str, object]:
        """Parameters, training and losses of the model in view, as far as known."""
        return unpack(self.network)[1]

    def cut_off(self) -> int:
        """How many windows of the name leave out a part of it."""
        return max(0, len(self.name) - self.block_size)

    def alt(self) -> str:
        chances = self.probabilities()
        best = int(chances.argmax())
        character = self.vocab.itos[best] if best else "the end"
        windows = f"the {len(self.name) + 1} windows of {self.name!r}"
        return (
            f"{windows} at block size {self.block_size}, of which {self.cut_off()} "
            f"cut off a part of the name; a flat model of "
            f"{self.about()['parameters']:,} parameters expects {character} after "
            f"the last one, with {chances[best]:.0%}"
        )

    def picture(self) -> bytes:
        chances = self.probabilities().tolist()
        arrays, about = unpack(self.network)
        areas = windows_picture.areas_of(arrays, about["hidden"])
        size = self.block_size
        return windows_picture.draw(
            self.name, size, areas, chances, characters=self.characters
        )

    def page_state(self) -> dict[str, object]:
        state = {"block_sizes": stored.BLOCK_SIZES, "widths": stored.WIDTHS}
        if self.hidden not in stored.WIDTHS:
            state["hidden"] = type(self).hidden.default_value
        return super().page_state() | state

    # ---- The model ----
    def cell_to_train(self) -> stored.Cell:
        return "flat", self.block_size, self.hidden

    def bring(self, change: dict | None = None) -> None:
        with self.changing:
            self.network = self.weights(self.cell_to_train())

    def probabilities(self) -> Tensor:
        """What the model expects after the name: (V,)."""
        return self.probabilities_of(self.network)


def share_cut_off(names: list[str]) -> pd.Series:
    """For each block size, the share of positions with more characters before them."""
    lengths = pd.Series([len(name) for name in names])
    positions = (lengths + 1).sum()
    shares = {}
    for block_size in BLOCK_SIZES:
        shares[block_size] = (lengths - block_size).clip(lower=0).sum() / positions
    return pd.Series(shares)

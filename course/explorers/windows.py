"""Notebook 02: the windows of a name, and the flat model that reads them, live."""

import pandas as pd
import torch
import traitlets
from torch import Generator, Tensor

from course.checks import check_integer, checked
from course.explorers import stored, windows_picture
from course.explorers.controls import typed_name
from course.explorers.packing import model_of, unpack
from course.explorers.trainable import TrainableExplorer, packed_model
from course.runs import RunConfig
from helpers import Sequential, Vocab, eval_mode

LONGEST_CONTEXT = 16
WIDEST = 700
BLOCK_SIZES = range(1, LONGEST_CONTEXT + 1)
STEPS = 400  # of a training: some seconds, enough to tell models apart


class WindowsExplorer(TrainableExplorer):
    """What the chosen context cuts off, where the parameters are, what is expected.

    `names` are those whose positions are counted (of the validation split, say).
    `block_size` (1 to 16), `hidden` (4 to 700) and `name` can be set in code, too.
    """

    script = "windows"
    title = "Windows explorer"

    block_sizes = traitlets.List(list(BLOCK_SIZES)).tag(sync=True)
    widths = traitlets.List(list(range(4, WIDEST + 1, 4))).tag(sync=True)
    block_size = traitlets.Int(8).tag(sync=True)
    hidden = traitlets.Int(64).tag(sync=True)
    name = traitlets.Unicode("diondre").tag(sync=True)
    shares = traitlets.List().tag(sync=True)  # cut off, for block sizes 1 to 16
    network = traitlets.Bytes().tag(sync=True)  # packed weights

    @checked()
    def __init__(self, vocab: Vocab, names: list[str], *, seed: int = 42):
        self.vocab = vocab
        self.seed = seed
        self.steps = STEPS
        self.trained = {}  # (block size, hidden width): packed weights
        shares = share_cut_off(names).round(4).tolist()
        super().__init__(characters="".join(vocab.itos), shares=shares)
        self.bring()
        self.observe(self.bring, ["block_size", "hidden"])

    @traitlets.validate("block_size")
    def check_size(self, proposal: dict) -> int:
        value = proposal["value"]
        return check_integer("block_size", value, least=1, most=LONGEST_CONTEXT)

    @traitlets.validate("hidden")
    def check_hidden(self, proposal: dict) -> int:
        return check_integer("hidden", proposal["value"], least=4, most=WIDEST)

    @traitlets.validate("name")
    def check_name(self, proposal: dict) -> str:
        return typed_name(proposal["value"], self.vocab)

    # ---- What it says of itself ----
    def settings(self) -> dict[str, object]:
        return {"block size": self.block_size, "hidden width": self.hidden}

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
    def bring(self, change: dict | None = None) -> None:
        """Gives the script the weights of the model that is chosen now."""
        with self.changing:
            self.network = self.weights()

    def weights(self) -> bytes:
        """Packed weights: trained here, or stored, or else of an untrained model."""
        cell = (self.block_size, self.hidden)
        if cell in self.trained:
            return self.trained[cell]
        if self.characters == stored.CHARACTERS:
            packed = stored.stored_model("flat", *cell)
            if packed is not None:
                return packed
        generator = Generator().manual_seed(self.seed)
        model = self.config().build(len(self.vocab), generator=generator)
        return packed_model(self.config(), model, {"trained": 0})

    def config(self) -> RunConfig:
        """What a training of the chosen model is."""
        sizes = {"block_size": self.block_size, "hidden": self.hidden}
        return RunConfig(architecture="flat", steps=self.steps, **sizes)

    def probabilities(self) -> Tensor:
        """What the model expects after the name: (V,)."""
        arrays, about = unpack(self.network)
        model = model_of(arrays, about["block_size"], flat=True)
        context = [0] * about["block_size"] + self.vocab.encode(self.name)
        window = torch.tensor([context[-about["block_size"] :]])  # (1, T)
        with eval_mode(model):
            return model(window)[0].softmax(-1)

    # ---- Training ----
    def chosen(self) -> RunConfig:
        if self.characters != stored.CHARACTERS:
            cure = "use Vocab(load_names())"
            raise ValueError(f"only the names of data/names.txt are trained on: {cure}")
        return self.config()

    def keep(self, config: RunConfig, model: Sequential, about: dict) -> None:
        packed = packed_model(config, model, about)
        cell = (config.block_size, config.hidden)
        with self.changing:
            self.trained[cell] = packed
            if cell == (self.block_size, self.hidden):
                self.network = packed

    def forget(self) -> None:
        super().forget()
        self.trained.clear()
        self.bring()


def share_cut_off(names: list[str]) -> pd.Series:
    """For each block size, the share of positions with more characters before them."""
    lengths = pd.Series([len(name) for name in names])
    positions = (lengths + 1).sum()
    shares = {}
    for block_size in BLOCK_SIZES:
        shares[block_size] = (lengths - block_size).clip(lower=0).sum() / positions
    return pd.Series(shares)

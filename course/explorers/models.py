"""What explorers of flat models and trees share: which weights they show, trainings."""

import torch
import traitlets
from torch import Generator, Tensor

from course.checks import check_integer
from course.explorers import stored
from course.explorers.controls import typed_name
from course.explorers.packing import model_of, unpack
from course.explorers.trainable import TrainableExplorer, packed_model
from course.runs import RunConfig
from helpers import Sequential, Vocab, eval_mode


class ModelExplorer(TrainableExplorer):
    """The base of explorers that show models over a typed name, and train them.

    A concrete one has the traits `block_size`, `hidden` and `name`, and `bring()`,
    which gives the script the weights of what is chosen. It begins with `vocab` and
    `seed`, and `widths_allowed` is the smallest and the largest hidden width.
    """

    widths_allowed = (1, 700)

    def __init__(self, vocab: Vocab, *, seed: int, **traits):
        self.vocab = vocab
        self.seed = seed
        self.trained = {}  # cell: packed weights of the models trained here
        super().__init__(characters="".join(vocab.itos), **traits)
        self.bring()

    @traitlets.validate("hidden")
    def check_hidden(self, proposal: dict) -> int:
        least, most = self.widths_allowed
        return check_integer("hidden", proposal["value"], least=least, most=most)

    @traitlets.validate("name")
    def check_name(self, proposal: dict) -> str:
        return typed_name(proposal["value"], self.vocab)

    def settings(self) -> dict[str, object]:
        return {"block size": self.block_size, "hidden width": self.hidden}

    # ---- Weights ----
    def bring(self, change: dict | None = None) -> None:
        """Gives the script the weights of the models that are chosen now."""
        raise NotImplementedError

    def weights(self, cell: stored.Cell) -> bytes:
        """Packed weights: trained here, or stored, or else of an untrained model."""
        if cell in self.trained:
            return self.trained[cell]
        packed = stored.stored_model(*cell) if self.has_usual_names() else None
        return packed or self.untrained(cell)

    def has_usual_names(self) -> bool:
        """Whether its vocabulary is that of data/names.txt."""
        return self.characters == stored.CHARACTERS

    def untrained(self, cell: stored.Cell) -> bytes:
        config = self.config(cell)
        generator = Generator().manual_seed(self.seed)
        model = config.build(len(self.vocab), generator=generator)
        return packed_model(config, model, {"trained": 0})

    def probabilities_of(self, packed: bytes) -> Tensor:
        """What a model with these packed weights expects after the name: (V,)."""
        arrays, about = unpack(packed)
        block_size = about["block_size"]
        model = model_of(arrays, block_size, flat=about["architecture"] == "flat")
        context = [0] * block_size + self.vocab.encode(self.name)
        window = torch.tensor([context[-block_size:]])  # (1, T)
        with eval_mode(model):
            return model(window)[0].softmax(-1)

    # ---- Training ----
    def cell_to_train(self) -> stored.Cell:
        """The model that the button would train now."""
        raise NotImplementedError

    def chosen(self) -> RunConfig:
        if not self.has_usual_names():
            cure = "use Vocab(load_names())"
            raise ValueError(f"only the names of data/names.txt are trained on: {cure}")
        return self.config(self.cell_to_train())

    def keep(self, config: RunConfig, model: Sequential, about: dict) -> None:
        """Remembers new weights, and shows them if their model is in view."""
        cell = (config.architecture, config.block_size, config.hidden)
        packed = packed_model(config, model, about)
        with self.changing:
            self.trained[cell] = packed
            self.bring()

    def forget(self) -> None:
        super().forget()
        self.trained.clear()
        self.bring()

"""Notebook 03: a flat model and a tree over the same characters, live and as a picture.

scripts/tree.js draws them; draw_tree is the tree alone, with the shapes of its levels.
"""

import threading
from collections.abc import Iterator
from functools import lru_cache

import torch
import traitlets
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Generator, Tensor

from course.checks import check_block_size, check_integer, check_text, checked
from course.drawings import LOOKS
from course.explorers import stored, tree_picture
from course.explorers.backdrop import Backdrop
from course.explorers.controls import OFFERED, typed_name
from course.explorers.live import Explorer
from course.explorers.packing import arrays_of, model_of, pack_arrays, unpack
from course.explorers.panel import OnStep, Training
from course.explorers.tree_picture import levels_of
from course.runs import RunConfig, load_data
from helpers import (
    History,
    Sequential,
    Vocab,
    build_tree,
    count_parameters,
    eval_mode,
    evaluate,
    sample,
    train,
)

STEPS = 400  # of a training at the press of a button: some seconds
EVERY = 25  # steps from one picture of it to the next
KEPT = 2  # curves that are shown, the last one and those before it


class TreeExplorer(Explorer):
    """A flat model and a tree: activations, weights, and the next character.

    `block_size`, `hidden`, `name` and `equal` can be set in code, too. With `equal` the
    flat model has as many parameters as the tree, and otherwise the same width.
    """

    script = "tree"
    title = "Tree explorer"

    block_sizes = traitlets.List(OFFERED).tag(sync=True)
    widths = traitlets.List().tag(sync=True)  # those offered; none: all from 8 to 256
    block_size = traitlets.Int(8).tag(sync=True)
    hidden = traitlets.Int(64).tag(sync=True)  # 8 to 256
    name = traitlets.Unicode("diondr").tag(sync=True)
    equal = traitlets.Bool(False).tag(sync=True)
    hero = traitlets.Bool(False).tag(sync=True)  # True: the tree alone, front page
    matching = traitlets.Dict().tag(sync=True)  # on the site: widths for `equal`
    flat = traitlets.Bytes().tag(sync=True)  # packed weights
    tree = traitlets.Bytes().tag(sync=True)
    training = traitlets.Dict().tag(sync=True)

    @checked()
    def __init__(self, vocab: Vocab, *, seed: int = 42):
        self.vocab = vocab
        self.seed = seed
        self.trained = {}  # cell: packed weights of the models trained here
        self.runs = []  # of trainings: {"name", "losses", "every"}, the newest last
        self.changing = threading.RLock()  # a slider may move while a model is trained
        self.which = "tree"  # what the next run trains
        self.steps = STEPS
        super().__init__(characters="".join(vocab.itos))
        self.runner = TreeTraining(self)
        self.show_training("No training yet.")
        self.bring()
        self.observe(self.bring, ["block_size", "hidden", "equal"])
        self.on_msg(self.hear)

    @traitlets.validate("block_size")
    def check_size(self, proposal: dict) -> int:
        return check_block_size(proposal["value"], tree=True)

    @traitlets.validate("hidden")
    def check_hidden(self, proposal: dict) -> int:
        return check_integer("hidden", proposal["value"], least=8, most=256)

    @traitlets.validate("name")
    def check_name(self, proposal: dict) -> str:
        return typed_name(proposal["value"], self.vocab)

    # ---- What it says of itself ----
    def settings(self) -> dict[str, object]:
        return {"block size": self.block_size, "hidden width": self.hidden}

    def alt(self) -> str:
        likely = []
        for architecture in ("flat", "tree"):
            chances = self.probabilities(architecture)
            best = int(chances.argmax())
            character = self.vocab.itos[best] if best else "the end"
            likely.append(f"{character} {chances[best]:.0%} in the {architecture} one")
        return (
            f"a flat model and a tree over the last {self.block_size} characters of "
            f"{self.name!r}, with their activations and weights; next character: "
            + ", ".join(likely)
        )

    def picture(self) -> bytes:
        models = [unpack(self.flat), unpack(self.tree)]
        return tree_picture.draw(models, self.name, self.characters)

    def page_state(self) -> dict[str, object]:
        matching = {}
        for block_size in stored.BLOCK_SIZES:
            for hidden in stored.WIDTHS:
                width = stored.matching_width(block_size, hidden)
                if stored.stored_model("flat", block_size, width) is not None:
                    matching[f"{block_size}_{hidden}"] = width
        return super().page_state() | {
            "widths": stored.WIDTHS,
            "matching": matching,
            "training": {},
        }

    @classmethod
    def page_files(cls) -> dict[str, bytes]:
        files = {}
        for cell in stored.cells():
            packed = stored.stored_model(*cell)
            if packed is not None:
                files[stored.file_name(*cell)] = packed
        return files

    # ---- The two models ----
    def cell(self, architecture: str) -> stored.Cell:
        """Architecture, block size and hidden width of one of the two models."""
        hidden = self.hidden
        if architecture == "flat" and self.equal:
            size = len(self.vocab)
            hidden = stored.matching_width(self.block_size, hidden, size)
        return architecture, self.block_size, hidden

    def bring(self, change: dict | None = None) -> None:
        """Gives the script the weights of the models that are chosen now."""
        with self.changing, self.hold_sync():
            self.flat = self.weights(self.cell("flat"))
            self.tree = self.weights(self.cell("tree"))

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
        generator = Generator().manual_seed(self.seed)
        model = self.config(cell).build(len(self.vocab), generator=generator)
        return self.packed(model, self.config(cell), {"trained": 0})

    def config(self, cell: stored.Cell) -> RunConfig:
        """What a training of this model is."""
        architecture, block_size, hidden = cell
        return RunConfig(
            architecture=architecture,
            block_size=block_size,
            hidden=hidden,
            steps=self.steps,
        )

    def packed(self, model: Sequential, config: RunConfig, about: dict) -> bytes:
        """The model's weights, with what is known of it."""
        found = {"parameters": count_parameters(model)}
        for field in ("architecture", "block_size", "hidden"):
            found[field] = getattr(config, field)
        return pack_arrays(arrays_of(model), found | about)

    def probabilities(self, architecture: str) -> Tensor:
        """What the "flat" model or the "tree" expects after the name: (V,)."""
        arrays, about = unpack(self.flat if architecture == "flat" else self.tree)
        is_flat = about["architecture"] == "flat"
        model = model_of(arrays, about["block_size"], flat=is_flat)
        context = [0] * self.block_size + self.vocab.encode(self.name)
        with eval_mode(model):
            window = torch.tensor([context[-self.block_size :]])  # (1, T)
            return model(window)[0].softmax(-1)

    # ---- Training ----
    def hear(self, widget, content: dict, buffers: list) -> None:
        """What the buttons ask for."""
        if content.get("do") == "stop":
            self.runner.stop()
        elif content.get("do") == "train" and not self.runner.is_running:
            self.which = "flat" if content.get("which") == "flat" else "tree"
            self.runner.start()

    def show_training(self, status: str, *, running: bool = False) -> None:
        """The curves of the last runs, and a line on what goes on."""
        runs = []
        for run in self.runs[-KEPT:]:
            is_last = run is self.runs[-1]
            runs.append(run | {"losses": list(run["losses"]), "isLast": is_last})
        self.training = {
            "status": status,
            "running": running,
            "runs": runs,
            "steps": self.steps,
        }

    def train(self, config: RunConfig, on_step: OnStep) -> str:
        """Trains one model from the beginning; a line on what came out."""
        cell = (config.architecture, config.block_size, config.hidden)
        words = f"{config.architecture}, block size {config.block_size}"
        name = f"{words}, hidden width {config.hidden}"
        run = {"name": cell[0], "losses": [], "every": EVERY}
        self.runs.append(run)
        vocab, data = load_data(config.block_size)
        generator = Generator().manual_seed(self.seed)
        model = config.build(len(vocab), generator=generator)

        def show(history: History) -> bool:
            step = len(history.losses)
            if step % EVERY == 0:
                loss = sum(history.losses[-EVERY:]) / EVERY
                run["losses"].append(round(loss, 4))
                about = {"trained": step, "loss": loss}
                self.keep(cell, self.packed(model, config, about))
                status = f"{name}: step {step} of {config.steps}, loss {loss:.3f}"
                self.show_training(status, running=True)
            return on_step(history)

        options = {"seed": self.seed, "progress": False, "on_step": show}
        history = train(model, *data["train"], config, **options)
        val = evaluate(model, *data["val"])
        samples = sample(model, vocab, config.block_size, 5, generator=generator)
        steps = len(history.losses)
        about = {"trained": steps, "val": val, "samples": samples}
        self.keep(cell, self.packed(model, config, about))
        ended = "Stopped" if self.runner.stopped else "Trained"
        return f"{ended} after {steps} steps. {name}: validation loss {val:.3f}"

    def keep(self, cell: stored.Cell, packed: bytes) -> None:
        """Remembers new weights, and shows them if their model is in view."""
        with self.changing:
            self.trained[cell] = packed
            if cell == self.cell("tree"):
                self.tree = packed
            elif cell == self.cell("flat"):
                self.flat = packed


class TreeTraining(Training):
    """The runs of a TreeExplorer."""

    def __init__(self, explorer: TreeExplorer):
        self.explorer = explorer
        self.words = ""  # what is said when a run has ended
        super().__init__(self.choice, explorer.train)

    def choice(self) -> RunConfig:
        if not self.explorer.has_usual_names():
            cure = "use Vocab(load_names())"
            raise ValueError(f"only the names of data/names.txt are trained on: {cure}")
        return self.explorer.config(self.explorer.cell(self.explorer.which))

    def began(self) -> None:
        self.explorer.show_training("The training begins.", running=True)

    def say(self, text: str) -> None:
        self.words = text

    def failed(self, error: Exception) -> None:
        self.words = str(error)
        self.explorer.show_training(self.words)

    def ended(self) -> None:
        self.explorer.show_training(self.words)


# ---- The tree as a picture ---------------------------------------------------------
@checked(context=check_text)
def draw_tree(
    context: str, vocab: Vocab, hidden: int = 68, *, batch_size: int = 32
) -> bytes:
    """The tree over the characters of `context`, with live shapes, as PNG.

    ValueError if the number of characters is no power of two, or one is unknown.
    """
    block_size = len(context)
    windows = torch.tensor([vocab.encode(context)] * batch_size)  # (B, T)
    model = build_tree(len(vocab), block_size, hidden=hidden)
    shapes = [tuple(output.shape) for output in levels_of(model, windows)]
    sizes = f"block size {block_size}, hidden width {hidden}"
    title = f"{sizes}; on the right, shapes for a batch of {batch_size}"
    backdrop = nodes_and_lines(block_size)
    (ax,) = backdrop.axes
    return backdrop.draw(texts(ax, title, context, shapes))


def texts(
    ax: Axes, title: str, context: str, shapes: list[tuple[int, ...]]
) -> Iterator[Artist]:
    """A title, the characters in their nodes, and each level's shape beside it."""
    style = {"va": "center", "family": "monospace"}
    yield ax.text(0.5, 1.02, title, transform=ax.transAxes, ha="center", size="large")
    for i, character in enumerate(context):
        yield ax.text(i + 0.5, 0, character, ha="center", **style)
    for level, shape in enumerate(shapes):
        yield ax.text(1.04 * len(context), level, str(shape), **style)


@lru_cache
def nodes_and_lines(block_size: int) -> Backdrop:
    """The tree without its texts: nodes, lines to their children, names of levels."""
    levels = block_size.bit_length()  # the characters are level 0
    height = 0.8 + 0.75 * levels  # inches
    fig = Figure(figsize=(8, height), dpi=110)
    ax = fig.add_axes((0.28, 0.02, 0.71, 0.98 - 0.4 / height))
    labels = []
    for level in range(levels):
        draw_level(ax, level, block_size)
        characters = "1 character" if level == 0 else f"{2**level} characters"
        labels.append(f"level {level}: {characters} a node")
    ax.set(xlim=(0, block_size * 1.3), ylim=(-0.4, levels - 0.6), xticks=[])
    ax.set_yticks(range(levels), labels)
    ax.spines[:].set_visible(False)
    return Backdrop(fig)


def draw_level(ax: Axes, level: int, block_size: int) -> None:
    """The nodes of one level, and lines to their children on the level below."""
    width = 2**level  # how many characters a node stands for
    nodes = [(i + 0.5) * width for i in range(block_size // width)]
    color = LOOKS["tree_fixed"]["color"] if level else "white"
    heights = [level] * len(nodes)
    ax.scatter(nodes, heights, s=330, color=color, edgecolor="black", zorder=3)
    if level == 0:
        return  # characters have no children
    lines = []
    for x in nodes:
        for child in (x - width / 4, x + width / 4):
            lines.append([(x, level), (child, level - 1)])
    ax.add_collection(LineCollection(lines, color="grey", zorder=1))

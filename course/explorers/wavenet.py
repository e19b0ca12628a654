"""Notebook 08: the full WaveNet reads a name, and says what each character cost it."""

from string import ascii_lowercase

import torch
import traitlets
from torch import Tensor

from course.checks import check_layers, check_number, checked
from course.comparisons import RESULTS, load_results
from course.explorers import wavenet_picture
from course.explorers.controls import typed_name
from course.explorers.live import Explorer
from course.explorers.packing import Arrays, pack_arrays
from course.wavenet import WaveNet, WaveNetConfig, load_weights
from helpers import END, Layer, Linear, Vocab, count_parameters, eval_mode

PAGE_FILE = "wavenet"  # on the site: the weights of the long run
COOLEST = 0.2
HOTTEST = 2.0


def check_wavenet(name: str, value) -> Layer:
    """A WaveNet, that of notebook 08 too; TypeError otherwise."""
    if not hasattr(check_layers(name, value), "blocks"):
        kind = type(value).__name__
        raise TypeError(f"{name} is a {kind}: give a WaveNet of course.wavenet")
    return value


class WaveNetExplorer(Explorer):
    """A WaveNet over a typed name: surprise, gates, and the next character.

    `name` and `temperature` (0.2 to 2) can be set in code, too.
    """

    script = "wavenet"
    title = "WaveNet explorer"

    name = traitlets.Unicode("diondre").tag(sync=True)
    temperature = traitlets.Float(1.0).tag(sync=True)
    network = traitlets.Bytes().tag(sync=True)  # packed weights

    @checked(model=check_wavenet)
    def __init__(self, model: Layer, vocab: Vocab):
        self.model = model
        self.vocab = vocab
        network = pack_arrays(arrays_of_wavenet(model), about_wavenet(model))
        super().__init__(characters="".join(vocab.itos), network=network)

    @traitlets.validate("name")
    def check_name(self, proposal: dict) -> str:
        return typed_name(proposal["value"], self.vocab)

    @traitlets.validate("temperature")
    def check_temperature(self, proposal: dict) -> float:
        value = proposal["value"]
        return float(check_number("temperature", value, least=COOLEST, most=HOTTEST))

    # ---- What it says of itself ----
    def settings(self) -> dict[str, object]:
        return {"name": self.name, "temperature": self.temperature}

    def alt(self) -> str:
        surprises = self.surprises()
        worst = int(surprises[:-1].argmax()) if self.name else 0
        words = f"what each character of {self.name!r} cost a WaveNet, in nats"
        total = f"{surprises.sum():.1f} in all with the end of the name"
        if not self.name:
            return f"{words}; {total}"
        most = f"{self.name[worst]} most with {surprises[worst]:.1f}"
        return f"{words}; {most}, {total}; and how likely each next character is"

    def picture(self) -> bytes:
        chances = self.probabilities(temperature=self.temperature)[-1]
        surprises = self.surprises().tolist()
        return wavenet_picture.draw(
            self.name, surprises, self.gates(), chances.tolist(), self.characters
        )

    @classmethod
    def page_files(cls) -> dict[str, bytes]:
        model = stored_wavenet(Vocab([ascii_lowercase]))
        about = about_wavenet(model)
        return {PAGE_FILE: pack_arrays(arrays_of_wavenet(model), about, kind="float16")}

    # ---- What the network makes of the name ----
    def tokens(self) -> Tensor:
        """The dot and the name: (1, T)."""
        return torch.tensor([self.vocab.encode(END + self.name)])

    def probabilities(self, *, temperature: float = 1.0) -> Tensor:
        """At the dot and each character, what may come next: (T, V)."""
        with eval_mode(self.model):
            return (self.model(self.tokens())[0] / temperature).softmax(-1)

    def surprises(self) -> Tensor:
        """Minus the log of the probability of each character and of the end: (T,)."""
        chances = self.probabilities()
        following = torch.tensor(self.vocab.encode(self.name + END))
        return -chances[torch.arange(len(following)), following].log()

    def gates(self) -> list[list[float]]:
        """How far the gates of each block are open at each position, from 0 to 1."""
        means = []
        with eval_mode(self.model):
            x = self.model.embedding(self.tokens())
            for block in self.model.blocks:
                _, gate = block.conv(x).chunk(2, dim=-1)  # (1, T, C)
                means.append(torch.sigmoid(gate)[0].mean(-1).tolist())
                x, _ = block(x)
        return means


def stored_wavenet(vocab: Vocab) -> WaveNet:
    """The network of the long run, from data/results."""
    config = WaveNetConfig(**load_results("wavenet_long").iloc[0]["config"])
    return load_weights(WaveNet(config, len(vocab)), RESULTS / "wavenet_long.npz")


@checked(model=check_wavenet)
def arrays_of_wavenet(model: WaveNet) -> Arrays:
    """Its table and matrices by name; ValueError unless it is the full network."""
    arrays = {"embedding": model.embedding.weight.detach().numpy()}

    def put(name: str, linear: Linear) -> None:
        arrays[f"{name} weight"] = linear.weight.detach().numpy()
        arrays[f"{name} bias"] = linear.bias.detach().numpy()

    for i, block in enumerate(model.blocks, start=1):
        is_full = block.gate.kind == "tanh" and block.residual and block.skip
        if not is_full:
            cure = "give the full network, with gates, residuals and skips"
            raise ValueError(f"block {i} of the model lacks a part: {cure}")
        put(f"block {i} conv", block.conv.linear)
        put(f"block {i} skip", block.skip)
        if block.onward:
            put(f"block {i} onward", block.onward)
    put("hidden", model.hidden)
    put("out", model.out)
    return arrays


def about_wavenet(model: WaveNet) -> dict[str, object]:
    """What the script needs to know beside the weights."""
    return {
        "architecture": "wavenet",
        "channels": model.embedding.weight.shape[1],
        "dilations": [block.conv.dilation for block in model.blocks],
        "parameters": count_parameters(model),
    }

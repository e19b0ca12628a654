"""Notebook 08: one name on its way through a WaveNet."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from torch import Tensor

from course.checks import check_text, check_vocab, checked
from course.colors import INK, LOOKED_AT, PAPER
from course.diagrams.blocks import a_wavenet
from course.diagrams.language import DPI, LARGE, SMALL, WIDTH
from course.texts import END
from helpers import Layer, Vocab, eval_mode

INKED = LinearSegmentedColormap.from_list("inked", [PAPER, INK])
SHARES = [2, 6, 3]  # of the height: surprise, distributions, gates


def check_name(arguments: dict) -> None:
    """ValueError unless the network has gates, and the name a character."""
    if any(block.gate.kind == "none" for block in arguments["network"].blocks):
        raise ValueError("the WaveNet has no gates: give one with gate='tanh' or 'glu'")
    if not arguments["name"]:
        raise ValueError("name is empty: give one with a character or more")


@checked(
    check_name, network=a_wavenet, vocab=check_vocab,
    name=lambda key, value: check_text(key, value, without=END),
)  # fmt: skip
def draw_name(network: Layer, vocab: Vocab, name: str) -> plt.Figure:
    """What a network expects at each character of a name, and how open its gates are.

    Top: the surprise, minus the log of the probability, in nats. Middle: the
    probability of each character of the vocabulary, the true one ringed. Bottom: the
    mean of each block's gates, from 0 (closed) to 1 (open).
    """
    chances, gates = look_inside(network, vocab, name)
    following = name + END
    wanted = vocab.encode(following)
    fig, (top, middle, bottom) = plt.subplots(
        3,
        1,
        figsize=(WIDTH, 7.6),
        dpi=DPI,
        layout="constrained",
        height_ratios=SHARES,
    )
    surprise = []
    for t, i in enumerate(wanted):
        chance = chances[t, i].item()
        surprise.append(-np.log(chance))
    total = sum(surprise)
    mean = total / len(wanted)
    likely = f"{name}: {total:.1f} nats, {mean:.2f} for each character"
    top.set_title(likely, size=LARGE)
    draw_surprise(top, surprise)
    draw_chances(middle, chances, wanted, vocab)
    draw_gates(bottom, gates)
    positions = range(len(following))
    for ax in (top, middle, bottom):
        ax.set_xticks(positions, following, family="monospace", size=LARGE)
        ax.set_xlim(-0.5, len(following) - 0.5)
    return fig


def look_inside(network: Layer, vocab: Vocab, name: str) -> tuple[Tensor, Tensor]:
    """The probabilities (T, V) of what follows, and the mean gates (blocks, T)."""
    tokens = torch.tensor([vocab.encode(END + name)])  # (1, T)
    gates = []
    with eval_mode(network):
        x = network.embedding(tokens)
        for block in network.blocks:
            _, gate = block.conv(x).chunk(2, dim=-1)  # (1, T, C)
            opened = torch.sigmoid(gate)[0]  # (T, C)
            gates.append(opened.mean(-1))  # (T,)
            x, _ = block(x)
        logits = network(tokens)[0]  # (T, V)
    chances = logits.softmax(-1)
    return chances, torch.stack(gates)


def draw_surprise(ax: plt.Axes, surprise: list[float]) -> None:
    """A bar for each character, in nats."""
    ax.bar(range(len(surprise)), surprise, color=LOOKED_AT, edgecolor=INK, width=0.7)
    look = {"ha": "center", "va": "bottom", "size": SMALL}
    for t, nats in enumerate(surprise):
        label = f"{nats:.1f}"
        ax.annotate(label, (t, nats), (0, 2), textcoords="offset points", **look)
    ax.set_ylabel("surprise, nats")
    ax.set_ylim(0, 1.2 * max(surprise))
    ax.spines[["top", "right"]].set_visible(False)


def draw_chances(
    ax: plt.Axes, chances: Tensor, wanted: list[int], vocab: Vocab
) -> None:
    """A column of probabilities for each position, dark where likely."""
    ax.imshow(chances.T.numpy(), cmap=INKED, vmin=0, vmax=1, aspect="auto")
    ax.plot(range(len(wanted)), wanted, "o", ms=13, mfc="none", mec=LOOKED_AT, mew=2)
    ax.set_yticks(range(len(vocab)), vocab.itos, family="monospace", size=SMALL)
    ax.set_ylabel("how likely is each character?")


def draw_gates(ax: plt.Axes, gates: Tensor) -> None:
    """A row for each block, dark where the gates are open."""
    ax.imshow(gates.numpy(), cmap=INKED, vmin=0, vmax=1, aspect="auto", origin="lower")
    look = {"size": SMALL - 2, "ha": "center", "va": "center"}
    for (block, t), value in np.ndenumerate(gates.numpy()):
        color = PAPER if value > 0.5 else INK
        number = f"{value:.1f}".lstrip("0")
        ax.text(t, block, number, color=color, **look)
    blocks = len(gates)
    ax.set_yticks(range(blocks), range(1, blocks + 1))
    ax.set_ylabel("open gates by block")

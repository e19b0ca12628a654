"""Notebook 08: the parts of a WaveNet's block, and what each block's gradient is."""

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from matplotlib.patches import Circle
from torch import Tensor

from course.checks import check_kind, check_text, check_vocab, checked, tensor
from course.colors import INK, LOOKED_AT, PAPER, WEIGHTS, WIRE
from course.diagrams.language import (
    SMALL,
    WIDTH,
    canvas,
    chip,
    operation,
    spread,
    title,
    wire,
    words,
)
from course.texts import shown
from helpers import Layer, Vocab, eval_mode

MAIN = 2.35  # inches from the left: the way from below to above
RAIL = 5.5  # where the skips are added up


def a_wavenet(name: str, value) -> Layer:
    """A WaveNet, of course.wavenet or a notebook's own; TypeError otherwise."""
    if isinstance(value, type) or not hasattr(value, "blocks"):
        cure = "give a WaveNet, such as WaveNet(WaveNetConfig(), len(vocab))"
        raise TypeError(f"{name} is {shown(value)}: {cure}")
    return value


# ---- The block -----------------------------------------------------------------------
def check_complete(arguments: dict) -> None:
    """ValueError unless the second block has all that is to be drawn."""
    blocks = arguments["network"].blocks[:2]
    cure = "give a complete one of two blocks or more"
    for block in blocks:
        if block.skip is None or block.onward is None or not block.residual:
            raise ValueError(f"the WaveNet lacks a residual or a skip: {cure}")
    if blocks[-1].gate.kind != "tanh":
        raise ValueError(f"its gate is {blocks[-1].gate.kind!r}, not 'tanh': {cure}")


@checked(check_complete, network=a_wavenet, vocab=check_vocab, text=check_text)
def draw_block(network: Layer, vocab: Vocab, text: str) -> plt.Figure:
    """The second block of a network as it reads `text`: equations beside their parts.

    A chip is the vector of the last character there, a shape that of all of them. What
    goes on to the next block leaves at the top, what goes to the logits at the right.
    """
    parts = parts_of(network, vocab, text)
    ax = canvas(7.2)
    title(ax, "A block of WaveNet: one entrance, two exits")
    widest = max(parts[name].shape[1] for name in ("x", "skip", "logits"))
    cell = min(0.013, 0.85 / widest)
    dilation = network.blocks[1].conv.dilation
    draw_entrance(ax, parts, f"$W*x$, dilation {dilation}", cell)
    draw_gate(ax, parts, cell)
    draw_exits(ax, parts, cell)
    draw_head(ax, parts, cell)
    return ax.figure


def parts_of(network: Layer, vocab: Vocab, text: str) -> dict[str, Tensor]:
    """What each wire at the second block carries for the characters of text: (T, C)."""
    block = network.blocks[1]
    with eval_mode(network):
        tokens = torch.tensor([vocab.encode(text)])  # (1, T)
        x, _ = network.blocks[0](network.embedding(tokens))
        both = block.conv(x)  # (1, T, 2*C)
        signal, gate = both.chunk(2, dim=-1)  # (1, T, C) each
        onward, skip = block(x)
        carried = {
            "x": x,
            "both": both,
            "signal": torch.tanh(signal),
            "gate": torch.sigmoid(gate),
            "z": block.gate(both),
            "onward": onward,
            "skip": skip,
            "logits": network(tokens),
        }
    return {name: value[0] for name, value in carried.items()}


def labelled_chip(
    ax: plt.Axes, values: Tensor, place: tuple, *, cell: float, text: str = ""
) -> None:
    """The last row of values (T, C) as a chip around a place, the shape beside it."""
    x, y = place
    width = values.shape[1] * cell
    corner = (x - width / 2, y - 0.08)
    chip(ax, corner, values[-1], cell=cell)
    label = size_of(values)
    if text:
        label = f"{text}  {label}"
    left = x + width / 2 + 0.07
    words(ax, (left, y), label, size=SMALL, ha="left", color=WIRE)


def size_of(values: Tensor) -> str:
    """The shape of values (T, C) as "T × C"."""
    T, C = values.shape
    return f"{T} × {C}"


def draw_entrance(ax: plt.Axes, parts: dict, text: str, cell: float) -> None:
    """The input, the way around the block, the convolution."""
    wire(ax, (MAIN, 0.45), (MAIN, 1.55), arrow=True)
    labelled_chip(ax, parts["x"], (MAIN, 0.3), cell=cell, text="$x$")
    around = (MAIN, 0.85), (0.45, 0.85), (0.45, 6.05), (MAIN - 0.14, 6.05)
    wire(ax, *around, color=LOOKED_AT, width=3, arrow=True)
    words(ax, (0.56, 3.4), "x goes on\nunchanged", size=SMALL, ha="left")
    operation(ax, (MAIN, 1.72), text, width=2.0, color=WEIGHTS)
    shape = size_of(parts["both"])
    words(ax, (MAIN + 0.1, 2.05), shape, size=SMALL, ha="left", color=WIRE)


def draw_gate(ax: plt.Axes, parts: dict, cell: float) -> None:
    """Filter and gate, and their product z."""
    fork = (MAIN, 2.2)
    product = (MAIN, 3.42)
    wire(ax, (MAIN, 1.88), fork)
    for x, name, text in ((1.65, "signal", "tanh"), (3.05, "gate", "σ")):
        wire(ax, fork, (x, 2.2), (x, 2.48), arrow=True)
        operation(ax, (x, 2.64), text, width=0.75)
        wire(ax, (x, 2.8), (x, 3.42), product)
        values = parts[name]
        width = values.shape[1] * cell
        corner = (x - width / 2, 3.0)
        chip(ax, corner, values[-1], cell=cell)
    words(ax, (3.5, 2.64), "how much passes", size=SMALL, ha="left", color=WIRE)
    words(ax, (3.55, 3.08), "0 to 1", size=SMALL, ha="left", color=WIRE)
    ring(ax, product, "⊙")
    wire(ax, (MAIN, 3.55), (MAIN, 4.65), arrow=True)
    labelled_chip(ax, parts["z"], (MAIN, 3.85), cell=cell, text="$z$")
    equation = r"$z=\tanh(W_f*x)\odot\sigma(W_g*x)$"
    words(ax, (2.95, 3.62), equation, size=SMALL, ha="left")


def draw_exits(ax: plt.Axes, parts: dict, cell: float) -> None:
    """One exit to the next block, one to the sum of the skips."""
    operation(ax, (MAIN, 4.82), "$W_r\\,z$", color=WEIGHTS)
    wire(ax, (MAIN, 4.98), (MAIN, 5.92), arrow=True)
    ring(ax, (MAIN, 6.05), "+")
    wire(ax, (MAIN, 6.18), (MAIN, 6.72), arrow=True)
    labelled_chip(ax, parts["onward"], (MAIN, 6.4), cell=cell, text="$x+W_r\\,z$")
    wire(ax, (MAIN, 4.3), (3.55, 4.3), arrow=True)
    operation(ax, (3.95, 4.3), "$W_s\\,z$", width=0.8, color=WEIGHTS)
    wire(ax, (4.35, 4.3), (RAIL - 0.14, 4.3), arrow=True)
    skip = parts["skip"]
    width = skip.shape[1] * cell
    corner = (4.85 - width / 2, 4.42)
    chip(ax, corner, skip[-1], cell=cell)
    words(ax, (4.85, 4.72), size_of(skip), size=SMALL, color=WIRE)


def draw_head(ax: plt.Axes, parts: dict, cell: float) -> None:
    """The rail on which the skips of all blocks are added, and the head above it."""
    wire(ax, (RAIL, 0.45), (RAIL, 4.15), width=3, arrow=True)
    words(ax, (RAIL, 0.3), "skips of earlier blocks", size=SMALL, color=WIRE)
    ring(ax, (RAIL, 4.3), "Σ")
    wire(ax, (RAIL, 4.45), (RAIL, 5.0), width=3, arrow=True)
    operation(ax, (RAIL, 5.2), "$W_1$ ReLU(Σ)", width=1.2, color=WEIGHTS)
    wire(ax, (RAIL, 5.36), (RAIL, 5.6), arrow=True)
    operation(ax, (RAIL, 5.78), "$W_2$ ReLU", width=1.2, color=WEIGHTS)
    wire(ax, (RAIL, 5.94), (RAIL, 6.3), arrow=True)
    logits = parts["logits"]
    width = logits.shape[1] * cell
    corner = (RAIL - width / 2, 6.33)
    chip(ax, corner, logits[-1], cell=cell)
    label = f"logits  {size_of(logits)}"
    words(ax, (RAIL, 6.65), label, size=SMALL, color=WIRE)


def ring(ax: plt.Axes, place: tuple, text: str) -> None:
    """An operation that joins wires: its sign in a ring."""
    ax.add_patch(Circle(place, 0.14, fc=PAPER, ec=INK, lw=1.2, zorder=4))
    words(ax, place, text)


# ---- The way of the gradient ---------------------------------------------------------
def check_wavenets(name: str, value) -> dict[str, Layer]:
    """{text: WaveNet} with one or more; TypeError otherwise."""
    cure = "give {text: WaveNet}, one or more"
    check_kind(name, value, kind=dict, cure=cure)
    if not value:
        raise TypeError(f"{name} is empty: {cure}")
    for key, network in value.items():
        a_wavenet(f"{name}[{key!r}]", network)
    return value


@checked(
    networks=check_wavenets,
    tokens=tensor(dims=2, whole=True),
    targets=tensor(dims=2, whole=True),
)
def draw_gradients(
    networks: dict[str, Layer], tokens: Tensor, targets: Tensor
) -> plt.Figure:
    """A row for each network: its blocks, and how large the gradient of each is.

    The wire into a block is as thick as the gradient there (its root mean square),
    compared with that of the last block. `tokens` and `targets` are a batch as
    course.convolution.whole_names gives it, (B, T) each.
    """
    row = 1.0
    ax = canvas(row * len(networks) + 0.6)
    title(ax, "How much gradient comes back to each block?")
    top = ax.get_ylim()[1] - 0.5
    for i, (name, network) in enumerate(networks.items()):
        gradients = block_gradients(network, tokens, targets)
        y = top - row * (i + 1) + 0.3
        draw_way(ax, name, gradients, y)
    return ax.figure


def block_gradients(network: Layer, tokens: Tensor, targets: Tensor) -> list[float]:
    """Root mean square of the loss's gradient at the input of each block.

    In eval mode, so without dropout. The gradients of the parameters stay as they are.
    """
    mode = network.training
    network.eval()
    inputs = []
    total = 0
    x = network.embedding(tokens)  # (B, T) -> (B, T, C)
    for block in network.blocks:  # as the network itself does
        inputs.append(x)
        x, skipped = block(x)
        if network.skips:
            total = total + skipped
    if not network.skips:
        total = x
    hidden = network.hidden(torch.relu(total))
    hidden = torch.relu(hidden)
    logits = network.out(hidden).flatten(0, 1)  # (B, T, S) -> (N, V)
    loss = F.cross_entropy(logits, targets.flatten())
    gradients = torch.autograd.grad(loss, inputs)
    network.train(mode)
    roots = []
    for gradient in gradients:
        mean_square = gradient.square().mean()
        roots.append(mean_square.sqrt().item())
    return roots


def draw_way(ax: plt.Axes, name: str, gradients: list[float], y: float) -> None:
    """The blocks of one network in a row, wires as thick as the gradients there."""
    share = gradients[0] / gradients[-1]
    reached = f"{name}: the first block gets {share:.2g} times what the last one gets"
    words(ax, (0.1, y + 0.37), reached, size=SMALL, ha="left")
    middles = spread(len(gradients) + 1, 0.2, WIDTH)
    pitch = middles[1] - middles[0]
    wide = 0.5 * pitch
    look = {"color": LOOKED_AT, "solid_capstyle": "butt", "zorder": 3}
    for i, gradient in enumerate(gradients):
        middle = middles[i]
        left = middle - pitch + wide / 2  # where the block before it ends
        thickness = min(24, 5 * gradient / gradients[-1])
        ax.plot([left, middle], [y, y], lw=thickness, gid=f"gradient {i}", **look)
        operation(ax, (middle, y), str(i + 1), width=wide, height=0.36)
    end = middles[-1]
    wire(ax, (middles[-2], y), (end - 0.2, y))
    words(ax, (end, y), "loss", size=SMALL)

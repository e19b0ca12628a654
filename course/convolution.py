"""Causal convolutions: a tree as a convolution, causal padding, queues, packed names.

Notebook 06 turns a tree into a convolution, notebook 07 trains it on whole names and
generates with queues, and the WaveNet of notebook 08 is made of the same layer.
Shapes: B names, T positions, C channels, k taps (kernel_size), V characters.
"""

import copy
from collections import deque
from collections.abc import Iterator

import torch
from torch import Generator, Tensor
from torch.nn.utils.rnn import pad_sequence

from course.checks import (
    check_kind,
    check_layers,
    check_tensor,
    checked,
    choice,
    instance,
    tensor,
)
from course.fitting import explained
from helpers import (
    END,
    FlattenConsecutive,
    Layer,
    Linear,
    Sequential,
    Vocab,
    sample,
)

PADDINGS = ("dots", "zeros", "none")
Queues = dict  # {convolution: deque of the last `reach` inputs (B, C), oldest first}
A_MODEL = "give a flat model or a tree, with FlattenConsecutive before its Linear"


# ---- Checks of what comes in ---------------------------------------------------------
def check_flat_or_tree(name: str, value) -> Sequential:
    """A model that fuses neighbours; TypeError otherwise."""
    check_kind(name, value, kind=Sequential, cure=A_MODEL)
    if not any(isinstance(layer, FlattenConsecutive) for layer in value.layers):
        raise TypeError(f"{name} fuses nothing: {A_MODEL}")
    return value


def check_positions(convolution, x: Tensor, queues: Queues | None = None) -> None:
    """ValueError unless x is (B, T, C) and has as many names as the queue."""
    check_tensor("x", x, dims=3)
    if queues is None:
        return
    check_kind("queues", queues, kind=dict, cure="give a dict, {} for a new name")
    queue = queues.get(convolution)
    if queue and queue[0].shape != x[:, 0].shape:
        given = f"x has {tuple(x[:, 0].shape)} at each position"
        cure = f"the queue has {tuple(queue[0].shape)}: start again with queues = {{}}"
        raise ValueError(f"{given}, but {cure}")


def check_packed(network, x: Tensor) -> None:
    """ValueError unless x (N,) is a text that begins with a dot."""
    if check_tensor("x", x, dims=1, whole=True)[0] != 0:
        raise ValueError("x does not begin with a dot: give the tokens of pack(...)")


# ---- The convolution -----------------------------------------------------------------


class CausalConv1d(Layer):
    """Fuses each position with earlier ones, `dilation` apart: (B, T, C) -> (B, T, H).

    `padding` says what comes before the first position. "dots" repeats the first
    position, which is right for a text that begins with a dot. "zeros" adds zeros.
    "none" adds nothing, so the output is shorter: (B, T, C) -> (B, T - reach, H).
    """

    @checked(padding=choice(PADDINGS))
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 2, *,
                 dilation=1, padding="dots", bias=True, generator=None):  # fmt: skip
        taps = kernel_size * in_channels  # the oldest position's channels come first
        self.linear = Linear(taps, out_channels, bias=bias, generator=generator)
        self.layers = [self.linear]
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.reach = (kernel_size - 1) * dilation  # how far it looks back
        sizes = f"{in_channels}, {out_channels}, kernel_size={kernel_size}"
        self.label = f"{sizes}, dilation={dilation}"

    @explained("numbers (B, T, in_channels)", before=check_positions)
    def __call__(self, x: Tensor, queues: Queues | None = None) -> Tensor:
        if queues is not None:
            return with_queue(self, x, queues)
        x = torch.cat([self.before(x), x], dim=1)  # (B, T, C) -> (B, reach + T, C)
        T = x.shape[1] - self.reach
        if T < 1:
            needed = f"give {self.reach + 1} or more"
            raise ValueError(f"{x.shape[1]} positions are too few: {needed}")
        starts = range(0, self.reach + 1, self.dilation)
        taps = [x[:, start : start + T] for start in starts]  # k times (B, T, C)
        return self.linear(torch.cat(taps, dim=-1))  # (B, T, k*C) -> (B, T, H)

    @checked(x=tensor(dims=3))
    def before(self, x: Tensor) -> Tensor:
        """The padding of x (B, T, C): (B, reach, C), or (B, 0, C) if there is none."""
        if self.padding == "none":
            return x[:, :0]
        first = x[:, :1].expand(-1, self.reach, -1)  # (B, 1, C) -> (B, reach, C)
        if self.padding == "zeros":
            return torch.zeros_like(first)
        return first


@checked(queues=instance(dict, "give a dict, {} for a new name"))
@explained("numbers (B, T, in_channels)", before=check_positions)
def with_queue(convolution: CausalConv1d, x: Tensor, queues: Queues) -> Tensor:
    """Computes the convolution one position at a time, from where the last call ended.

    (B, T, C) -> (B, T, H). The first call makes its queue; all change it in place.
    """
    if convolution not in queues:
        if convolution.padding == "none":
            raise ValueError("padding is 'none': queues need 'dots' or 'zeros'")
        before = convolution.before(x)  # (B, reach, C)
        queues[convolution] = deque(before.unbind(1))  # reach times (B, C)
    queue = queues[convolution]
    outputs = []
    for newest in x.unbind(1):  # (B, C)
        queue.append(newest)  # now reach + 1 inputs, the oldest first
        due = range(0, convolution.reach + 1, convolution.dilation)
        taps = [queue[i] for i in due]  # k times (B, C)
        outputs.append(convolution.linear(torch.cat(taps, dim=-1)))  # (B, H)
        queue.popleft()
    return torch.stack(outputs, dim=1)


class CausalNetwork(Sequential):
    """A stack with causal convolutions: tokens (B, T) -> logits (B, T, V).

    `queues` is a dict that the convolutions fill. A second call with the same dict
    continues where the first one ended; an empty dict begins a new name.
    """

    def __call__(self, x: Tensor, queues: Queues | None = None) -> Tensor:
        for layer in self.layers:
            if isinstance(layer, CausalConv1d):
                x = layer(x, queues)
            else:
                x = layer(x)
        return x


@checked(model=check_flat_or_tree, padding=choice(PADDINGS))
def as_convolution(model: Sequential, *, padding: str = "dots") -> CausalNetwork:
    """A copy of a flat model or a tree that computes all positions at once.

    Each FlattenConsecutive and the Linear after it become a convolution with the same
    weights. Its dilation is the factor by which the tree has shrunk so far (1, 2, ...).
    """
    layers = []
    dilation = 1
    n = None  # how many neighbours the last FlattenConsecutive fuses
    for layer in copy.deepcopy(model.layers):
        if isinstance(layer, FlattenConsecutive):
            n = layer.n
        elif isinstance(layer, Linear) and n is not None:
            layers.append(linear_to_convolution(layer, n, dilation, padding))
            dilation *= n
            n = None
        else:
            layers.append(layer)
    return CausalNetwork(*layers).train(model.training)


@checked(linear=instance(Linear, "give a Linear"), padding=choice(PADDINGS))
def linear_to_convolution(
    linear: Linear, n: int, dilation: int, padding: str
) -> CausalConv1d:
    """The convolution with the weights of a Linear on `n` fused neighbours."""
    in_features, out_features = linear.weight.shape
    if in_features % n:
        cure = f"take a divisor of {in_features}"
        raise ValueError(f"{in_features} rows cannot be shared by {n} taps: {cure}")
    options = {"dilation": dilation, "padding": padding}
    unused = Generator()  # the initial weights are replaced, so no other is needed
    convolution = CausalConv1d(
        in_features // n, out_features, n, **options, generator=unused
    )
    convolution.linear.weight = linear.weight
    convolution.linear.bias = linear.bias
    return convolution


@checked(layer=check_layers)
def convolutions(layer: Layer) -> Iterator[CausalConv1d]:
    """The causal convolutions inside a layer, at any depth, in order."""
    if isinstance(layer, CausalConv1d):
        yield layer
    for inner in layer.layers:
        yield from convolutions(inner)


@checked()
def receptive_field(network: Layer) -> int:
    """How many positions one output reads: 1 + the sum of (k - 1) * dilation."""
    return 1 + sum(convolution.reach for convolution in convolutions(network))


# ---- Names of unequal length in one batch ------------------------------------------
@checked()
def whole_names(names: list[str], vocab: Vocab) -> tuple[Tensor, Tensor]:
    """A batch of whole names: tokens (B, T), each from its dot on, and targets (B, T).

    Shorter names are padded on the right, their tokens with 0 and their targets with
    -100, which F.cross_entropy ignores.
    """
    rows = [torch.tensor(vocab.encode(END + name + END)) for name in names]
    tokens = [row[:-1] for row in rows]
    targets = [row[1:] for row in rows]
    return (
        pad_sequence(tokens, batch_first=True),
        pad_sequence(targets, batch_first=True, padding_value=-100),
    )


@checked()
def pack(names: list[str], vocab: Vocab) -> tuple[Tensor, Tensor]:
    """The names as one text, from the first dot on: tokens (N,) and targets (N,)."""
    text = torch.tensor(vocab.encode(END + END.join(names) + END))
    return text[:-1], text[1:]


class Packed(Sequential):
    """A causal network on packed names; each dot begins a name: (N,) -> (N, V).

    No tap looks back beyond the dot of its own name. It reads the all-dots activation
    at that dot instead. So the padding is always "dots", whatever the layers ask for.
    """

    @explained("whole numbers (N,)", before=check_packed)
    def __call__(self, x: Tensor) -> Tensor:
        position = torch.arange(len(x))
        dots = torch.where(x == 0, position, 0)
        own_dot = dots.cummax(0).values  # (N,): where the name of each position begins
        for layer in self.layers:
            if isinstance(layer, CausalConv1d):
                taps = []
                for back in range(layer.reach, -1, -layer.dilation):
                    taps.append(x[torch.maximum(position - back, own_dot)])  # (N, C)
                x = layer.linear(torch.cat(taps, dim=-1))  # (N, k*C) -> (N, H)
            else:
                x = layer(x)
        return x


# ---- One character at a time -------------------------------------------------------
class WithQueues(Layer):
    """Lets helpers.sample use a causal network that reads each character only once.

    Windows (n, T) -> logits (n, V). The first call reads the whole window, each later
    one only its last character; the queues keep all else it needs (arXiv 1611.09482).
    """

    @checked()
    def __init__(self, network: Layer):
        self.layers = [network]
        self.training = network.training
        self.queues = {}

    @explained("windows (n, T) of whole numbers, and to WithQueues a causal network")
    def __call__(self, window: Tensor) -> Tensor:
        (network,) = self.layers
        unread = window[:, -1:] if self.queues else window
        return network(unread, self.queues)[:, -1]


@checked()
def sample_with_queues(
    network: Layer, vocab: Vocab, n: int = 10, *, prompt: str = "", **options
) -> list[str]:
    """What helpers.sample draws from the same generator, in one step per character."""
    block_size = len(END + prompt)  # the first window is the dot and the prompt
    step = WithQueues(network)
    return sample(step, vocab, block_size, n, prompt=prompt, **options)

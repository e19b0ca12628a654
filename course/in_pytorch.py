"""The networks of this course as torch.nn modules, which notebook 09 teaches.

Shapes: B examples, T positions, C channels, H outputs, k taps, V characters. The layers
of this course keep channels last, (B, T, C); torch's convolutions want (B, C, T).
"""

import copy
import os
import time
from collections.abc import Callable
from math import log2
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from course.checks import check_callable, checked, instance, whole
from course.wavenet import WaveNet, WaveNetConfig
from helpers import BatchNorm1d, Layer, Linear, Sequential

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler keeps quiet


# ---- The same networks ---------------------------------------------------------------
class ConvTree(nn.Module):
    """Pairs fused by convolutions of stride 2: tokens (B, T) -> logits (B, V)."""

    def __init__(self, vocab_size, block_size=8, embedding_dim=24, hidden=128):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.fuses = nn.ModuleList()
        self.norms = nn.ModuleList()
        C = embedding_dim
        for _ in range(int(log2(block_size))):
            self.fuses.append(nn.Conv1d(C, hidden, kernel_size=2, stride=2, bias=False))
            self.norms.append(nn.BatchNorm1d(hidden))
            C = hidden
        self.out = nn.Linear(hidden, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens).mT  # (B, T) -> (B, T, C) -> (B, C, T)
        for fuse, norm in zip(self.fuses, self.norms):
            x = torch.tanh(norm(fuse(x)))  # (B, C, T) -> (B, H, T//2)
        return self.out(x.squeeze(-1))  # (B, H, 1) -> (B, H) -> (B, V)


class LinearTree(ConvTree):
    """The same network with each pair of neighbours as a row: (B, T) -> (B, V)."""

    def __init__(self, vocab_size, block_size=8, embedding_dim=24, hidden=128):
        super().__init__(vocab_size, block_size, embedding_dim, hidden)
        for i, conv in enumerate(self.fuses):
            self.fuses[i] = nn.Linear(2 * conv.in_channels, hidden, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)  # (B, T) -> (B, T, C)
        for fuse, norm in zip(self.fuses, self.norms):
            B, T, C = x.shape
            pairs = x.reshape(B * T // 2, 2 * C)  # a row for each pair
            x = torch.tanh(norm(fuse(pairs)))  # (B*T//2, 2*C) -> (B*T//2, H)
            x = x.view(B, T // 2, -1)
        return self.out(x.squeeze(1))  # (B, 1, H) -> (B, H) -> (B, V)


class TorchBlock(nn.Module):
    """A block of WaveNet: (B, C, T) -> (B, C, T) and the skip (B, S, T)."""

    def __init__(self, config: WaveNetConfig, dilation: int, *, has_next: bool):
        super().__init__()
        C = config.channels
        self.padding = (dilation, 0)  # all of it on the left
        self.conv = nn.Conv1d(C, 2 * C, kernel_size=2, dilation=dilation)
        self.dropout = nn.Dropout1d(config.dropout)  # drops channels, not numbers
        self.skip = nn.Conv1d(C, config.skip_channels, kernel_size=1)
        self.onward = nn.Conv1d(C, C, kernel_size=1) if has_next else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        padded = F.pad(x, self.padding, mode="replicate")  # (B, C, dilation + T)
        signal, gate = self.conv(padded).chunk(2, dim=1)  # twice (B, C, T)
        z = self.dropout(torch.tanh(signal) * torch.sigmoid(gate))
        if self.onward is not None:
            x = x + self.onward(z)
        return x, self.skip(z)


class TorchWaveNet(nn.Module):
    """Logits of the next character at each position: (B, T) -> (B, T, V)."""

    def __init__(self, config: WaveNetConfig, vocab_size: int):
        super().__init__()
        S = config.skip_channels
        self.embedding = nn.Embedding(vocab_size, config.channels)
        self.blocks = nn.ModuleList()
        dilations = config.dilations()
        for i, dilation in enumerate(dilations):
            has_next = i < len(dilations) - 1
            self.blocks.append(TorchBlock(config, dilation, has_next=has_next))
        self.hidden = nn.Conv1d(S, S, kernel_size=1)
        self.out = nn.Conv1d(S, vocab_size, kernel_size=1)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens).mT  # (B, T) -> (B, T, C) -> (B, C, T)
        total = 0
        for block in self.blocks:
            x, skipped = block(x)
            total = total + skipped  # (B, S, T)
        hidden = torch.relu(self.hidden(torch.relu(total)))
        return self.out(hidden).mT  # (B, V, T) -> (B, T, V)


# ---- Our weights under torch's names -------------------------------------------------
def as_kernel(weight: Tensor, taps: int) -> Tensor:
    """The filter of a Conv1d from our Linear's weight: (k*C, H) -> (H, C, k)."""
    rows, H = weight.shape
    by_tap = weight.view(taps, rows // taps, H)  # (k, C, H), the oldest tap first
    return by_tap.permute(2, 1, 0)


def norm_entries(name: str, norm: BatchNorm1d) -> dict[str, Tensor]:
    """What torch stores of a BatchNorm: two parameters and three buffers."""
    return {
        f"{name}.weight": norm.weight,
        f"{name}.bias": norm.bias,
        f"{name}.running_mean": norm.running_mean,
        f"{name}.running_var": norm.running_var,
        f"{name}.num_batches_tracked": torch.tensor(0),  # read if momentum is None
    }


def tree_state(tree: Sequential, *, conv: bool = True) -> dict[str, Tensor]:
    """The state_dict of a ConvTree, or of a LinearTree, that equals our tree."""
    linears = [layer for layer in tree.layers if isinstance(layer, Linear)]
    norms = [layer for layer in tree.layers if isinstance(layer, BatchNorm1d)]
    *fuses, out = linears
    state = {"embedding.weight": tree.layers[0].weight}
    for i, (fuse, norm) in enumerate(zip(fuses, norms, strict=True)):
        kernel = as_kernel(fuse.weight, taps=2)  # (2*C, H) -> (H, C, 2)
        state[f"fuses.{i}.weight"] = kernel if conv else fuse.weight.T
        state |= norm_entries(f"norms.{i}", norm)
    state["out.weight"] = out.weight.T  # (in, out) -> (out, in)
    state["out.bias"] = out.bias
    return state


def conv_entries(name: str, linear: Linear, taps: int = 1) -> dict[str, Tensor]:
    """What torch stores of a Conv1d that computes the same as our Linear."""
    return {
        f"{name}.weight": as_kernel(linear.weight, taps),
        f"{name}.bias": linear.bias,
    }


def wavenet_state(model: WaveNet) -> dict[str, Tensor]:
    """The state_dict of a TorchWaveNet that equals our WaveNet."""
    state = {"embedding.weight": model.embedding.weight}
    for i, block in enumerate(model.blocks):
        state |= conv_entries(f"blocks.{i}.conv", block.conv.linear, taps=2)
        state |= conv_entries(f"blocks.{i}.skip", block.skip)
        if block.onward is not None:
            state |= conv_entries(f"blocks.{i}.onward", block.onward)
    state |= conv_entries("hidden", model.hidden)
    state |= conv_entries("out", model.out)
    return state


def with_gradients(model: Layer) -> Layer:
    """A copy of our model that holds each parameter's gradient in its place."""
    found = copy.deepcopy(model)
    for place, parameter in zip(found.parameters(), model.parameters(), strict=True):
        place.data = parameter.grad
    return found


def check_gradients(ours: Layer, twin: nn.Module, x, y, *, state: Callable) -> str:
    """Backward in both models; all gradients and buffers equal to 1e-10."""
    for model in (ours, twin):
        logits = model(x).flatten(0, -2)  # (..., V) -> (N, V)
        F.cross_entropy(logits, y.flatten()).backward()
    expected = state(with_gradients(ours))
    for name, p in twin.named_parameters():
        assert torch.allclose(p.grad, expected[name], rtol=0, atol=1e-10), name
    for name, buffer in twin.named_buffers():
        if buffer.is_floating_point():  # the running statistics
            assert torch.allclose(buffer, expected[name], rtol=0, atol=1e-10), name
    return f"{len(list(twin.parameters()))} gradients equal to 1e-10"


# ---- Speed ---------------------------------------------------------------------------
def synchronise(device: str) -> None:
    """Waits until the device has done all that was asked of it."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def make_step(model, x: Tensor, y: Tensor) -> Callable[[], None]:
    """A function that makes one training step of AdamW on the batch x, y."""
    optimizer = torch.optim.AdamW(model.parameters())

    def step():
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        synchronise(x.device.type)

    return step


def check_models(name: str, value) -> dict:
    """{name: model} with one or more; TypeError or ValueError otherwise."""
    cure = "give {name: model}, one or more"
    if not isinstance(value, dict):
        raise TypeError(f"{name} is a {type(value).__name__}: {cure}")
    if not value:
        raise ValueError(f"{name} is empty: {cure}")
    for key, model in value.items():
        check_callable(f"{name}[{key!r}]", model)
    return value


@checked(models=check_models, rounds=whole(1))
def step_ms(models: dict, x: Tensor, y: Tensor, *, rounds: int = 15) -> dict:
    """Milliseconds of a training step of each model, as medians; they take turns.

    On a processor, all run on one thread, because other programs disturb it least.
    ValueError or TypeError unless there is a model, and one round or more.
    """
    steps = {name: make_step(model, x, y) for name, model in models.items()}
    seconds = {name: [] for name in models}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for step in steps.values():
            step()  # the first one makes torch ready, and does not count
        for _ in range(rounds):
            for name, step in steps.items():
                start = time.perf_counter()
                step()
                seconds[name].append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return {name: 1000 * median(times) for name, times in seconds.items()}


@checked(model=instance(nn.Module, "give a torch.nn.Module"))
def try_compile(model: nn.Module, x: Tensor) -> tuple[nn.Module | None, str]:
    """The compiled model, or None, and a sentence about what happened."""
    compiled = torch.compile(model)
    start = time.perf_counter()
    try:
        compiled(x).sum().backward()  # the first call compiles
    except Exception as error:  # which one depends on the system and its compiler
        kind = type(error).__name__
        return None, f"not compiled ({kind}): torch.compile needs a C++ compiler here"
    model.zero_grad()
    return compiled, f"compiled in {time.perf_counter() - start:.0f} s"


# What PyTorch records although nothing is computed: other views of the same memory, new
# memory, and operators that only call others
VIEWS = (
    "view _unsafe_view reshape t mT transpose permute as_strided as_strided_ squeeze"
)
VIEWS += " unsqueeze expand detach select slice split chunk resolve_conj resolve_neg"
MEMORY = "empty empty_like empty_strided resize_ to result_type"
CALLERS = "linear matmul conv1d convolution _convolution embedding embedding_backward"
CALLERS += " batch_norm _batch_norm_impl_index cross_entropy_loss log_softmax nll_loss"
CALLERS += " nll_loss_nd zeros zeros_like ones_like contiguous clone sum_to_size"
NO_WORK = {f"aten::{name}" for name in f"{VIEWS} {MEMORY} {CALLERS}".split()}


@checked(call=check_callable)
def operators(call: Callable, *arguments) -> list[str]:
    """The names of the operators of a call that compute something, in order."""
    with profile(activities=[ProfilerActivity.CPU]) as record:
        call(*arguments)
    found = []
    for event in record.events():
        if event.name.startswith("aten::") and event.name not in NO_WORK:
            found.append(event.name.removeprefix("aten::"))
    return found


@checked(hidden=whole(1))
def step_multiply_adds(
    vocab_size: int, block_size: int, embedding_dim: int, hidden: int
) -> int:
    """Of a tree for one example: three products for each weight matrix.

    One is in the forward pass, two are in the backward pass, for the weight and for the
    input. The optimizer is left out.
    """
    total = hidden * vocab_size
    inputs = 2 * embedding_dim
    positions = block_size // 2
    while positions >= 1:
        total += positions * inputs * hidden
        inputs = 2 * hidden
        positions //= 2
    return 3 * total

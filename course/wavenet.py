"""The full WaveNet of notebook 08, which teaches each part (arXiv 1609.03499).

Layers, training on whole names, and evaluation; course.weights stores what was trained.
Shapes: B names, T positions, C channels, S skip channels, V characters. Each name
begins with one dot. Before it there are only dots, as in the windows of helpers.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from course.checks import (
    check_bool,
    check_defaults,
    check_fields,
    check_layers,
    checked,
    choice,
    instance,
    number,
    size,
    tensor,
    whole,
)
from course.convolution import CausalConv1d, Queues, sample_with_queues, whole_names
from course.fitting import check_halves, explained
from course.interrupts import Interrupts
from course.runs import load_splits, make_record
from course.weights import check_can_save, save_weights
from course.weights import load_weights as load_weights  # notebook 08 imports it here
from helpers import (
    Embedding,
    History,
    Layer,
    Linear,
    Sequential,
    TrainConfig,
    Vocab,
    eval_mode,
    fit,
)

GATES = ("tanh", "glu", "none")
POOL = 8  # batches whose names are sorted by length together
MOST_LEVELS = 12  # dilation 2,048: a hundred times as far as names reach
MOST_STACKS = 100
LONGEST = 1_000  # characters of a name: all names of a batch are padded to the longest


@dataclass(frozen=True)
class WaveNetConfig(TrainConfig):
    """All that a run depends on but its seed; a batch has `batch_size` whole names."""

    steps: int = 5_000
    batch_size: int = 128
    lr: float = 0.004
    weight_decay: float = 0.15
    embedding_boost: float = 1.0  # no BatchNorm follows the embedding
    channels: int = 64
    skip_channels: int = 64
    levels: int = 4  # dilations 1, 2, 4, ... in each stack
    stacks: int = 2
    gate: str = "tanh"  # one of GATES
    residual: bool = True
    skip: bool = True  # False: the last block alone feeds the head
    dropout: float = 0.15
    leak_free: bool = False  # True: split the distinct names, so that none is in two

    def __post_init__(self):
        super().__post_init__()
        check_defaults()
        check_fields(
            self,
            channels=size,
            skip_channels=size,
            levels=whole(1, MOST_LEVELS),
            stacks=whole(1, MOST_STACKS),
            gate=choice(GATES),
            residual=check_bool,
            skip=check_bool,
            dropout=number(least=0, below=1),
            leak_free=check_bool,
            shuffle=choice([True]),  # drawing with replacement is not offered
        )

    def dilations(self) -> list[int]:
        """The dilation of each block: 1, 2, 4, ..., repeated in each further stack."""
        return [2**level for level in range(self.levels)] * self.stacks


a_config = instance(WaveNetConfig, "give a WaveNetConfig")


# ---- Layers ------------------------------------------------------------------------
class Gate(Layer):
    """Half of the channels times the sigmoid of the others: (B, T, 2*C) -> (B, T, C).

    "tanh" applies tanh to the first half before (WaveNet), "glu" leaves it as it is
    (arXiv 1612.08083). "none" is a tanh without a gate: (B, T, C) -> (B, T, C).
    """

    @checked(kind=choice(GATES))
    def __init__(self, kind: str = "tanh"):
        self.kind = kind
        self.label = kind

    @explained("numbers (B, T, 2*C)", before=check_halves)
    def __call__(self, x: Tensor) -> Tensor:
        if self.kind == "none":
            return torch.tanh(x)
        signal, gate = x.chunk(2, dim=-1)  # (B, T, 2*C) -> twice (B, T, C)
        if self.kind == "tanh":
            signal = torch.tanh(signal)
        return signal * torch.sigmoid(gate)


class Dropout(Layer):
    """Drops each channel of a name with probability `p`: (B, T, C) -> (B, T, C).

    A channel is dropped at all positions of the name at once (arXiv 1512.05287), and
    the others are scaled up. In eval mode nothing is dropped.
    """

    @checked(p=number(least=0, below=1))
    def __init__(self, p: float):
        self.p = p
        self.label = f"{p}"

    @checked(x=tensor(dims=3))
    def __call__(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        B, T, C = x.shape
        kept = torch.rand(B, 1, C) >= self.p
        return x * kept / (1 - self.p)


class Block(Layer):
    """With z = gate(W * x), x + W_r z goes to the next block and W_s z to the head.

    (B, T, C) -> (B, T, C) and (B, T, S). Without a next block there is no W_r, and x is
    returned unchanged. Without skips there is no W_s, and its output is None.
    """

    @checked(config=a_config, has_next=check_bool)
    def __init__(
        self, config: WaveNetConfig, dilation: int, *, has_next: bool, generator=None
    ):
        C = config.channels
        H = C if config.gate == "none" else 2 * C
        self.residual = config.residual
        self.conv = CausalConv1d(C, H, dilation=dilation, generator=generator)
        self.gate = Gate(config.gate)
        self.dropout = Dropout(config.dropout)
        self.onward = None
        self.skip = None
        self.layers = [self.conv, self.gate, self.dropout]
        if has_next:
            self.onward = Linear(C, C, generator=generator)
            self.layers.append(self.onward)
        if config.skip:
            self.skip = Linear(C, config.skip_channels, generator=generator)
            self.layers.append(self.skip)
        self.label = ", ".join(map(repr, self.layers))

    def __call__(
        self, x: Tensor, queues: Queues | None = None
    ) -> tuple[Tensor, Tensor | None]:
        z = self.dropout(self.gate(self.conv(x, queues)))  # (B, T, C)
        skipped = self.skip(z) if self.skip else None  # (B, T, S)
        if self.onward and self.residual:
            x = x + self.onward(z)
        elif self.onward:
            x = self.onward(z)
        return x, skipped


class WaveNet(Layer):
    """Logits of the next character at each position: (B, T) -> (B, T, V)."""

    @checked(config=a_config)
    def __init__(self, config: WaveNetConfig, vocab_size: int, *, generator=None):
        self.skips = config.skip
        self.embedding = Embedding(vocab_size, config.channels, generator=generator)
        self.blocks = []
        dilations = config.dilations()
        for i, dilation in enumerate(dilations):
            is_last = i == len(dilations) - 1
            # With skips, nothing would read what the last block passes on.
            has_next = not (is_last and config.skip)
            block = Block(config, dilation, has_next=has_next, generator=generator)
            self.blocks.append(block)
        S = config.skip_channels if config.skip else config.channels
        self.hidden = Linear(S, S, generator=generator)
        self.out = Linear(S, vocab_size, generator=generator)
        self.out.weight.data *= 0.1  # logits near zero: the first loss is ln(V)
        self.layers = [self.embedding, *self.blocks, self.hidden, self.out]

    def __call__(self, tokens: Tensor, queues: Queues | None = None) -> Tensor:
        x = self.embedding(tokens)  # (B, T) -> (B, T, C)
        total = 0
        for block in self.blocks:
            x, skipped = block(x, queues)
            if self.skips:
                total = total + skipped  # (B, T, S)
        if not self.skips:
            total = x
        hidden = torch.relu(self.hidden(torch.relu(total)))  # (B, T, S)
        return self.out(hidden)  # (B, T, S) -> (B, T, V)

    __repr__ = Sequential.__repr__  # a line for each layer


# ---- Training and evaluation -------------------------------------------------------
@checked(size=whole(1), lengths=tensor(dims=1, whole=True))
def length_batches(
    lengths: Tensor, size: int, generator: Generator | None = None
) -> Iterator[Tensor]:
    """Row numbers in batches of `size` (the last may be smaller), each row once.

    The rows are shuffled. Then POOL * size of them at a time are sorted by length and
    cut into batches, which therefore need hardly any padding. At last the batches are
    shuffled.
    """
    batches = []
    shuffled = torch.randperm(len(lengths), generator=generator)
    for pool in shuffled.split(POOL * size):
        by_length = pool[lengths[pool].argsort(stable=True)]
        batches += by_length.split(size)
    for i in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[i]


@checked(model=check_layers)
def train_on_names(
    model: Layer,
    names: list[str],
    vocab: Vocab,
    config: TrainConfig,
    *,
    seed: int = 0,
    **options,
) -> History:
    """Like helpers.train, but on batches of whole names; changes the model in place.

    The same `seed` gives the same batches and the same dropout. The options are those
    of helpers.fit. The global random state is left as it was.
    """
    check_readable(model, names, vocab)
    tokens, targets = whole_names(names, vocab)
    lengths = (targets >= 0).sum(1)  # (N,)
    generator = Generator().manual_seed(seed)

    def batches():
        while True:
            for ix in length_batches(lengths, config.batch_size, generator):
                longest = lengths[ix].max()
                yield tokens[ix, :longest], targets[ix, :longest]

    # Dropout draws from the global generator: restore it, even after an interrupt.
    with Interrupts(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return fit(model, batches(), config, **options)


@checked(model=check_layers, config=a_config)
def train_wavenet(
    model: WaveNet,
    names: list[str],
    vocab: Vocab,
    config: WaveNetConfig,
    *,
    seed: int = 0,
    **options,
) -> History:
    """train_on_names for a WaveNet: its config says how it is trained, too."""
    return train_on_names(model, names, vocab, config, seed=seed, **options)


def check_readable(model: Layer, names: list[str], vocab: Vocab) -> None:
    """ValueError unless the model can read each name as a whole."""
    known = set(vocab.itos)
    for name in names:
        if not known.issuperset(name):
            vocab.encode(name)  # raises an error that names what is unknown
    longest = max(names, key=len)
    if len(longest) > LONGEST:
        cure = "is that a text without line ends?"
        found = f"a name of {len(longest):,} characters begins with {longest[:20]!r}"
        raise ValueError(f"{found}: at most {LONGEST:,} are read; {cure}")
    for layer in model.layers:
        if isinstance(layer, Embedding) and len(layer.weight) != len(vocab):
            sizes = f"{len(layer.weight)} characters, the vocabulary has {len(vocab)}"
            cure = "use the vocabulary that the model was built for"
            raise ValueError(f"the model knows {sizes}: {cure}")


@checked(model=check_layers)
def name_losses(
    model: WaveNet, names: list[str], vocab: Vocab, *, batch_size: int = 1024
) -> Tensor:
    """Minus the log probability of each name (with its end mark), in nats: (N,)."""
    check_readable(model, names, vocab)
    tokens, targets = whole_names(names, vocab)
    lengths = (targets >= 0).sum(1)
    losses = torch.zeros(len(names), dtype=torch.float64)
    with eval_mode(model):
        for ix in lengths.argsort(stable=True).split(batch_size):
            longest = lengths[ix].max()
            logits = model(tokens[ix, :longest]).mT  # (B, T, V) -> (B, V, T)
            wanted = targets[ix, :longest]
            parts = F.cross_entropy(logits, wanted, reduction="none")  # 0 for -100
            losses[ix] = parts.double().sum(1)  # (B, T) -> (B,)
    return losses


@checked(model=check_layers)
def evaluate_names(model: WaveNet, names: list[str], vocab: Vocab) -> float:
    """The mean over all characters and end marks, as in helpers.evaluate, in nats."""
    characters = sum(len(name) + 1 for name in names)
    return name_losses(model, names, vocab).sum().item() / characters


# ---- Runs -------------------------------------------------------------------------
@checked(config=a_config, test=check_bool)
def run_wavenet(
    config: WaveNetConfig,
    seed: int,
    *,
    on_step: Callable[[History], bool | None] | None = None,
    test: bool = False,
    keep: str | Path | None = None,
) -> dict:
    """Like course.runs.run: trains one WaveNet and returns its record.

    `keep` is the path of a .npz file for the weights.
    """
    vocab, splits = load_splits(config.leak_free)
    generator = Generator().manual_seed(seed)
    model = WaveNet(config, len(vocab), generator=generator)
    if keep:
        check_can_save(model, keep)  # now, before the training, and not after it
    history = train_wavenet(
        model,
        splits["train"],
        vocab,
        config,
        seed=seed,
        progress=False,
        on_step=on_step,
    )
    if history.interrupted:
        raise KeyboardInterrupt  # an unfinished model has no record
    losses = {}
    for split, names in splits.items():
        if names and (split != "test" or test):
            losses[split] = evaluate_names(model, names, vocab)
    samples = sample_with_queues(model, vocab, generator=generator)
    record = make_record(config, model, history, losses=losses, samples=samples)
    if keep:
        save_weights(model, keep)
    return record

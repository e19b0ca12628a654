"""Other models of today for the same task: a GRU and a causal transformer.

Both are made of torch.nn's own parts, between this course's Embedding and Linear. They
read whole names and are trained with the same loop and the same loss as the WaveNet.
Shapes: B names, T positions, C channels, H hidden units, V characters.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from course.checks import (
    check_bool,
    check_defaults,
    check_fields,
    check_kind,
    checked,
    choice,
    instance,
    number,
    size,
    whole,
)
from course.fitting import explained
from course.runs import RunConfig, load_splits, make_record, run
from course.wavenet import (
    Dropout,
    WaveNetConfig,
    evaluate_names,
    run_wavenet,
    train_on_names,
)
from helpers import (
    END,
    Embedding,
    History,
    Layer,
    Linear,
    Sequential,
    TrainConfig,
    Vocab,
    eval_mode,
)

ARCHITECTURES = ("gru", "transformer")
MOST_LAYERS = 100
MOST_POSITIONS = 1_000


@dataclass(frozen=True)
class PeerConfig(TrainConfig):
    """All that a run depends on but its seed; a batch has `batch_size` whole names."""

    steps: int = 5_000
    batch_size: int = 128
    lr: float = 0.004
    weight_decay: float = 0.1
    embedding_boost: float = 1.0
    architecture: str = "gru"  # one of ARCHITECTURES
    embedding_dim: int = 24  # a transformer keeps this width throughout
    hidden: int = 142  # size of a GRU's state, or width between a transformer's Linear
    depth: int = 1  # how many layers
    heads: int = 4  # of a transformer's attention
    positions: int = 16  # the most a transformer reads: the longest name and its dot
    dropout: float = 0.15
    leak_free: bool = False  # True: split the distinct names, so that none is in two

    def __post_init__(self):
        super().__post_init__()
        check_defaults()
        check_fields(
            self,
            architecture=choice(ARCHITECTURES),
            embedding_dim=size,
            hidden=size,
            depth=whole(1, MOST_LAYERS),
            heads=size,
            positions=whole(2, MOST_POSITIONS),
            dropout=number(least=0, below=1),
            leak_free=check_bool,
            shuffle=choice([True]),  # drawing with replacement is not offered
        )
        if self.architecture == "transformer" and self.embedding_dim % self.heads:
            given = f"embedding_dim is {self.embedding_dim} and heads is {self.heads}"
            cure = "give a multiple, because each head has an equal part of the width"
            raise ValueError(f"{given}: {cure}")


a_config = instance(PeerConfig, "give a PeerConfig")


# ---- Parts of torch.nn -------------------------------------------------------------
class FromTorch(Layer):
    """A torch.nn module as a layer of this course, with the same parameters."""

    @checked(module=instance(nn.Module, "give a torch.nn.Module"))
    def __init__(self, module: nn.Module):
        self.module = module
        self.label = type(module).__name__

    def parameters(self) -> list[Tensor]:
        return [p for p in self.module.parameters() if p.requires_grad]

    def train(self, mode: bool = True):
        self.module.train(mode)
        return super().train(mode)

    @explained("what its module accepts")
    def __call__(self, x: Tensor) -> Tensor:
        return self.module(x)


class Recurrent(nn.Module):
    """A GRU (arXiv 1406.1078), which reads from left to right: (B, T, C) -> (B, T, H).

    All that it knows about the earlier positions is a state of H numbers.
    """

    def __init__(self, config: PeerConfig):
        super().__init__()
        # torch puts dropout between layers, and warns if there is only one.
        dropout = config.dropout if config.depth > 1 else 0.0
        self.gru = nn.GRU(
            config.embedding_dim,
            config.hidden,
            config.depth,
            batch_first=True,
            dropout=dropout,
        )

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.gru(x)
        return states


class CausalTransformer(nn.Module):
    """Attends to no later position (arXiv 1706.03762): (B, T, C) -> (B, T, C)."""

    def __init__(self, config: PeerConfig):
        super().__init__()
        C = config.embedding_dim
        T = config.positions
        self.position = nn.Embedding(T, C)  # attention itself ignores the order
        self.blocks = nn.ModuleList()
        # Not nn.TransformerEncoder, whose layers all begin with the same weights.
        for _ in range(config.depth):
            block = nn.TransformerEncoderLayer(
                C,
                config.heads,
                config.hidden,
                config.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            self.blocks.append(block)
        self.norm = nn.LayerNorm(C)
        future = torch.ones(T, T, dtype=torch.bool).triu(1)  # True: must not be read
        self.register_buffer("future", future)

    def forward(self, x: Tensor) -> Tensor:
        T = x.shape[1]
        if T > len(self.future):
            cure = "give PeerConfig more positions"
            raise ValueError(f"{T} positions, but only {len(self.future)} fit: {cure}")
        x = x + self.position.weight[:T]
        for block in self.blocks:
            x = block(x, src_mask=self.future[:T, :T], is_causal=True)
        return self.norm(x)


@checked(config=a_config)
def build_peer(config: PeerConfig, vocab_size: int, *, seed: int = 0) -> Sequential:
    """The untrained model: tokens (B, T) -> logits (B, T, V).

    torch draws the initial weights of its parts from the global generator. Here `seed`
    seeds that generator for all weights; afterwards its old state is restored.
    """
    C = config.embedding_dim
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.architecture == "gru":
            middle = Recurrent(config)
            width = config.hidden
        else:
            middle = CausalTransformer(config)
            width = C
        model = Sequential(
            Embedding(vocab_size, C),
            FromTorch(middle),
            Dropout(config.dropout),
            Linear(width, vocab_size),
        )
    model.layers[-1].weight.data *= 0.1  # logits near 0, so the initial loss is ln(V)
    return model


# ---- Sampling and runs -------------------------------------------------------------
@checked(longest=whole(1))
def sample_whole(
    model: Layer,
    vocab: Vocab,
    n: int = 10,
    *,
    longest: int = 16,
    generator: Generator | None = None,
) -> list[str]:
    """Draws `n` names of at most `longest` characters; each step rereads all."""
    check_kind("model", model, kind=Layer, cure="give one of build_peer")
    tokens = torch.zeros(n, 1, dtype=torch.int64)  # the dot before each name
    with eval_mode(model):
        for _ in range(longest):
            chances = model(tokens)[:, -1].softmax(-1)  # (n, V)
            character = torch.multinomial(chances, 1, generator=generator)  # (n, 1)
            tokens = torch.cat([tokens, character], dim=1)
    texts = [vocab.decode(row) for row in tokens[:, 1:].tolist()]
    return [text.split(END)[0] for text in texts]  # nothing after the end


@checked(config=a_config, test=check_bool)
def run_peer(
    config: PeerConfig,
    seed: int,
    *,
    on_step: Callable[[History], bool | None] | None = None,
    test: bool = False,
) -> dict:
    """Like course.runs.run: trains one GRU or transformer and returns its record."""
    vocab, splits = load_splits(config.leak_free)
    model = build_peer(config, len(vocab), seed=seed)
    history = train_on_names(
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
    generator = Generator().manual_seed(seed)
    longest = config.positions
    samples = sample_whole(model, vocab, longest=longest, generator=generator)
    return make_record(config, model, history, losses=losses, samples=samples)


# ---- Equal time --------------------------------------------------------------------
class CoreClock:
    """An `on_step` that counts the seconds during which this process had a core.

    While the process waits for a core that others use, the clock stops. With several
    threads, it adds up the seconds of all of them.
    """

    def __init__(self):
        self.steps = 0
        self.first = 0.0  # when the first step had ended
        self.last = 0.0

    def __call__(self, history: History) -> None:
        self.last = time.process_time()
        if self.steps == 0:
            self.first = self.last
        self.steps += 1

    def seconds_a_step(self) -> float:
        """The mean without the first step, in which torch makes itself ready."""
        if self.steps < 2:
            raise ValueError(f"{self.steps} steps are too few: train for 2 or more")
        return (self.last - self.first) / (self.steps - 1)


RUNS = {RunConfig: run, WaveNetConfig: run_wavenet, PeerConfig: run_peer}
a_model = instance(tuple(RUNS), "give a RunConfig, a WaveNetConfig or a PeerConfig")


@checked(config=a_model)
def run_timed(config: TrainConfig, seed: int) -> dict:
    """The record of any of these models, with the "core_seconds" of its training."""
    clock = CoreClock()
    record = RUNS[type(config)](config, seed, on_step=clock)
    record["core_seconds"] = round(clock.seconds_a_step() * config.steps, 2)
    return record

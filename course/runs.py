"""What one run is: a config and a seed go in, a record comes out.

`course.studies` performs many runs, and `course.comparisons` judges their records. This
module also makes the only split of the validation names into seen and unseen ones.
"""

import math
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial

import torch
from torch import Generator, Tensor

from course.checks import (
    check_bool,
    check_fields,
    checked,
    choice,
    context,
    instance,
    size,
)
from course.fitting import check_examples, explained
from helpers import (
    BatchNorm1d,
    History,
    Layer,
    Sequential,
    TrainConfig,
    Vocab,
    build_dataset,
    build_flat,
    build_tree,
    count_parameters,
    evaluate,
    load_names,
    sample,
    smooth,
    split_names,
    train,
)


class BatchNormPerPosition(BatchNorm1d):
    """Notebook 01's BatchNorm, which averages over dimension 0 alone.

    That is right for (B, C). On (B, T, C) it keeps statistics of shape (1, T, C), one
    for each position, which is the bug of notebook 04.
    """

    @explained("numbers (B, ..., C), with the T it had first", before=check_examples)
    def __call__(self, x: Tensor) -> Tensor:
        mean = self.running_mean
        var = self.running_var
        if self.training:
            mean = x.mean(0, keepdim=True)
            var = x.var(0, keepdim=True, unbiased=False)
            self.remember(mean, var, len(x))
        return self.weight * (x - mean) / (var + self.eps) ** 0.5 + self.bias

    def remember(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Moves the running statistics towards those of a batch of `n` examples."""
        new = self.momentum
        with torch.no_grad():
            unbiased = var * n / (n - 1)
            self.running_mean = (1 - new) * self.running_mean + new * mean
            self.running_var = (1 - new) * self.running_var + new * unbiased


BUILDERS = {
    "flat": build_flat,
    "tree": build_tree,
    "tree per position": partial(build_tree, norm=BatchNormPerPosition),  # the bug
}


@dataclass(frozen=True)
class RunConfig(TrainConfig):
    """All that a run depends on except its seed: model, split and recipe."""

    architecture: str = "tree"  # a key of BUILDERS
    block_size: int = 8
    embedding_dim: int = 10
    hidden: int = 68
    leak_free: bool = False  # True: split the distinct names, so that none is in two

    def __post_init__(self):
        super().__post_init__()
        check_fields(
            self,
            architecture=choice(BUILDERS),
            block_size=context(tree=self.architecture != "flat"),
            embedding_dim=size,
            hidden=size,
            leak_free=check_bool,
        )

    def build(
        self, vocab_size: int, *, generator: Generator | None = None
    ) -> Sequential:
        """The untrained model, with weights drawn from `generator`."""
        return BUILDERS[self.architecture](
            vocab_size,
            block_size=self.block_size,
            embedding_dim=self.embedding_dim,
            hidden=self.hidden,
            generator=generator,
        )


LONGEST_CURVE = 20_000  # steps of a curve with a point for each 100 of them
a_config = instance(RunConfig, "give a config such as RunConfig(hidden=200)")
LECTURE_MODELS = {
    "flat3": RunConfig(architecture="flat", block_size=3, hidden=200),
    "flat8": RunConfig(architecture="flat", hidden=200),
    "tree": RunConfig(architecture="tree per position"),
    "tree_fixed": RunConfig(),
    "tree_large": RunConfig(embedding_dim=24, hidden=128),
}


@checked(leak_free=check_bool)
@cache
def load_splits(leak_free: bool = False) -> tuple[Vocab, dict[str, list[str]]]:
    """The vocabulary, and the names of train, val, test, seen and unseen.

    The val names are *seen* where training has the same name, and *unseen* otherwise.
    With `leak_free` the distinct names are split, so no val name is seen.
    """
    names = load_names()
    vocab = Vocab(names)
    if leak_free:
        names = list(dict.fromkeys(names))  # distinct, in their order
    splits = split_names(names)
    known = set(splits["train"])
    splits["seen"] = [name for name in splits["val"] if name in known]
    splits["unseen"] = [name for name in splits["val"] if name not in known]
    return vocab, splits


@checked(block_size=context(), leak_free=check_bool)
@cache
def load_data(
    block_size: int, leak_free: bool = False
) -> tuple[Vocab, dict[str, tuple[Tensor, Tensor]]]:
    """The vocabulary, and the windows X (N, T), Y (N,) of each split that has names."""
    vocab, splits = load_splits(leak_free)
    data = {}
    for split, names in splits.items():
        if names:
            data[split] = build_dataset(names, vocab, block_size)
    return vocab, data


@checked(config=a_config, test=check_bool)
def run(
    config: RunConfig,
    seed: int,
    *,
    on_step: Callable[[History], bool | None] | None = None,
    test: bool = False,
) -> dict:
    """Trains one model and returns its record; `test` adds the loss on the test split.

    The initial weights and the batches come from two generators, both seeded by `seed`.
    """
    vocab, data = load_data(config.block_size, config.leak_free)
    generator = Generator().manual_seed(seed)
    model = config.build(len(vocab), generator=generator)
    history = train(
        model, *data["train"], config, seed=seed, progress=False, on_step=on_step
    )
    if history.interrupted:
        raise KeyboardInterrupt  # before the evaluation, which takes a while
    losses = {}
    for split in data:
        if split != "test" or test:
            losses[split] = evaluate(model, *data[split])
    samples = sample(model, vocab, config.block_size, generator=generator)
    return make_record(config, model, history, losses=losses, samples=samples)


def make_record(
    config: TrainConfig,
    model: Layer,
    history: History,
    *,
    losses: dict[str, float],
    samples: list[str],
) -> dict:
    """What is stored for a run; KeyboardInterrupt if its training was interrupted.

    Losses are in nats per character, and seconds are those of training. The curve has
    means of 100 steps, or of more if there are more than LONGEST_CURVE steps.
    """
    if history.interrupted:
        raise KeyboardInterrupt  # an unfinished model has no record
    window = 100 * math.ceil(len(history.losses) / LONGEST_CURVE)
    return {
        **losses,
        "parameters": count_parameters(model),
        "seconds": round(history.seconds, 2),
        "curve": smooth(history.losses, window).round(4).tolist(),
        "config": asdict(config),
        "samples": samples,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    }

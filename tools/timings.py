"""What `make bench` times in addition to the five models: floating-point rate,
sampling, studies, the convolution of a tree, queues, the full WaveNet and torch.nn."""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from course.comparisons import load_results
from course.convolution import Packed, as_convolution, pack, sample_with_queues
from course.costs import (
    CONVOLUTION,
    QUEUES,
    TREE,
    large_tree,
    multiply_adds,
    step_seconds,
    whole_seconds,
)
from course.in_pytorch import ConvTree, LinearTree, step_ms, try_compile
from course.optimizers import build_optimizer
from course.runs import LECTURE_MODELS, RunConfig, load_data, load_splits, run
from course.studies import one_torch_thread, run_study
from course.wavenet import (
    WaveNet,
    WaveNetConfig,
    evaluate_names,
    load_weights,
    train_wavenet,
)
from helpers import (
    NAMES,
    RECIPE,
    Embedding,
    Layer,
    Linear,
    Sequential,
    TrainConfig,
    Vocab,
    build_dataset,
    fit,
    sample,
    train,
)

SEED = 42
SHOW_PROGRESS = sys.stdout.isatty()  # no bars in a log, where each step is a line
WEIGHTS = NAMES.parent / "results" / "wavenet_long.npz"

LARGE = "tree_large"
LARGE_CONTEXT = LECTURE_MODELS[LARGE].block_size
REPEATS = 7
PARTS = ["forward ms", "backward ms", "optimizer ms"]
STEPS_IN_PARTS = 50
STEPS_A_REPEAT = 20  # of training, for the floating-point rate
PRODUCTS_A_REPEAT = 100
NAMES_SAMPLED = 1_000

STUDIED = {"tree_fixed": replace(LECTURE_MODELS["tree_fixed"], steps=300)}
STUDIED_SEEDS = range(12)

CONTEXTS = [8, 16, 32, 64, 128, 256, 1024]
NAMES_TIMED = 128  # whole names, for the convolution
STEPS_TIMED = 12  # of training with windows and with packed names
NAMES_A_STEP = 128


def seeded() -> Generator:
    return Generator().manual_seed(SEED)


def seconds_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# ---- The parts of a step -------------------------------------------------------------
def step_parts(config: RunConfig, recipe: TrainConfig) -> dict[str, float]:
    """Milliseconds of a training step, by PARTS: medians over STEPS_IN_PARTS steps."""
    vocab, data = load_data(config.block_size)
    model = config.build(len(vocab), generator=seeded())
    optimizer = build_optimizer(model, recipe, table=Embedding, matrix=Linear)
    X, Y = data["train"]
    batches = seeded()
    times = pd.DataFrame(columns=PARTS, dtype=float)
    for step in range(STEPS_IN_PARTS):
        ix = torch.randint(len(X), (recipe.batch_size,), generator=batches)
        x = X[ix]
        y = Y[ix]
        optimizer.zero_grad()
        ends = [time.perf_counter()]
        loss = F.cross_entropy(model(x), y)
        ends.append(time.perf_counter())
        loss.backward()
        ends.append(time.perf_counter())
        optimizer.step()
        ends.append(time.perf_counter())
        times.loc[step] = pd.Series(ends).diff()[1:].to_numpy() * 1e3
    return times.median().to_dict()


# ---- Floating-point rate and sampling ------------------------------------------------
Product = tuple[int, int, int]  # rows, in_features, out_features of a matrix product


def products(model: Sequential, x: Tensor) -> list[Product]:
    """The matrix product of each Linear for the batch x."""
    found = []
    for layer in model.layers:
        if isinstance(layer, Linear):
            rows = x[..., 0].numel()
            found.append((rows, *layer.weight.shape))
        x = layer(x)
    return found


def operations(product: Product) -> int:
    """One multiplication and one addition for each of rows * in * out."""
    rows, in_features, out_features = product
    return 2 * rows * in_features * out_features


def gemm_fraction() -> dict[str, float]:
    """The floating-point rate of whole training steps over that of a matrix product.

    The steps are those of the large tree; the product is that of its largest layer in
    the forward pass alone; both run on one thread. Each Linear computes three products
    of this size: one in the forward pass, and two in the backward pass, for its weight
    and for its input.
    """
    vocab, data = load_data(LARGE_CONTEXT)
    X, Y = data["train"]
    model = LECTURE_MODELS[LARGE].build(len(vocab), generator=seeded())
    shapes = products(model, X[: RECIPE.batch_size])
    step_operations = 3 * sum(operations(shape) for shape in shapes)
    largest = max(shapes, key=operations)
    rows, in_features, out_features = largest
    a = torch.randn(rows, in_features, generator=seeded())
    b = torch.randn(in_features, out_features, generator=seeded())
    config = replace(RECIPE, steps=STEPS_A_REPEAT)

    def step_rate() -> float:
        history = train(model, X, Y, config, seed=SEED, progress=False)
        return STEPS_A_REPEAT * step_operations / history.seconds

    def product_rate() -> float:
        start = time.perf_counter()
        for _ in range(PRODUCTS_A_REPEAT):
            torch.mm(a, b)
        seconds = time.perf_counter() - start
        return PRODUCTS_A_REPEAT * operations(largest) / seconds

    rates = pd.DataFrame(columns=["step", "product"], dtype=float)
    with one_torch_thread():
        step_rate()  # warm-up
        product_rate()
        for repeat in range(REPEATS):
            rates.loc[repeat] = [step_rate(), product_rate()]
    return {
        "gemm_fraction": (rates["step"] / rates["product"]).median(),
        "step_gflops": rates["step"].median() / 1e9,
        "gemm_gflops": rates["product"].median() / 1e9,
    }


def sampling_speedup(model: Sequential) -> float:
    """The time to sample names one after another over that for all at once."""
    vocab, _ = load_splits()

    def all_at_once():
        sample(model, vocab, LARGE_CONTEXT, NAMES_SAMPLED, generator=seeded())

    def one_after_another():
        generator = seeded()
        for _ in range(NAMES_SAMPLED):
            sample(model, vocab, LARGE_CONTEXT, 1, generator=generator)

    all_at_once()  # warm-up
    ratios = []
    for _ in range(REPEATS):
        ratios.append(seconds_of(one_after_another) / seconds_of(all_at_once))
    return median(ratios)


# ---- Studies -------------------------------------------------------------------------
def study_seconds(name: str, seeds: range, *, workers: int, path: Path) -> float:
    """The seconds that a study with one run for each seed takes."""
    start = time.perf_counter()
    run_study(name, STUDIED, seeds, run, workers=workers, path=path, progress=False)
    return time.perf_counter() - start


def harness() -> dict[str, float]:
    """Runs per minute with one worker and with two; seconds of a finished study.

    The first study of each kind starts the workers and is not timed.
    """
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            options = {"workers": workers, "path": Path(folder) / "bench.journal"}
            study_seconds(f"warm-up {workers}", range(2 * workers), **options)
            seconds = study_seconds(f"{workers} workers", STUDIED_SEEDS, **options)
            measured[f"runs_per_minute_{workers}"] = 60 * len(STUDIED_SEEDS) / seconds
        again = study_seconds("2 workers", STUDIED_SEEDS, **options)
    scaling = measured["runs_per_minute_2"] / measured["runs_per_minute_1"]
    return {
        "harness_scaling": scaling,
        **measured,
        "finished_study_seconds": again,
    }


# ---- Tree, convolution and queues ----------------------------------------------------
def convolution_speedups() -> dict[str, dict]:
    """How many times faster than the tree, counted and measured on one thread.

    Everything is {context: ...}. conv_speedup is that of the convolution on packed
    names, cached_speedup that of the queues for one more character of many names.
    cached_generation_scaling and tree_generation_scaling say how many times longer such
    a character takes than at the smallest context.
    """
    vocab, splits = load_splits()
    names = splits["val"][:NAMES_TIMED]
    positions = sum(len(name) + 1 for name in names)
    whole_names = {}
    one_character = {}
    steps = {}
    with one_torch_thread():
        for context in CONTEXTS:
            counts = multiply_adds(context, positions, len(vocab))
            counted = counts[TREE] / counts[CONVOLUTION]
            whole = whole_seconds(context, names, vocab)
            measured = whole[TREE] / whole[CONVOLUTION]
            whole_names[context] = {"counted": counted, "measured": measured}
            step = step_seconds(context, len(vocab))
            measured = step[TREE] / step[QUEUES]
            one_character[context] = {"counted": counted, "measured": measured}
            steps[context] = step
    smallest = steps[CONTEXTS[0]]
    return {
        "conv_speedup": whole_names,
        "cached_speedup": one_character,
        "cached_generation_scaling": {
            context: step[QUEUES] / smallest[QUEUES] for context, step in steps.items()
        },
        "tree_generation_scaling": {
            context: step[TREE] / smallest[TREE] for context, step in steps.items()
        },
    }


def step_of(model: Layer, x: Tensor, y: Tensor) -> float:
    """Seconds of one training step of `model`, as the mean of STEPS_TIMED steps."""
    config = TrainConfig(steps=STEPS_TIMED)
    fit(model, [(x, y)], config, progress=False)  # warm-up
    history = fit(model, [(x, y)] * STEPS_TIMED, config, progress=False)
    return history.seconds / STEPS_TIMED


def training_speedup(context: int) -> float:
    """The time of a training step on windows over that on the same names, packed."""
    vocab, splits = load_splits()
    names = splits["train"][:NAMES_A_STEP]
    tree = large_tree(context, len(vocab))
    packed = Packed(*as_convolution(tree).layers)
    windows = step_of(tree, *build_dataset(names, vocab, context))
    return windows / step_of(packed, *pack(names, vocab))


# ---- The full WaveNet ----------------------------------------------------------------
def wavenet() -> dict[str, float]:
    """Losses of a WaveNet trained here and of the stored one; speed-up by queues."""
    vocab, splits = load_splits()
    config = WaveNetConfig()
    short = WaveNet(config, len(vocab), generator=seeded())
    history = train_wavenet(
        short, splits["train"], vocab, config, seed=SEED, progress=SHOW_PROGRESS
    )
    record = load_results("wavenet_long").iloc[0]
    long = WaveNet(WaveNetConfig(**record["config"]), len(vocab))
    load_weights(long, WEIGHTS)
    return {
        "wavenet_val_3min": evaluate_names(short, splits["val"], vocab),
        "wavenet_seconds_3min": history.seconds,
        "wavenet_val_long": evaluate_names(long, splits["val"], vocab),
        "wavenet_unseen_long": evaluate_names(long, splits["unseen"], vocab),
        "wavenet_queue_speedup": queue_speedup(long, vocab),
    }


class ReadAgain(Layer):
    """A network that reads the whole text so far for each character: -> (n, V)."""

    def __init__(self, network: Layer):
        self.layers = [network]
        self.text = None

    def __call__(self, window: Tensor) -> Tensor:
        (network,) = self.layers
        if self.text is None:
            self.text = window
        else:
            self.text = torch.cat([self.text, window[:, -1:]], dim=1)  # (n, T)
        return network(self.text)[:, -1]


def queue_speedup(model: WaveNet, vocab: Vocab) -> float:
    """The time of sampling that rereads the whole text over that with queues."""

    def read_again():
        sample(ReadAgain(model), vocab, 1, NAMES_SAMPLED, generator=seeded())

    def with_queues():
        sample_with_queues(model, vocab, NAMES_SAMPLED, generator=seeded())

    ratios = []
    for _ in range(3):
        ratios.append(seconds_of(read_again) / seconds_of(with_queues))
    return median(ratios)


# ---- In torch.nn ---------------------------------------------------------------------
def torch_nn() -> dict[str, float | str | None]:
    """Milliseconds of a step of the large tree, ours and in the forms of notebook 09.

    All run on one thread. The compiled form is None where there is no compiler.
    """
    vocab, data = load_data(LARGE_CONTEXT)
    X, Y = data["train"]
    x = X[: RECIPE.batch_size]
    y = Y[: RECIPE.batch_size]
    models = {
        "ours": LECTURE_MODELS[LARGE].build(len(vocab), generator=seeded()),
        "linear": LinearTree(len(vocab)),
        "conv": ConvTree(len(vocab)),
    }
    compiled, sentence = try_compile(LinearTree(len(vocab)), x)
    if compiled is not None:
        models["compiled"] = compiled
    found = {f"step_ms_{name}": ms for name, ms in step_ms(models, x, y).items()}
    if compiled is None:
        found["step_ms_compiled"] = None
    return found | {"compiling": sentence}

"""Times the lecture's recipe and ours on the same models, prints a table and writes bench.json.
Takes about five minutes; other work on the machine disturbs it."""

import ast
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import nbformat
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from helpers import (
    RECIPE,
    ROWS,
    Linear,
    Sequential,
    Vocab,
    build_dataset,
    count_parameters,
    evaluate,
    load_names,
    sample,
    split_names,
    train,
)
from studies import run_study
from wavenet import WaveNet, WaveNetConfig, evaluate_names, load_splits, load_weights, train_wavenet

OUT = Path(__file__).with_name("bench.json")
SEED = 42
CONTEXT = {row: config.block_size for row, config in ROWS.items()}

# The lecture's recipe
LECTURE_STEPS = 200_000
LECTURE_BATCH = 32
LECTURE_RATE = 0.1
TIMED_STEPS = 2_000  # of LECTURE_STEPS: half of them before our run of the same model, half after it
WARM_UP_STEPS = 200

LARGE = "tree_large"
REPEATS = 7
STEPS_A_REPEAT = 20  # of training, for the floating-point rate
PRODUCTS_A_REPEAT = 100
NAMES_SAMPLED = 1_000

STUDIED = {"tree_fixed": replace(ROWS["tree_fixed"], steps=300)}
STUDIED_SEEDS = range(12)

CONVOLUTION = Path(__file__).parent / "notebooks" / "06_convolution.ipynb"
CONTEXTS = [8, 16, 32, 64, 128, 256, 1024]
LETTERS = 256  # generated at once
WAVENET_LONG = Path(__file__).parent / "data" / "results" / "wavenet_long.npz"


def seeded() -> Generator:
    return Generator().manual_seed(SEED)


def seconds_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# ---- The five rows -------------------------------------------------------------------------------
def lecture_steps(model: Sequential, X: Tensor, Y: Tensor, steps: int, generator: Generator) -> None:
    """The lecture's loop; its rate is a tenth of this after step 150,000, which takes no other time."""
    parameters, losses = model.parameters(), []
    for _ in range(steps):
        ix = torch.randint(0, len(X), (LECTURE_BATCH,), generator=generator)
        loss = F.cross_entropy(model(X[ix]), Y[ix])
        for p in parameters:
            p.grad = None
        loss.backward()
        for p in parameters:
            p.data += -LECTURE_RATE * p.grad
        losses.append(loss.log10().item())


def time_row(row: str, vocab: Vocab, data: dict[str, tuple[Tensor, Tensor]]) -> tuple[dict, Sequential]:
    """Half of the lecture's steps, our whole training, the other half: neighbours in time are compared."""
    new, batches = lambda: ROWS[row].build(len(vocab), generator=seeded()), seeded()
    lecture, ours = new(), new()

    def lecture_half() -> float:
        return seconds_of(lambda: lecture_steps(lecture, *data["train"], TIMED_STEPS // 2, batches))

    lecture_steps(lecture, *data["train"], WARM_UP_STEPS, batches)
    before = lecture_half()
    our_seconds = train(ours, *data["train"], seed=SEED).seconds
    lecture_seconds = (before + lecture_half()) * LECTURE_STEPS / TIMED_STEPS
    measured = {
        "parameters": count_parameters(ours),
        "lecture_seconds": lecture_seconds,
        "our_seconds": our_seconds,
        "ratio": lecture_seconds / our_seconds,
        "val": evaluate(ours, *data["val"]),
    }
    return measured, ours


# ---- Floating-point rate, sampling, memory -------------------------------------------------------
def products(model: Sequential, x: Tensor) -> list[tuple[int, int, int]]:
    """(rows, in_features, out_features) of the matrix product that each Linear computes for the batch x."""
    shapes = []
    for layer in model.layers:
        if isinstance(layer, Linear):
            shapes.append((x[..., 0].numel(), *layer.weight.shape))
        x = layer(x)
    return shapes


def flops(shape: tuple[int, int, int]) -> int:
    """A multiplication and an addition for each of rows * in_features * out_features."""
    rows, fan_in, fan_out = shape
    return 2 * rows * fan_in * fan_out


@contextmanager
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def gemm_fraction(vocab: Vocab, X: Tensor, Y: Tensor) -> dict[str, float]:
    """Floating-point rate of whole training steps of the large tree over that of the forward product of
    its largest layer alone, one thread. Each Linear computes three products of the same size: forward,
    and backward for its weight and for its input (which every one needs, the embedding being trained)."""
    model = ROWS[LARGE].build(len(vocab), generator=seeded())
    shapes = products(model, X[: RECIPE.batch_size])
    rows, fan_in, fan_out = largest = max(shapes, key=flops)
    a, b = torch.randn(rows, fan_in, generator=seeded()), torch.randn(fan_in, fan_out, generator=seeded())
    config = replace(RECIPE, steps=STEPS_A_REPEAT)

    def step_rate() -> float:
        seconds = train(model, X, Y, config, seed=SEED, progress=False).seconds
        return STEPS_A_REPEAT * 3 * sum(map(flops, shapes)) / seconds

    def product_rate() -> float:
        return (
            PRODUCTS_A_REPEAT
            * flops(largest)
            / seconds_of(lambda: [torch.mm(a, b) for _ in range(PRODUCTS_A_REPEAT)])
        )

    with one_thread():
        step_rate(), product_rate()  # warm-up
        rates = [(step_rate(), product_rate()) for _ in range(REPEATS)]
    return {
        "gemm_fraction": median(step / product for step, product in rates),
        "step_gflops": median(step for step, _ in rates) / 1e9,
        "gemm_gflops": median(product for _, product in rates) / 1e9,
    }


def sampling_speedup(model: Sequential, vocab: Vocab) -> float:
    """Time of as many names one after another over that of all at once."""

    def all_at_once():
        sample(model, vocab, CONTEXT[LARGE], n=NAMES_SAMPLED, generator=seeded())

    def one_after_another():
        generator = seeded()
        for _ in range(NAMES_SAMPLED):
            sample(model, vocab, CONTEXT[LARGE], n=1, generator=generator)

    all_at_once()  # warm-up
    return median(seconds_of(one_after_another) / seconds_of(all_at_once) for _ in range(REPEATS))


def harness_scaling() -> dict[str, float]:
    """Runs per minute of a study with two workers over those with one; a first study starts the workers."""
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            options = {"workers": workers, "path": Path(folder) / "bench.journal", "progress": False}
            run_study(f"warm-up {workers}", STUDIED, range(2 * workers), **options)
            start = time.perf_counter()
            run_study(f"{workers} workers", STUDIED, STUDIED_SEEDS, **options)
            rates.append(60 * len(STUDIED_SEEDS) / (time.perf_counter() - start))
    one, two = rates
    return {"harness_scaling": two / one, "runs_per_minute_1": one, "runs_per_minute_2": two}


# ---- Tree, convolution and queues, by the functions of notebook 06 --------------------------------
def definitions(notebook: Path, **known) -> SimpleNamespace:
    """What the notebook imports and defines, without anything that it computes. Its functions see `known`."""
    cells = nbformat.read(notebook, as_version=4).cells
    module = ast.parse("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
    kept = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
    module.body = [node for node in module.body if isinstance(node, kept)]
    exec(compile(module, notebook.name, "exec"), known)
    return SimpleNamespace(**known)


def convolution_speedups(vocab: Vocab, names: list[str]) -> dict[str, dict]:
    """By context length: the tree's multiply-adds and seconds over those of the convolution that copies the
    dots, on whole names (conv) and for one more letter of many names at once (cached). And how much longer
    such a letter takes than at the smallest context (scaling). One thread."""
    ways = {"TREE": "tree", "VALID": "dots computed", "ONCE": "dots copied"}
    nb = definitions(CONVOLUTION, vocab=vocab, SEED=SEED, **ways)
    tree, once = ways["TREE"], ways["ONCE"]
    result, seconds = {"conv_speedup": {}, "cached_speedup": {}}, {}
    with one_thread():
        for context in CONTEXTS:
            whole = nb.measure([context], names).loc[context]
            work = sum(pd.Series(nb.multiply_adds(context, len(name) + 1)) for name in names)
            pair = {"counted": work[tree] / work[once], "measured": whole[tree] / whole[once]}
            result["conv_speedup"][context] = pair
            step, work = nb.steps(context, LETTERS), nb.multiply_adds(context, 1)
            pair = {"counted": work[tree] / work[once], "measured": step["tree"] / step["queues"]}
            result["cached_speedup"][context] = pair
            seconds[context] = step["queues"]
    scaling = {context: value / seconds[CONTEXTS[0]] for context, value in seconds.items()}
    return result | {"cached_generation_scaling": scaling}


def wavenet_losses() -> dict[str, float]:
    """The full WaveNet: trained here by the recipe of notebook 07, and the stored one by its weights."""
    vocab, splits = load_splits()
    model = WaveNet(WaveNetConfig(), len(vocab), seeded())
    history = train_wavenet(model, splits["train"], vocab, WaveNetConfig(), SEED)
    short = evaluate_names(model, splits["val"], vocab)
    record = pd.read_json(WAVENET_LONG.with_suffix(".jsonl"), lines=True).iloc[0]
    model = load_weights(WaveNet(WaveNetConfig(**record["config"]), len(vocab)), WAVENET_LONG)
    long = {split: evaluate_names(model, splits[split], vocab) for split in ("val", "unseen")}
    result = {"wavenet_val_3min": short, "wavenet_seconds_3min": history.seconds}
    return result | {f"wavenet_{split}_long": loss for split, loss in long.items()}


def peak_memory_mb() -> float | None:
    """The most memory that this process has had so far; None where Python cannot tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts in bytes, Linux in kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def processor() -> str:
    """The processor's name as far as the system tells it."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def machine() -> dict[str, str | int | None]:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


# ---- All of it -----------------------------------------------------------------------------------
def main() -> None:
    start, names = time.perf_counter(), load_names()
    vocab, splits = Vocab(names), split_names(names)
    data = {
        block_size: {split: build_dataset(splits[split], vocab, block_size) for split in ("train", "val")}
        for block_size in set(CONTEXT.values())
    }
    result, models = {"machine": machine(), "rows": {}}, {}
    for row in ROWS:
        print(row, flush=True)
        result["rows"][row], models[row] = time_row(row, vocab, data[CONTEXT[row]])
    print("floating-point rate", flush=True)
    result |= gemm_fraction(vocab, *data[CONTEXT[LARGE]]["train"])
    print("sampling", flush=True)
    result["sampling_speedup"] = sampling_speedup(models[LARGE], vocab)
    result["peak_memory_mb"] = peak_memory_mb()
    print("studies", flush=True)
    result |= harness_scaling()
    print("tree, convolution and queues", flush=True)
    result |= convolution_speedups(vocab, splits["val"][:128])
    print("the full WaveNet", flush=True)
    result |= wavenet_losses()
    result["bench_seconds"] = time.perf_counter() - start
    OUT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    report(result)


def report(result: dict) -> None:
    """The same numbers for a reader."""
    formats = {"parameters": "{:,.0f}", "lecture_seconds": "{:,.0f}", "our_seconds": "{:.1f}"}
    formats |= {"ratio": "{:.1f}", "val": "{:.4f}"}
    table = pd.DataFrame(result["rows"]).T
    print("\n" + table.to_string(formatters={column: text.format for column, text in formats.items()}))
    print("\n" + ", ".join(f"{key} {value}" for key, value in result["machine"].items()))
    for key, value in result.items():
        if not isinstance(value, dict):
            print(f"{key:<21}", "unknown" if value is None else f"{value:,.3f}")
    speedups = {
        (what, kind): {context: pair[kind] for context, pair in result[what].items()}
        for what in ("conv_speedup", "cached_speedup")
        for kind in ("counted", "measured")
    }
    print(pd.DataFrame(speedups).round(1).to_string())


if __name__ == "__main__":
    main()

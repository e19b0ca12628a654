"""Times the lecture's recipe and our quickest one on the same models, and everything
else that the course says something about the speed of.

Prints tables and writes bench.json. It takes about five minutes, and other work on the
machine disturbs it. Notebooks print times but assert none. The expected bands are here,
and are printed next to what was measured.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from course.recipes import QUICKEST, RECIPES
from course.runs import LECTURE_MODELS, load_data
from helpers import Sequential, count_parameters, evaluate, train
from tools import timings
from tools.timings import LARGE, SEED, SHOW_PROGRESS, seeded

OUT = Path(__file__).parents[1] / "bench.json"

LECTURE = RECIPES["lecture"]
TIMED_STEPS = (
    2_000  # of the lecture's 200,000: half before our training of a model, half after
)
WARM_UP_STEPS = 200

# Bands that are expected on any machine: the name in bench.json, from, to.
BANDS = {
    "sampling_speedup": (10, 200),
    "harness_scaling": (1.2, 2.2),
    "finished_study_seconds": (0, 1),
    "training_speedup_8": (1 / 3, 3),
    "training_speedup_64": (1.5, 20),
    "wavenet_queue_speedup": (1.5, 15),
}
MEASURED_OVER_COUNTED = (1 / 5, 5)  # for each speed-up by the convolution or the queues
CONTEXT_1024 = {  # bands for contexts of 1,024 characters
    "cached_speedup": (10, 300),
    "cached_generation_scaling": (1.2, 15),
    "tree_generation_scaling": (30, 1000),
}


# ---- The lecture's five models -----------------------------------------------------
def lecture_steps(
    model: Sequential, X: Tensor, Y: Tensor, steps: int, *, generator: Generator
) -> None:
    """The lecture's loop; its drop in learning rate, left out, changes no time."""
    parameters = model.parameters()
    losses = []
    for _ in range(steps):
        ix = torch.randint(0, len(X), (LECTURE.batch_size,), generator=generator)
        loss = F.cross_entropy(model(X[ix]), Y[ix])
        for p in parameters:
            p.grad = None
        loss.backward()
        for p in parameters:
            p.data += -LECTURE.lr * p.grad
        losses.append(loss.log10().item())


def time_model(name: str) -> tuple[dict, Sequential]:
    """Half of the lecture's steps, our whole training, then the other half.

    In this order both meet the same conditions. Returns the measurements and our model.
    """
    config = LECTURE_MODELS[name]
    vocab, data = load_data(config.block_size)
    lecture = config.build(len(vocab), generator=seeded())
    ours = config.build(len(vocab), generator=seeded())
    batches = seeded()

    def lecture_half() -> float:
        steps = TIMED_STEPS // 2
        start = time.perf_counter()
        lecture_steps(lecture, *data["train"], steps, generator=batches)
        return time.perf_counter() - start

    lecture_steps(lecture, *data["train"], WARM_UP_STEPS, generator=batches)
    before = lecture_half()
    recipe = QUICKEST[name]
    history = train(ours, *data["train"], recipe, seed=SEED, progress=SHOW_PROGRESS)
    after = lecture_half()
    lecture_seconds = (before + after) * LECTURE.steps / TIMED_STEPS
    measured = {
        "parameters": count_parameters(ours),
        "recipe": f"{recipe.optimizer}, {recipe.steps:,} steps",
        "lecture_seconds": lecture_seconds,
        "our_seconds": history.seconds,
        "ratio": lecture_seconds / history.seconds,
        "val": evaluate(ours, *data["val"]),
        **timings.step_parts(LECTURE_MODELS[name], recipe),
    }
    return measured, ours


# ---- The machine ---------------------------------------------------------------------
def processor() -> str:
    """The processor's name, as far as the system reveals it."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, encoding="utf-8")
        return done.stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
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


def peak_memory_mb() -> float | None:
    """The most memory this process has used; None if Python cannot tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return peak * unit / 1e6


# ---- All of it -----------------------------------------------------------------------
def main() -> None:
    start = time.perf_counter()
    result = {"machine": machine(), "rows": {}}
    models = {}
    for name in LECTURE_MODELS:
        print(name, flush=True)
        result["rows"][name], models[name] = time_model(name)
    print("floating-point rate", flush=True)
    result |= timings.gemm_fraction()
    print("sampling", flush=True)
    result["sampling_speedup"] = timings.sampling_speedup(models[LARGE])
    result["peak_memory_mb"] = peak_memory_mb()
    print("studies", flush=True)
    result |= timings.harness()
    print("tree, convolution and queues", flush=True)
    result |= timings.convolution_speedups()
    result["training_speedup_8"] = timings.training_speedup(8)
    result["training_speedup_64"] = timings.training_speedup(64)
    print("the full WaveNet", flush=True)
    result |= timings.wavenet()
    print("the large tree in torch.nn", flush=True)
    result |= timings.torch_nn()
    result["bench_seconds"] = time.perf_counter() - start
    OUT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    report(result)


def report(result: dict) -> None:
    """Prints the numbers as tables."""
    formats = {
        "parameters": "{:,.0f}".format,
        "lecture_seconds": "{:,.0f}".format,
        "our_seconds": "{:.1f}".format,
        "ratio": "{:.1f}".format,
        "val": "{:.4f}".format,
    }
    formats |= dict.fromkeys(timings.PARTS, "{:.2f}".format)
    table = pd.DataFrame(result["rows"]).T
    print("\n" + table.to_string(formatters=formats) + "\n")
    print(", ".join(f"{key} {value}" for key, value in result["machine"].items()))
    for key, value in result.items():
        if value is None:
            print(f"{key:<25} unknown")
        elif isinstance(value, str):
            print(f"{key:<25} {value}")
        elif not isinstance(value, dict):
            print(f"{key:<25} {value:,.3f}")
    print("\n" + speedups(result).round(1).to_string())
    print("\n" + in_bands(result).round(2).to_string(index=False))


def speedups(result: dict) -> pd.DataFrame:
    """How many times faster than the tree, by context."""
    columns = {}
    for what in ("conv_speedup", "cached_speedup"):
        for kind in ("counted", "measured"):
            pairs = result[what].items()
            columns[what, kind] = {context: pair[kind] for context, pair in pairs}
    return pd.DataFrame(columns)


def in_bands(result: dict) -> pd.DataFrame:
    """Each number that has a band, and whether it is inside the band."""
    rows = []
    for what, band in BANDS.items():
        rows.append((what, result[what], *band))
    for what, band in CONTEXT_1024.items():
        value = result[what][1024]
        if isinstance(value, dict):
            value = value["measured"]
        rows.append((f"{what}, context 1024", value, *band))
    for what in ("conv_speedup", "cached_speedup"):
        for context, pair in result[what].items():
            value = pair["measured"] / pair["counted"]
            name = f"{what}, measured / counted, context {context}"
            rows.append((name, value, *MEASURED_OVER_COUNTED))
    table = pd.DataFrame(rows, columns=["what", "measured", "from", "to"])
    inside = table["measured"].between(table["from"], table["to"])
    table["verdict"] = inside.map({True: "as expected", False: "OUTSIDE"})
    return table


if __name__ == "__main__":
    main()

"""Runs the studies whose results are stored under data/results/, one JSON line a run.

`make experiments` runs them from nothing, or goes on with what it had begun; `make seeds SEEDS=24` keeps the
stored results and adds seeds to the comparisons. ONLY="ablation rows" chooses among the studies. Read a file
with pandas.read_json(path, lines=True)."""

import argparse
import os
from dataclasses import asdict, replace
from pathlib import Path

import optuna
import pandas as pd
import torch
from tqdm import tqdm

from helpers import ROWS, RunConfig, load_data, run, train
from studies import make_cells, open_study, run_study
from wavenet import WaveNet, WaveNetConfig, load_splits, run_wavenet, train_wavenet

RESULTS = Path(__file__).parent / "data" / "results"
SEEDS = {"rows": 16, "leak_free": 16, "final": 8, "grid": 2, "ablation": 6}  # of each variant
COMPARISONS = ["rows", "leak_free"]  # to which seeds are added, if not told otherwise
TIMED_STEPS = 10  # of each model, for the estimate

COMPARED = ROWS | {"flat_large": RunConfig(architecture="flat", hidden=700)}  # about tree_large's parameters
LONGER = {
    "flat16": RunConfig(architecture="flat", block_size=16, hidden=200),
    "tree16": RunConfig(block_size=16),
}
LEAK_FREE = {variant: replace(config, leak_free=True) for variant, config in COMPARED.items()}
GRID = {
    f"{architecture}, block size {block_size}, hidden {hidden}": RunConfig(
        architecture=architecture, block_size=block_size, hidden=hidden
    )
    for architecture in ("flat", "tree")
    for block_size in (2, 4, 8, 16)
    for hidden in (32, 64, 128, 256)
}

FULL = WaveNetConfig()
ABLATION = {
    "full": FULL,
    "no gate": replace(FULL, gate="none"),
    "GLU": replace(FULL, gate="glu"),
    "no residual": replace(FULL, residual=False),
    "no skip": replace(FULL, skip=False),
    "half the depth": replace(FULL, stacks=1),
    "no dropout": replace(FULL, dropout=0.0),
}
LONG = replace(FULL, steps=14_000, channels=96, skip_channels=96, dropout=0.3, weight_decay=0.2)


def propose(trial: optuna.Trial) -> RunConfig:
    """The search's space: trees, with as many steps as every other model has."""
    return RunConfig(
        block_size=trial.suggest_categorical("block_size", [8, 16]),
        embedding_dim=trial.suggest_int("embedding_dim", 8, 48, log=True),
        hidden=trial.suggest_int("hidden", 64, 192, log=True),
        lr=trial.suggest_float("lr", 0.003, 0.03, log=True),
        weight_decay=trial.suggest_float("weight_decay", 0.003, 0.3, log=True),
        embedding_boost=trial.suggest_float("embedding_boost", 1, 10, log=True),
    )


def run_and_test(config: RunConfig, seed: int) -> dict:
    """helpers.run with the loss on the test split, for the end alone, when all choices are made."""
    return run(config, seed, test=True)


def run_and_keep(config: WaveNetConfig, seed: int) -> dict:
    """run_wavenet with the loss on the test split; the weights are stored, too."""
    return run_wavenet(config, seed, test=True, keep=RESULTS / "wavenet_long.npz")


def final(results: dict[str, pd.DataFrame]) -> dict[str, RunConfig]:
    """The search's best configuration, beside the lecture's largest model."""
    best = results["search"].sort_values("val").iloc[0]
    return {"tree_large": ROWS["tree_large"], "search_best": RunConfig(**best["config"])}


def studies(seeds: dict[str, int]) -> dict[str, tuple]:
    """{name: (variants, seeds, function)} in the order of running; final needs the results before it."""
    return {
        "rows": (COMPARED | LONGER, range(seeds["rows"]), run),
        "leak_free": (LEAK_FREE, range(seeds["leak_free"]), run),
        "search": ({"search": propose}, range(24), run),
        "final": (final, range(seeds["final"]), run_and_test),
        "grid": (GRID, range(seeds["grid"]), run),
        "ablation": (ABLATION, range(seeds["ablation"]), run_wavenet),
        "wavenet_long": ({"long": LONG}, [0], run_and_keep),
    }


def seconds_of(config: RunConfig | WaveNetConfig) -> float:
    """The seconds that a run of `config` will take here in a process of one thread, from its first steps."""
    few = replace(config, steps=TIMED_STEPS)
    if isinstance(config, WaveNetConfig):
        vocab, splits = load_splits()
        model, work = WaveNet(config, len(vocab)), (train_wavenet, splits["train"], vocab)
    else:
        vocab, data = load_data(config.block_size)
        model, work = config.build(len(vocab)), (train, *data["train"])
    function, *data = work
    function(model, *data, few, progress=False)  # warm-up
    return function(model, *data, few, progress=False).seconds * config.steps / TIMED_STEPS


def estimate(todo: list, workers: int) -> str:
    """A sentence: how many runs, and how long they will take."""
    torch.set_num_threads(1)
    kinds = {replace(config, leak_free=False): 0.0 for config in todo}
    for config in tqdm(kinds, desc="timing a few steps of each model"):
        kinds[config] = seconds_of(config)
    seconds = sum(kinds[replace(config, leak_free=False)] for config in todo) / workers
    return f"{len(todo)} runs, about {seconds * 1.3 / 60:.0f} minutes with {workers} workers"


def open_runs(plan: dict[str, tuple]) -> list:
    """A config for each run that the journal does not hold; for those yet to be searched, the largest row."""
    todo = []
    for name, (variants, seeds, function) in plan.items():
        study = open_study(name)
        done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        if name in ("search", "final"):
            todo += [ROWS["tree_large"]] * max(0, len(seeds) * (1 + (name == "final")) - len(done))
            continue
        finished = {trial.user_attrs["cell"] for trial in done}
        cells = make_cells(variants, seeds, function)
        todo += [config for cell, (_, config, _) in cells.items() if cell not in finished]
    return todo


def adopt(name: str, variants: dict, seeds: range, function) -> None:
    """Puts the stored runs of a study, if their configs are still the same, into the journal as finished."""
    stored = load(name)
    study = open_study(name)
    known = {trial.user_attrs.get("cell") for trial in study.get_trials(deepcopy=False)}
    records = {(row["variant"], row["seed"]): row for row in stored.to_dict("records")}
    for cell, (variant, config, seed) in make_cells(variants, seeds, function).items():
        record = records.get((variant, seed))
        if record and record["config"] == asdict(config) and cell not in known:
            attributes = {"cell": cell, "record": record}
            study.add_trial(optuna.trial.create_trial(value=record["val"], user_attrs=attributes))


def load(name: str) -> pd.DataFrame:
    """The stored results of a study."""
    return pd.read_json(RESULTS / f"{name}.jsonl", lines=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, help="of each variant in the comparisons")
    parser.add_argument("--only", nargs="+", choices=studies(SEEDS), help="these studies", metavar="NAME")
    parser.add_argument("--add", action="store_true", help="keep the stored runs and add what is missing")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    only = arguments.only or (COMPARISONS if arguments.add else list(studies(SEEDS)))
    if arguments.add and not set(only) <= SEEDS.keys() - {"final"}:
        parser.error(f"seeds can be added to {sorted(SEEDS.keys() - {'final'})}")
    seeds = SEEDS | {name: arguments.seeds for name in only if arguments.seeds}
    plan = {name: study for name, study in studies(seeds).items() if name in only}
    results = {"search": load("search")} if "final" in only and "search" not in only else {}
    if arguments.add:
        for name, study in plan.items():
            adopt(name, *study)
    print(estimate(open_runs(plan), arguments.workers), flush=True)
    RESULTS.mkdir(exist_ok=True)
    for name, (variants, seeds, function) in plan.items():
        variants = variants(results) if callable(variants) else variants
        results[name] = run_study(name, variants, seeds, function, arguments.workers)
        results[name].to_json(RESULTS / f"{name}.jsonl", orient="records", lines=True)


if __name__ == "__main__":
    main()

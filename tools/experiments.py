"""Runs the studies whose results are in data/results/, with one JSON line per run.

`make experiments` runs them from scratch, or continues what it has begun.
`make seeds SEEDS=24` keeps the stored results and adds seeds to the comparisons.
ONLY="ablation rows" chooses studies. `course.comparisons.load_results` reads a file.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import NamedTuple

import optuna
import pandas as pd
import torch
from optuna.trial import TrialState
from tqdm import tqdm

from course.cells import Cell, make_cells, make_result
from course.checks import check_integer
from course.comparisons import RESULTS, load_results
from course.explorers.stored import make_explorer_grid, run_and_pack
from course.identity import release
from course.peers import PeerConfig, run_timed
from course.recipes import JUDGED_MODELS, RECIPES, with_recipe
from course.runs import LECTURE_MODELS, RunConfig, run
from course.studies import open_study, run_study
from course.wavenet import WaveNetConfig, run_wavenet
from helpers import TrainConfig
from tools import peers
from tools.stacks import SEEDS_A_STACK, as_stack, run_stack

SEEDS = {
    "rows": 16,
    "leak_free": 16,
    "final": 8,
    "grid": 2,
    "ablation": 6,
    "recipe_lecture": 8,  # a multiple of SEEDS_A_STACK
    "recipe_muon": 16,
    "muon_longer": 8,
    "peers": peers.FINAL_SEEDS,
}
COMPARISONS = ["rows", "leak_free"]  # seeds are added to these unless ONLY names others
# Raise it when an edit changes what a run computes; then all runs are done again. With
# the same version, an edited function keeps its finished runs.
VERSION = "1"
NOTEBOOK_SEED = 42  # SEED of notebooks 02 to 04
TRIALS = 24  # of each search
SEARCHES = ["search", "muon_search"]
AFTER = {"final": "search", "peers": "peers_search"}  # variants that a search chooses
TIMED_STEPS = 10  # of each model, for the estimate; more for a run of many steps
MARGIN = 1.3  # on the estimate, for evaluation and workers that slow each other down

LONGER = {
    "flat16": RunConfig(architecture="flat", block_size=16, hidden=200),
    "tree16": RunConfig(block_size=16),
}
LEAK_FREE = {}
BY_LECTURE = {}
BY_MUON = {}
for name, config in JUDGED_MODELS.items():
    LEAK_FREE[name] = replace(config, leak_free=True)
    BY_LECTURE[name] = with_recipe(config, RECIPES["lecture"])
    BY_MUON[name] = with_recipe(config, RECIPES["Muon"])
LONGER_MUON = {"tree_large": replace(BY_MUON["tree_large"], steps=2_500)}
TUNED_ON = ["flat8", "tree_fixed", "tree_large"]  # in the search for Muon's recipe

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
LONG = replace(
    FULL, steps=14_000, channels=96, skip_channels=96, dropout=0.3, weight_decay=0.2
)


# ---- The studies -------------------------------------------------------------------
class Study(NamedTuple):
    """The arguments of run_study, and of make_cells."""

    variants: dict | Callable  # for those of AFTER: a function of the results before
    seeds: Iterable[int]
    run: Callable
    version: str = VERSION


def make_grid() -> dict[str, RunConfig]:
    """Each architecture with each block size and hidden width."""
    grid = {}
    for architecture in ("flat", "tree"):
        for block_size in (2, 4, 8, 16):
            for hidden in (32, 64, 128, 256):
                name = f"{architecture}, block size {block_size}, hidden {hidden}"
                grid[name] = RunConfig(
                    architecture=architecture, block_size=block_size, hidden=hidden
                )
    return grid


def propose(trial: optuna.Trial) -> RunConfig:
    """The search space: trees, with as many steps as every other model."""
    return RunConfig(
        block_size=trial.suggest_categorical("block_size", [8, 16]),
        embedding_dim=trial.suggest_int("embedding_dim", 8, 48, log=True),
        hidden=trial.suggest_int("hidden", 64, 192, log=True),
        lr=trial.suggest_float("lr", 0.003, 0.03, log=True),
        weight_decay=trial.suggest_float("weight_decay", 0.003, 0.3, log=True),
        embedding_boost=trial.suggest_float("embedding_boost", 1, 10, log=True),
    )


def finalists(results: dict[str, pd.DataFrame]) -> dict[str, RunConfig]:
    """The best configuration of the search, and the lecture's largest model."""
    best = results["search"].sort_values("val").iloc[0]
    return {
        "tree_large": LECTURE_MODELS["tree_large"],
        "search_best": RunConfig(**best["config"]),
    }


def choose_peers(results: dict[str, pd.DataFrame]) -> dict[str, TrainConfig]:
    """The best configuration that the search found for each kind of model."""
    return peers.best_peers(results["peers_search"])


def propose_muon(trial: optuna.Trial) -> TrainConfig:
    """The search space of Muon's recipe, which should suit all models."""
    return replace(
        RECIPES["Muon"],
        lr=trial.suggest_float("lr", 0.005, 0.03, log=True),
        embedding_boost=trial.suggest_float("embedding_boost", 1, 6, log=True),
        matrix_lr=trial.suggest_float("matrix_lr", 0.02, 0.15, log=True),
        matrix_decay=trial.suggest_float("matrix_decay", 0.003, 0.3, log=True),
    )


def run_recipe(recipe: TrainConfig, seed: int) -> dict:
    """One recipe on the models of TUNED_ON; "val" is their mean loss."""
    record = {"config": asdict(recipe), "seconds": 0.0}
    for name in TUNED_ON:
        found = run(with_recipe(JUDGED_MODELS[name], recipe), seed)
        record[name] = found["val"]
        record["seconds"] += found["seconds"]
        record["versions"] = found["versions"]
    record["val"] = sum(record[name] for name in TUNED_ON) / len(TUNED_ON)
    return record


def run_and_test(config: RunConfig, seed: int) -> dict:
    """A run with the loss on the test split, for the end, when all choices are made."""
    return run(config, seed, test=True)


def run_and_keep(config: WaveNetConfig, seed: int) -> dict:
    """run_wavenet with the loss on the test split; also stores the weights."""
    return run_wavenet(config, seed, test=True, keep=RESULTS / "wavenet_long.npz")


def make_studies(seeds: dict[str, int]) -> dict[str, Study]:
    """{name: study} in the order of running; some need the results before them."""
    first = peers.SEARCH_SEED + 1  # the search has chosen by its own seed
    others = range(first, first + seeds["peers"])
    stacks = range(seeds["recipe_lecture"] // SEEDS_A_STACK)
    return {
        "rows": Study(JUDGED_MODELS | LONGER, range(seeds["rows"]), run),
        "leak_free": Study(LEAK_FREE, range(seeds["leak_free"]), run),
        "notebooks": Study(LECTURE_MODELS, [NOTEBOOK_SEED], run),
        "search": Study({"search": propose}, range(TRIALS), run),
        "final": Study(finalists, range(seeds["final"]), run_and_test),
        "grid": Study(make_grid(), range(seeds["grid"]), run),
        "ablation": Study(ABLATION, range(seeds["ablation"]), run_wavenet),
        "muon_search": Study({"search": propose_muon}, range(TRIALS), run_recipe),
        "recipe_muon": Study(BY_MUON, range(seeds["recipe_muon"]), run),
        "muon_longer": Study(LONGER_MUON, range(seeds["muon_longer"]), run),
        "recipe_lecture": Study(BY_LECTURE, stacks, run_stack),
        "wavenet_long": Study({"long": LONG}, [0], run_and_keep),
        "explorer_grid": Study(make_explorer_grid(), [0], run_and_pack),
        "peers_search": Study(peers.make_search(), [peers.SEARCH_SEED], run_timed),
        "peers": Study(choose_peers, others, run_timed),
    }


# ---- How long it will take ---------------------------------------------------------
def time_config(config: RunConfig | WaveNetConfig | PeerConfig) -> float:
    """The seconds that a run of `config` will take here, from its first steps."""
    steps = max(TIMED_STEPS, config.steps // 1_000)
    few = replace(config, steps=steps)
    for _ in ("warm-up", "timed"):
        history = peers.train_some(few)
    return history.seconds * config.steps / steps


def estimate(todo: list, workers: int) -> str:
    """A sentence: how many runs, and how long they will take."""
    torch.set_num_threads(1)  # like the workers
    models = [replace(config, leak_free=False) for config in todo]
    seconds = {}
    label = "timing a few steps of each model"
    quiet = not sys.stdout.isatty()
    for config in tqdm(dict.fromkeys(models), desc=label, disable=quiet):
        seconds[config] = time_config(config)
    total = sum(seconds[config] for config in models) / workers
    minutes = total * MARGIN / 60
    return f"{len(todo)} runs, about {minutes:.0f} minutes with {workers} workers"


def runs_in(study: Study) -> int:
    """How many runs one cell of the study contains."""
    return SEEDS_A_STACK if study.run is run_stack else 1


def find_todo(studies: dict[str, Study]) -> list:
    """A config for each run that is not in the journal.

    For configs that a search has yet to find, it is a model that takes about as long.
    """
    todo = []
    largest = LECTURE_MODELS["tree_large"]
    stand_ins = {"final": [largest] * 2, "peers": peers.some_peers()}
    for name, study in studies.items():
        journal = open_study(name)
        done = journal.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if name in SEARCHES:
            unknown = [largest] * len(study.seeds)
            todo += unknown[len(done) :]
        elif name in AFTER:
            unknown = stand_ins[name] * len(study.seeds)
            todo += unknown[len(done) :]
        else:
            finished = {trial.user_attrs.get("cell") for trial in done}
            for key, cell in make_cells(*study).items():
                if key not in finished:
                    todo += [cell.config] * runs_in(study)
    return todo


# ---- Running -----------------------------------------------------------------------
def restored(record: dict, cell: Cell) -> TrainConfig:
    """The config of a stored run; fields that were added later have their defaults."""
    return type(cell.config)(**record["config"])


def one_row_a_seed(stacks: pd.DataFrame) -> pd.DataFrame:
    """The runs in stacks (see tools.stacks), as if each had been run by itself."""
    rows = []
    for stack in stacks.to_dict("records"):
        for record in stack["runs"]:
            rows.append({"variant": stack["variant"], **record})
    return pd.DataFrame(rows)


def stored_records(name: str, study: Study) -> dict[tuple[str, int], dict]:
    """{(variant, seed): record} of the stored runs, or of complete stacks of them."""
    table = load_results(name)
    records = {}
    if study.run is run_stack:
        for variant, runs in table.groupby("variant"):
            for number, stack in runs.groupby(runs["seed"] // SEEDS_A_STACK):
                if len(stack) == SEEDS_A_STACK:
                    runs = stack.drop(columns="variant").to_dict("records")
                    records[variant, number] = as_stack(runs)
        return records
    for record in table.to_dict("records"):
        records[record["variant"], record["seed"]] = record
    return records


def adopt(name: str, study: Study) -> None:
    """Puts the stored runs with unchanged configs into the journal as finished."""
    journal = open_study(name)
    trials = journal.get_trials(deepcopy=False)
    known = {trial.user_attrs.get("cell") for trial in trials}
    records = stored_records(name, study)
    for key, cell in make_cells(*study).items():
        record = records.get((cell.variant, cell.seed))
        if key in known or not record or restored(record, cell) != cell.config:
            continue
        made_with = {"torch": release(record["versions"]["torch"])}
        result = make_result(key, record, made_with=made_with)
        attributes = {"cell": key, "result": result}
        finished = optuna.trial.create_trial(value=record["val"], user_attrs=attributes)
        journal.add_trial(finished)


def count(text: str) -> int:
    """A whole number from 1 up."""
    try:
        return check_integer("it", int(text), least=1)
    except ValueError:
        message = f"{text!r} is not a whole number from 1 up"
        raise argparse.ArgumentTypeError(message) from None


def read_arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = list(make_studies(SEEDS))
    parser.add_argument(
        "--seeds", type=count, help="of each variant in the comparisons"
    )
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME")
    parser.add_argument("--add", action="store_true", help="keep the stored runs")
    parser.add_argument("--workers", type=count, default=os.cpu_count())
    arguments = parser.parse_args()
    can_grow = SEEDS.keys() - AFTER.keys()
    if not arguments.only:
        arguments.only = COMPARISONS if arguments.add else names
    if arguments.add and not set(arguments.only) <= can_grow:
        parser.error(f"seeds can be added to {sorted(can_grow)}")
    return arguments


def main() -> None:
    arguments = read_arguments()
    seeds = dict(SEEDS)
    if arguments.seeds:
        seeds |= dict.fromkeys(arguments.only, arguments.seeds)
    studies = {}
    for name, study in make_studies(seeds).items():
        if name in arguments.only:
            studies[name] = study
    if arguments.add:
        for name, study in studies.items():
            adopt(name, study)
    print(estimate(find_todo(studies), arguments.workers), flush=True)
    results = {}
    for name, search in AFTER.items():
        if name in studies and search not in studies:
            results[search] = load_results(search)
    RESULTS.mkdir(exist_ok=True)
    for name, study in studies.items():
        variants = study.variants
        if name in AFTER:
            variants = study.variants(results)
        results[name] = run_study(
            name,
            variants,
            study.seeds,
            study.run,
            workers=arguments.workers,
            progress=sys.stdout.isatty(),
            version=study.version,
        )
        if "runs" in results[name]:
            results[name] = one_row_a_seed(results[name])
        path = RESULTS / f"{name}.jsonl"
        results[name].to_json(path, orient="records", lines=True)
        print(f"{name}: {len(results[name])} runs in {path.name}", flush=True)


if __name__ == "__main__":
    main()

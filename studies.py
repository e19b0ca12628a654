"""The experimental harness: a study is many runs of a function run(config, seed), such as helpers.run, in
several processes. Optuna stores it, so that an interrupted or killed study goes on where it stopped.
Notebook 05 uses all of it; the figures and tests of comparisons stand at the end."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
import psutil
import torch
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from optuna.distributions import distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage, RDBStorage, fail_stale_trials
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState
from scipy import stats
from sqlalchemy import create_engine, func, make_url, select
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from helpers import COLORS, NAMES, ROWS, run

JOURNAL = NAMES.with_name("studies.journal")  # every run of this machine
SERVER = "WAVENET_STORAGE"  # an environment variable: the URL of a PostgreSQL server, for many machines
FIRST = b'{"op_code":'  # the first bytes of each line of Optuna's journal
SECONDS_TO_ANSWER = 5
SECONDS_A_HEARTBEAT = 15
EXACT = {"n_resamples": 2**16, "rng": 0}  # up to 16 pairs all flips of signs are tried, then a sample of them
TAKEN = TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING  # cells that nobody else need run

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", ".*heartbeat", optuna.exceptions.ExperimentalWarning)


# ---- Storage -------------------------------------------------------------------------------------
def open_study(name: str, path: str | Path | None = None) -> optuna.Study:
    """The study `name`, made if need be, of the journal at `path`; with no path, of the PostgreSQL server
    that $WAVENET_STORAGE names, or else of data/studies.journal. ValueError if that cannot be used."""
    if path is None and os.environ.get(SERVER):
        storage = open_server(os.environ[SERVER])
    else:
        storage = open_journal(Path(path or JOURNAL))
    sampler = optuna.samplers.TPESampler(constant_liar=True)  # other workers' running trials count as bad
    what = {"study_name": name, "storage": storage, "sampler": sampler}
    try:
        return optuna.load_study(**what)  # only reads, while create_study always writes to the journal
    except KeyError:
        return optuna.create_study(**what, load_if_exists=True)


def open_server(url: str) -> RDBStorage:
    """The PostgreSQL database at `url`; ValueError if there is none, or none that answers."""
    options = {"connect_args": {"connect_timeout": SECONDS_TO_ANSWER}, "pool_pre_ping": True}
    try:
        if (backend := make_url(url).get_backend_name()) != "postgresql":
            raise ValueError(f"{backend} is not supported")
        with create_engine(
            url, **options
        ).begin() as connection:  # two that begin at once make no table twice
            connection.execute(select(func.pg_advisory_xact_lock(zlib.crc32(b"wavenet"))))
            return RDBStorage(url, options, heartbeat_interval=SECONDS_A_HEARTBEAT)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"no database answers at {SERVER} ({reason}): start the server, "
            "set the URL to postgresql://user:password@host/database, or unset it"
        ) from None


def open_journal(path: Path) -> JournalStorage:
    """The journal at `path`, new or mended if need be; ValueError if it is none or cannot be written."""
    try:
        backend = JournalFileBackend(str(path), JournalFileOpenLock(str(path)))
        cut_torn_line(path)
        return JournalStorage(backend)
    except OSError as error:
        raise ValueError(
            f"no journal can be kept at {path} ({error.strerror}): give a path you may write to"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(
            f"{path} is not a journal of studies: give another path; it is left as it is"
        ) from None


def cut_torn_line(path: Path) -> None:
    """Takes off what a killed process wrote of a last line: the next line would be appended to it.
    ValueError for a file that does not begin or end as a journal does; Optuna checks what is between."""
    lock = JournalFileOpenLock(str(path))
    lock.acquire()  # no other process is writing now, so a last line without its end has none to come
    try:
        with path.open("rb+") as file:
            text = file.read()
            whole, _, torn = text.rpartition(b"\n")
            if not (text.startswith(FIRST) or FIRST.startswith(text)):
                raise ValueError("another kind of file")
            json.loads(whole.rpartition(b"\n")[2] or b"{}")
            if torn:
                print(f"{path.name}: the last line was torn, {len(torn)} bytes are cut off")
                file.truncate(len(text) - len(torn))
    finally:
        lock.release()


# ---- Workers -------------------------------------------------------------------------------------
def signature() -> list:
    """What tells this process from any other, on this machine and since its start."""
    return [platform.node(), os.getpid(), psutil.Process().create_time()]


def is_dead(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether a running trial's process is gone; one of another machine is judged by its heartbeat alone."""
    if "worker" not in trial.user_attrs:  # it signs as soon as it has the trial
        return datetime.now() - trial.datetime_start > timedelta(seconds=10)
    machine, pid, start = trial.user_attrs["worker"]
    try:
        process = psutil.Process(pid)
        alive = abs(process.create_time() - start) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        alive = False
    return machine == platform.node() and not alive


def work(name: str, path: str | Path | None, cells: dict, run: Callable) -> None:
    """Runs one cell that waits in the study `name`, if there is any."""
    study = open_study(name, path)

    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr("worker", signature())
        cell = trial.user_attrs.get("cell")
        trials = study.get_trials(deepcopy=False, states=TAKEN)
        earlier = [t for t in trials if t.number < trial.number and t.user_attrs.get("cell") == cell]
        if earlier or cell not in cells:  # queued twice, by two that began at once; or not asked for now
            raise optuna.TrialPruned
        _, config, seed = cells[cell]
        record = run(config(trial) if callable(config) else config, seed)
        trial.set_user_attr("record", record)
        return math.inf if math.isnan(record["val"]) else record["val"]  # Optuna takes no nan

    if study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # a worker has one anyway, but a single worker is this process itself
        try:
            study.optimize(objective, n_trials=1)
        finally:
            torch.set_num_threads(threads)
    else:  # others run what is left: look again, but not all the time
        time.sleep(0.5)


# ---- A whole study -------------------------------------------------------------------------------
def make_cells(variants: dict | Iterable[str], seeds: Iterable[int], run: Callable) -> dict[str, tuple]:
    """{what a run depends on, as text: (variant, config, seed)}: another config or list of names is another
    cell. A search's trials are told apart by their number alone."""
    if not isinstance(variants, dict):
        if unknown := [variant for variant in variants if variant not in ROWS]:
            raise ValueError(
                f"unknown variants {unknown}: choose from {list(ROWS)}, or give {{name: config}}"
            )
        variants = {variant: ROWS[variant] for variant in variants}
    seeds, names = list(seeds), zlib.crc32(NAMES.read_bytes())
    if not variants or not seeds or min(seeds) < 0:
        raise ValueError(f"{len(variants)} variants, {seeds=}: give one or more of each, seeds from 0 up")
    cells = {}
    for variant, config in variants.items():
        what = config.__name__ if callable(config) else [type(config).__name__, asdict(config)]
        for seed in seeds:
            cells[json.dumps([run.__name__, what, seed, names])] = variant, config, seed
    return cells


def queue(study: optuna.Study, cells: dict) -> int:
    """Queues each cell that is not taken (what a dead process ran is free again); how many are finished."""
    taken, finished = set(), set()
    fail_stale_trials(study)  # those of other machines whose heartbeat stopped
    for trial in study.get_trials(deepcopy=False, states=TAKEN):
        if trial.state == TrialState.RUNNING and is_dead(trial):
            with suppress(UpdateFinishedTrialError):  # tell looks, then writes: another may be in between
                study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        else:
            taken.add(trial.user_attrs.get("cell"))
        if trial.state == TrialState.COMPLETE:
            finished.add(trial.user_attrs["cell"])
    for cell in cells:
        if cell not in taken:
            study.enqueue_trial({}, user_attrs={"cell": cell})
    return len(finished & cells.keys())


def run_study(name, variants, seeds, run=run, workers=2, path=None, progress=True) -> pd.DataFrame:
    """One row for each variant and seed: the record that run(config, seed) gave, now or earlier.

    `variants`: names of ROWS, or {name: config}, a config being a dataclass; or a function that makes one of
    an Optuna trial's suggestions, which makes the study a search with as many trials as seeds. The record is
    a dict that JSON can hold, with the loss to minimise as "val". Each of the `workers` is a process (one
    alone is this process) with one torch thread. Killed or interrupted at any moment, the same call goes on;
    finished runs are only read.
    """
    cells = make_cells(variants, seeds, run)
    study = open_study(name, path)
    layout = "{desc} |{bar}| {n_fmt}/{total_fmt} runs"  # no clock: the stored bars of two runs are equal
    bar = tqdm(
        total=len(cells), desc=name, disable=not progress, file=sys.stdout, ncols=79, bar_format=layout
    )
    with closing(bar), parallel_config("loky", inner_max_num_threads=1):
        finished = queue(study, cells)
        bar.update(finished)
        while finished < len(cells):  # again if a process that shared the work left some of it
            jobs = [delayed(work)(name, path, cells, run)] * (len(cells) - finished)
            try:
                for _ in Parallel(workers, return_as="generator_unordered")(jobs):
                    before, finished = finished, queue(study, cells)
                    bar.update(finished - before)
            except TerminatedWorkerError:
                done = f"{queue(study, cells)} of {len(cells)} runs are stored"
                raise RuntimeError(f"a worker of {name} died; {done}: run the same again to go on") from None
    return collect(study, cells)


def collect(study: optuna.Study, cells: dict) -> pd.DataFrame:
    """The records of the cells in their order; for a search also what Optuna suggested, and from what."""
    trials = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        trials[trial.user_attrs["cell"]] = trial
    rows = []
    for cell, (variant, _, seed) in cells.items():
        row = {"variant": variant, "seed": seed, **trials[cell].user_attrs["record"]}
        if params := trials[cell].params:
            kinds = {key: distribution_to_json(kind) for key, kind in trials[cell].distributions.items()}
            row |= {"params": params, "distributions": kinds}
        rows.append(row)
    return pd.DataFrame(rows)


# ---- Comparisons ---------------------------------------------------------------------------------
def interval(values: pd.Series, level: float = 0.95) -> tuple[float, float]:
    """The mean and half the width of its confidence interval (Student's t); nan for a single value."""
    return values.mean(), stats.t.ppf((1 + level) / 2, len(values) - 1) * values.sem()


def compare(results: pd.DataFrame, baseline: str, metric: str = "val", alpha: float = 0.05) -> pd.DataFrame:
    """For each variant the mean of `metric` and, seed by seed, its difference to `baseline`, each with half
    its 95 % interval (±), the exact two-sided sign-flip p-value, and how often it was lower."""
    table = results.pivot(index="seed", columns="variant", values=metric)
    if baseline not in table:
        raise ValueError(f"unknown baseline {baseline!r}: choose one of {list(table)}")
    rows = {}
    for variant in results["variant"].unique():
        row = rows[variant] = dict(zip(["mean", "± mean"], interval(table[variant].dropna())))
        difference = (table[variant] - table[baseline]).dropna()
        if variant == baseline:
            continue
        n, lower = len(difference), (difference < 0).sum()
        p = stats.permutation_test([difference], np.mean, permutation_type="samples", **EXACT).pvalue
        verdict = "lower" if difference.mean() < 0 else "higher"
        row |= dict(zip(["difference", "± difference"], interval(difference)))
        row |= {"p": p, "wins": f"{lower}/{n}"}
        row |= {"verdict": verdict if p < alpha else f"not distinguishable at {n} seeds"}
    return pd.DataFrame.from_dict(rows, orient="index")


def plot_runs(results: pd.DataFrame, metric: str = "val", ax: plt.Axes | None = None) -> plt.Axes:
    """Each seed's `metric` as a dot, a row for each variant; the bar is the 95 % interval of the mean."""
    ax = ax or plt.subplots(figsize=(8, 3.5))[1]
    for variant, values in results.groupby("variant", sort=False)[metric]:
        ax.plot(values, [variant] * len(values), "o", alpha=0.5, color=COLORS.get(variant, "black"))
        mean, half = interval(values)
        ax.errorbar(mean, variant, xerr=half, fmt="k|", ms=14, lw=1.5, zorder=3)
    ax.invert_yaxis()
    ax.set_xlabel(f"{metric} loss, nats per character")
    return ax

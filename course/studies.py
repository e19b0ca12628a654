"""Many runs: a study calls run(config, seed) for each variant and seed, in processes.

Optuna stores each finished run at once (see `course.storage`), so a killed study
continues where it stopped. Notebook 05 shows how to use it. Every worker is a new
process, so imports are few: torch and pandas are imported only where they are needed.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import optuna
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from optuna.distributions import distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import fail_stale_trials
from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from course import storage
from course.cells import (
    Cell,
    check_record,
    loss_of,
    make_cells,
    make_result,
    read_result,
)
from course.checks import check_bool, check_integer
from course.identity import describe_code, list_changes
from course.interrupts import GRACE, Interrupts
from course.storage import is_gone, open_study, signature

if TYPE_CHECKING:
    import pandas as pd

SECONDS_TO_SIGN = 10  # for a run that has just begun
SECONDS_BETWEEN_LOOKS = 0.5  # of a worker that has no run left
CHANGES_SHOWN = 3  # how many a message lists
# States of the runs that nobody else needs to do.
TAKEN = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)

BUSY = set()  # (study, trial) of the runs in this process

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", ".*heartbeat", optuna.exceptions.ExperimentalWarning)


# ---- Interrupts --------------------------------------------------------------------
class Presses(Interrupts):
    """Kernel -> Interrupt during a study: the first one raises KeyboardInterrupt.

    A second one does not disturb the shutdown that the first one began, unless that
    takes longer than `GRACE` seconds.
    """

    def __init__(self):
        super().__init__()
        self.stopping = -math.inf  # when the shutdown began

    def __reduce__(self):
        return Presses, ()  # in a worker, where nothing is ever pressed

    def note(self, number, frame) -> None:
        """The handler that Python calls for a press."""
        self.pressed = True
        self.since = time.monotonic()
        if self.since - self.stopping > GRACE:
            self.stop()
            raise KeyboardInterrupt

    def stop(self) -> None:
        """From now on, presses wait."""
        self.stopping = time.monotonic()


@contextmanager
def no_worker_left(ends: Generator, presses: Presses) -> Iterator[None]:
    """Kills the workers after an error or Ctrl-C, wherever that is raised."""
    try:
        yield
    except BaseException as error:
        presses.stop()
        with suppress(BaseException):
            ends.throw(error)  # joblib does so itself for an error in its own loop
        raise


# ---- Workers -----------------------------------------------------------------------
class Job(NamedTuple):
    """What a worker needs to know."""

    name: str  # of the study
    path: str | Path | None
    cells: dict[str, Cell]
    run: Callable
    made_with: dict  # see describe_code
    parent: int  # the number of the process that started it
    presses: Presses


def is_dead(trial: FrozenTrial, study: str = "") -> bool:
    """Whether a trial that is marked as running has lost its process.

    A trial on another machine counts as alive: only its heartbeat can tell.
    """
    if "worker" not in trial.user_attrs:  # they sign at once
        age = datetime.now() - trial.datetime_start
        return age > timedelta(seconds=SECONDS_TO_SIGN)
    worker = trial.user_attrs["worker"]
    if worker == signature():  # this process, perhaps after an interrupt
        return (study, trial.number) not in BUSY
    return is_gone(worker)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """One thread for torch, if it is loaded; afterwards as many as before again."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def heartbeat(study: optuna.Study, trial: optuna.Trial) -> Iterator[None]:
    """Tells the server every few seconds that the run is alive."""
    server = study._storage
    if not hasattr(server, "record_heartbeat"):  # a journal
        yield
        return
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(storage.SECONDS_BETWEEN_HEARTBEATS):
            with suppress(Exception):  # the server may be away for a moment
                server.record_heartbeat(trial._trial_id)

    server.record_heartbeat(trial._trial_id)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def work(job: Job) -> None:
    """Runs one of the cells that are waiting in the study, if there are any."""
    if os.getpid() != job.parent:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    study = open_study(job.name, job.path)
    if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        time.sleep(SECONDS_BETWEEN_LOOKS)  # others are running what is left
        return
    # study.optimize would fail if another process had ended the trial, which happens
    # when it seemed dead because its machine was asleep. Here only that run is lost.
    # A worker has one thread anyway, but a single worker is this process itself.
    with one_torch_thread(), suppress(UpdateFinishedTrialError):
        run_trial(study, study.ask(), job)


def run_trial(study: optuna.Study, trial: optuna.Trial, job: Job) -> None:
    """Runs the trial's cell and stores its record."""
    busy = (job.name, trial.number)
    BUSY.add(busy)
    try:
        with heartbeat(study, trial):  # before it signs, so that it can count as dead
            trial.set_user_attr("worker", signature())
            key = trial.user_attrs.get("cell")
            if key not in job.cells or is_taken(study, trial.number, key):
                study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
                return
            record = run_cell(trial, job.cells[key], job)
            more = {"params": trial.params, "made_with": job.made_with}
            trial.set_user_attr("result", make_result(key, record, **more))
            study.tell(trial, loss_of(record), skip_if_finished=True)
    except BaseException:
        job.presses.stop()
        with suppress(Exception):  # it may be the storage that failed
            study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        raise
    finally:
        BUSY.discard(busy)


def is_taken(study: optuna.Study, number: int, key: str) -> bool:
    """Whether an earlier trial has the cell, as two processes queued it at once."""
    for other in study.get_trials(deepcopy=False, states=TAKEN):
        if other.number < number and other.user_attrs.get("cell") == key:
            return True
    return False


def run_cell(trial: optuna.Trial, cell: Cell, job: Job) -> dict:
    """The record of one run; KeyboardInterrupt if it was interrupted."""
    config = cell.config(trial) if callable(cell.config) else cell.config
    record = job.run(config, cell.seed)
    if job.presses.pressed:
        raise KeyboardInterrupt  # which `run` did not pass on
    return check_record(record, job.run.__name__)


# ---- A whole study -----------------------------------------------------------------
def run_study(
    name: str,
    variants: dict | Iterable[str],
    seeds: Iterable[int],
    run: Callable[[object, int], dict],
    *,
    workers: int = 2,
    path: str | Path | None = None,
    progress: bool = True,
    version: str | None = None,
) -> pd.DataFrame:
    """A row for each variant and seed: what run(config, seed) returned, now or earlier.

    `variants` is {name: config}, where a config is a dataclass, or a list of names of
    the lecture's models. Instead of a config, you can give a function that makes one
    from an Optuna trial; then the study is a search with as many trials as seeds. `run`
    returns a record, a dict that JSON can store, with the loss to minimise as "val".

    A finished run is identified by its config, its seed, the names file, and the
    module, name and source of `run` (without comments). A `version`, a text, replaces
    the source: an edited `run` then keeps its finished runs until you name another
    version. If torch or anything that `run` calls has changed, the runs are kept and a
    message tells you.

    Each of the `workers` is a process with one torch thread; a single one is this
    process itself. `path` is as in `open_study`. After a kill or an interrupt, the same
    call continues; finished runs are only read. RuntimeError if a worker dies.
    """
    workers = check_integer("workers", workers, least=1)
    progress = check_bool("progress", progress)
    cells = make_cells(variants, seeds, run, version)
    study = open_study(name, path)
    configs = [cell.config for cell in cells.values()]
    kinds = [config if callable(config) else type(config) for config in configs]
    made_with = describe_code(run, *kinds)
    presses = Presses()
    job = Job(name, path, cells, run, made_with, os.getpid(), presses)
    bar = tqdm(
        total=len(cells),
        desc=name,
        disable=not progress,
        file=sys.stdout,
        ncols=79,
        bar_format="{desc} |{bar}| {n_fmt}/{total_fmt} runs",  # no time: see helpers
    )
    tell_changes(study, cells, made_with)
    with presses, closing(bar), parallel_config("loky", inner_max_num_threads=1):
        finished = queue(study, cells)
        bar.update(finished)
        # Again, if a process that shared the work has left some of it undone.
        while finished < len(cells):
            parallel = Parallel(workers, return_as="generator_unordered")
            try:
                ends = parallel([delayed(work)(job)] * (len(cells) - finished))
                with no_worker_left(ends, presses):
                    for _ in ends:
                        finished = queue(study, cells)
                        bar.update(finished - bar.n)
            except TerminatedWorkerError:
                done = f"{queue(study, cells)} of {len(cells)} runs are stored"
                cure = "run the same again to go on"
                raise RuntimeError(f"a worker of {name} died; {done}: {cure}") from None
    return collect(study, cells)


def tell_changes(study: optuna.Study, cells: dict[str, Cell], now: dict) -> None:
    """Prints what has changed since the stored runs were made, if anything has."""
    kept = 0
    changes = {}  # a set with an order
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if trial.user_attrs.get("cell") not in cells:
            continue
        before = read_result(study, trial).get("made_with")
        found = list_changes(before, now) if before else []
        if found:
            kept += 1
            changes |= dict.fromkeys(found)
    if changes:
        shown = ", ".join(list(changes)[:CHANGES_SHOWN])
        if len(changes) > CHANGES_SHOWN:
            shown += f", and {len(changes) - CHANGES_SHOWN} more"
        print(
            f"{study.study_name}: {kept} finished runs are kept, although since then "
            f"{shown}. To run them again, give another version: "
            "run_study(..., version='2')"
        )


def queue(study: optuna.Study, cells: dict[str, Cell]) -> int:
    """Queues each cell that nobody has taken; returns how many are finished.

    A cell that a dead process was running counts as not taken.
    """
    taken = set()
    finished = set()
    dead = []
    fail_stale_trials(study)  # those of other machines whose heartbeat stopped
    for trial in study.get_trials(deepcopy=False, states=TAKEN):
        key = trial.user_attrs.get("cell")
        if trial.state == TrialState.RUNNING and is_dead(trial, study.study_name):
            dead.append(trial.number)
            continue
        taken.add(key)
        if trial.state == TrialState.COMPLETE and key in cells:
            read_result(study, trial)  # ValueError before anything is changed
            finished.add(key)
    for number in dead:
        # Another process may end the trial just before `tell` does.
        with suppress(UpdateFinishedTrialError):
            study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
    for key in cells:
        if key not in taken:
            study.enqueue_trial({}, user_attrs={"cell": key})
    return len(finished)


def collect(study: optuna.Study, cells: dict[str, Cell]) -> pd.DataFrame:
    """The records of the cells as a table, in the order of the cells.

    For a search, also what Optuna suggested ("params"), and from which "distributions".
    """
    import pandas as pd  # here, because no worker needs it

    trials = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        trials[trial.user_attrs.get("cell")] = trial
    rows = []
    for key, cell in cells.items():
        trial = trials[key]
        who = {"variant": cell.variant, "seed": cell.seed}
        row = who | read_result(study, trial)["record"] | who
        if trial.params:
            row["params"] = trial.params
            row["distributions"] = {}
            for knob, distribution in trial.distributions.items():
                row["distributions"][knob] = distribution_to_json(distribution)
        rows.append(row)
    return pd.DataFrame(rows)

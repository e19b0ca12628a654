"""Many runs: a study calls run(config, seed) for each variant and seed, in processes.

Optuna stores each finished run at once, in a journal (a file to which lines are only
added) or on a PostgreSQL server, so that a killed study goes on where it stopped.
Notebook 05 uses all of it. Imports are few, because every worker is a new process:
torch, pandas and SQLAlchemy are imported only where they are needed.
"""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import optuna
import psutil
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from optuna.distributions import distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage, RDBStorage, fail_stale_trials
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

if TYPE_CHECKING:
    import pandas as pd

DATA = Path(__file__).parents[1] / "data"
NAMES = DATA / "names.txt"
JOURNAL = DATA / "studies.journal"  # every run of this machine
SERVER = "WAVENET_STORAGE"  # an environment variable: the URL of a PostgreSQL server
FIRST_BYTES = b'{"op_code":'  # of each line of Optuna's journal
SECONDS_TO_ANSWER = 5  # for the server
SECONDS_BETWEEN_HEARTBEATS = 15  # of a run on the server
SECONDS_TO_SIGN = 10  # for a run that has just begun
SECONDS_BETWEEN_LOOKS = 0.5  # of a worker for whom no run is left
# What nobody else need run.
TAKEN = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", ".*heartbeat", optuna.exceptions.ExperimentalWarning)


# ---- Storage -----------------------------------------------------------------------
def open_study(name: str, path: str | Path | None = None) -> optuna.Study:
    """The study `name`, made if need be.

    It is kept in the journal at `path`; without a path, on the PostgreSQL server that
    $WAVENET_STORAGE names, or else in data/studies.journal. ValueError if that cannot
    be used.
    """
    url = os.environ.get(SERVER)
    if path is None and url:
        storage = open_server(url)
    else:
        storage = open_journal(Path(path or JOURNAL))
    # A search takes the trials that other workers are running for bad ones.
    sampler = optuna.samplers.TPESampler(constant_liar=True)
    options = {"study_name": name, "storage": storage, "sampler": sampler}
    try:
        return optuna.load_study(**options)  # only reads; create_study always writes
    except KeyError:
        return optuna.create_study(**options, load_if_exists=True)


def open_server(url: str) -> RDBStorage:
    """The PostgreSQL database at `url`; ValueError if there is none that answers."""
    import sqlalchemy  # here, since only a server needs it

    connect = {"connect_timeout": SECONDS_TO_ANSWER}
    options = {"connect_args": connect, "pool_pre_ping": True}
    lock = sqlalchemy.func.pg_advisory_xact_lock(zlib.crc32(b"wavenet"))
    try:
        backend = sqlalchemy.make_url(url).get_backend_name()
        if backend != "postgresql":
            raise ValueError(f"{backend} is not supported")
        engine = sqlalchemy.create_engine(url, **options)
        with engine.begin() as connection:
            # Of two processes that begin at once, one makes the tables.
            connection.execute(sqlalchemy.select(lock))
            heartbeat = SECONDS_BETWEEN_HEARTBEATS
            return RDBStorage(url, options, heartbeat_interval=heartbeat)
    except ImportError as error:
        raise ValueError(
            f"{SERVER} names a server, and its driver is missing ({error}): "
            "install the extra, pip install -e .[server], or unset the variable"
        ) from None
    except (sqlalchemy.exc.SQLAlchemyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"no database answers at {SERVER} ({reason}): start the server, "
            "set the URL to postgresql://user:password@host/database, or unset it"
        ) from None


def open_journal(path: Path) -> JournalStorage:
    """The journal at `path`, made or repaired if need be.

    ValueError if the file is no journal, or cannot be written.
    """
    try:
        backend = JournalFileBackend(str(path), JournalFileOpenLock(str(path)))
        cut_torn_line(path)
        return JournalStorage(backend)
    except OSError as error:
        reason = error.strerror
        raise ValueError(
            f"no journal can be kept at {path} ({reason}): give a path you may write to"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(
            f"{path} is not a journal of studies: give another path; it was not changed"
        ) from None


def cut_torn_line(path: Path) -> None:
    """Takes off what a killed process wrote of a last line.

    Otherwise the next line would be appended to it. ValueError for a file that does
    not begin or end as a journal does; Optuna checks what is between.
    """
    lock = JournalFileOpenLock(str(path))
    lock.acquire()  # nobody is writing now, so what is torn will not be completed
    try:
        with path.open("rb+") as file:
            text = file.read()
            if not text.startswith(FIRST_BYTES) and not FIRST_BYTES.startswith(text):
                raise ValueError("another kind of file")
            whole, _, torn = text.rpartition(b"\n")
            last = whole.rpartition(b"\n")[2]
            json.loads(last or b"{}")  # ValueError if it is no JSON
            if torn:
                size = len(torn)
                print(f"{path.name}: the last line was torn, {size} bytes are cut off")
                file.truncate(len(text) - size)
    finally:
        lock.release()


# ---- Cells: what there is to run ---------------------------------------------------
class Cell(NamedTuple):
    """One run of a study."""

    variant: str
    config: object  # a dataclass, or a function that makes one of an Optuna trial
    seed: int


def make_cells(
    variants: dict | Iterable[str], seeds: Iterable[int], run: Callable
) -> dict[str, Cell]:
    """{all that a run depends on, as text: the cell}.

    So a changed config, or another list of names, is another cell. The trials of a
    search are told apart by their number alone.
    """
    if not isinstance(variants, dict):
        variants = lecture_models(variants)
    seeds = list(seeds)
    if not variants or not seeds or min(seeds) < 0:
        given = f"{len(variants)} variants, {seeds=}"
        raise ValueError(f"{given}: give one or more of each, seeds from 0 up")
    names = zlib.crc32(NAMES.read_bytes())
    cells = {}
    for variant, config in variants.items():
        if callable(config):
            what = config.__name__
        else:
            what = [type(config).__name__, asdict(config)]
        for seed in seeds:
            key = json.dumps([run.__name__, what, seed, names])
            cells[key] = Cell(variant, config, seed)
    return cells


def lecture_models(names: Iterable[str]) -> dict:
    """{name: config} for some of the lecture's models."""
    from course.runs import LECTURE_MODELS  # here, since it loads torch

    names = list(names)
    unknown = [name for name in names if name not in LECTURE_MODELS]
    if unknown:
        allowed = f"choose from {list(LECTURE_MODELS)}, or give {{name: config}}"
        raise ValueError(f"unknown variants {unknown}: {allowed}")
    return {name: LECTURE_MODELS[name] for name in names}


# ---- Workers -----------------------------------------------------------------------
def signature() -> list:
    """What tells this process from any other, on this machine and since its start."""
    return [platform.node(), os.getpid(), psutil.Process().create_time()]


def is_dead(trial: FrozenTrial) -> bool:
    """Whether the process of a running trial is gone.

    One of another machine counts as alive here: its heartbeat alone can tell.
    """
    if "worker" not in trial.user_attrs:  # it signs as soon as it has the trial
        age = datetime.now() - trial.datetime_start
        return age > timedelta(seconds=SECONDS_TO_SIGN)
    machine, pid, start = trial.user_attrs["worker"]
    if machine != platform.node():
        return False
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - start) > 2:
            return True  # a later process has the same number
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """One thread for torch, if it is loaded; afterwards as many as before."""
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


def work(name: str, path: str | Path | None, cells: dict, run: Callable) -> None:
    """Runs one cell that waits in the study `name`, if there is any."""
    study = open_study(name, path)
    if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        time.sleep(SECONDS_BETWEEN_LOOKS)  # others are running what is left
        return
    # A worker has one thread anyway, but a single worker is this process itself.
    with one_torch_thread():
        study.optimize(partial(run_trial, cells=cells, run=run), n_trials=1)


def run_trial(trial: optuna.Trial, cells: dict, run: Callable) -> float:
    """Runs the trial's cell and stores its record; the loss to minimise."""
    trial.set_user_attr("worker", signature())
    key = trial.user_attrs.get("cell")
    for other in trial.study.get_trials(deepcopy=False, states=TAKEN):
        if other.number < trial.number and other.user_attrs.get("cell") == key:
            raise optuna.TrialPruned  # two that began at once had both queued it
    if key not in cells:
        raise optuna.TrialPruned  # not asked for now
    cell = cells[key]
    config = cell.config(trial) if callable(cell.config) else cell.config
    record = run(config, cell.seed)
    trial.set_user_attr("record", record)
    loss = record["val"]
    return math.inf if math.isnan(loss) else loss  # Optuna takes no nan


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
) -> pd.DataFrame:
    """A row for each variant and seed: what run(config, seed) gave, now or earlier.

    `variants` is {name: config}, a config being a dataclass, or names of the lecture's
    models. In the place of a config may stand a function that makes one of an Optuna
    trial's suggestions: then the study is a search with as many trials as seeds. A
    record is a dict that JSON can hold, with the loss to minimise as "val".

    Each of the `workers` is a process with one torch thread; one alone is this process
    itself. `path` is as in `open_study`. Killed or interrupted at any moment, the same
    call goes on; what is finished is only read. RuntimeError if a worker dies.
    """
    cells = make_cells(variants, seeds, run)
    study = open_study(name, path)
    bar = tqdm(
        total=len(cells),
        desc=name,
        disable=not progress,
        file=sys.stdout,
        ncols=79,
        bar_format="{desc} |{bar}| {n_fmt}/{total_fmt} runs",  # no clock: see helpers
    )
    with closing(bar), parallel_config("loky", inner_max_num_threads=1):
        finished = queue(study, cells)
        bar.update(finished)
        # Again, if a process that shared the work has left some of it.
        while finished < len(cells):
            parallel = Parallel(workers, return_as="generator_unordered")
            job = delayed(work)(name, path, cells, run)
            try:
                for _ in parallel([job] * (len(cells) - finished)):
                    finished = queue(study, cells)
                    bar.update(finished - bar.n)
            except TerminatedWorkerError:
                done = f"{queue(study, cells)} of {len(cells)} runs are stored"
                cure = "run the same again to go on"
                raise RuntimeError(f"a worker of {name} died; {done}: {cure}") from None
    return collect(study, cells)


def queue(study: optuna.Study, cells: dict[str, Cell]) -> int:
    """Queues each cell that nobody has taken; returns how many are finished.

    What a dead process was running is free again.
    """
    taken = set()
    finished = set()
    fail_stale_trials(study)  # those of other machines whose heartbeat stopped
    for trial in study.get_trials(deepcopy=False, states=TAKEN):
        key = trial.user_attrs.get("cell")
        if trial.state == TrialState.RUNNING and is_dead(trial):
            # Another process may end it between the look of `tell` and its writing.
            with suppress(UpdateFinishedTrialError):
                number = trial.number
                study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
            continue
        taken.add(key)
        if trial.state == TrialState.COMPLETE:
            finished.add(key)
    for key in cells:
        if key not in taken:
            study.enqueue_trial({}, user_attrs={"cell": key})
    return len(finished & cells.keys())


def collect(study: optuna.Study, cells: dict[str, Cell]) -> pd.DataFrame:
    """The records of the cells in their order.

    Of a search also what Optuna suggested ("params"), and from what.
    """
    import pandas as pd  # here, since no worker needs it

    trials = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        trials[trial.user_attrs["cell"]] = trial
    rows = []
    for key, cell in cells.items():
        trial = trials[key]
        row = {"variant": cell.variant, "seed": cell.seed}
        row |= trial.user_attrs["record"]
        if trial.params:
            row["params"] = trial.params
            row["distributions"] = {}
            for knob, distribution in trial.distributions.items():
                row["distributions"][knob] = distribution_to_json(distribution)
        rows.append(row)
    return pd.DataFrame(rows)

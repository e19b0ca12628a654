"""course.studies: what survives a kill, a rival, a torn file and bad input."""

import json
import math
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from glob import glob
from pathlib import Path

import optuna
import pandas as pd
import psutil
import pytest
from optuna.trial import TrialState, create_trial

from course import cells, storage, studies
from course.cells import make_cells
from course.runs import LECTURE_MODELS, RunConfig
from course.studies import is_dead, one_torch_thread, open_study, run_study
from helpers import Vocab, build_dataset

# pytest undoes the filter of studies.py
pytestmark = pytest.mark.filterwarnings("ignore:.*heartbeat")

ROOT = Path(__file__).parents[1]
PATIENCE = 120  # seconds: Optuna waits 30 for the lock of a process killed with it
THREE = {f"hidden {hidden}": RunConfig(hidden=hidden) for hidden in (1, 2, 3)}
TINY = RunConfig(steps=3, hidden=8, embedding_dim=2, block_size=2)


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    """A journal of the test's own, which is also the default one; no server."""
    monkeypatch.setattr(storage, "JOURNAL", tmp_path / "test.journal")
    monkeypatch.delenv(storage.SERVER, raising=False)
    return storage.JOURNAL


def run_here(calls=None, variants=THREE, seeds=range(4), *, name="naps", path=None,
             val=None, progress=False):  # fmt: skip
    """A study in this process; its runs take no time and are noted in `calls`."""

    def note(config, seed):
        if calls is not None:
            calls.append((config.hidden, seed))
        return {"val": config.hidden + seed / 10 if val is None else val}

    options = {"workers": 1, "path": path, "progress": progress}
    return run_study(name, variants, seeds, note, version="1", **options)


class Once(list):
    """Calls of a study in which no cell may be run twice."""

    def append(self, call):
        assert call not in self
        super().append(call)


def finished(name="naps", path=None):
    """How often each cell of the study is finished."""
    trials = open_study(name, path).get_trials(states=(TrialState.COMPLETE,))
    return Counter(trial.user_attrs["cell"] for trial in trials)


def in_another_process(code):
    """What the code prints in a Python of its own."""
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_studies_load_nothing_that_a_worker_does_not_need():
    unwanted = {"torch", "pandas", "scipy", "matplotlib", "sqlalchemy", "helpers"}
    code = f"import sys, course.studies\nprint({unwanted} & set(sys.modules))"
    assert in_another_process(code) == "set()\n"


# ---- Processes that are killed, or get in each other's way -------------------------
SCRIPT = """
import os, sys, time
from dataclasses import dataclass
from course import storage, studies

LOG, HOLD, JOURNAL = sys.argv[1:]

@dataclass
class Nap:
    hidden: int

def note(*words):
    with open(LOG, "a", encoding="utf-8") as log:
        log.write(" ".join(map(str, words)) + "\\n")

def nap(config, seed):
    note(config.hidden, seed, os.getpid(), "start")
    with open(LOG, encoding="utf-8") as log:
        is_first = f" {os.getpid()} end" not in log.read()
    while os.path.exists(HOLD) and not is_first:
        time.sleep(0.05)
    time.sleep(float(os.environ.get("NAP", 0.3)))
    note(config.hidden, seed, os.getpid(), "end")
    return {"val": config.hidden + seed / 10}

if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    variants = {f"hidden {hidden}": Nap(hidden) for hidden in (1, 2, 3)}
    options = {"path": JOURNAL or None, "progress": False}
    if "HEARTBEAT" in os.environ:
        storage.SECONDS_BETWEEN_HEARTBEATS = int(os.environ["HEARTBEAT"])
        options["workers"] = 1  # this process: in another one nothing was changed
    results = studies.run_study("naps", variants, range(4), nap, **options)
    print(results.to_json(orient="records"))
"""


class Script:
    """A process of its own that runs a study of 12 cells with 2 workers.

    The cells are 3 variants with 4 seeds; each notes its start and its end in a log.
    While the file `hold` exists, every worker ends one run and stays in its second.
    """

    def __init__(self, folder, journal):
        (folder / "naps.py").write_text(SCRIPT, encoding="utf-8")
        self.log = folder / "log.txt"
        self.log.touch()
        self.workers = []
        files = [str(self.log), str(folder / "hold"), str(journal)]
        self.errors = tempfile.TemporaryFile(
            "w+", encoding="utf-8"
        )  # orphans would keep a pipe open
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, str(folder / "naps.py"), *files],
            env=os.environ | {"PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            encoding="utf-8",
        )

    def start(self):
        """Lets it begin, as soon as all is imported."""
        assert self.process.stdout.readline() == "ready\n", self.last_words()
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def rows(self):
        """Its results, when it has them."""
        out, _ = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, self.last_words()
        return json.loads(out.splitlines()[-1])

    def last_words(self):
        """The last line of its errors, when it has ended."""
        self.process.wait(PATIENCE)
        self.errors.seek(0)
        return (self.errors.read().splitlines() or [""])[-1]

    def events(self):
        """[(hidden and seed, pid, start or end), ...] of all scripts with this log."""
        events = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            hidden, seed, pid, what = line.split()
            events.append(((hidden, seed), int(pid), what))
        return events

    def is_mine(self, pid):
        """Whether the process is one of this script's workers."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(pid).ppid() == self.process.pid
        return False

    def kill(self, whom):
        """SIGKILL in the middle of two runs, when both workers have ended another."""
        parent = psutil.Process(self.process.pid)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            time.sleep(0.02)
            if self.process.poll() is not None:
                pytest.fail(f"ended before it could be killed: {self.last_words()}")
            events = self.events()
            mine = {pid for _, pid, _ in events if self.is_mine(pid)}
            ends = [pid for _, pid, what in events if what == "end" and pid in mine]
            if len(mine) < 2 or len(ends) < 2:
                continue
            self.workers = [psutil.Process(pid) for pid in mine]
            for worker in self.workers:  # none ends its run between look and kill
                worker.suspend()
            time.sleep(0.02)
            last = {pid: what for _, pid, what in self.events()}
            hit = all(last[worker.pid] == "start" for worker in self.workers)
            if hit:
                victims = {"workers": self.workers, "parent": [parent]}
                for victim in victims.get(whom, [parent, *self.workers]):
                    victim.kill()
            for worker in self.workers:
                with suppress(psutil.NoSuchProcess):
                    worker.resume()
            if hit:
                return
        pytest.fail("no two workers were in the middle of a run")

    def clean(self):
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            self.workers += [parent, *parent.children(recursive=True)]
        for process in self.workers:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.communicate()
        self.errors.close()


@pytest.fixture
def hold(tmp_path):
    """A file: while it exists, no worker gets further than its second run."""
    path = tmp_path / "hold"
    path.touch()
    return path


@pytest.fixture
def begin(tmp_path):
    """A function that starts `n` scripts at the same moment."""
    scripts = []

    def begin(journal="", n=1):
        scripts.extend(Script(tmp_path, journal) for _ in range(n))
        for script in scripts[-n:]:
            script.start()
        return scripts[-n:]

    yield begin
    for script in scripts:
        script.clean()


def check_all_ran_once(script, journal=None):
    """12 rows of 12 cells, each finished once, and none begun again after its end."""
    expected = [hidden + seed / 10 for hidden in (1, 2, 3) for seed in range(4)]
    assert sorted(row["val"] for row in script.rows()) == expected
    assert list(finished(path=journal).values()) == [1] * 12
    ended = set()
    for cell, _, what in script.events():
        assert cell not in ended, f"{cell} had ended and was begun again"
        if what == "end":
            ended.add(cell)
    assert len(ended) == 12


@pytest.mark.parametrize("victims", [["workers"] * 3, ["all", "parent"]], ids=" ".join)
def test_a_killed_study_goes_on_and_loses_only_the_runs_in_progress(
    begin, journal, hold, victims
):
    for whom in victims:
        (script,) = begin(journal)
        script.kill(whom)
        words = script.last_words()
        if whom == "workers":
            assert "RuntimeError: a worker of naps died" in words
            assert "of 12 runs are stored: run the same again to go on" in words
    hold.unlink()
    (script,) = begin(journal)
    check_all_ran_once(script)


def test_two_processes_that_begin_at_once_share_the_runs(begin, journal):
    for script in begin(journal, 2):
        check_all_ran_once(script)


@pytest.fixture(scope="module")
def psycopg():
    """The driver of the server, which is an extra."""
    return pytest.importorskip("psycopg", reason="pip install -e .[server]")


@pytest.fixture(scope="module")
def server(psycopg):
    """The URL of a PostgreSQL server.

    $TEST_POSTGRESQL_URL, or one on loopback that ends with the tests.
    """
    if url := os.environ.get("TEST_POSTGRESQL_URL"):
        yield url
        return
    found = glob("/usr/lib/postgresql/*/bin/initdb")
    found += list(filter(None, [shutil.which("initdb")]))
    if not found:
        pytest.skip("no PostgreSQL is installed, and TEST_POSTGRESQL_URL names none")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    programs = Path(found[0]).parent
    folder = tempfile.mkdtemp(prefix="postgresql-")
    quiet = {
        "cwd": folder,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    if os.name == "posix" and os.getuid() == 0:  # the server refuses root
        quiet |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
    make = [programs / "initdb", "-D", folder, "-U", "tester", "-A", "trust"]
    subprocess.run([*make, "-E", "UTF8", "--no-sync"], check=True, **quiet)
    serve = [programs / "postgres", "-D", folder]
    serve += ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}"]
    serve += ["-c", "unix_socket_directories=", "-c", "fsync=off"]
    with subprocess.Popen(serve, **quiet) as process:
        url = f"postgresql://tester@127.0.0.1:{port}/postgres"
        for attempt in range(100):
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                running = attempt < 99 and process.poll() is None
                assert running, "the server did not start"
                time.sleep(0.1)
        yield url
        process.terminate()
        process.wait(30)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(server, psycopg):
    """The URL of a new, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield server.rpartition("/")[0] + f"/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_two_processes_share_a_postgresql_server_though_one_is_killed(
    begin, database, hold, monkeypatch
):
    monkeypatch.setenv(storage.SERVER, database)
    killed, other = begin(n=2)
    killed.kill("workers")
    assert "a worker of naps died" in killed.last_words()
    hold.unlink()
    (resumed,) = begin()
    for script in (other, resumed):
        check_all_ran_once(script)


def test_a_worker_that_slept_longer_than_its_heartbeat_may_ends_well(
    begin, database, hold, monkeypatch
):
    monkeypatch.setenv(storage.SERVER, database)
    monkeypatch.setenv("HEARTBEAT", "1")  # second; two later it counts as dead
    monkeypatch.setenv("NAP", "0.05")
    sleeper, other = begin(n=2)
    pid = sleeper.process.pid
    deadline = time.monotonic() + PATIENCE
    second = ["start", "end", "start"]
    while [what for _, who, what in sleeper.events() if who == pid] != second:
        assert time.monotonic() < deadline, "it did not come to its second run"
        time.sleep(0.05)
    psutil.Process(pid).suspend()  # in the middle of its second run
    hold.unlink()
    results = other.rows()  # which runs that cell, too
    psutil.Process(pid).resume()
    assert sleeper.rows() == results and len(results) == 12
    assert list(finished().values()) == [1] * 12
    states = Counter(trial.state.name for trial in open_study("naps").get_trials())
    assert states["COMPLETE"] == 12 and states["FAIL"] == 1
    assert states["RUNNING"] == states["WAITING"] == 0


@pytest.mark.parametrize("kind", ["journal", "PostgreSQL"])
def test_a_dead_run_that_two_processes_find_at_once_is_run_once(
    request, monkeypatch, dead, kind
):
    if kind == "PostgreSQL":
        monkeypatch.setenv(storage.SERVER, request.getfixturevalue("database"))
    run_here(name="another study", seeds=[0])
    rival = open_study("naps")
    trial = running(dead)
    trial.user_attrs["cell"] = next(iter(finished("another study")))  # a needed run
    rival.add_trial(trial)
    beaten = []

    def between(sampler, study, trial, state, values):
        """`tell` calls it after its look and before it writes."""
        if state == TrialState.FAIL and study is not rival:
            rival.tell(trial.number, state=state)
            beaten.append(trial.number)

    monkeypatch.setattr(optuna.samplers.TPESampler, "after_trial", between)
    results = run_here(Once())
    assert beaten == [0] and len(results) == 12
    assert list(finished().values()) == [1] * 12


# ---- What is run, and what is only read ---------------------------------------------
def test_a_finished_study_is_only_read(journal):
    first = run_here()
    stored = journal.read_bytes()
    again = run_here(calls := [])
    assert calls == [] and journal.read_bytes() == stored
    pd.testing.assert_frame_equal(first, again)
    order = [(variant, seed) for variant in THREE for seed in range(4)]
    assert list(zip(again["variant"], again["seed"])) == order


def test_more_seeds_run_the_new_ones_alone():
    run_here(seeds=range(2))
    results = run_here(calls := [])
    new = [(hidden, seed) for hidden in (1, 2, 3) for seed in (2, 3)]
    assert sorted(calls) == new
    assert len(results) == 12


@pytest.mark.parametrize(
    "change", [{"hidden": 4}, {"lr": 0.01}, {"leak_free": True}], ids=str
)
def test_a_changed_config_is_run_though_its_name_is_the_same(change):
    run_here()
    changed = THREE | {"hidden 1": replace(THREE["hidden 1"], **change)}
    run_here(calls := [], changed)
    assert calls == [(changed["hidden 1"].hidden, seed) for seed in range(4)]


def test_another_list_of_names_is_run(tmp_path, monkeypatch):
    run_here(seeds=[0])
    (tmp_path / "names.txt").write_text("ava\n", encoding="utf-8")
    monkeypatch.setattr(cells, "NAMES", tmp_path / "names.txt")
    run_here(calls := [], seeds=[0])
    assert len(calls) == 3


def test_a_cell_is_another_one_with_another_function_or_kind_of_config():
    @dataclass(frozen=True)
    class OtherConfig(RunConfig):
        pass

    def run_otherwise(config, seed):
        raise NotImplementedError

    def run(config, seed):
        raise NotImplementedError

    usual = make_cells({"tiny": TINY}, [0, 1], run)
    others = [
        make_cells({"tiny": TINY}, [0, 1], run_otherwise),
        make_cells({"tiny": OtherConfig(**asdict(TINY))}, [0, 1], run),
        make_cells({"tiny": TINY}, [2, 3], run),
    ]
    assert len(usual) == 2
    for other in others:
        assert not usual.keys() & other.keys()
    renamed = make_cells({"other name": TINY}, [1, 0], run)
    assert renamed.keys() == usual.keys()


def test_names_of_the_lectures_models_are_their_configs():
    cells = make_cells(["tree", "flat3"], [5], run_here)
    found = [(cell.variant, cell.config, cell.seed) for cell in cells.values()]
    assert found == [(name, LECTURE_MODELS[name], 5) for name in ("tree", "flat3")]


def test_studies_in_one_journal_do_not_mix():
    run_here(name="one")
    run_here(calls := [], name="two")
    assert len(calls) == 12
    assert list(finished("one").values()) == [1] * 12
    assert list(finished("two").values()) == [1] * 12


def test_a_path_is_where_the_study_is_kept_and_the_only_file(tmp_path, journal):
    run_here(path=tmp_path / "other.journal")
    assert [file.name for file in tmp_path.iterdir()] == ["other.journal"]
    assert len(finished(path=tmp_path / "other.journal")) == 12
    run_here(calls := [])  # the default journal knows nothing of it
    assert len(calls) == 12 and journal.exists()


def test_progress_is_shown_on_request_alone(capfd):
    silent = run_here(seeds=[0])
    assert capfd.readouterr() == ("", "")
    shown = run_here(seeds=[0], progress=True)
    out, err = capfd.readouterr()
    assert out.rstrip().endswith("3/3 runs") and out.strip().startswith("naps |")
    assert err == ""
    pd.testing.assert_frame_equal(silent, shown)


def propose(trial):
    return RunConfig(
        hidden=trial.suggest_int("hidden", 4, 16),
        lr=trial.suggest_float("lr", 1e-3, 1e-2),
    )


def test_a_search_runs_as_many_proposals_as_seeds(journal):
    results = run_here(calls := [], {"search": propose}, range(6))
    stored = journal.read_bytes()
    rows = zip(results["params"], results["seed"])
    assert [(params["hidden"], seed) for params, seed in rows] == calls
    for params in results["params"]:
        assert 4 <= params["hidden"] <= 16 and 1e-3 <= params["lr"] <= 1e-2
    assert set(results["distributions"][0]) == {"hidden", "lr"}
    again = run_here(None, {"search": propose}, range(6))
    pd.testing.assert_frame_equal(again, results)
    assert journal.read_bytes() == stored


# ---- A run that fails, a journal that is torn ---------------------------------------
@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_run_is_raised_and_what_was_finished_is_kept(
    tmp_path, monkeypatch, journal, workers
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    log = tmp_path / "log.txt"

    @dataclass
    class Plain:  # RunConfig would load all of the course in each worker
        size: int

    def trial_run(config, seed):
        mended = (tmp_path / "mended").exists()
        if seed == 3 and not mended:
            raise ArithmeticError("seed 3 cannot be run")
        time.sleep(0.2)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{seed}\n")
        if not mended:
            return {"val": 1.0}
        import torch  # here, as this function is pickled, and late, as it takes seconds

        return {"val": 1.0, "threads": torch.get_num_threads()}

    options = {"workers": workers, "path": journal, "progress": False, "version": "1"}
    what = ("naps", {"plain": Plain(1)}, range(4), trial_run)
    study = partial(run_study, *what, **options)
    with pytest.raises(ArithmeticError, match="seed 3 cannot be run"):
        study()
    kept = len(finished())
    assert kept >= 2
    (tmp_path / "mended").touch()
    results = study()
    runs = Counter(log.read_text(encoding="utf-8").split())
    assert len(results) == 4 and list(finished().values()) == [1] * 4
    assert runs["0"] == runs["1"] == 1  # these had ended before the error
    assert set(results["threads"].dropna()) == {1}


@pytest.mark.parametrize("error", [None, ArithmeticError, KeyboardInterrupt])
def test_a_study_leaves_threads_and_environment_as_they_were(error):
    import torch

    def note(config, seed):
        threads.append(torch.get_num_threads())
        if error:
            raise error
        return {"val": 1.0}

    threads = []
    usual = torch.get_num_threads()
    environment = dict(os.environ)
    options = {"workers": 1, "progress": False, "version": "1"}
    torch.set_num_threads(2)
    try:
        if error:
            with pytest.raises(error):
                run_study("naps", {"tiny": TINY}, [0], note, **options)
        else:
            run_study("naps", {"tiny": TINY}, [0], note, **options)
        assert threads == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(usual)
    assert dict(os.environ) == environment
    states = [trial.state for trial in open_study("naps").get_trials()]
    assert states == [TrialState.FAIL if error else TrialState.COMPLETE]


def test_where_torch_is_not_loaded_it_is_not_loaded_for_its_threads(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    with one_torch_thread():
        assert "torch" not in sys.modules


def test_a_run_that_diverged_is_finished_too():
    results = run_here(calls := Once(), seeds=[0], val=math.nan)
    assert len(calls) == 3 and results["val"].isna().all()
    assert run_here(calls, seeds=[0])["val"].isna().all()


def test_an_interrupted_training_is_no_result(monkeypatch, journal):
    from course import runs

    def interrupt(history):
        raise KeyboardInterrupt

    def run_interrupted(config, seed):
        return runs.run(config, seed, on_step=interrupt)

    vocab = Vocab(["ava", "bo"])
    data = {"train": build_dataset(["ava", "bo"], vocab, TINY.block_size)}
    monkeypatch.setattr(runs, "load_data", lambda *split: (vocab, data))
    options = {"workers": 1, "path": journal, "progress": False, "version": "1"}
    with pytest.raises(KeyboardInterrupt):
        run_study("naps", {"tiny": TINY}, [0], run_interrupted, **options)
    assert not finished()


@pytest.fixture
def dead():
    """The signature of a process that has ended."""
    command = [sys.executable, "-S", "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        started = psutil.Process(process.pid).create_time()
    return [platform.node(), process.pid, started]


@pytest.mark.parametrize("cut", ["1 byte", "half", "all but one byte"])
def test_a_torn_last_line_costs_that_line_alone(
    journal, monkeypatch, capsys, dead, cut
):
    with monkeypatch.context() as patch:
        patch.setattr(studies, "signature", lambda: dead)
        run_here()
    last = len(journal.read_bytes().splitlines(True)[-1])  # the last run is finished
    torn = {"1 byte": 1, "half": last // 2, "all but one byte": last - 1}[cut]
    os.truncate(journal, journal.stat().st_size - torn)
    results = run_here(calls := [])
    message = f"test.journal: the last line was torn, {last - torn} bytes are cut off"
    assert message in capsys.readouterr().out
    assert calls == [(3, 3)] and len(results) == 12
    assert list(finished().values()) == [1] * 12


def test_a_journal_that_holds_but_a_torn_line_begins_anew(journal):
    journal.write_bytes(b'{"op_co')
    assert len(run_here()) == 12


def running(worker=None, seconds=0):
    """A trial that began some seconds ago, signed by the process `worker`."""
    attributes = {"worker": worker} if worker else {}
    trial = create_trial(state=TrialState.RUNNING, user_attrs=attributes)
    trial.datetime_start -= timedelta(seconds=seconds)
    return trial


def test_a_trial_is_dead_when_its_process_is_gone(dead):
    machine = platform.node()
    pid = os.getppid()
    start = psutil.Process(pid).create_time()
    assert not is_dead(running([machine, pid, start], 1000))
    assert is_dead(running(dead))
    assert is_dead(running([machine, pid, start - 60]))  # a later process' number
    assert not is_dead(running(["another machine", *dead[1:]], 1000))


def test_a_trial_of_this_process_is_dead_unless_it_is_run_now(monkeypatch):
    trial = running(studies.signature())
    assert is_dead(trial, "naps")  # what an interrupt has left
    monkeypatch.setattr(studies, "BUSY", {("naps", trial.number)})
    assert not is_dead(trial, "naps") and is_dead(trial, "another study")


def test_an_unsigned_trial_is_dead_after_ten_seconds():
    assert not is_dead(running(seconds=8)) and is_dead(running(seconds=11))


# ---- Bad input ---------------------------------------------------------------------
@pytest.mark.parametrize(
    "variants, seeds, message",
    [
        (["tree", "bush"], [0], r"unknown variants \['bush'\]: choose from \['flat3',"),
        (["tree", "bush"], [0], r"'tree_large'\], or give \{name: config\}"),
        ([], [0], "variants is empty: give {name: config}, or a list"),
        ({}, [0], "variants is empty: give {name: config}, or a list"),
        (THREE, [], r"seeds is empty: give one or more whole numbers from 0 up"),
        (THREE, [0, -1], "a seed is -1: give a whole number, 0 or more"),
    ],
)
def test_a_study_of_nothing_or_of_the_unknown_is_refused(
    journal, variants, seeds, message
):
    run_here()
    stored = journal.read_bytes()
    with pytest.raises(ValueError, match=message):
        run_here(None, variants, seeds)
    assert journal.read_bytes() == stored


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:secret@127.0.0.1:1/none",
        "postgresql://user:secret@127.0.0.1:silent/none",
        "postgresql://user:secret@127.0.0.1:port/none",
        "mysql://user:secret@127.0.0.1/none",
        "sqlite:///studies.db",
        "the server downstairs",
    ],
)
def test_a_server_that_does_not_answer_is_named_within_seconds(
    psycopg, journal, monkeypatch, url
):
    monkeypatch.setattr(storage, "SECONDS_TO_ANSWER", 2)  # the least that libpq takes
    run_here()
    stored = journal.read_bytes()
    message = r"WAVENET_STORAGE .*: .*(server|postgresql://).*unset it"
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, then is silent
        port = str(silent.getsockname()[1])
        monkeypatch.setenv(storage.SERVER, url.replace("silent", port))
        with pytest.raises(ValueError, match=message) as error:
            run_here()
    assert time.monotonic() - start < 15 and "secret" not in str(error.value)
    assert journal.read_bytes() == stored


def test_a_missing_driver_is_named_with_its_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as if it were not installed
    monkeypatch.setenv(storage.SERVER, "postgresql://user:secret@127.0.0.1:1/none")
    message = r"driver is missing .*psycopg.*: install .* pip install -e \.\[server\]"
    with pytest.raises(ValueError, match=message) as error:
        run_here()
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"hello\n",
        b"to\ndo\n",
        b'{"a": 1}',
        b'{\n "a": 1\n}\n',
        b"[]",
        b"\n",
        b"\0\xff\x80",
        b"PK\n\xfe",
    ],
)
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    message = "is not a journal of studies: give another path"
    with pytest.raises(ValueError, match=message):
        run_here(path=path)
    assert path.read_bytes() == content and not path.with_name("file.lock").exists()


@pytest.mark.parametrize("place", ["file/new.journal", "missing/new.journal", "."])
def test_a_place_that_cannot_be_written_is_refused(tmp_path, place):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    message = r"no journal can be kept at .*: give a path that you may write to"
    with pytest.raises(ValueError, match=message):
        run_here(path=tmp_path / place)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"

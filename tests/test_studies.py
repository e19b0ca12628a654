"""studies.py: what survives a kill, a rival, a torn file and bad input, and what a comparison may say."""

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
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from glob import glob
from pathlib import Path

import matplotlib
import numpy as np
import optuna
import pandas as pd
import psutil
import psycopg
import pytest
from optuna.trial import TrialState, create_trial
from scipy import stats

import helpers
import studies
from helpers import RunConfig
from studies import compare, interval, is_dead, open_study, plot_runs, run_study

matplotlib.use("Agg")  # no window, whatever the machine
pytestmark = pytest.mark.filterwarnings("ignore:.*heartbeat")  # pytest undoes the filter of studies.py

ROOT = Path(__file__).parents[1]
PATIENCE = 120  # seconds: Optuna waits 30 for the lock of a process that was killed with it
THREE = {f"hidden {hidden}": RunConfig(hidden=hidden) for hidden in (1, 2, 3)}
TINY = RunConfig(steps=3, hidden=8, embedding_dim=2, block_size=2)


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    """A journal of the test's own, which is also the default one; no server."""
    monkeypatch.setattr(studies, "JOURNAL", tmp_path / "test.journal")
    monkeypatch.delenv(studies.SERVER, raising=False)
    return studies.JOURNAL


def run_here(calls=None, variants=THREE, seeds=range(4), name="naps", path=None, val=None):
    """A study in this process, of runs that take no time and note in `calls` what they are called with."""

    def note(config, seed):
        if calls is not None:
            calls.append((config.hidden, seed))
        return {"val": config.hidden + seed / 10 if val is None else val}

    return run_study(name, variants, seeds, note, workers=1, path=path, progress=False)


class Once(list):
    """Calls of a study in which no cell may be run twice."""

    def append(self, call):
        assert call not in self
        super().append(call)


def finished(name="naps", path=None):
    """How often each cell of the study is finished."""
    trials = open_study(name, path).get_trials(states=(TrialState.COMPLETE,))
    return Counter(trial.user_attrs["cell"] for trial in trials)


# ---- Processes that are killed, or get in each other's way -----------------------------------------
SCRIPT = """
import os, sys, time
import studies
from helpers import RunConfig

LOG, JOURNAL = sys.argv[1:]

def note(*words):
    with open(LOG, "a") as log:
        log.write(" ".join(map(str, words)) + "\\n")

def nap(config, seed):
    note(config.hidden, seed, os.getpid(), "start")
    time.sleep(float(os.environ.get("NAP", 0.3)))
    note(config.hidden, seed, os.getpid(), "end")
    return {"val": config.hidden + seed / 10}

if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    variants = {f"hidden {hidden}": RunConfig(hidden=hidden) for hidden in (1, 2, 3)}
    results = studies.run_study("naps", variants, range(4), nap, 2, JOURNAL or None, progress=False)
    print(results.to_json(orient="records"))
"""


class Script:
    """A process of its own that runs a study of 12 cells, 3 variants of 4 seeds, with 2 workers."""

    def __init__(self, folder, journal):
        (folder / "naps.py").write_text(SCRIPT, encoding="utf-8")
        self.log, self.workers = folder / "log.txt", []
        self.log.touch()
        self.errors = tempfile.TemporaryFile("w+")  # no pipe: orphaned workers would keep it open
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors, "text": True}
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, str(folder / "naps.py"), str(self.log), str(journal)]
        self.process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths}, **streams)

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
        """[(hidden and seed, pid, start or end), ...] of all processes with this log."""
        words = [line.split() for line in self.log.read_text().splitlines()]
        return [((hidden, seed), int(pid), what) for hidden, seed, pid, what in words]

    def kill(self, whom, after=2):
        """SIGKILL in the middle of two runs, as soon as its workers have finished `after` runs."""
        parent, deadline = psutil.Process(self.process.pid), time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            time.sleep(0.02)
            assert self.process.poll() is None, f"ended before it could be killed: {self.last_words()}"
            family = {process.pid: process for process in parent.children(recursive=True)}
            mine = [(pid, what) for _, pid, what in self.events() if pid in family]
            self.workers = [family[pid] for pid in {pid for pid, _ in mine}]
            if len(self.workers) < 2 or sum(what == "end" for _, what in mine) < after:
                continue
            for worker in self.workers:  # so that none ends its run between the look and the kill
                worker.suspend()
            time.sleep(0.02)
            last = {pid: what for _, pid, what in self.events()}
            if all(last[worker.pid] == "start" for worker in self.workers):
                for victim in {"workers": self.workers, "parent": [parent]}.get(
                    whom, [parent, *self.workers]
                ):
                    victim.kill()
                deadline = 0
            for worker in self.workers:
                with suppress(psutil.NoSuchProcess):
                    worker.resume()
        assert not deadline, "no two workers were in the middle of a run"

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
    """12 rows of 12 cells, each finished once, and none begun again once it had ended."""
    assert sorted(row["val"] for row in script.rows()) == [h + s / 10 for h in (1, 2, 3) for s in range(4)]
    assert list(finished(path=journal).values()) == [1] * 12
    ended = set()
    for cell, _, what in script.events():
        assert cell not in ended, f"{cell} had ended and was begun again"
        if what == "end":
            ended.add(cell)
    assert len(ended) == 12


@pytest.mark.parametrize("victims", [["workers"] * 3, ["all", "parent"]], ids=" ".join)
def test_a_killed_study_goes_on_and_loses_only_the_runs_in_progress(begin, journal, victims):
    for whom in victims:
        (script,) = begin(journal)
        script.kill(whom)
        words = script.last_words()
        if whom == "workers":
            assert "RuntimeError: a worker of naps died" in words
            assert "of 12 runs are stored: run the same again to go on" in words
    (script,) = begin(journal)
    check_all_ran_once(script)


def test_two_processes_that_begin_at_once_share_the_runs(begin, journal):
    for script in begin(journal, 2):
        check_all_ran_once(script)


@pytest.fixture(scope="module")
def server():
    """The URL of a PostgreSQL server: $TEST_POSTGRESQL_URL, or one on loopback that ends with the tests."""
    if url := os.environ.get("TEST_POSTGRESQL_URL"):
        yield url
        return
    found = glob("/usr/lib/postgresql/*/bin/initdb") + list(filter(None, [shutil.which("initdb")]))
    if not found:
        pytest.skip("no PostgreSQL server is installed, and TEST_POSTGRESQL_URL names none")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    programs, folder = Path(found[0]).parent, tempfile.mkdtemp(prefix="postgresql-")
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if os.name == "posix" and os.getuid() == 0:  # the server refuses root
        quiet |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
    make = [programs / "initdb", "-D", folder, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(make, check=True, **quiet)
    options = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off"]
    serve = [programs / "postgres", "-D", folder, *[word for option in options for word in ("-c", option)]]
    with subprocess.Popen(serve, **quiet) as process:
        url = f"postgresql://tester@127.0.0.1:{port}/postgres"
        for attempt in range(100):
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                assert attempt < 99 and process.poll() is None, "the server did not start"
                time.sleep(0.1)
        yield url
        process.terminate()
        process.wait(30)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(server):
    """The URL of a new, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield server.rpartition("/")[0] + f"/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_two_processes_share_a_postgresql_server_though_one_is_killed(begin, database, monkeypatch):
    monkeypatch.setenv(studies.SERVER, database)
    monkeypatch.setenv("NAP", "1")  # so that neither is done before the other has begun
    killed, other = begin(n=2)
    killed.kill("workers", after=1)
    assert "a worker of naps died" in killed.last_words()
    (resumed,) = begin()
    for script in (other, resumed):
        check_all_ran_once(script)


@pytest.mark.parametrize("storage", ["journal", "PostgreSQL"])
def test_a_dead_run_that_two_processes_find_at_once_is_run_once(request, monkeypatch, dead, storage):
    if storage == "PostgreSQL":
        monkeypatch.setenv(studies.SERVER, request.getfixturevalue("database"))
    run_here(name="another study")
    rival, trial = open_study("naps"), running(dead)
    trial.user_attrs["cell"] = next(iter(finished("another study")))  # a run that the study needs
    rival.add_trial(trial)

    def between(sampler, study, trial, state, values):  # tell calls it after its look and before it writes
        if state == TrialState.FAIL and study is not rival:
            rival.tell(trial.number, state=state)
            beaten.append(trial.number)

    beaten = []
    monkeypatch.setattr(optuna.samplers.TPESampler, "after_trial", between)
    results = run_here(Once())
    assert beaten == [0] and len(results) == 12 and list(finished().values()) == [1] * 12


# ---- What is run, and what is only read --------------------------------------------------------------
def test_a_finished_study_is_only_read(journal):
    first, stored, calls = run_here(), journal.read_bytes(), []
    again = run_here(calls)
    assert calls == [] and journal.read_bytes() == stored
    pd.testing.assert_frame_equal(first, again)
    assert list(zip(again["variant"], again["seed"])) == [(v, s) for v in THREE for s in range(4)]


def test_more_seeds_run_the_new_ones_alone():
    run_here(seeds=range(2))
    results = run_here(calls := [])
    assert sorted(calls) == [(hidden, seed) for hidden in (1, 2, 3) for seed in (2, 3)]
    assert len(results) == 12


@pytest.mark.parametrize("change", [{"hidden": 4}, {"lr": 0.01}, {"leak_free": True}], ids=str)
def test_a_changed_config_is_run_though_its_name_is_the_same(change):
    run_here()
    changed = THREE | {"hidden 1": replace(THREE["hidden 1"], **change)}
    run_here(calls := [], changed)
    assert calls == [(changed["hidden 1"].hidden, seed) for seed in range(4)]


def test_another_list_of_names_is_run(tmp_path, monkeypatch):
    run_here(seeds=[0])
    (tmp_path / "names.txt").write_text("ava\n", encoding="utf-8")
    monkeypatch.setattr(studies, "NAMES", tmp_path / "names.txt")
    run_here(calls := [], seeds=[0])
    assert len(calls) == 3


def test_studies_in_one_journal_do_not_mix():
    run_here(name="one")
    run_here(calls := [], name="two")
    assert len(calls) == 12
    assert list(finished("one").values()) == list(finished("two").values()) == [1] * 12


def test_a_search_runs_as_many_proposals_as_seeds(journal):
    def propose(trial):
        return RunConfig(hidden=trial.suggest_int("hidden", 4, 16), lr=trial.suggest_float("lr", 1e-3, 1e-2))

    results = run_here(calls := [], {"search": propose}, range(6))
    stored = journal.read_bytes()
    assert [(params["hidden"], seed) for params, seed in zip(results["params"], results["seed"])] == calls
    assert all(4 <= p["hidden"] <= 16 and 1e-3 <= p["lr"] <= 1e-2 for p in results["params"])
    assert set(results["distributions"][0]) == {"hidden", "lr"}
    pd.testing.assert_frame_equal(run_here(None, {"search": propose}, range(6)), results)
    assert journal.read_bytes() == stored


# ---- A run that fails, a journal that is torn ----------------------------------------------------------
@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_run_is_raised_and_what_was_finished_is_kept(tmp_path, monkeypatch, journal, workers):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    log = tmp_path / "log.txt"

    def trial_run(config, seed):
        import torch  # here, as this function is pickled

        if seed == 3 and not (tmp_path / "mended").exists():
            raise ArithmeticError("seed 3 cannot be run")
        time.sleep(0.2)
        with log.open("a") as file:
            file.write(f"{seed}\n")
        return {"val": 1.0, "threads": torch.get_num_threads()}

    study = partial(run_study, "naps", {"tiny": TINY}, range(4), trial_run, workers, journal, False)
    with pytest.raises(ArithmeticError, match="seed 3 cannot be run"):
        study()
    kept = len(finished())
    assert kept >= 2
    (tmp_path / "mended").touch()
    results = study()
    runs = Counter(log.read_text().split())
    assert len(results) == 4 and list(finished().values()) == [1] * 4
    assert runs["0"] == runs["1"] == 1  # these had ended before the error
    assert set(results["threads"]) == {1}


def test_a_run_that_diverged_is_finished_too():
    results = run_here(calls := Once(), seeds=[0], val=math.nan)
    assert len(calls) == 3 and results["val"].isna().all()
    assert run_here(calls, seeds=[0])["val"].isna().all()


def test_an_interrupted_training_is_no_result(monkeypatch, journal):
    def interrupt(history):
        raise KeyboardInterrupt

    train = helpers.train
    monkeypatch.setattr(helpers, "train", lambda *args, on_step, **kw: train(*args, on_step=interrupt, **kw))
    with pytest.raises(KeyboardInterrupt):
        run_study("naps", {"tiny": TINY}, [0], helpers.run, 1, journal, False)
    assert not finished()


@pytest.fixture
def dead():
    """The signature of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = psutil.Process(process.pid).create_time()
    return [platform.node(), process.pid, started]


@pytest.mark.parametrize("cut", ["1 byte", "half", "all but one byte"])
def test_a_torn_last_line_costs_that_line_alone(journal, monkeypatch, capsys, dead, cut):
    with monkeypatch.context() as patch:
        patch.setattr(studies, "signature", lambda: dead)
        run_here()
    last = len(journal.read_bytes().splitlines(True)[-1])  # says that the last run is finished
    torn = {"1 byte": 1, "half": last // 2, "all but one byte": last - 1}[cut]
    os.truncate(journal, journal.stat().st_size - torn)
    results = run_here(calls := [])
    assert f"test.journal: the last line was torn, {last - torn} bytes are cut off" in capsys.readouterr().out
    assert calls == [(3, 3)] and len(results) == 12
    assert list(finished().values()) == [1] * 12


def test_a_journal_that_holds_but_a_torn_line_begins_anew(journal):
    journal.write_bytes(b'{"op_co')
    assert len(run_here()) == 12


def running(worker=None, seconds=0):
    """A trial that began some seconds ago, signed by the process `worker`."""
    trial = create_trial(state=TrialState.RUNNING, user_attrs={"worker": worker} if worker else {})
    trial.datetime_start -= timedelta(seconds=seconds)
    return trial


def test_a_trial_is_dead_when_its_process_is_gone(dead):
    machine, pid, start = studies.signature()
    assert not is_dead(running([machine, pid, start], 1000))
    assert is_dead(running(dead))
    assert is_dead(running([machine, pid, start - 60]))  # another process has the number now
    assert not is_dead(running(["another machine", *dead[1:]], 1000))


def test_an_unsigned_trial_is_dead_after_ten_seconds():
    assert not is_dead(running(seconds=8)) and is_dead(running(seconds=11))


# ---- Bad input -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "variants, seeds, message",
    [
        (
            ["tree", "bush"],
            [0],
            r"unknown variants \['bush'\]: choose from \['flat3', .*'tree_large'\], or give",
        ),
        ([], [0], "0 variants, .*: give one or more of each"),
        ({}, [0], "0 variants, .*: give one or more of each"),
        (THREE, [], r"3 variants, seeds=\[\]: give one or more of each, seeds from 0 up"),
        (THREE, [0, -1], "seeds from 0 up"),
    ],
)
def test_a_study_of_nothing_or_of_the_unknown_is_refused(journal, variants, seeds, message):
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
def test_a_server_that_does_not_answer_is_named_within_seconds(journal, monkeypatch, url):
    run_here()
    stored, start = journal.read_bytes(), time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never says a word
        monkeypatch.setenv(studies.SERVER, url.replace("silent", str(silent.getsockname()[1])))
        with pytest.raises(
            ValueError, match=r"WAVENET_STORAGE .*: .*(server|postgresql://).*unset it"
        ) as error:
            run_here()
    assert time.monotonic() - start < 15 and "secret" not in str(error.value)
    assert journal.read_bytes() == stored


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
    with pytest.raises(ValueError, match="is not a journal of studies: give another path"):
        run_here(path=path)
    assert path.read_bytes() == content and not path.with_name("file.lock").exists()


@pytest.mark.parametrize("place", ["file/new.journal", "missing/new.journal", "."])
def test_a_place_that_cannot_be_written_is_refused(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match=r"no journal can be kept at .*: give a path you may write to"):
        run_here(path=tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"


# ---- Comparisons -----------------------------------------------------------------------------------------
def table(**losses):
    """Results as of run_study: {variant: the loss of each seed}."""
    rows = [(variant, seed, val) for variant, vals in losses.items() for seed, val in enumerate(vals)]
    return pd.DataFrame(rows, columns=["variant", "seed", "val"])


BASE = [2.03, 2.01, 2.02, 2.04, 2.00, 2.05, 2.02, 2.03]


def test_interval_is_students():
    mean, half = interval(pd.Series(BASE))
    low, high = stats.t.interval(0.95, 7, loc=np.mean(BASE), scale=stats.sem(BASE))
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert np.isnan(interval(pd.Series([2.0]))[1])


@pytest.mark.parametrize("shift, verdict, wins", [(-0.01, "lower", "8/8"), (0.01, "higher", "0/8")])
def test_eight_equal_differences_are_told_apart(shift, verdict, wins):
    row = compare(table(base=BASE, other=[val + shift for val in BASE]), "base").loc["other"]
    assert row["difference"] == pytest.approx(shift) and row["p"] == pytest.approx(2 / 2**8)
    assert (row["verdict"], row["wins"]) == (verdict, wins)


def test_five_seeds_are_never_enough():
    row = compare(table(base=BASE[:5], other=[val - 1 for val in BASE[:5]]), "base").loc["other"]
    assert row["p"] == pytest.approx(2 / 2**5) and row["verdict"] == "not distinguishable at 5 seeds"


def test_seeds_are_compared_in_pairs():
    row = compare(table(base=BASE, other=[*(val - 0.01 for val in BASE[:6]), 3, 3]), "base").loc["other"]
    assert row["wins"] == "6/8" and row["verdict"] == "not distinguishable at 8 seeds"
    mixed = pd.concat([table(other=[val - 0.01 for val in BASE]).iloc[::-1], table(base=BASE[:7])])
    row = compare(mixed, "base").loc["other"]  # seed 7 has no partner
    assert row["wins"] == "7/7" and row["p"] == pytest.approx(2 / 2**7)


def test_the_baseline_is_not_compared_with_itself():
    row = compare(table(base=BASE, other=BASE), "base").loc["base"]
    assert row["mean"] == pytest.approx(np.mean(BASE)) and row[["difference", "p", "wins"]].isna().all()


def test_an_unknown_baseline_is_refused():
    with pytest.raises(ValueError, match=r"unknown baseline 'tree': choose one of \['base', 'other'\]"):
        compare(table(base=BASE, other=BASE), "tree")


def test_runs_figure_has_a_dot_for_each_seed_and_the_interval():
    ax = plot_runs(table(tree=BASE, flat8=BASE[:3]))
    dots = [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "o"]
    assert dots == [BASE, BASE[:3]]
    ends = [tuple(bars[0].get_segments()[0][:, 0]) for bars in (box.lines[2] for box in ax.containers)]
    mean, half = interval(pd.Series(BASE))
    assert ends[0] == pytest.approx((mean - half, mean + half))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["tree", "flat8"]
    matplotlib.pyplot.close(ax.figure)


# ---- helpers.run, the function of most studies -----------------------------------------------------------
def without_seconds(record):
    return {key: value for key, value in record.items() if key != "seconds"}


def test_a_run_repeats_with_its_seed_alone():
    first, again, other = (helpers.run(TINY, seed) for seed in (0, 0, 1))
    assert without_seconds(first) == without_seconds(again)
    assert first["val"] != other["val"] and first["samples"] != other["samples"]


def test_a_record_tells_all_and_json_holds_it():
    record = helpers.run(TINY, 0)
    losses = {"train", "val", "seen", "unseen"}
    assert set(record) == losses | {"parameters", "seconds", "curve", "config", "samples", "versions"}
    assert json.loads(json.dumps(record)) == record
    assert record["config"] == asdict(TINY) and RunConfig(**record["config"]) == TINY
    assert len(record["curve"]) == 1 and len(record["samples"]) == 10
    assert min(record["seen"], record["unseen"]) < record["val"] < max(record["seen"], record["unseen"])


def test_the_test_split_is_evaluated_on_request_alone():
    assert "test" not in helpers.run(TINY, 0)
    assert 2 < helpers.run(TINY, 0, test=True)["test"] < 4


def test_a_leak_free_run_has_seen_no_name_of_the_validation_split():
    record = helpers.run(replace(TINY, leak_free=True), 0)
    assert "seen" not in record and record["unseen"] == record["val"]


def test_a_run_can_be_watched():
    steps = []
    helpers.run(TINY, 0, on_step=lambda history: steps.append(len(history.losses)))
    assert steps == [1, 2, 3]


@pytest.mark.parametrize(
    "wrong", [{"architecture": "bush"}, {"hidden": 0}, {"embedding_dim": 0}, {"block_size": 6}]
)
def test_a_config_that_cannot_be_built_is_refused(wrong):
    with pytest.raises(ValueError, match="architecture takes .*, sizes take 1 or more|power of two|2, 4, 8"):
        RunConfig(**wrong)


# ---- The stored results ------------------------------------------------------------------------------------
def stored(study):
    return pd.read_json(ROOT / "data" / "results" / f"{study}.jsonl", lines=True)


CLAIMS = {
    "context 3 → 8": ("flat3", "flat8"),
    "flat → tree": ("flat8", "tree"),
    "BatchNorm fixed": ("tree", "tree_fixed"),
    "scaled up": ("tree_fixed", "tree_large"),
    "flat → tree, both with 76 K parameters": ("flat_large", "tree_large"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_readme_says_of_each_claim_what_the_stored_seeds_say(claim):
    old, new = CLAIMS[claim]
    rows = stored("rows")
    row = compare(rows[rows["variant"].isin([old, new])], old).loc[new]
    difference = f"{row['difference']:+.4f} ± {row['± difference']:.4f}".replace("-", "−")
    wins, n = row["wins"].split("/")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in readme.splitlines() if line.startswith(f"| {claim} |")]
    assert f"| {difference} | {wins} of {n} " in line
    assert ("real" in line) == (row["verdict"] == "lower")


@pytest.mark.parametrize("study", ["rows", "leak_free", "search", "final", "grid"])
def test_stored_results_are_whole(study):
    results = stored(study)
    assert not results.duplicated(["variant", "seed"]).any()
    assert results.groupby("variant")["seed"].nunique().nunique() == 1  # as many seeds of each variant
    assert results["val"].between(1.9, 2.5).all()
    for config in results["config"]:
        RunConfig(**config)

"""course.studies under hostile input: functions without a name, damaged files, a full
disk, a lock that was left, interrupts that are pressed twice."""

import json
import math
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import psutil
import pytest
import torch
from optuna.trial import TrialState

from course import identity, storage, studies
from course.cells import make_cells
from course.identity import identify
from course.runs import RunConfig
from course.studies import open_study, run_study

resource = pytest.importorskip("resource", reason="there is none on Windows")
pytestmark = pytest.mark.filterwarnings("ignore:.*heartbeat")


@dataclass(frozen=True)
class Size:
    hidden: object


ONE = {"one": Size(1)}
TWO = {"one": Size(1), "two": Size(2)}
HERE = {"workers": 1, "progress": False}


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    """A journal of the test's own, no server, and only short waits."""
    monkeypatch.setattr(storage, "JOURNAL", tmp_path / "test.journal")
    monkeypatch.delenv(storage.SERVER, raising=False)
    monkeypatch.setattr(storage, "SECONDS_OF_SILENCE", 0.1)
    monkeypatch.setattr(storage, "SECONDS_OF_GRACE", 0.3)
    monkeypatch.setattr(studies, "SECONDS_TO_SIGN", 0.3)
    monkeypatch.setattr(studies, "SECONDS_BETWEEN_LOOKS", 0.01)
    return storage.JOURNAL


def nap(config, seed):
    return {"val": config.hidden + seed / 10}


def vals(results):
    return dict(zip(zip(results["variant"], results["seed"]), results["val"]))


EXPECTED = {("one", 0): 1.0, ("one", 1): 1.1, ("two", 0): 2.0, ("two", 1): 2.1}


def states(name="naps"):
    return [trial.state.name for trial in open_study(name).get_trials()]


# ---- A result under another function's name ------------------------------------------
@pytest.fixture
def define(tmp_path, monkeypatch):
    """A function that makes a module of this text, as if it were edited on disk."""
    versions = []

    def define(text, name="mine"):
        path = tmp_path / f"{name}_{len(versions)}.py"
        path.write_text(text, encoding="utf-8")
        spec = spec_from_file_location(name, path)
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        versions.append(module)
        return module

    return define


def value_of(run, **options):
    return run_study("t", ONE, [0], run, **HERE, **options)["val"].item()


RUN = "def run(config, seed):\n    return {'val': 1.0}\n"


def test_an_edited_function_is_another_run(define):
    assert value_of(define(RUN).run) == 1.0
    assert value_of(define(RUN.replace("1.0", "2.0")).run) == 2.0
    assert value_of(define(RUN.replace("1.0", "3.0"), "yours").run) == 3.0
    assert value_of(define(RUN).run) == 1.0


@pytest.mark.parametrize(
    "edited",
    [
        "# new\n\n" + RUN.replace("\n    ", "  # as ever\n    "),
        RUN.replace("\n    ", "\n    '''The loss.'''\n    "),
        RUN.replace("(config, ", "(\n    config,  # a config\n    "),
        RUN.replace("    ", "  "),
    ],
)
def test_a_comment_a_docstring_or_a_new_line_makes_no_other_run(define, edited):
    assert identify(define(edited).run) == identify(define(RUN).run)


def test_a_default_value_is_a_part_of_the_function(define):
    text = "N = 1.0\ndef run(config, seed, n=N):\n    return {'val': n}\n"
    assert value_of(define(text).run) == 1.0
    assert value_of(define(text.replace("1.0", "2.0")).run) == 2.0


def test_a_version_stands_for_the_source_and_the_reader_is_told(define, capsys):
    assert value_of(define(RUN).run, version="a") == 1.0
    assert capsys.readouterr().out == ""
    edited = define(RUN.replace("1.0", "2.0"))
    assert value_of(edited.run, version="a") == 1.0  # hours are not thrown away
    told = capsys.readouterr().out
    kept = "t: 1 finished runs are kept, although since then mine.run has changed"
    assert kept in told
    assert "give another version" in told
    assert value_of(edited.run, version="b") == 2.0
    assert value_of(edited.run) == 2.0


LAYERED = """
import math
SCALE = 2.0
TABLE = {"half": lambda x: x / 2}

def helper(x):
    return x * SCALE

class Layer:
    def __call__(self, x):
        return TABLE["half"](helper(x))

def run(config, seed):
    '''Runs.'''
    return {"val": Layer()(1.0)}
"""


@pytest.mark.parametrize(
    "old, new, named",
    [
        ("SCALE = 2.0", "SCALE = 3.0", "mine.helper has changed"),
        ("x * SCALE", "x + SCALE", "mine.helper has changed"),
        ("TABLE[", "1 + TABLE[", "mine.Layer.__call__ has changed"),
        ("x / 2", "x / 4", "mine.<lambda> has changed"),
    ],
)
def test_of_a_change_in_what_a_run_calls_the_reader_is_told(
    define, capsys, old, new, named
):
    assert value_of(define(LAYERED).run) == 1.0
    assert value_of(define(LAYERED).run) == 1.0
    assert capsys.readouterr().out == ""
    assert value_of(define(LAYERED.replace(old, new)).run) == 1.0
    assert named in capsys.readouterr().out


def test_of_a_layer_of_the_lecture_a_run_knows_the_code():
    from course.runs import run

    code = identity.describe_code(run, RunConfig)["code"]
    for name in ("helpers.BatchNorm1d.__call__", "helpers.fit", "course.runs.run"):
        assert name in code
    assert not [name for name in code if name.startswith(("torch", "numpy"))]


def test_of_another_torch_the_reader_is_told(monkeypatch, capsys):
    monkeypatch.setattr(identity, "version", lambda package: "2.12.0+cpu")
    run_study("naps", TWO, [0, 1], nap, **HERE)
    monkeypatch.setattr(identity, "version", lambda package: "2.13.0")
    assert vals(run_study("naps", TWO, [0, 1], nap, **HERE)) == EXPECTED
    assert "4 finished runs are kept, although since then torch 2.12.0 is" in (
        capsys.readouterr().out
    )


def closed_over(value):
    def run(config, seed):
        return {"val": value}

    return run


class Runner:
    def run(self, config, seed):
        return {"val": 1.0}

    __call__ = run


def propose(trial):
    return Size(trial.suggest_int("hidden", 1, 9))


NAMELESS = "has no name that could identify its runs: give a function defined"


@pytest.mark.parametrize(
    "run, message",
    [
        (lambda config, seed: {"val": 1.0}, NAMELESS),
        (partial(nap), NAMELESS),
        (Runner().run, NAMELESS),
        (Runner(), NAMELESS),
        (Runner, NAMELESS),
        (print, NAMELESS),
        (None, NAMELESS),
        ("nap", NAMELESS),
        (closed_over(1.0), "uses value from the function around it, .* field of the c"),
        (eval("lambda: 0"), NAMELESS),
    ],
)
def test_a_function_that_cannot_be_told_from_others_is_refused(run, message, journal):
    with pytest.raises((TypeError, ValueError), match=message):
        run_study("t", ONE, [0], run, **HERE)
    assert not journal.exists()


@pytest.mark.parametrize("search", [lambda trial: Size(1), partial(propose), print])
def test_a_search_that_cannot_be_told_from_others_is_refused(search):
    with pytest.raises(TypeError, match=NAMELESS):
        make_cells({"search": search}, [0], nap)


def test_a_function_without_source_needs_a_version():
    names = {}
    exec(RUN, names)
    with pytest.raises(ValueError, match="the source of .*run cannot be read: define"):
        identify(names["run"])
    assert identify(names["run"], "1")[1] == "version 1"


def test_an_edited_search_is_another_run(define):
    text = "from test_studies_hostile import Size\ndef propose(trial):\n"
    text += "    return Size(trial.suggest_int('hidden', 1, 9))\n"
    keys = []
    for edited in (text, text.replace("9", "8")):
        keys.append(list(make_cells({"s": define(edited).propose}, [0], nap)))
    assert keys[0] != keys[1]


# ---- Numbers that are none, or of another kind ---------------------------------------
WRONG = [
    ({"seeds": [True]}, "a seed is True: give a whole number"),
    ({"seeds": [1.5]}, "a seed is 1.5: give a whole number"),
    ({"seeds": [math.nan]}, "a seed is nan: give a whole number"),
    ({"seeds": ["3"]}, "a seed is '3': give a whole number.* without quotes"),
    ({"seeds": [2**64]}, "a seed is 18446744073709551616: give a whole number"),
    ({"seeds": [-1]}, "a seed is -1: give a whole number"),
    ({"seeds": [None]}, "a seed is None: give a whole number"),
    ({"seeds": np.array([0.5])}, "a seed is .*0.5.*: give a whole number"),
    ({"seeds": "012"}, "seeds is '012': give one or more whole numbers"),
    ({"seeds": 4}, r"seeds is 4: .* such as range\(4\)"),
    ({"seeds": None}, "seeds is None: give one or more"),
    ({"seeds": []}, "seeds is empty: give one or more"),
    ({"workers": 0}, "workers is 0: give a whole number, 1 or more"),
    ({"workers": -1}, "workers is -1: give a whole number"),
    ({"workers": 2.0}, "workers is 2.0: give a whole number.* write 2"),
    ({"workers": "2"}, "workers is '2': give a whole number"),
    ({"workers": True}, "workers is True: give a whole number"),
    ({"workers": None}, "workers is None: give a whole number"),
    ({"progress": "no"}, "progress is 'no': give True or False"),
    ({"progress": 1}, "progress is 1: give True or False"),
    ({"name": 3}, "name is 3: give a text"),
    ({"name": None}, "name is None: give a text"),
    ({"name": ""}, "name is empty: give the study a name"),
    ({"path": 3}, "path is 3: give the path of a file"),
    ({"path": ""}, "no journal can be kept at .*: give a path that you may write"),
    ({"version": 3}, "version is 3: give a text"),
    ({"variants": "tree"}, "variants is 'tree': give {name: config}, or a list"),
    ({"variants": 3}, "variants is 3: give {name: config}, or a list"),
    ({"variants": None}, "variants is None: give"),
    ({"variants": [["tree"]]}, r"unknown variants \[\['tree'\]\]: choose from"),
    ({"variants": {1: Size(1)}}, "the name of a variant is 1: give a text"),
    ({"variants": {"a": 3}}, "the config of 'a' is 3: give a dataclass"),
    ({"variants": {"a": Size}}, "the config of 'a' is <class .*: give a dataclass"),
    ({"variants": {"a": {"hidden": 3}}}, "the config of 'a' is {.*: give a dataclass"),
    ({"variants": {"a": Size({1, 2})}}, "has a field that cannot be stored .a set"),
    ({"variants": {"a": Size(torch.ones(2))}}, "cannot be stored .a Tensor.: use num"),
    ({"variants": {"a": Size(1), "b": Size(1)}}, "'a' and 'b' have the same config"),
]


@pytest.mark.parametrize("wrong, message", WRONG, ids=str)
def test_a_study_of_what_cannot_be_is_refused_before_anything_is_changed(
    journal, wrong, message
):
    given = {"name": "naps", "variants": ONE, "seeds": [0], "run": nap} | HERE | wrong
    with pytest.raises((ValueError, TypeError), match=message):
        run_study(**given)
    assert not journal.exists()


def test_numpys_integers_are_integers(journal):
    plain = run_study("naps", TWO, [0, 1], nap, **HERE)
    stored = journal.read_bytes()
    sizes = {"one": Size(np.int64(1)), "two": Size(torch.tensor(2))}
    options = {"workers": np.int8(1), "progress": np.bool_(False)}
    again = run_study("naps", sizes, np.arange(2), nap, **options)
    assert vals(again) == vals(plain) == EXPECTED
    assert journal.read_bytes() == stored
    cells = make_cells({"a": RunConfig(hidden=np.int64(68))}, np.arange(2), nap)
    assert cells.keys() == make_cells({"a": RunConfig(hidden=68)}, [0, 1], nap).keys()


def gives(record):
    """A run that gives this record; a version names it."""

    def run(config, seed):
        return record

    return run


@pytest.mark.parametrize(
    "record, message",
    [
        (
            {"loss": 1.0},
            r"a record without the loss 'val': it has \['loss'\]",
        ),
        ({}, "run returned a record without the loss 'val'"),
        (1.0, "run returned a float: give a dict with the loss as 'val'"),
        (None, "run returned a NoneType: give a dict"),
        ({"val": None}, "whose 'val' is None: give a number"),
        ({"val": "2.0"}, "whose 'val' is '2.0': give a number"),
        ({"val": True}, "whose 'val' is True: give a number"),
        ({"val": 1.0, "model": nap}, "cannot be stored .a function.: use numbers"),
        ({"val": torch.ones(2)}, "cannot be stored .a Tensor.: use numbers"),
    ],
)
def test_a_record_that_cannot_be_judged_is_refused(record, message):
    with pytest.raises((ValueError, TypeError), match=message):
        run_study("naps", ONE, [0], gives(record), version="1", **HERE)
    assert states() == ["FAIL"]


def test_a_record_may_hold_numbers_of_numpy_and_torch():
    record = {"val": np.float32(0.5), "n": np.int64(3), "loss": torch.tensor(2.0)}
    record |= {"variant": "mine", "seed": 7}
    results = run_study("naps", ONE, [0], gives(record), version="1", **HERE)
    row = results.iloc[0]
    assert (row["val"], row["n"], row["loss"]) == (0.5, 3, 2.0)
    assert (row["variant"], row["seed"]) == ("one", 0)  # these are the study's own


# ---- Damaged files -------------------------------------------------------------------
@pytest.fixture
def lines(journal):
    """The lines of a small journal."""
    run_study("naps", TWO, [0, 1], nap, **HERE)
    return journal.read_bytes().splitlines(keepends=True)


def go_on():
    return vals(run_study("naps", TWO, [0, 1], nap, **HERE))


def test_a_journal_with_a_line_cut_out_is_named_and_left_as_it_is(lines, journal):
    for i in range(len(lines) - 1):
        content = b"".join(lines[:i] + lines[i + 1 :])
        journal.write_bytes(content)
        message = f"test.journal is damaged: line {i + 1} does not follow"
        if i == 0:
            message = "test.journal is not a journal of studies"
        with pytest.raises(ValueError, match=message):
            go_on()
        assert journal.read_bytes() == content
    journal.write_bytes(b"".join(lines[:-1]))  # as if killed before it
    assert go_on() == EXPECTED


def test_a_journal_with_a_changed_line_is_named_and_left_as_it_is(lines, journal):
    for i in range(len(lines) - 1):
        changed = [*lines]
        changed[i] = lines[i].replace(b"}", b" }", 1)
        for content in (b"".join(changed), b"".join([*lines[:i], b"\0\n", *lines[i:]])):
            journal.write_bytes(content)
            with pytest.raises(ValueError, match="is damaged|is not a journal"):
                go_on()
            assert journal.read_bytes() == content


def test_of_a_cut_journal_without_checksums_no_record_of_another_run_is_read(
    lines, journal
):
    bare = []
    for line in lines:
        log = json.loads(line)
        del log["follows"]
        bare.append(json.dumps(log, separators=(",", ":")).encode() + b"\n")
    journal.write_bytes(b"".join(bare))
    assert go_on() == EXPECTED and journal.read_bytes() == b"".join(bare)
    refused = 0
    for i in range(len(bare)):
        content = b"".join(bare[:i] + bare[i + 1 :])
        journal.write_bytes(content)
        try:
            assert go_on() == EXPECTED
        except ValueError as error:
            assert "no record of its own is stored" in str(error)
            assert journal.read_bytes() == content
            refused += 1
    assert refused >= 4  # the record of each run, and more


def test_a_stored_record_without_a_loss_is_refused(lines, journal):
    for old, new in [(b'"val":1.1', b'"vol":1.1'), (b'"val":1.1', b'"val":1.2')]:
        last = b""
        changed = []
        for line in lines:
            log = json.loads(line.replace(old, new))
            log["follows"] = storage.zlib.crc32(last)
            last = json.dumps(log, separators=(",", ":")).encode() + b"\n"
            changed.append(last)
        journal.write_bytes(b"".join(changed))
        message = "trial 1 of the study 'naps' is finished, but no record of its own"
        with pytest.raises(ValueError, match=message):
            go_on()
        assert journal.read_bytes() == b"".join(changed)


def test_a_journal_that_is_exchanged_while_it_is_used_is_not_written(lines, journal):
    study = open_study("naps")
    journal.write_bytes(lines[0])
    with pytest.raises(ValueError, match="is damaged: line"):
        study.enqueue_trial({})
    journal.unlink()
    with pytest.raises(RuntimeError, match="cannot be written .No such file"):
        study.enqueue_trial({})


def test_a_full_disk_costs_the_runs_in_progress_alone(journal, capsys):
    record = {"val": 1.0, "curve": [1.0] * 2000}
    options = HERE | {"version": "1"}
    run_study("naps", ONE, [0], gives(record), **options)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    full = journal.stat().st_size + 4000  # less than a record
    resource.setrlimit(resource.RLIMIT_FSIZE, (full, limits[1]))
    try:
        with pytest.raises(RuntimeError, match="cannot be written .File too large"):
            run_study("naps", ONE, range(4), gives(record), **options)
        assert journal.read_bytes().endswith(b"}\n")  # nothing is torn
        with pytest.raises(RuntimeError, match="make room or give another path"):
            run_study("naps", ONE, range(4), gives(record), **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not journal.with_name("test.journal.lock").exists()
    assert len(run_study("naps", ONE, range(4), gives(record), **options)) == 4
    assert states().count("COMPLETE") == 4
    assert "torn" not in capsys.readouterr().out  # no half line was left


def test_a_folder_that_may_not_be_written_is_named(lines, journal, monkeypatch):
    def refuse(lock):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(storage, "make_lock", refuse)  # root may write everywhere
    assert go_on() == EXPECTED  # what is finished is only read
    with pytest.raises(RuntimeError, match="journal cannot be written .Permission den"):
        run_study("naps", TWO, [2], nap, **HERE)
    assert journal.read_bytes() == b"".join(lines)


# ---- Locks ---------------------------------------------------------------------------
@pytest.fixture
def lock(lines, journal):
    return journal.with_name("test.journal.lock")


def test_the_lock_of_a_dead_process_is_removed_at_once(lock, capsys):
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=-1) as dead:
        start = psutil.Process(dead.pid).create_time()
        dead.stdin.write(b"\n")
        dead.stdin.close()
    lock.write_text(json.dumps([platform.node(), dead.pid, start]), encoding="utf-8")
    start = time.monotonic()
    assert len(run_study("naps", TWO, [2], nap, **HERE)) == 2
    assert time.monotonic() - start < 0.3 + 2 and not lock.exists()
    assert "waiting" not in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[1]", "yours", '["another machine", 1, 2.0]'])
def test_a_lock_of_nobody_is_said_and_removed_after_its_grace(lock, capsys, content):
    lock.write_text(content, encoding="utf-8")
    assert len(run_study("naps", TWO, [2], nap, **HERE)) == 2
    told = capsys.readouterr().out
    assert "test.journal.lock: a process is writing, or was killed while it" in told
    assert "the lock is removed if nothing changes in 0.3 seconds" in told
    assert told.count("waiting") == 1 and not lock.exists()


def test_the_lock_of_a_living_process_is_waited_for(lock, capsys):
    pid = os.getppid()
    owner = [platform.node(), pid, psutil.Process(pid).create_time()]
    lock.write_text(json.dumps(owner), encoding="utf-8")
    thread = threading.Timer(0.8, lock.unlink)  # later than the grace
    thread.start()
    start = time.monotonic()
    assert len(run_study("naps", TWO, [2], nap, **HERE)) == 2
    assert time.monotonic() - start > 0.7
    thread.join()
    assert f"process {pid} is writing; let it fin" in capsys.readouterr().out


# ---- Machines that sleep -------------------------------------------------------------
def test_a_run_that_another_process_has_ended_is_dropped_and_done_again():
    def run(config, seed):
        calls.append(seed)
        if len(calls) == 1:  # it seemed dead: see the test with a server
            open_study("naps").tell(0, state=TrialState.FAIL)
        return {"val": config.hidden + seed / 10}

    calls = []
    results = run_study("naps", TWO, [0, 1], run, version="1", **HERE)
    assert vals(results) == EXPECTED
    assert calls == [0, 1, 0, 1, 0] and states() == ["FAIL"] + ["COMPLETE"] * 4


# ---- People who press twice ----------------------------------------------------------
def press(times=2):
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


def test_a_second_press_disturbs_no_stopping(monkeypatch):
    tell = studies.optuna.Study.tell

    def pressed(study, *given, **options):
        if options.get("state") == TrialState.FAIL:
            press()  # the second and the third
        return tell(study, *given, **options)

    def run(config, seed):
        if seed == 1 and not mended:
            press(1)
        return {"val": config.hidden + seed / 10}

    mended = []
    usual = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(studies.optuna.Study, "tell", pressed)
    with pytest.raises(KeyboardInterrupt):
        run_study("naps", TWO, [0, 1], run, version="1", **HERE)
    assert signal.getsignal(signal.SIGINT) is usual
    assert states() == ["COMPLETE", "FAIL", "WAITING", "WAITING"]
    mended.append(True)
    assert vals(run_study("naps", TWO, [0, 1], run, version="1", **HERE)) == EXPECTED
    assert states().count("COMPLETE") == 4


def test_a_run_that_keeps_an_interrupt_for_itself_is_no_result():
    def run(config, seed):
        try:
            press(1)
        except KeyboardInterrupt:
            return {"val": 1.0}  # as if it were finished

    with pytest.raises(KeyboardInterrupt):
        run_study("naps", ONE, [0, 1], run, version="1", **HERE)
    assert "COMPLETE" not in states()


def test_an_interrupted_training_that_the_run_forgets_is_no_result():
    def run(config, seed):
        from helpers import TrainConfig, build_flat, train

        X = torch.zeros(4, 2, dtype=torch.long)
        model = build_flat(3, 2, 2, 2)
        config = TrainConfig(steps=3, batch_size=2)
        train(model, X, X[:, 0], config, progress=False, on_step=lambda _: press(1))
        return {"val": 1.0}

    with pytest.raises(KeyboardInterrupt):
        run_study("naps", ONE, [0, 1], run, version="1", **HERE)
    assert "COMPLETE" not in states()


def test_two_presses_leave_no_worker_and_the_next_call_goes_on(tmp_path, journal):
    log = tmp_path / "log.txt"
    log.touch()

    @dataclass
    class Plain:  # Size would load all that this file imports in each worker
        hidden: int

    def run(config, seed):
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
        while not (tmp_path / "mended").exists():
            time.sleep(0.02)
        return {"val": config.hidden + seed / 10}

    def interrupt():
        while len(set(log.read_text(encoding="utf-8").split())) < 2:
            time.sleep(0.02)
        workers.extend(map(int, set(log.read_text(encoding="utf-8").split())))
        for _ in range(2):  # to the whole group of processes, as Jupyter does
            for pid in [*workers, os.getpid()]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
            time.sleep(0.03)

    workers = []
    options = {"path": journal, "version": "1", "progress": False}
    study = partial(run_study, "naps", {"one": Plain(1), "two": Plain(2)}, [0, 1], run)
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        study(**options)
    with suppress(KeyboardInterrupt):  # the second press, if it came that late
        thread.join()
    thread.join()
    assert len(workers) == 2
    for pid in workers:
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"
    (tmp_path / "mended").touch()
    assert vals(study(**options)) == EXPECTED
    assert states().count("COMPLETE") == 4

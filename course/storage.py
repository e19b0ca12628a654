"""Where studies are kept: in a journal or on a PostgreSQL server, both through Optuna.

A journal is a file to which lines are only appended. Here each line also contains a
checksum of the line before it, so that a missing or changed line is found on reading.
"""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import optuna
import psutil
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend

from course.checks import check_kind, check_text

DATA = Path(__file__).parents[1] / "data"
JOURNAL = DATA / "studies.journal"  # every run of this machine
SERVER = "WAVENET_STORAGE"  # an environment variable: the URL of a PostgreSQL server
FIRST_BYTES = b'{"op_code":'  # of each line of Optuna's journal
SECONDS_TO_ANSWER = 5  # for the server
SECONDS_BETWEEN_HEARTBEATS = 15  # of a run on the server; it is dead after twice that
SECONDS_OF_SILENCE = 2  # until we say that we are waiting for a lock
SECONDS_OF_GRACE = 30  # for a lock whose owner cannot be checked


def open_study(name: str, path: str | Path | None = None) -> optuna.Study:
    """The study `name`, created if necessary.

    It is kept in the journal at `path`; without a path, on the PostgreSQL server that
    $WAVENET_STORAGE names, or else in data/studies.journal. ValueError if that cannot
    be used, or if the journal is damaged.
    """
    name = check_text("name", name)
    if not name:
        raise ValueError("name is empty: give the study a name")
    if path is not None:
        cure = "give the path of a file, which need not exist"
        check_kind("path", path, kind=(str, Path), cure=cure)
    url = os.environ.get(SERVER)
    if path is None and url:
        storage = open_server(url)
    else:
        storage = open_journal(JOURNAL if path is None else Path(path))
    # In a search, the trials that other workers are running count as bad ones.
    sampler = optuna.samplers.TPESampler(constant_liar=True)
    options = {"study_name": name, "storage": storage, "sampler": sampler}
    try:
        return optuna.load_study(**options)  # only reads; create_study always writes
    except KeyError:
        return optuna.create_study(**options, load_if_exists=True)


# ---- Processes ---------------------------------------------------------------------
def signature() -> list:
    """What distinguishes this process from any other: machine, number, start time."""
    return [platform.node(), os.getpid(), psutil.Process().create_time()]


def is_gone(process: list) -> bool:
    """Whether the process with this signature has ended.

    A process on another machine counts as alive, because it cannot be seen from here.
    """
    machine, pid, start = process
    if machine != platform.node():
        return False
    try:
        found = psutil.Process(pid)
        if abs(found.create_time() - start) > 2:
            return True  # a later process has the same number
        return found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# ---- The server --------------------------------------------------------------------
def open_server(url: str) -> RDBStorage:
    """The PostgreSQL database at `url`; ValueError if none answers."""
    import sqlalchemy  # here, because only a server needs it

    connect = {"connect_timeout": SECONDS_TO_ANSWER}
    options = {"connect_args": connect, "pool_pre_ping": True}
    lock = sqlalchemy.func.pg_advisory_xact_lock(zlib.crc32(b"wavenet"))
    try:
        backend = sqlalchemy.make_url(url).get_backend_name()
        if backend != "postgresql":
            raise ValueError(f"{backend} is not supported")
        engine = sqlalchemy.create_engine(url, **options)
        with engine.begin() as connection:
            # If two processes begin at once, only one of them makes the tables.
            connection.execute(sqlalchemy.select(lock))
            heartbeat = SECONDS_BETWEEN_HEARTBEATS
            return RDBStorage(url, options, heartbeat_interval=heartbeat)
    except ImportError as error:
        raise ValueError(
            f"{SERVER} names a server, but its driver is missing ({error}): "
            "install the extra, pip install -e .[server], or unset the variable"
        ) from None
    except (sqlalchemy.exc.SQLAlchemyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"no database answers at {SERVER} ({reason}): start the server, "
            "set the URL to postgresql://user:password@host/database, or unset it"
        ) from None


# ---- The lock of a journal -----------------------------------------------------------
@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps all other processes from writing to the journal at `path`.

    The lock is a file next to it that names the process. A lock that a killed process
    left behind is removed.
    """
    lock = path.with_name(f"{path.name}.lock")
    wait_for_lock(lock)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def wait_for_lock(lock: Path) -> None:
    """Makes the file `lock` as soon as it is free; if that takes long, says why."""
    began = time.monotonic()
    seen = None
    told = False
    while not make_lock(lock):
        try:
            changed = lock.stat().st_mtime_ns  # first: it may be replaced meanwhile
            owner = read_owner(lock)
        except FileNotFoundError:
            continue  # it has just been released
        if changed != seen:  # another process has it now
            seen = changed
            began = time.monotonic()
        waited = time.monotonic() - began
        if owner and is_gone(owner):
            remove_lock(lock, seen)
        elif waited > SECONDS_OF_GRACE and not is_other_process(owner):
            remove_lock(lock, seen)
        elif waited > SECONDS_OF_SILENCE and not told:
            print(f"waiting for {lock}: {explain(owner)}", flush=True)
            told = True
        time.sleep(min(0.001 + waited / 10, 0.2))


def make_lock(lock: Path) -> bool:
    """Whether the file could be made; then the lock is ours."""
    try:
        file = lock.open("x", encoding="utf-8")
    except FileExistsError:
        return False
    try:
        with file:
            json.dump(signature(), file)
    except BaseException:  # a full disk, or Ctrl-C
        lock.unlink(missing_ok=True)
        raise
    return True


def read_owner(lock: Path) -> list | None:
    """The signature in the file, or None if there is none."""
    try:
        machine, pid, start = json.loads(lock.read_text(encoding="utf-8"))
    except (ValueError, TypeError):
        return None  # not written yet, or not one of ours
    if not isinstance(pid, int) or not isinstance(start, float):
        return None
    return [machine, pid, start]


def is_other_process(owner: list | None) -> bool:
    """Whether the owner of the lock is another process on this machine."""
    return bool(owner) and owner[0] == platform.node() and owner[1] != os.getpid()


def explain(owner: list | None) -> str:
    """Why we are waiting for a lock, and how long."""
    if is_other_process(owner):
        return f"process {owner[1]} is writing; let it finish, or end it"
    return (
        "a process is writing, or was killed while it wrote; "
        f"the lock is removed if nothing changes in {SECONDS_OF_GRACE} seconds"
    )


def remove_lock(lock: Path, seen: int) -> None:
    """Removes the lock if unchanged since `seen`; if two do so, only one can rename."""
    with suppress(FileNotFoundError):
        if lock.stat().st_mtime_ns == seen:
            renamed = lock.with_name(f"{lock.name}.{uuid.uuid4()}")
            lock.rename(renamed).unlink()


# ---- The journal -------------------------------------------------------------------
class JournalError(ValueError):
    """A file that is not a journal, or a damaged journal; it was not changed."""


class Journal(BaseJournalBackend):
    """The lines of the journal at `path`, each with the checksum of the one before it.

    It remembers what it has read, because Optuna asks only for new lines. Lines without
    a checksum were written before there were checksums.
    """

    def __init__(self, path: Path):
        self.path = path
        self.restart()

    def restart(self) -> None:
        self.lines = 0  # read so far
        self.end = 0  # of the last of them, in bytes
        self.last = b""

    def read_logs(self, log_number_from: int) -> Iterator[dict]:
        """The complete lines from this number on; JournalError if one does not fit."""
        if log_number_from < self.lines:
            self.restart()
        with self.path.open("rb") as file:
            file.seek(self.end)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # it is being written, or torn
                log = self.parse(line)
                self.lines += 1
                self.end += len(line)
                self.last = line
                if self.lines > log_number_from:
                    yield log

    def parse(self, line: bytes) -> dict:
        """The next line as a dict; JournalError if it does not fit."""
        if not line.startswith(FIRST_BYTES):
            raise self.error()
        try:
            log = json.loads(line)
        except ValueError:
            raise self.error() from None
        if log.get("follows", zlib.crc32(self.last)) != zlib.crc32(self.last):
            raise self.error()
        return log

    def error(self) -> JournalError:
        """The error about the line after those that were read."""
        cure = "give another path; it was not changed"
        if self.lines == 0:
            return JournalError(f"{self.path} is not a journal of studies: {cure}")
        return JournalError(
            f"{self.path} is damaged: line {self.lines + 1} does not follow the line "
            f"before it. Replace the file with a backup, or {cure}"
        )

    def append_logs(self, logs: list[dict]) -> None:
        """Appends lines, all or none; RuntimeError if they cannot be written."""
        try:
            with locked(self.path), self.path.open("rb+", buffering=0) as file:
                before = self.find_last_line(file)
                text = b""
                for log in logs:
                    log["follows"] = zlib.crc32(before)
                    before = json.dumps(log, separators=(",", ":")).encode() + b"\n"
                    text += before
                write_all_or_nothing(file, text)
        except OSError as error:
            raise RuntimeError(
                f"{self.path} cannot be written ({error.strerror}): finished runs are "
                "kept; make room or give another path, then run the same again"
            ) from None

    def find_last_line(self, file: BinaryIO) -> bytes:
        """The last complete line, with the file at its end; a torn one is cut off."""
        size = file.seek(0, os.SEEK_END)
        if size < self.end:
            raise self.error()  # another file has replaced it
        file.seek(self.end)
        new = file.read(size - self.end)
        whole, newline, torn = new.rpartition(b"\n")
        if self.end == 0 and not whole and not begins_a_line(torn):
            raise self.error()
        if torn:
            name = self.path.name
            print(f"{name}: the last line was torn, {len(torn)} bytes are cut off")
            file.truncate(file.seek(-len(torn), os.SEEK_END))
        if newline:
            return whole.rpartition(b"\n")[2] + newline
        return self.last

    def mend(self) -> None:
        """Removes the torn last line that a killed process left behind."""
        if self.path.stat().st_size > self.end:
            with locked(self.path), self.path.open("rb+", buffering=0) as file:
                self.find_last_line(file)


def begins_a_line(text: bytes) -> bool:
    """Whether a journal may begin with this piece of a line."""
    return FIRST_BYTES.startswith(text[: len(FIRST_BYTES)])


def write_all_or_nothing(file: BinaryIO, text: bytes) -> None:
    """Appends `text` to the file, or leaves the file as it was."""
    size = file.seek(0, os.SEEK_END)
    try:
        written = 0
        while written < len(text):
            written += file.write(text[written:])  # a full disk may take only a part
        os.fsync(file.fileno())
    except BaseException:
        file.truncate(size)
        raise


def open_journal(path: Path) -> JournalStorage:
    """The journal at `path`, created or repaired if necessary.

    ValueError if the file is not a journal, is damaged, or cannot be written.
    """
    try:
        if not path.exists():
            path.open("ab").close()
        journal = Journal(path)
        storage = JournalStorage(journal)
        journal.mend()
        return storage
    except OSError as error:
        raise ValueError(
            f"no journal can be kept at {path} ({error.strerror}): "
            "give a path that you may write to"
        ) from None
    except (LookupError, TypeError, AttributeError, AssertionError):
        raise journal.error() from None  # Optuna could not read a line

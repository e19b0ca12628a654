"""With `make test` (pytest-xdist) two files run at a time, each on half the cores."""

import os
import signal

import pytest

# A shell lets what it starts in the background ignore Ctrl-C, which the tests of
# interrupts press: they would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    # Before torch is imported, here or by a kernel: trainings that share cores slow
    # each other tenfold.
    half = max(1, (os.cpu_count() or 1) // workers)
    os.environ.setdefault("OMP_NUM_THREADS", str(half))


@pytest.fixture(scope="session")
def vocab():
    """The vocabulary of data/names.txt."""
    from course.runs import load_splits  # now: it imports torch

    return load_splits()[0]


def pytest_collection_modifyitems(items):
    """Notebooks before tests, from the last one on: the long files come first.

    A worker takes the next file when it is done. With short ones at the end, all
    workers end at about the same time.
    """
    if workers:
        items.sort(key=lambda item: item.path.name, reverse=True)
        items.sort(key=lambda item: item.path.suffix != ".ipynb")

"""With `pytest -n 2` (pytest-xdist) two notebooks or test files run at a time, each on half of the cores."""

import os

LONGEST = [
    "solutions.ipynb",
    "07_full_wavenet.ipynb",
    "04_batchnorm_fix.ipynb",
    "test_studies.py",
    "05_experiments.ipynb",
    "03_wavenet.ipynb",
    "02_flat_baseline.ipynb",
    "06_convolution.ipynb",
    "01_cleanup.ipynb",
]

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    # Before torch is imported, here or by a kernel: trainings that share cores slow each other tenfold.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def pytest_collection_modifyitems(items):
    """The longest files first: a worker takes the next when it is done, so all end at about the same time."""
    if workers:
        rank = {name: i for i, name in enumerate(LONGEST)}
        items.sort(key=lambda item: rank.get(item.path.name, len(rank)))

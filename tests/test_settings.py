"""Other people's settings: what a reader's machine, shell or first cell says."""

import ast
import importlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import nbformat
import pytest
import torch
from torch import Generator

from course.wavenet import WaveNet, WaveNetConfig, name_losses, train_wavenet
from helpers import (
    TrainConfig,
    Vocab,
    build_dataset,
    build_flat,
    build_tree,
    evaluate,
    sample,
    train,
)

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
CONFTEST = ROOT / "notebooks" / "conftest.py"
NAMES = ["ava", "emma", "noah", "liam"] * 5
TINY = WaveNetConfig(steps=2, batch_size=8, channels=6, skip_channels=5, levels=2)


# ---- A machine of its own ------------------------------------------------------------
# What every part of the course gives, in numbers and pixels.
SCRIPT = """
import hashlib, json, sys, warnings
warnings.filterwarnings("ignore", category=EncodingWarning)  # those of libraries
warnings.filterwarnings("error", category=EncodingWarning, module="helpers|course")
import torch
torch.set_num_threads(1)
from course.comparisons import load_results
from course.drawings import as_png, plot_losses
from course.explorers.batchnorm import BatchNormExplorer
from course.explorers.grid import GridExplorer
from course.explorers.reuse import ReuseExplorer
from course.explorers.tree import TreeExplorer
from course.explorers.windows import WindowsExplorer
from course.runs import load_splits
from helpers import *

vocab, splits = load_splits()
X, Y = build_dataset(splits["val"][:100], vocab, 8)
model = build_tree(len(vocab), hidden=8, generator=Generator().manual_seed(0))
history = train(model, X, Y, TrainConfig(steps=3, batch_size=32), progress=False)
axes = plot_losses({"tree": history})
explorers = [
    WindowsExplorer(vocab, splits["val"]),
    TreeExplorer(vocab),
    GridExplorer(load_results("grid")),
    ReuseExplorer(vocab),
    BatchNormExplorer(torch.arange(96.0).reshape(8, 4, 3)),
]
found = {"losses": history.losses, "figure": repr(axes.figure)}
pictures = [as_png(axes.figure), *(explorer.picture() for explorer in explorers)]
found["pictures"] = [hashlib.sha256(png).hexdigest() for png in pictures]
"""
MATPLOTLIBRC = """
figure.dpi: 237
savefig.dpi: 51
savefig.bbox: tight
figure.figsize: 3, 9
figure.facecolor: yellow
font.size: 31
axes.grid: True
lines.linewidth: 9
axes.prop_cycle: cycler("color", ["r", "g"])
"""


def files_of(folder):
    """Every file with the time of its last change."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_copy_elsewhere_with_other_settings_gives_the_same(tmp_path):
    """Spaces and umlauts in its path, nothing else on the PATH (so no git), another
    matplotlibrc, more threads; every file is opened with its encoding, and none is
    written in the checkout, which may be read-only."""
    copy = tmp_path / "Übung 1 – große Namen"
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("course", "data"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    shutil.copy(ROOT / "helpers.py", copy)
    (tmp_path / "matplotlibrc").write_text(MATPLOTLIBRC, encoding="utf-8")
    before = files_of(copy)
    settings = {
        "PATH": "",
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNDEFAULTENCODING": "1",
        "OMP_NUM_THREADS": "3",
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "MPLCONFIGDIR": matplotlib.get_cachedir(),  # the fonts, found once
        "MPLBACKEND": "agg",
    }
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT + "print(json.dumps(found))"],
        cwd=copy,
        env=os.environ | settings,
        capture_output=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr
    assert not run.stderr
    there = {}
    exec(SCRIPT, there)
    assert json.loads(run.stdout.splitlines()[-1]) == there["found"]
    assert files_of(copy) == before


# ---- Files are opened with their encoding --------------------------------------------
OPENERS = {"open", "fdopen", "read_text", "write_text"}
HAVE_MODES = {"open", "fdopen"}
PIPES = {"run", "Popen", "check_output"}


def is_binary(call):
    """Whether one of the arguments is a mode such as "rb"."""
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    texts = [value.value for value in values if isinstance(value, ast.Constant)]
    return any(isinstance(text, str) and "b" in text for text in texts)


def without_encoding(source):
    """Lines that open a text, or a pipe of text, and do not say its encoding."""
    for node in ast.walk(ast.parse(source)):
        no_text = ("os.open", "Image.open")
        if not isinstance(node, ast.Call) or ast.unparse(node.func) in no_text:
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        options = {keyword.arg: keyword.value for keyword in node.keywords}
        if "encoding" in options:
            continue
        if name in OPENERS and not (name in HAVE_MODES and is_binary(node)):
            yield node.lineno
        elif name in PIPES and {"text", "universal_newlines"} & set(options):
            yield node.lineno


def test_every_text_is_opened_with_its_encoding():
    found = []
    files = [ROOT / "helpers.py"]
    for folder in ("course", "data", "notebooks", "tests", "tools"):
        files += (ROOT / folder).rglob("*.py")
    for path in files:
        for line in without_encoding(path.read_text(encoding="utf-8")):
            found.append(f"{path.relative_to(ROOT)}:{line}")
    assert not found


@pytest.mark.parametrize(
    "source, found",
    [
        ("open(path)", [1]),
        ("open(path, 'a')", [1]),
        ("path.open()", [1]),
        ("path.read_text()", [1]),
        ("path.write_text('a')", [1]),
        ("path.write_text('b')", [1]),
        ("open(path, 'rb+')", []),
        ("os.open(path, os.O_CREAT)", []),
        ("path.read_text(encoding='utf-8')", []),
        ("subprocess.run(command, text=True)", [1]),
        ("subprocess.run(command, encoding='utf-8')", []),
    ],
)
def test_a_text_without_encoding_would_be_found(source, found):
    assert list(without_encoding(source)) == found


# ---- torch's defaults ----------------------------------------------------------------
@contextmanager
def default(**setting):
    """torch's default device or dtype, put back afterwards."""
    device = torch.get_default_device()
    dtype = torch.get_default_dtype()
    try:
        if "device" in setting:
            torch.set_default_device(setting["device"])
        if "dtype" in setting:
            torch.set_default_dtype(setting["dtype"])
        yield
    finally:
        torch.set_default_device(None if device.type == "cpu" else device)
        torch.set_default_dtype(dtype)


def from_names_to_names():
    """All that a reader does, in the order of the notebooks."""
    vocab = Vocab(NAMES)
    X, Y = build_dataset(NAMES, vocab, 4)
    config = TrainConfig(steps=2, batch_size=8)
    for build in (build_flat, build_tree):
        model = build(len(vocab), 4, hidden=5, generator=Generator().manual_seed(0))
        train(model, X, Y, config, progress=False)
        assert evaluate(model, X, Y) > 0
        assert len(sample(model, vocab, 4, 3, generator=Generator())) == 3
    network = WaveNet(TINY, len(vocab), generator=Generator().manual_seed(0))
    train_wavenet(network, NAMES, vocab, TINY, progress=False)
    assert name_losses(network, NAMES, vocab).isfinite().all()
    return model, network


def test_float64_as_the_default_works():
    with default(dtype=torch.float64):
        for model in from_names_to_names():
            assert {p.dtype for p in model.parameters()} == {torch.float64}


VOCAB = Vocab(NAMES)
DATA = build_dataset(NAMES, VOCAB, 4)
TREE = build_tree(len(VOCAB), 4, hidden=5)
NETWORK = WaveNet(TINY, len(VOCAB))
MAKES_TENSORS = {
    "build_dataset": lambda: build_dataset(NAMES, VOCAB, 4),
    "build_flat": lambda: build_flat(9, 4),
    "build_tree": lambda: build_tree(9, 4),
    "train": lambda: train(TREE, *DATA, progress=False),
    "sample": lambda: sample(TREE, VOCAB, 4),
    "WaveNetConfig": WaveNetConfig,
    "train_wavenet": lambda: train_wavenet(NETWORK, NAMES, VOCAB, TINY),
    "name_losses": lambda: name_losses(NETWORK, NAMES, VOCAB),
}


@pytest.mark.parametrize("call", MAKES_TENSORS.values(), ids=MAKES_TENSORS)
def test_another_default_device_is_refused(call):
    with default(device="meta"), pytest.raises(ValueError, match="set_default_device"):
        call()


@pytest.mark.parametrize("call", MAKES_TENSORS.values(), ids=MAKES_TENSORS)
def test_a_default_of_half_precision_is_refused(call):
    half = default(dtype=torch.float16)
    with half, pytest.raises(ValueError, match="set_default_dtype"):
        call()


# ---- pytest --nbval as a reader calls it ---------------------------------------------
def test_a_kernel_that_is_not_there_gets_one_message(pytester):
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    for name, kernel in (("one", "my-env"), ("two", "my-env"), ("three", "python3")):
        cells = [nbformat.v4.new_code_cell("1 + 1") for _ in range(9)]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {"name": kernel, "display_name": kernel}
        nbformat.write(notebook, pytester.path / f"{name}.ipynb")
    run = pytester.runpytest_inprocess("--nbval", "-q")
    said = f"{run.stdout}{run.stderr}"
    assert run.ret == pytest.ExitCode.USAGE_ERROR, said
    assert said.count("no such kernel here") == said.count("--nbval-current-env") == 1
    assert "one.ipynb asks for 'my-env', two.ipynb asks for 'my-env'" in said
    assert "three" not in said


class Config:
    """What the conftest.py asks pytest for."""

    def __init__(self, nbval):
        self.nbval = nbval

    def getoption(self, name, default):
        return self.nbval if name == "nbval" else default


@pytest.mark.parametrize(
    "nbval, worker, found", [(True, "", 1), (False, "", 0), (True, "gw0", 0)]
)
def test_fonts_are_found_once_before_notebooks_run(monkeypatch, nbval, worker, found):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    if worker:
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
    imported = []
    monkeypatch.setattr(importlib, "import_module", imported.append)
    runpy.run_path(str(CONFTEST))["pytest_configure"](Config(nbval))
    assert imported == found * ["matplotlib.font_manager"]

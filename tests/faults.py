"""Does a mistake turn `make test` red? Plants one fault at a time in a copy of the checkout and runs the same
tests there, one after the other, up to the first failure. Exits with 1 if a fault goes unseen."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat

ROOT = Path(__file__).resolve().parents[1]
PYTEST = [
    sys.executable,
    "-m",
    "pytest",
    "--nbval",
    "--nbval-current-env",
    "-x",
    "-q",
]  # as `make test`, but for -x and -n
PASSED, FAILED = 0, 1  # pytest's exit codes; any other means that it could not run the tests


@dataclass(frozen=True)
class Fault:
    """`old` is replaced by `new`; each of the files must hold it exactly `times` times."""

    name: str
    what: str
    old: str
    new: str
    times: int = 1
    files: tuple[str, ...] = ("helpers.py",)  # in a notebook, old and new must need no escape of JSON

    def plant(self, folder: Path) -> None:
        for file in self.files:
            text = (folder / file).read_text(encoding="utf-8")
            if text.count(self.old) != self.times:
                raise LookupError(f"{file} holds this {text.count(self.old)} times, not {self.times}")
            (folder / file).write_text(text.replace(self.old, self.new), encoding="utf-8")

    def __str__(self) -> str:
        lines = [f"- {line}" for line in self.old.splitlines()] + [
            f"+ {line}" for line in self.new.splitlines()
        ]
        return "\n".join(f"    {line}" for line in lines)


WAVENET = "wavenet.py", "notebooks/07_full_wavenet.ipynb"
FAULTS = [
    Fault(
        "batchnorm-axis",
        "BatchNorm averages over one axis only",
        "rows = x.reshape(-1, x.shape[-1])",
        "return BatchNormOverBatch.__call__(self, x)",
    ),
    Fault(
        "context-late",
        "contexts are shifted by one: the newest character is missing",
        "X.append(context)",
        "X.append([0, *context[:-1]])",
    ),
    Fault(
        "context-early",
        "contexts are shifted by one: they hold the character to be predicted",
        "X.append(context)",
        "X.append([*context[1:], i])",
    ),
    Fault("eval-mode", "eval mode is never set", "    model.eval()\n", "    model.train()\n"),
    Fault(
        "split",
        "the validation names are a part of the training names",
        '"val": shuffled[a:b]',
        '"val": shuffled[: b - a]',
    ),
    Fault(
        "initial-scale",
        "the last layer starts at full scale (flat model and tree)",
        "model.layers[-1].weight.data *= 0.1",
        "model.layers[-1].weight.data *= 1.0",
        times=2,
    ),
    Fault(
        "end-mark",
        "the end mark is not predicted",
        "for i in [*vocab.encode(name), 0]:",
        "for i in vocab.encode(name):",
    ),
    Fault(
        "fuse-far",
        "fused are positions half a context apart, not neighbours",
        "x = x.reshape(B, T // self.n, self.n * C)",
        "x = x.reshape(B, self.n, T // self.n, C).transpose(1, 2).reshape(B, T // self.n, self.n * C)",
    ),
    Fault(
        "fuse-newest-first",
        "neighbours are fused with the newer one first",
        "x = x.reshape(B, T // self.n, self.n * C)",
        "x = x.reshape(B, T // self.n, self.n, C).flip(2).reshape(B, T // self.n, self.n * C)",
    ),
    Fault(
        "learning-rate-recipe",
        "the recipe's learning rate is ten times smaller",
        "lr: float = 0.015",
        "lr: float = 0.0015",
    ),
    Fault(
        "learning-rate-used",
        "training uses a tenth of the config's learning rate",
        "rates, cycle = [config.lr, config.lr * config.embedding_boost]",
        "rates, cycle = [config.lr / 10, config.lr / 10 * config.embedding_boost]",
    ),
    Fault(
        "biased-variance",
        "BatchNorm1d stores the biased variance",
        "return out.view(x.shape)",
        "if self.training:  # unbiased - biased = unbiased / n\n"
        "            self.running_var -= self.momentum * rows.detach().var(0) / len(rows)\n"
        "        return out.view(x.shape)",
    ),
    Fault(
        "biased-variance-by-hand",
        "BatchNormOverBatch stores the biased variance",
        "m * var * n / (n - 1)",
        "m * var",
    ),
    Fault(
        "seed-initial",
        "Linear ignores the generator given for the initial weights",
        "torch.randn(in_features, out_features, generator=generator)",
        "torch.randn(in_features, out_features)",
    ),
    Fault(
        "seed-batches",
        "training ignores the seed given for the batches",
        "torch.randperm(len(X), generator=generator)",
        "torch.randperm(len(X))",
    ),
    Fault(
        "seed-samples",
        "sampling ignores its generator",
        "torch.multinomial(ps, 1, generator=generator)",
        "torch.multinomial(ps, 1)",
    ),
    Fault("gradients-kept", "gradients add up from step to step", "optimizer.zero_grad()", "pass"),
    Fault(
        "mode-left",
        "training leaves the model in training mode",
        "model.train(mode)  # the mode that the model was in",
        "model.train()",
    ),
    Fault(
        "zero-padding",
        "zeros stand before a name, not the all-dots activation",
        "before = x[:, :1].expand(-1, self.reach, -1)",
        "before = torch.zeros_like(x[:, :1].expand(-1, self.reach, -1))",
        files=("notebooks/06_convolution.ipynb",),
    ),
    Fault(
        "time-shift",
        "the convolution is shifted by one: the newest place is not read",
        "return super().__call__(torch.cat([before, x], 1))",
        "return super().__call__(torch.cat([before, x[:, :1], x[:, :-1]], 1))",
        files=("notebooks/06_convolution.ipynb",),
    ),
    Fault(
        "residual-not-added",
        "the residual is not added",
        "x = x + self.onward(z) if self.residual else self.onward(z)",
        "x = self.onward(z)",
        files=WAVENET,
    ),
    Fault(
        "wavenet-time-shift",
        "WaveNet's convolutions are shifted by one",
        "return self.linear(torch.cat([seen[:, :T], x], -1))",
        "return self.linear(torch.cat([seen[:, :T], seen[:, self.dilation - 1 : -1]], -1))",
        files=WAVENET,
    ),
    Fault(
        "filling-counts",
        "the filling of a batch of names counts as letters",
        "batch_first=True, padding_value=-100)",
        "batch_first=True, padding_value=0)",
        files=WAVENET,
    ),
]


# ---- A copy of the checkout, and pytest in it ----------------------------------------------------
def checkout_files() -> list[str]:
    """What git tracks, and what it would track; not what it ignores, such as .venv."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True, encoding="utf-8")
    return [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]


@contextmanager
def checkout_copy() -> Iterator[Path]:
    with TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        for file in checkout_files():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
        yield folder


def pytest_in(folder: Path, *targets: str) -> tuple[int, str]:
    """pytest's exit code and output. PYTHONPATH goes before an editable install, which is of the original."""
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONIOENCODING": "utf-8",
    }
    command = [*PYTEST, *targets]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    return run.returncode, run.stdout + run.stderr


def first_failure(output: str) -> str:
    """The first failing test, or notebook cell, in pytest's summary."""
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    return found[1] if found else "no test named"


# ---- What is checked before, and for each fault --------------------------------------------------
def imports_the_copy(folder: Path) -> bool:
    """Whether pytest and a notebook's kernel, started in the copy, import the copy's helpers.py."""
    source = f"import os, helpers\nassert os.path.samefile(helpers.__file__, {str(folder / 'helpers.py')!r})"
    probes = folder / "probes"
    probes.mkdir()
    cell = nbformat.v4.new_code_cell(source, execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), probes / "probe.ipynb")
    (probes / "test_probe.py").write_text(f"def test_probe():\n    exec({source!r})\n", encoding="utf-8")
    return pytest_in(folder, "probes")[0] == PASSED


def baseline(targets: list[str]) -> str | None:
    """What is wrong before any fault is planted."""
    with checkout_copy() as folder:
        if not imports_the_copy(folder):
            return "the copy imports another helpers.py than its own"
        code, output = pytest_in(folder, *targets)
    return None if code == PASSED else f"red with no fault planted: {first_failure(output)}\n{output}"


def turns_red(fault: Fault, targets: list[str], verbose: bool) -> bool:
    """Plants the fault, runs the tests, prints what came of it."""
    start = time.perf_counter()
    with checkout_copy() as folder:
        try:
            fault.plant(folder)
            code, output = pytest_in(folder, *targets)
            verdict = {FAILED: "red", PASSED: "GREEN"}.get(code, f"pytest ended with {code}")
        except LookupError as error:
            code, output, verdict = None, "", f"NOT FOUND: {error}"
    seconds = time.perf_counter() - start
    seen = first_failure(output) if code == FAILED else "no test failed"
    print(f"{verdict:<5} {seconds:5.1f} s  {fault.name}: {fault.what}\n{fault}\n    {seen}", flush=True)
    if verbose or code not in (PASSED, FAILED):
        print(output)
    return code == FAILED


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help="see --list")
    parser.add_argument("--list", action="store_true", help="show the faults and plant none")
    parser.add_argument("--notebooks", action="store_true", help="run the notebooks without tests/: minutes")
    parser.add_argument(
        "--skip-baseline", action="store_true", help="do not run the copy without a fault first"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show pytest's output")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    faults = [fault for fault in FAULTS if fault.name in args.only]
    if args.list:
        print("\n".join(f"{fault.name}: {fault.what}\n{fault}" for fault in faults))
        return
    everything = (
        ["notebooks"] if args.notebooks else []
    )  # no target: all that pyproject.toml names, tests first
    if not args.skip_baseline:
        wrong = baseline(everything or ["tests"])
        if wrong:
            sys.exit(wrong)
        print("green with no fault planted", flush=True)
    start = time.perf_counter()
    unseen = [fault.name for fault in faults if not turns_red(fault, everything, args.verbose)]
    print(f"{len(faults) - len(unseen)} of {len(faults)} faults seen in {time.perf_counter() - start:.0f} s")
    if unseen:
        sys.exit(f"unseen: {', '.join(unseen)}")


if __name__ == "__main__":
    main()

"""Does a mistake make `make test` fail? Plants the faults of tools/faults.toml.

One fault at a time is planted in a copy of the checkout. The same tests run there, one
after the other, up to the first failure. Exits with 1 if a fault goes unnoticed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat

ROOT = Path(__file__).resolve().parents[1]
# Like `make test` except for -x and -n, and without the test that a fault can be
# planted: where one has been planted already, that test always fails.
PLANTABLE = "tests/test_project.py::test_a_fault_can_still_be_planted"
PYTEST = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-x", "-q"]
PYTEST += ["--deselect", PLANTABLE]
PASSED = 0  # pytest's exit codes; others mean that it could not run the tests
FAILED = 1


# ---- Faults --------------------------------------------------------------------------
@dataclass(frozen=True)
class Fault:
    """`old` becomes `new`; each of the files must contain it exactly `times` times."""

    name: str
    what: str
    old: str
    new: str
    files: tuple[str, ...] = ("helpers.py",)
    times: int = 1

    def plant(self, folder: Path) -> None:
        """Changes the files in `folder`; LookupError if `old` is not in them."""
        for file in self.files:
            path = folder / file
            if path.suffix == ".ipynb":
                self.plant_in_notebook(path)
            else:
                text = path.read_text(encoding="utf-8")
                self.check(file, text.count(self.old))
                path.write_text(text.replace(self.old, self.new), encoding="utf-8")

    def plant_in_notebook(self, path: Path) -> None:
        notebook = nbformat.read(path, as_version=4)
        found = 0
        for cell in notebook.cells:
            if cell.cell_type == "code":
                found += cell.source.count(self.old)
                cell.source = cell.source.replace(self.old, self.new)
        self.check(path.name, found)
        nbformat.write(notebook, path)

    def check(self, file: str, found: int) -> None:
        if found != self.times:
            raise LookupError(f"{file} contains this {found} times, not {self.times}")

    def __str__(self) -> str:
        lines = [f"    - {line}" for line in self.old.splitlines()]
        lines += [f"    + {line}" for line in self.new.splitlines()]
        return "\n".join(lines)


def load_faults() -> list[Fault]:
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return [Fault(**entry) for entry in tomllib.loads(text)["fault"]]


FAULTS = load_faults()


# ---- A copy of the checkout, and pytest in it ----------------------------------------
def checkout_files() -> list[str]:
    """The files that git tracks or would track, without ignored ones such as .venv."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    names = done.stdout.decode("utf-8").split("\0")
    return [name for name in names if (ROOT / name).is_file()]


@contextmanager
def checkout_copy() -> Iterator[Path]:
    with TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        for file in checkout_files():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
        yield folder


def pytest_in(folder: Path, targets: list[str]) -> tuple[int, str]:
    """pytest's exit code and output."""
    # PYTHONPATH comes before an editable install, which is that of the original.
    paths = [str(folder)]
    if "PYTHONPATH" in os.environ:
        paths.append(os.environ["PYTHONPATH"])
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    environment["PYTHONIOENCODING"] = "utf-8"
    done = subprocess.run(
        [*PYTEST, *targets],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )
    return done.returncode, done.stdout + done.stderr


def first_failure(output: str) -> str:
    """The first failing test or notebook cell in pytest's summary."""
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    return found[1] if found else "no test named"


# ---- What is checked before, and for each fault --------------------------------------
PROBE = """
import os, helpers, course.runs
folder = {folder!r}
assert os.path.samefile(helpers.__file__, os.path.join(folder, "helpers.py"))
assert os.path.samefile(course.runs.__file__, os.path.join(folder, "course", "runs.py"))
"""


def imports_the_copy(folder: Path) -> bool:
    """Whether pytest and a notebook's kernel, started in the copy, import the copy."""
    probes = folder / "probes"
    probes.mkdir()
    source = PROBE.format(folder=str(folder))
    cell = nbformat.v4.new_code_cell(source, execution_count=1)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(notebook, probes / "probe.ipynb")
    test = probes / "test_probe.py"
    test.write_text(f"{source}\ndef test_probe():\n    pass\n", encoding="utf-8")
    code, _ = pytest_in(folder, ["probes"])
    return code == PASSED


def check_baseline(targets: list[str]) -> None:
    """Ends the program if something is wrong before any fault is planted."""
    with checkout_copy() as folder:
        if not imports_the_copy(folder):
            sys.exit("the copy imports modules other than its own")
        code, output = pytest_in(folder, targets)
    if code != PASSED:
        sys.exit(f"red with no fault planted: {first_failure(output)}\n{output}")
    print("green with no fault planted", flush=True)


def turns_red(fault: Fault, targets: list[str], *, verbose: bool) -> bool:
    """Plants the fault, runs the tests and prints what happened."""
    start = time.perf_counter()
    with checkout_copy() as folder:
        try:
            fault.plant(folder)
        except LookupError as error:
            print(f"NOT FOUND  {fault.name}: {error}", flush=True)
            return False
        code, output = pytest_in(folder, targets)
    seconds = time.perf_counter() - start
    verdict = f"pytest ended with {code}"
    seen = "no test failed"
    if code == PASSED:
        verdict = "GREEN"
    elif code == FAILED:
        verdict = "red"
        seen = first_failure(output)
    print(f"{verdict:<5} {seconds:5.1f} s  {fault.name}: {fault.what}")
    print(f"{fault}\n    {seen}", flush=True)
    if verbose or code not in (PASSED, FAILED):
        print(output)
    return code == FAILED


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [fault.name for fault in FAULTS]
    parser.add_argument(
        "--only",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help="plant these faults, see --list",
    )
    parser.add_argument("--list", action="store_true", help="show them, plant none")
    parser.add_argument(
        "--targets",
        nargs="+",
        default=[],
        metavar="PATH",
        help="run only these tests, for example tests or notebooks (minutes)",
    )
    parser.add_argument(
        "--skip-baseline",
        action="store_true",
        help="do not run the tests without a fault first",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="pytest's output")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    faults = [fault for fault in FAULTS if fault.name in options.only]
    if options.list:
        for fault in faults:
            print(f"{fault.name}: {fault.what}\n{fault}")
        return
    if not options.skip_baseline:
        check_baseline(options.targets or ["tests"])
    start = time.perf_counter()
    unseen = []
    for fault in faults:
        # Without targets, pytest runs all that pyproject.toml names, tests first.
        if not turns_red(fault, options.targets, verbose=options.verbose):
            unseen.append(fault.name)
    seen = len(faults) - len(unseen)
    seconds = time.perf_counter() - start
    print(f"{seen} of {len(faults)} faults seen in {seconds:.0f} s")
    if unseen:
        sys.exit(f"unseen: {', '.join(unseen)}")


if __name__ == "__main__":
    main()

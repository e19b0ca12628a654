"""What the project's files promise one another: one place of pins, the same commands, no machine's paths."""

import re
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

from helpers import ROWS

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = dict(pin.split("==") for pin in PYPROJECT["project"]["dependencies"] if "==" in pin)
TEST_COMMAND = "python -m pytest --nbval --nbval-current-env -n 2"

# Put together from pieces, or this file would be the first to be found.
REGISTRIES = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("download", "pytorch", "org"),
        ("anaconda", "org"),
        ("npmjs", "org"),
        ("debian", "org"),
        ("ubuntu", "com"),
    ]
]
FOLDERS = ["home", "Users", "root", "tmp", "work", "opt", "mnt", "private"]
# No letter, slash or plus before it: that would be an address, a relative path or a picture in base64.
MACHINE_PATH = re.compile(r"(?<![\w./+])/(?:" + "|".join(FOLDERS) + r")/\w|\b[A-Z]:\\+(?:Users|Windows)")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def environment():
    """environment.yml as its conda entries {name: version or None} and its list of pip entries."""
    entries = yaml.safe_load(read("environment.yml"))["dependencies"]
    conda = dict((entry.split("=") + [None])[:2] for entry in entries if isinstance(entry, str))
    (pip,) = (entry["pip"] for entry in entries if isinstance(entry, dict))
    return conda, pip


def tracked_texts():
    """(name, text) of every file that is, or is about to be, under version control."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git clone")
    for name in filter(None, listed.split("\0")):
        try:
            yield name, read(name)
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # a picture, or a file deleted but not yet committed


def test_every_dependency_is_pinned_to_one_version():
    for pin in PYPROJECT["project"]["dependencies"] + PYPROJECT["build-system"]["requires"]:
        assert re.fullmatch(r"[\w-]+==\d+(\.\d+)+", pin), pin


def test_conda_environment_takes_everything_else_from_pyproject():
    conda, pip = environment()
    assert set(conda) == {"python", "pip", "pytorch-cpu"}
    assert pip == ["-e ."]


def test_conda_environment_has_the_torch_that_pyproject_pins():
    assert environment()[0]["pytorch-cpu"] == PINS["torch"]


def test_python_version_is_the_same_everywhere():
    python = environment()[0]["python"]
    assert PYPROJECT["project"]["requires-python"] == f">={python}"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{python.replace('.', '')}"
    assert f'python-version: "{python}"' in read(".github/workflows/test.yml")


def test_makefile_and_workflow_run_the_same_tests():
    assert TEST_COMMAND in read("Makefile")
    assert TEST_COMMAND in read(".github/workflows/test.yml")
    assert TEST_COMMAND.removeprefix("python ") in read("README.md")


def test_workflow_runs_on_three_systems():
    assert "[ubuntu-latest, macos-latest, windows-latest]" in read(".github/workflows/test.yml")


def test_ci_calls_the_test_command_of_the_readme():
    assert re.search(r"^make test$", read(".ci/run"), re.MULTILINE)
    assert re.search(r"^make lint$", read(".ci/run"), re.MULTILINE)
    assert re.search(r"^make browser$", read(".ci/run"), re.MULTILINE)


@pytest.mark.parametrize("command", ["make lab", "make test"])
def test_readme_names_the_two_commands(command):
    assert command in read("README.md")


@pytest.mark.parametrize(
    "target",
    ["lab", "test", "browser", "site", "notebooks", "bench", "experiments", "seeds", "lint", "clean"],
)
def test_makefile_has_and_explains_the_target(target):
    assert re.search(rf"^{target}:", read("Makefile"), re.MULTILINE)
    assert f'"make {target} ' in read("Makefile")


def test_no_file_names_the_host_of_a_package_registry():
    found = [(name, host) for name, text in tracked_texts() for host in REGISTRIES if host in text]
    assert not found


def test_no_file_holds_a_path_of_one_machine():
    found = [(name, match[0]) for name, text in tracked_texts() for match in MACHINE_PATH.finditer(text)]
    assert not found


# ---- Numbers in prose --------------------------------------------------------------------------------------
def shown_in(path):
    """All text that a notebook holds: its prose, its code and what that printed."""
    for cell in nbformat.read(path, as_version=4).cells:
        yield cell.source
        for output in cell.get("outputs", []):
            yield output.get("text", "") + output.get("data", {}).get("text/plain", "")


def decimals(text):
    return set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)", text))


def test_numbers_of_the_page_for_teachers_stand_in_the_notebooks():
    notebooks = decimals("\n".join(text for path in NOTEBOOKS for text in shown_in(path)))
    page = decimals(read("TEACHING.md"))
    assert len(page) > 8 and page <= notebooks, page - notebooks


@pytest.mark.parametrize("row", ROWS)
def test_the_readme_gives_the_losses_that_notebook_04_shows(row):
    (line,) = [line for line in read("README.md").splitlines() if line.startswith(f"| `{row}`: ")]
    loss = line.split("|")[3].strip()
    tables = "\n".join(shown_in(ROOT / "notebooks" / "04_batchnorm_fix.ipynb"))
    assert re.search(rf"^{row} .* {loss} ", tables, re.MULTILINE), loss


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_path_of_one_machine_would_be_found(folder):
    assert MACHINE_PATH.search(f'"/{folder}/someone/names.txt"')
    assert MACHINE_PATH.search("C:" + r"\\Users\\someone")
    assert not MACHINE_PATH.search(f"see example.org/{folder}/page, ./{folder}/a and xY+/{folder}/Q09")

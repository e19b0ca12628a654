"""What the project's files promise one another: pins in one place, the layout, numbers
in prose that occur in the notebooks, and no paths of one machine."""

import ast
import json
import re
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

from course.runs import LECTURE_MODELS
from tools.faults import FAULTS

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]

TOP_LEVEL = {
    "README.md",
    "LICENSE",
    "environment.yml",
    "pyproject.toml",
    "Makefile",
    "helpers.py",
    "notebooks",
    "data",
    "course",
    "tools",
    "tests",
    "docs",
}
MOST_LINES = 400  # of a module
README_LINES = 70

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
# No letter, slash or plus before it: that would be an address, a relative path or a
# picture in base64.
MACHINE_PATH = re.compile(
    r"(?<![\w./+])/(?:" + "|".join(FOLDERS) + r")/\w|\b[A-Z]:\\+(?:Users|Windows)"
)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def tracked_files():
    """Names of all files that are, or are about to be, under version control."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git clone")
    names = listed.stdout.decode("utf-8").split("\0")
    return [name for name in names if (ROOT / name).is_file()]


def tracked_texts():
    for name in tracked_files():
        try:
            yield name, read(name)
        except UnicodeDecodeError:
            continue  # a picture


# ---- Layout --------------------------------------------------------------------------
def test_at_the_top_stands_what_a_visitor_looks_for_and_nothing_else():
    tops = {name.split("/")[0] for name in tracked_files()}
    assert {top for top in tops if not top.startswith(".")} == TOP_LEVEL


def modules():
    return [name for name in tracked_files() if name.endswith(".py")]


def test_no_module_that_notebooks_import_or_a_tool_is_long():
    for name in modules():
        if not name.startswith("tests/"):
            assert len(read(name).splitlines()) <= MOST_LINES, name


def test_the_readme_fits_on_a_screen():
    assert len(read("README.md").splitlines()) <= README_LINES


def names_used(name):
    """Modules imported and functions called by a module."""
    for node in ast.walk(ast.parse(read(name))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id + "()"


def test_nothing_outside_the_tests_runs_code_as_text_or_takes_notebooks_apart():
    for name in modules():
        if not name.startswith("tests/"):
            used = set(names_used(name))
            assert not {"exec()", "eval()"} & used, name
            # It reads the source of the function of a study, and runs nothing.
            assert "ast" not in used or name == "course/identity.py", name


def test_helpers_and_course_import_no_tool_and_no_test():
    for name in modules():
        if name == "helpers.py" or name.startswith("course/"):
            tops = {used.split(".")[0] for used in names_used(name)}
            assert not tops & {"tools", "tests"}, name


# helpers.py comes before the modules of course/, but for these, which it imports.
LEAVES = {"checks", "fitting", "interrupts", "optimizers", "texts"}


def test_helpers_imports_nothing_of_course_but_what_imports_no_helpers():
    tree = ast.parse(read("helpers.py"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for node in imported:
        names = {f"{node.module}.{alias.name}" for alias in node.names}
        for name in names:
            parts = name.split(".")
            assert parts[0] != "course" or parts[1] in LEAVES, name
    for leaf in LEAVES:
        assert "helpers" not in set(names_used(f"course/{leaf}.py")), leaf


# ---- Versions ------------------------------------------------------------------------
def pins():
    """All requirements of pyproject.toml, but for extras that name another extra."""
    found = PROJECT["dependencies"] + PYPROJECT["build-system"]["requires"]
    for extra in PROJECT["optional-dependencies"].values():
        found = found + extra
    return [pin for pin in found if not pin.startswith(PROJECT["name"])]


def test_every_dependency_is_pinned_to_one_version_in_one_place():
    for pin in pins():
        assert re.fullmatch(r"[\w-]+==\d+(\.\d+)+", pin), pin
    names = [pin.split("==")[0] for pin in pins()]
    assert len(names) == len(set(names))


def environment():
    """environment.yml: conda entries {name: version or None}, list of pip entries."""
    conda = {}
    for entry in yaml.safe_load(read("environment.yml"))["dependencies"]:
        if isinstance(entry, dict):
            pip = entry["pip"]
        else:
            name, _, version = entry.partition("=")
            conda[name] = version or None
    return conda, pip


def test_conda_environment_takes_everything_else_from_pyproject():
    conda, pip = environment()
    assert set(conda) == {"python", "pip", "pytorch-cpu"}
    assert pip == ["-e ."]
    assert f"torch=={conda['pytorch-cpu']}" in PROJECT["dependencies"]


def test_python_version_is_the_same_everywhere():
    python = environment()[0]["python"]
    assert PROJECT["requires-python"] == f">={python}"
    target = f"py{python.replace('.', '')}"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == target
    for workflow in ("test", "site"):
        assert f'python-version: "{python}"' in read(
            f".github/workflows/{workflow}.yml"
        )
    container = json.loads(read(".devcontainer/devcontainer.json"))
    assert container["image"].endswith(f"python:{python}")
    prefix = "Programming Language :: Python :: "
    named = [name.removeprefix(prefix) for name in PROJECT["classifiers"]]
    assert named[0] == python


# ---- Hosts and paths -----------------------------------------------------------------
def test_no_file_names_the_host_of_a_package_registry():
    for name, text in tracked_texts():
        assert not [host for host in REGISTRIES if host in text], name


def test_no_file_holds_a_path_of_one_machine():
    for name, text in tracked_texts():
        assert not MACHINE_PATH.findall(text), name


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_path_of_one_machine_would_be_found(folder):
    assert MACHINE_PATH.search(f'"/{folder}/someone/names.txt"')
    assert MACHINE_PATH.search("C:" + r"\\Users\\someone")
    harmless = f"see example.org/{folder}/page, ./{folder}/a and xY+/{folder}/Q09"
    assert not MACHINE_PATH.search(harmless)


# ---- Links and numbers in prose ------------------------------------------------------
PAGES = ["README.md", "data/README.md", "docs/*.md"]


def pages():
    return [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]


def anchors(page):
    """The anchors that GitHub and the site give to a page's headings."""
    for heading in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.stem)
def test_links_lead_to_files_and_headings_that_are_there(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text)
    for link in map("".join, links):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def shown_in(path):
    """All text that a notebook holds: its prose, its code and what that printed."""
    for cell in nbformat.read(path, as_version=4).cells:
        yield cell.source
        for output in cell.get("outputs", []):
            yield output.get("text", "")
            yield output.get("data", {}).get("text/plain", "")


@pytest.mark.parametrize(
    "path",
    [path for path in NOTEBOOKS if path.stem != "solutions"],
    ids=lambda p: p.stem,
)
def test_readme_and_page_for_teachers_give_the_minutes_that_a_notebook_names(path):
    first = nbformat.read(path, as_version=4).cells[0].source
    (minutes,) = re.findall(r"(\d+) minutes to\s+read", first)
    number = path.stem[:2]
    row = rf"^\| \[?{number} [^|]*\|.*\| {minutes} \|"
    assert re.search(row, read("README.md"), re.MULTILINE)
    row = rf"^\| {number} [^|]*\| {minutes} \|"
    assert re.search(row, read("docs/teaching.md"), re.MULTILINE)


def decimals(text):
    return set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)", text))


def test_numbers_of_the_page_for_teachers_stand_in_the_notebooks():
    there = set()
    for path in NOTEBOOKS:
        there |= decimals("\n".join(shown_in(path)))
    page = decimals(read("docs/teaching.md"))
    assert len(page) > 8 and page <= there, page - there


@pytest.mark.parametrize("model", LECTURE_MODELS)
def test_the_results_are_the_losses_that_notebook_04_shows(model):
    lines = read("docs/results.md").splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{model}`: ")]
    loss = line.split("|")[3].strip()
    tables = "\n".join(shown_in(ROOT / "notebooks" / "04_batchnorm_fix.ipynb"))
    assert re.search(rf"^{model} .* {loss} ", tables, re.MULTILINE), loss


# ---- Planted faults ------------------------------------------------------------------
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_still_be_planted(fault, tmp_path):
    for file in fault.files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes((ROOT / file).read_bytes())
    fault.plant(tmp_path)
    for file in fault.files:
        if file.endswith(".py"):
            compile((tmp_path / file).read_text(encoding="utf-8"), file, "exec")

"""Where else notebooks run: Colab, Kaggle, Binder, Codespaces, and links to them.

`make hosted` runs the notebooks themselves with the packages of such a service.
"""

import ast
import json
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from tools import hosted
from tools.site import hosts

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COMMANDS = [
    f"!git clone {hosts.UNKNOWN} wavenet",
    "%pip install --quiet anywidget optuna",
]
NEEDED = ["helpers", "anywidget", "optuna"]


# ---- The notebooks' first cell -------------------------------------------------------
def start_cell(path):
    """The first code cell of a notebook."""
    cells = nbformat.read(path, as_version=4).cells
    return next(cell for cell in cells if cell.cell_type == "code")


START = start_cell(NOTEBOOKS[0])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_begins_with_the_same_cell(path):
    cell = start_cell(path)
    assert cell.source == START.source
    assert cell.metadata == START.metadata
    assert not cell.outputs  # nothing to say where the lecture is installed


def test_the_first_cell_is_short_folded_and_not_on_the_site():
    assert START.metadata.jupyter.source_hidden
    assert set(START.metadata.tags) == {"hide-input", "remove-cell"}
    lines = [line for line in START.source.splitlines() if line.strip()]
    assert len(lines) <= 14


def test_the_first_cell_needs_nothing_but_python():
    tree = ast.parse(START.source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {name.name for name in node.names} <= sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] in sys.stdlib_module_names


def run_alone(folder, code):
    """What `code` prints in a Python without any packages, started in `folder`."""
    command = [sys.executable, "-I", "-S", "-c", code]
    run = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    return run.stdout


def make_modules(folder, names):
    folder.mkdir(exist_ok=True)
    for name in names:
        code = f"HERE = {str(folder)!r}\n"
        (folder / f"{name}.py").write_text(code, encoding="utf-8")


def test_in_an_empty_folder_it_says_what_to_run(tmp_path):
    lines = run_alone(tmp_path, START.source).splitlines()
    assert lines[0].startswith("No module helpers.")
    assert lines[-2:] == COMMANDS


@pytest.mark.parametrize("missing", ["anywidget", "optuna"])
def test_beside_a_clone_it_says_which_package_is_missing(tmp_path, missing):
    there = [name for name in NEEDED if name != missing]
    make_modules(tmp_path / "wavenet", there)
    lines = run_alone(tmp_path, START.source).splitlines()
    assert lines[0].startswith(f"No module {missing}.")
    assert lines[-2:] == COMMANDS


@pytest.mark.parametrize("clone, start", [("wavenet", "."), (".", "notebooks")])
def test_with_all_of_them_it_finds_the_modules_and_says_nothing(tmp_path, clone, start):
    (tmp_path / start).mkdir(exist_ok=True)
    make_modules(tmp_path / clone, NEEDED)
    code = f"{START.source}\nimport helpers; print(helpers.HERE)"
    printed = run_alone(tmp_path / start, code)
    assert printed.split("\n") == [str(tmp_path / clone), ""]


def test_it_finds_a_clone_made_after_it_said_so(tmp_path):
    make_modules(tmp_path / "clone", NEEDED)
    code = "\n".join(
        [
            START.source,
            "Path('clone').rename('wavenet')",
            START.source,
            "import helpers",
            "print('found')",
        ]
    )
    lines = run_alone(tmp_path, code).splitlines()
    assert lines[-2:] == [COMMANDS[-1], "found"]


def test_it_leaves_modules_that_can_be_imported_alone(tmp_path):
    make_modules(tmp_path / "installed", NEEDED)
    make_modules(tmp_path / "wavenet", NEEDED)
    first = f"import sys; sys.path.append({str(tmp_path / 'installed')!r})"
    last = "import helpers; print(sys.path[-1], helpers.HERE)"
    printed = run_alone(tmp_path, f"{first}\n{START.source}\n{last}")
    installed = str(tmp_path / "installed")
    assert printed.strip() == f"{installed} {installed}"


def test_the_questions_name_the_same_commands():
    faq = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    assert "\n".join(COMMANDS) in faq


# ---- A hosted service's packages -----------------------------------------------------
def pins():
    """{name: version} of the reader's packages."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return dict(
        pin.split("==") for pin in tomllib.loads(text)["project"]["dependencies"]
    )


def test_the_older_packages_take_the_place_of_pinned_ones():
    found = dict(pin.split("==") for pin in hosted.requirements())
    assert set(found) == set(pins()) - hosted.OWN
    for name, version in found.items():
        is_older = name in hosted.VERSIONS
        assert version == (hosted.VERSIONS[name] if is_older else pins()[name]), name
        assert (version != pins()[name]) == is_older, name
    assert set(hosted.VERSIONS) <= set(found)


# ---- Links of the site ---------------------------------------------------------------
FILE = "notebooks/02_flat_baseline.ipynb"
SOURCE = f"github.com/somebody/lecture/blob/main/{FILE}"


def targets(text):
    """{name: address} of the links in a text of Markdown."""
    return dict(re.findall(r"\[([^]]+)\]\(([^)]+)\)", text))


@pytest.mark.parametrize("branch", ["", "main"])
def test_links_open_the_notebook_of_the_repository(branch):
    assert targets(hosts.links("somebody/lecture", branch, FILE)) == {
        "Open in Colab": SOURCE.replace(
            "github.com", "https://colab.research.google.com/github"
        ),
        "Binder": "https://mybinder.org/v2/gh/somebody/lecture/main"
        "?labpath=notebooks%2F02_flat_baseline.ipynb",
        "Source": f"https://{SOURCE}",
    }


def test_a_branch_with_a_slash_stays_one_part_of_binders_address():
    found = targets(hosts.links("somebody/lecture", "try/it", FILE))
    assert "/lecture/try%2Fit?" in found["Binder"]
    assert "/blob/try/it/notebooks/" in found["Source"]


def test_there_are_no_links_where_the_repository_is_not_known():
    assert hosts.links("", "main", FILE) == ""
    assert hosts.address("") == hosts.UNKNOWN


def test_the_address_to_clone_is_that_of_the_repository():
    assert hosts.address("somebody/lecture") == "https://github.com/somebody/lecture"


@pytest.fixture(scope="module")
def change_source():
    """The site's function that changes the text of a page, called without Sphinx."""
    settings = runpy.run_path(str(ROOT / "tools" / "site" / "conf.py"))

    def change(file, repository):
        config = SimpleNamespace(repository=repository, branch="main")
        source = [(ROOT / file).read_text(encoding="utf-8")]
        name = file.rpartition(".")[0]
        settings["change_source"](SimpleNamespace(config=config), name, source)
        return source[0]

    return change


@pytest.mark.parametrize("repository", ["somebody/lecture", ""])
def test_a_notebooks_page_has_the_links_if_the_repository_is_known(
    change_source, repository
):
    page = nbformat.reads(change_source(FILE, repository), as_version=4)
    links = hosts.links(repository, "main", FILE)
    last = page.cells[0].source.splitlines()[-1]
    assert last == links if repository else "](http" not in last
    assert ("colab" in page.cells[0].source) == bool(repository)


@pytest.mark.parametrize("repository", ["somebody/lecture", ""])
def test_the_sites_questions_name_the_address_if_it_is_known(change_source, repository):
    text = change_source("docs/faq.md", repository)
    assert f"!git clone {hosts.address(repository)} wavenet" in text
    assert (hosts.UNKNOWN in text) == (not repository)


@pytest.mark.parametrize(
    "environment, found",
    [
        ({"GITHUB_REPOSITORY": "a/b", "GITHUB_REF_NAME": "try"}, ("a/b", "try")),
        ({}, ("", "")),
    ],
)
def test_the_site_takes_its_repository_from_the_workflow(
    monkeypatch, environment, found
):
    for name in ("GITHUB_REPOSITORY", "GITHUB_REF_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = runpy.run_path(str(ROOT / "tools" / "site" / "conf.py"))
    assert (settings["repository"], settings["branch"]) == found


# ---- Codespaces ----------------------------------------------------------------------
def test_the_dev_container_has_the_readers_environment():
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8")
    container = json.loads(text)
    make, target = container["postCreateCommand"].split()
    assert make == "make"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE)
    settings = container["customizations"]["vscode"]["settings"]
    kernel = settings["python.defaultInterpreterPath"]
    assert kernel == "${containerWorkspaceFolder}/.venv/bin/python"

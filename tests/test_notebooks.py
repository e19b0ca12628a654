"""What every notebook keeps to, read from its file; `pytest --nbval` runs it."""

import ast
import importlib
import re
from functools import cache
from itertools import groupby
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What is defined in one of these and in a notebook is the same.
MODULES = [ROOT / "helpers.py", *sorted((ROOT / "course").rglob("*.py"))]

MOST_LINES = 30  # in a code cell, blank ones aside
MOST_IN_A_ROW = 2  # code cells with no prose between
MOST_EXEMPT = 1 / 4  # of the code cells: their outputs are not compared
LONGEST_ALT = 400  # characters; an alternative text is a sentence or two
DEFINITIONS = ast.FunctionDef | ast.ClassDef


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def marked(cell, marker):
    """Whether nbval sees `marker` on the cell: a tag, or a comment line of its own."""
    comment = marker.upper().replace("-", "_")
    in_source = re.search(rf"^# *{comment}$", cell.source, re.MULTILINE)
    return marker in cell.metadata.get("tags", []) or in_source


def texts(cell):
    """Every text among the outputs of a cell: printed, shown, or an error's."""
    for output in cell.outputs:
        for key in ("text", "ename", "evalue"):
            yield str(output.get(key, ""))
        for kind, data in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield str(data)


# ---- Outputs and cells ---------------------------------------------------------------
def test_was_run_in_order_from_a_clean_kernel(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_shows_no_error_but_those_meant(notebook):
    for cell in code_cells(notebook):
        meant = marked(cell, "nbval-raises-exception") or marked(
            cell, "raises-exception"
        )
        kinds = [output.output_type for output in cell.outputs]
        assert meant or "error" not in kinds, cell.source


def test_shows_no_warning(notebook):
    for cell in code_cells(notebook):
        assert not [text for text in texts(cell) if "Warning" in text]


def test_compares_the_outputs_of_three_cells_in_four(notebook):
    cells = code_cells(notebook)
    exempt = [
        cell
        for cell in cells
        if marked(cell, "nbval-ignore-output") or marked(cell, "nbval-skip")
    ]
    assert len(exempt) <= MOST_EXEMPT * len(cells)


def test_has_prose_between_its_code(notebook):
    for kind, run in groupby(notebook.cells, lambda cell: cell.cell_type):
        sources = [cell.source for cell in run]
        assert kind != "code" or len(sources) <= MOST_IN_A_ROW, sources[0]


def test_has_no_long_cell(notebook):
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= MOST_LINES, cell.source


def test_every_picture_has_an_alternative_text(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                assert 10 <= len(alt) <= LONGEST_ALT, cell.source


# ---- One definition of each thing ----------------------------------------------------
def parse_notebook(notebook):
    """The notebook's code as one syntax tree; IPython's own commands become calls."""
    plain = TransformerManager().transform_cell
    return ast.parse("\n".join(plain(cell.source) for cell in code_cells(notebook)))


@cache
def parse_file(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def definitions(tree):
    return [node for node in tree.body if isinstance(node, DEFINITIONS)]


def is_check(decorator):
    """Whether it is @checked(...) of course.checks or @explained(...) of fitting."""
    name = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(name, ast.Name) and name.id in ("checked", "explained")


class Bare(ast.NodeTransformer):
    """Takes out what does not change what code computes: docstrings and type hints.

    And the decorators that refuse wrong arguments. (Comments are in no syntax tree.)
    """

    def without_docstring(self, node):
        self.generic_visit(node)
        node.decorator_list = [d for d in node.decorator_list if not is_check(d)]
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node

    visit_ClassDef = without_docstring

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.without_docstring(node)

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_AnnAssign(self, node):
        # It stays, without its hint: it is what makes a dataclass's field.
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def bare(definition):
    """A definition's code as text, to be compared with another's."""
    return ast.dump(Bare().visit(ast.parse(ast.unparse(definition))))


def is_checked(name, module, tree):
    """Whether check_<name>_same_as_<module> is defined, asserts, and is called."""
    check = f"check_{name.lower()}_same_as_{module}"
    called = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called.add(node.func.id)
    for function in definitions(tree):
        if function.name == check:
            asserts = [n for n in ast.walk(function) if isinstance(n, ast.Assert)]
            return bool(asserts) and check in called
    return False


def differing(tree, module, shared):
    """Names that a notebook defines otherwise than `shared`, with no check of both."""
    theirs = {node.name: node for node in definitions(shared)}
    found = set()
    for node in definitions(tree):
        if node.name in theirs and bare(node) != bare(theirs[node.name]):
            if not is_checked(node.name, module, tree):
                found.add(node.name)
    return found


def test_defines_nothing_otherwise_than_the_modules(notebook):
    tree = parse_notebook(notebook)
    for path in MODULES:
        assert not differing(tree, path.stem, parse_file(path)), path.stem


def imported(tree):
    """(module, name) of everything taken from helpers and course."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.module.split(".")[0] in ("helpers", "course"):
                for alias in node.names:
                    yield node.module, alias.name
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "helpers":
                yield "helpers", node.attr


def test_takes_from_the_modules_what_is_there(notebook):
    for module, name in imported(parse_notebook(notebook)):
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


SHARED = '''
class Tanh(Layer):
    """Shared."""

    def __call__(self, x: Tensor) -> Tensor:
        """Twice."""
        return torch.tanh(x)
'''
SAME = """
class Tanh(Layer):
    def __call__(self, x):  # the same
        return torch.tanh(x)
"""
OTHER = SAME.replace("torch.tanh(x)", "x")
CHECK = """
def check_tanh_same_as_helpers():
    assert Tanh()(x) == helpers.Tanh()(x)
"""
CALL = "check_tanh_same_as_helpers()"


@pytest.mark.parametrize(
    "source, found",
    [
        (SAME, set()),
        (SAME.replace("    def", "    @explained('x')\n    def"), set()),
        (SAME.replace("    def", "    @torch.no_grad()\n    def"), {"Tanh"}),
        (OTHER, {"Tanh"}),
        (OTHER + SAME, {"Tanh"}),
        (OTHER + CHECK, {"Tanh"}),  # never called
        (OTHER + CHECK + CALL, set()),
        (OTHER + (CHECK + CALL).replace("as_helpers", "as_wavenet"), {"Tanh"}),
        (OTHER + CHECK.replace("assert", "") + CALL, {"Tanh"}),
        (OTHER.replace("Tanh", "Own"), set()),
    ],
)
def test_another_definition_would_be_found(source, found):
    assert differing(ast.parse(source), "helpers", ast.parse(SHARED)) == found

"""What every notebook keeps to, read from its file; `pytest --nbval` is what runs it."""

import ast
import re
from itertools import groupby
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

import helpers

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MODULES = "helpers.py", "wavenet.py"  # what is defined there and in a notebook is the same
DEFINED = ast.parse("\n".join((ROOT / module).read_text(encoding="utf-8") for module in MODULES))

MOST_LINES = 30  # in a code cell, blank ones aside
MOST_IN_A_ROW = 2  # code cells with no prose between
MOST_EXEMPT = 1 / 4  # of the code cells: their outputs are not compared
DEFINITIONS = ast.FunctionDef | ast.ClassDef


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def marked(cell, marker):
    """Whether nbval sees `marker` on the cell: as a tag, or as a comment line of its own."""
    comment = marker.upper().replace("-", "_")
    return marker in cell.metadata.get("tags", []) or re.search(rf"^# *{comment}$", cell.source, re.MULTILINE)


def texts(cell):
    """Every text among the outputs of a cell: printed, shown, or an error's name and message."""
    for output in cell.outputs:
        yield from (str(output.get(key, "")) for key in ("text", "ename", "evalue"))
        yield from (str(data) for kind, data in output.get("data", {}).items() if kind.startswith("text/"))


# ---- Outputs and cells ---------------------------------------------------------------------------
def test_was_run_in_order_from_a_clean_kernel(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_shows_no_error_but_those_meant(notebook):
    for cell in code_cells(notebook):
        errors = [output.evalue for output in cell.outputs if output.output_type == "error"]
        assert not errors or marked(cell, "nbval-raises-exception") or marked(cell, "raises-exception")


def test_shows_no_warning(notebook):
    assert not [text for cell in code_cells(notebook) for text in texts(cell) if "Warning" in text]


def test_compares_the_outputs_of_three_cells_in_four(notebook):
    cells = code_cells(notebook)
    exempt = [cell for cell in cells if marked(cell, "nbval-ignore-output") or marked(cell, "nbval-skip")]
    assert len(exempt) <= MOST_EXEMPT * len(cells)


def test_has_prose_between_its_code(notebook):
    for kind, run in groupby(notebook.cells, lambda cell: cell.cell_type):
        run = [cell.source for cell in run]
        assert kind != "code" or len(run) <= MOST_IN_A_ROW, run[0]


def test_has_no_long_cell(notebook):
    for cell in code_cells(notebook):
        assert sum(bool(line.strip()) for line in cell.source.splitlines()) <= MOST_LINES, cell.source


# ---- One definition of each thing ----------------------------------------------------------------
def parsed(notebook):
    """The notebook's code as one module; IPython's own commands become calls."""
    plain = TransformerManager().transform_cell
    return ast.parse("\n".join(plain(cell.source) for cell in code_cells(notebook)))


def definitions(module):
    return [node for node in module.body if isinstance(node, DEFINITIONS)]


class Bare(ast.NodeTransformer):
    """Takes out what does not change what code computes: docstrings and type hints (ast has no comments)."""

    def without_docstring(self, node):
        self.generic_visit(node)
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
        node.annotation = ast.Constant(None)  # still there: it is what makes a dataclass's field
        return self.generic_visit(node)


def bare(definition):
    """A definition's code as text, to be compared with another's."""
    return ast.dump(Bare().visit(ast.parse(ast.unparse(definition))))


def is_checked(name, module):
    """Whether the module has check_<name>_same_as_helpers, which asserts something, and calls it."""
    check = f"check_{name.lower()}_same_as_helpers"
    functions = [node for node in definitions(module) if node.name == check]
    calls = [node.func for node in ast.walk(module) if isinstance(node, ast.Call)]
    called = check in [func.id for func in calls if isinstance(func, ast.Name)]
    return called and any(isinstance(node, ast.Assert) for f in functions for node in ast.walk(f))


def defined_otherwise(module, shared):
    """Names that `module` defines otherwise than `shared` does, without a check that both do the same."""
    ours = {node.name: bare(node) for node in definitions(shared)}
    others = {node.name for node in definitions(module) if bare(node) != ours.get(node.name, bare(node))}
    return {name for name in others if not is_checked(name, module)}


def test_defines_nothing_otherwise_than_the_modules(notebook):
    assert not defined_otherwise(parsed(notebook), DEFINED)


def test_takes_from_helpers_what_is_there(notebook):
    wanted = set()
    for node in ast.walk(parsed(notebook)):
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            wanted.update(alias.name for alias in node.names)
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "helpers"
        ):
            wanted.add(node.attr)
    assert not [name for name in wanted if not hasattr(helpers, name)]


SHARED = '''
class Tanh(Layer):
    """Shared."""

    def __call__(self, x: Tensor) -> Tensor:
        """Twice."""
        return torch.tanh(x)
'''
SAME = "class Tanh(Layer):\n  def __call__(self, x):  # the same\n    return torch.tanh(x)"
OTHER = "class Tanh(Layer):\n  def __call__(self, x):\n    return x"
CHECK = "\ndef check_tanh_same_as_helpers():\n  assert Tanh()(x) == helpers.Tanh()(x)\n"
CALL = "check_tanh_same_as_helpers()"


@pytest.mark.parametrize(
    "source, found",
    [
        (SAME, set()),
        (OTHER, {"Tanh"}),
        (OTHER + "\n" + SAME, {"Tanh"}),
        (OTHER + CHECK, {"Tanh"}),  # never called
        (OTHER + CHECK + CALL, set()),
        (OTHER + CHECK.replace("assert", "") + CALL, {"Tanh"}),
        (OTHER.replace("Tanh", "Own"), set()),
    ],
)
def test_another_definition_would_be_found(source, found):
    assert defined_otherwise(ast.parse(source), ast.parse(SHARED)) == found

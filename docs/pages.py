"""Makes a notebook a page: its figures get alternative texts; its widgets, which need a kernel, a note."""

import ast
import re
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[1]
WIDGET = "application/vnd.jupyter.widget-view+json"
NOTE = (
    '<p class="widget-note">In JupyterLab sliders and buttons stand here. A page cannot run them: '
    "the same functions, called once, made the figures and tables beside this cell.</p>"
)


def text(node):
    """The string that an expression makes, as far as the source has it: what is computed becomes “…”."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text(part) for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "…"


def titles(code):
    """The titles that `code` gives to figures and axes, in the order of the source."""
    for call in ast.walk(code):
        if isinstance(call, ast.Call):
            if getattr(call.func, "attr", "") in ("set_title", "suptitle", "title") and call.args:
                yield text(call.args[0])
            yield from (text(keyword.value) for keyword in call.keywords if keyword.arg == "title")


def drawings(code):
    """What the functions defined in `code` draw: their titles, else their docstring, by their names."""
    functions = [node for node in code.body if isinstance(node, ast.FunctionDef)]
    return {node.name: list(titles(node)) or [ast.get_docstring(node) or ""] for node in functions}


def alternative(cell, code, drawn, heading):
    """What stands for a cell's figures: the texts they carry, else their titles, set in the cell or in a
    function that it calls (`drawn` has those of each). A title that is computed comes after the heading."""
    images = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    own = [output.metadata.get("image/png", {}).get("alt") for output in images]
    if any(own):
        return "; ".join(filter(None, own))
    calls = [node.func for node in ast.walk(code) if isinstance(node, ast.Call)]
    plots = [call.id for call in calls if isinstance(call, ast.Name) and re.match("plot|draw", call.id)]
    given = list(titles(code)) or [title for name in plots for title in drawn.get(name, ())]
    given = "; ".join(title for title in dict.fromkeys(given) if title.strip("… "))
    return given if given and "…" not in given else f"{heading}: {given}".rstrip(": ")


def page(content, name):
    """The text of a notebook file `name`, ready to be a page."""
    notebook = nbformat.reads(content, as_version=4)
    how = "to be run in a copy of the repository: [how](../README.md)."
    notebook.cells[0].source += f"\n\n{{download}}`Download this notebook <{name}.ipynb>`, {how}"
    heading, drawn = "", {}
    for module in sorted(ROOT.glob("*.py")):
        drawn.update(drawings(ast.parse(module.read_text(encoding="utf-8"))))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = ([heading] + re.findall(r"^#+ (.*)$", cell.source, re.MULTILINE))[-1]
        if cell.cell_type != "code":
            continue
        code = ast.parse(TransformerManager().transform_cell(cell.source))
        drawn.update(drawings(code))
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            cell.metadata["mystnb"] = {"image": {"alt": alternative(cell, code, drawn, heading)}}
        for output in cell.outputs:
            if WIDGET in output.get("data", {}):
                output.data = {"text/html": NOTE}
    return nbformat.writes(notebook)

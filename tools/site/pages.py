"""Turns a notebook into a page of the site.

Its pictures get the alternative texts that are stored in their outputs (see
course.drawings.show), and its explorers a place where they run (see explorers.py).
Other widgets, which need a kernel, are replaced by a note.
"""

import explorers
import nbformat

PICTURE = "image/png"
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDEST = 740  # CSS pixels: wider pictures scroll on a phone
NOTE = (
    '<p class="widget-note">JupyterLab shows sliders and buttons here. A page cannot '
    "run them. The figures and tables next to this cell were made by calling the same "
    "functions once.</p>"
)


def alternative(cell) -> str:
    """The alternative texts of a cell's pictures, as one text."""
    texts = []
    for output in cell.outputs:
        if PICTURE in output.get("data", {}):
            texts.append(output.metadata.get(PICTURE, {}).get("alt"))
    return "; ".join(filter(None, texts))


def is_narrow(cell) -> bool:
    """Whether all pictures of a cell are readable when a phone shrinks them."""
    widths = []
    for output in cell.outputs:
        if PICTURE in output.get("data", {}):
            widths.append(output.metadata.get(PICTURE, {}).get("width", WIDEST + 1))
    return max(widths, default=0) <= WIDEST


def explorer_of(notebook) -> dict:
    """What the first explorer of a notebook stores about itself: script and state."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "explorer" in output.get("metadata", {}):
                return output.metadata["explorer"]
    raise ValueError("the notebook shows no explorer: run it with make notebooks")


def page(content: str, name: str, links: str = "") -> str:
    """The text of a notebook file `name`, ready to be a page.

    `links` lead to services that open it (see hosts.py). The first cell, which is for
    such services, is tagged remove-cell, so it is not on the page.
    """
    notebook = nbformat.reads(content, as_version=4)
    download = f"{{download}}`Download this notebook <{name}.ipynb>`"
    how = "and run it in a copy of the repository ([how](../README.md))."
    notebook.cells[0].source += f"\n\n{download}, {how}"
    if links:
        notebook.cells[0].source += f"\n\n{links}"
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if text := alternative(cell):
            image = {"alt": text}
            if is_narrow(cell):
                image["classes"] = "whole"
            cell.metadata["mystnb"] = {"image": image}
        for output in cell.outputs:
            if WIDGET in output.get("data", {}):
                is_live = "explorer" in output.metadata
                html = explorers.place(output) if is_live else NOTE
                output.data = {"text/html": html}
    return nbformat.writes(notebook)

"""What the explorers share: sliders, texts, messages and the layout of a panel."""

from collections.abc import Callable, Iterable
from html import escape

import ipywidgets as widgets

from course.texts import END, check_text
from helpers import Vocab

# A tree of more levels than these four has nothing to add for names of 15 characters.
OFFERED = [2, 4, 8, 16]
LONGEST = 20  # characters of a typed name: the pictures have room for so many
TREE_NOTE = (
    "Only powers of two can be chosen: "
    "a tree of pairs halves its context down to one position."
)


def tree_block_size(value: int = 8) -> widgets.SelectionSlider:
    """A slider for the context of a tree, which offers powers of two only."""
    return widgets.SelectionSlider(
        options=OFFERED, value=value, description="block size"
    )


def text_output(value: str) -> widgets.HTML:
    """A place for a text, with JupyterLab's own look of tables."""
    output = widgets.HTML(value)
    output.add_class("jp-RenderedHTMLCommon")
    return output


def message(error: Exception) -> str:
    """An error as a text for the reader; nothing in it is taken for HTML."""
    return f"<p><b>{escape(str(error))}</b></p>"


def typed_name(text: str, vocab: Vocab) -> str:
    """A name as a person types it, in small letters and without spaces around it.

    ValueError if it is too long, or has characters that are not in the vocabulary.
    """
    name = check_text("name", text).strip().lower()
    if len(name) > LONGEST:
        allowed = f"type at most {LONGEST} characters"
        raise ValueError(f"the name has {len(name):,} characters: {allowed}")
    check_text("name", name, without=END)
    vocab.encode(name)  # raises an error that names unknown characters
    return name


def watch(controls: Iterable[widgets.Widget], update: Callable[[], None]) -> None:
    """Calls `update()` whenever one of the controls has a new value."""
    for control in controls:
        control.observe(lambda change: update(), "value")


def column(*children: widgets.Widget) -> widgets.VBox:
    """The widgets, one below the other, each as large as it is by itself."""
    # Without flex-start a picture is stretched to the width of the window.
    return widgets.VBox(children, layout={"align_items": "flex-start"})


def tree_column(sliders: list[widgets.Widget], *below: widgets.Widget) -> widgets.VBox:
    """Sliders in a row, a note on the block sizes they offer, and what they change."""
    return column(widgets.HBox(sliders), widgets.HTML(TREE_NOTE), *below)

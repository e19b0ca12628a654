"""Settings of the site that `make site` builds from README.md and the notebooks as they are committed."""

import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

import pages  # noqa: E402

project = "Building a WaveNet"
html_title = project
language = "en"

extensions = ["myst_nb"]
root_doc = "README"
include_patterns = [
    "*.md",
    "data/README.md",
    "notebooks/*.ipynb",
]  # the source folder is the repository itself
exclude_patterns = [".venv", "build"]  # not even looked into
myst_enable_extensions = ["html_image"]  # <img> in the README's tables
myst_heading_anchors = 3

nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}  # would be fetched from another host

html_theme = "furo"  # no fonts or scripts from elsewhere
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_favicon = "static/favicon.svg"
html_copy_source = False
html_use_index = False
html_show_copyright = False
html_show_sphinx = False


def change_source(app, docname, source):
    """The README's table links to the pages; here each row gets its notebook, too, and the whole a contents
    tree, of which Sphinx makes the navigation. What notebooks become is in pages.py."""
    if docname == root_doc:
        row = r"\| (\[[^]]+\]\((notebooks/\w+\.ipynb)\)) \|"
        source[0] = re.sub(row, r"| \1<br>{download}`notebook <\2>` |", source[0])
        others = sorted(app.env.found_docs - {root_doc})
        others.sort(key=lambda name: not name.startswith("notebooks"))
        source[0] += "\n\n```{toctree}\n:hidden:\n:maxdepth: 1\n\n" + "\n".join(others) + "\n```\n"
    elif docname.startswith("notebooks/"):
        source[0] = pages.page(source[0], Path(docname).name)


def add_index(app, exception):
    """A web server opens index.html."""
    if exception is None:
        shutil.copy(Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html"))


def setup(app):
    app.connect("source-read", change_source)
    app.connect("build-finished", add_index)

"""Settings of the site that `make site` builds from the files as they are committed:
README.md, the pages of docs/ and the notebooks."""

import os
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import explorers  # noqa: E402
import hosts  # noqa: E402
import nbformat  # noqa: E402
import pages  # noqa: E402

project = "Building a WaveNet"
html_title = project
language = "en"

# Set where GitHub's workflow builds the site, and nowhere else (hosts.py)
repository = os.environ.get("GITHUB_REPOSITORY", "")
branch = os.environ.get("GITHUB_REF_NAME", "")

extensions = ["myst_nb"]
root_doc = "README"
# The source folder is the repository itself.
include_patterns = ["README.md", "docs/*.md", "data/README.md", "notebooks/*.ipynb"]
exclude_patterns = [".venv", "build"]  # not even looked into
myst_enable_extensions = ["html_image"]  # <img> in the README's table
myst_heading_anchors = 3

nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}  # they would be fetched from another host

html_theme = "furo"  # no fonts or scripts from elsewhere
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_js_files = [("mount.js", {"defer": "defer"})]
html_favicon = "static/favicon.svg"
html_copy_source = False
html_use_index = False
html_show_copyright = False
html_show_sphinx = False

FAQ = "docs/faq"
HERO = "notebooks/03_wavenet.ipynb"  # its explorer plays on the front page
PICTURE = re.compile(r"^!\[.*\n?.*\]\(.*\)$", re.MULTILINE)
ROW = re.compile(r"\| (\[[^]]+\]\((notebooks/\w+\.ipynb)\)) \|")
CONTENTS = """

```{{toctree}}
:hidden:
:maxdepth: 1

{}
```
"""


def change_source(app, docname, source):
    """Adapts the README to the site, and turns notebooks into pages (pages.py).

    Where scripts run, an explorer replaces the README's picture. The rows of its table
    link to the pages, and each gets its notebook for download, too. Sphinx makes the
    navigation from the contents tree. If the repository is known, notebooks get links
    to services that open them, and the questions name its address.
    """
    if docname == root_doc:
        notebook = nbformat.read(Path(app.srcdir, HERO), as_version=4)
        begin = explorers.opening(pages.explorer_of(notebook), hero=True)

        def framed(picture):
            return f"{begin}\n\n{picture[0]}\n\n</div>"

        text = PICTURE.sub(framed, source[0], count=1)
        text = ROW.sub(r"| \1<br>{download}`notebook <\2>` |", text)
        others = sorted(app.env.found_docs - {root_doc})
        others.sort(key=lambda name: not name.startswith("notebooks"))
        source[0] = text + CONTENTS.format("\n".join(others))
    elif docname.startswith("notebooks/"):
        known = app.config
        links = hosts.links(known.repository, known.branch, f"{docname}.ipynb")
        source[0] = pages.page(source[0], Path(docname).name, links)
    elif docname == FAQ:
        address = hosts.address(app.config.repository)
        source[0] = source[0].replace(hosts.UNKNOWN, address)


def add_files(app, exception):
    """Adds the files that the explorers load, and index.html for web servers."""
    if exception is None:
        explorers.write_files(Path(app.outdir, "_static", "explorers"))
        shutil.copy(
            Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html")
        )


def setup(app):
    for name in ("repository", "branch"):  # "env": another one makes all pages anew
        app.add_config_value(name, "", "env", str)
    app.connect("source-read", change_source)
    app.connect("build-finished", add_files)

"""The explorers on the site: their places in pages, their scripts and their weights.

The scripts are the same as in JupyterLab; static/mount.js runs them without a kernel.
"""

import base64
import json
import shutil
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image

from course.explorers.batchnorm import BatchNormExplorer
from course.explorers.grid import GridExplorer
from course.explorers.live import SCRIPTS, SHARED, STYLE
from course.explorers.quiz import Quiz
from course.explorers.reuse import ReuseExplorer
from course.explorers.tree import TreeExplorer
from course.explorers.wavenet import WaveNetExplorer
from course.explorers.windows import WindowsExplorer

EXPLORERS = [
    TreeExplorer,
    WaveNetExplorer,
    WindowsExplorer,
    ReuseExplorer,
    GridExplorer,
    BatchNormExplorer,
    Quiz,
]


def place(output) -> str:
    """The HTML for an explorer's output: its picture, which the script replaces."""
    picture = few_colors(output.data["image/png"])
    alt = escape(output.metadata["image/png"]["alt"])
    image = f'<img src="data:image/png;base64,{picture}" alt="{alt}">'
    begin = opening(output.metadata["explorer"])
    return f"{begin}{image}</div>"


def few_colors(png: str) -> str:
    """The PNG with 64 colours, about half as large; both are texts in base64."""
    with Image.open(BytesIO(base64.b64decode(png))) as picture:
        fewer = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small = BytesIO()
    fewer.save(small, format="png", optimize=True)
    return base64.b64encode(small.getvalue()).decode("ascii")


def opening(explorer: dict, **changed) -> str:
    """The <div> that mount.js looks for; `changed` sets initial values of traits."""
    state = json.dumps(explorer["state"] | changed)
    script = escape(explorer["script"])
    return f'<div class="explorer" data-script="{script}" data-state="{escape(state)}">'


def write_files(folder: Path) -> None:
    """Writes the scripts, the style and the weights into `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    shutil.copy(SCRIPTS / STYLE, folder)
    for name in SHARED:
        shutil.copy(SCRIPTS / f"{name}.js", folder)
    for explorer in EXPLORERS:
        path = SCRIPTS / f"{explorer.script}.js"
        own = path.read_text(encoding="utf-8")
        # A block keeps its names apart from everything else on the page.
        text = f'"use strict";\n{{\n{own}}}\n'
        (folder / path.name).write_text(text, encoding="utf-8")
        for name, content in explorer.page_files().items():
            encoded = base64.b64encode(content).decode("ascii")
            text = f'explorerData("{name}", "{encoded}");\n'
            (folder / "data" / f"{name}.js").write_text(text, encoding="utf-8")

"""Takes the README's pictures out of the notebooks: of each, the picture of the cell tagged `readme-picture`.

`make notebooks` runs it last, so that the README shows what the notebooks show.
"""

import base64
from pathlib import Path

import nbformat

HERE = Path(__file__).parent


def picture(notebook: Path) -> bytes:
    """The PNG that the tagged cell of `notebook` shows; ValueError unless there is exactly one."""
    cells = nbformat.read(notebook, as_version=4).cells
    tagged = [cell for cell in cells if "readme-picture" in cell.metadata.get("tags", [])]
    datas = [output.get("data", {}) for cell in tagged for output in cell.outputs]
    pngs = [data["image/png"] for data in datas if "image/png" in data]
    if len(pngs) != 1:
        raise ValueError(
            f"{notebook.name} shows {len(pngs)} pictures in cells tagged readme-picture: tag one cell"
        )
    return base64.b64decode(pngs[0])


if __name__ == "__main__":
    for notebook in sorted((HERE.parent / "notebooks").glob("0*.ipynb")):
        (HERE / notebook.with_suffix(".png").name).write_bytes(picture(notebook))

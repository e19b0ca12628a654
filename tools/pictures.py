"""Copies the README's pictures from the notebooks into docs/pictures.

From each numbered notebook it takes the picture of the cell tagged `readme-picture`.
`make notebooks` runs it last, so that the README shows what the notebooks show.
"""

import base64
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
TAG = "readme-picture"


def picture(notebook: Path) -> bytes:
    """The PNG that the tagged cell shows; ValueError unless there is exactly one."""
    pngs = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        if TAG in cell.metadata.get("tags", []):
            for output in cell.outputs:
                pngs.append(output.get("data", {}).get("image/png"))
    pngs = list(filter(None, pngs))
    if len(pngs) != 1:
        found = f"{notebook.name} shows {len(pngs)} pictures in cells tagged {TAG}"
        raise ValueError(f"{found}: tag one cell, with one picture")
    return base64.b64decode(pngs[0])


def main() -> None:
    for notebook in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        path = PICTURES / notebook.with_suffix(".png").name
        path.write_bytes(picture(notebook))


if __name__ == "__main__":
    main()

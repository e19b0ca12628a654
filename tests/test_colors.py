"""The figures' colours, as readers with colour blindness see them.

Simulated with the matrices of Machado, Oliveira and Fernandes 2009 (doi
10.1109/TVCG.2009.113, severity 1); distances in CIELAB (1976).
"""

import re
from itertools import combinations
from pathlib import Path

import nbformat
import numpy as np
import pytest

from course.drawings import LOOKS

ROOT = Path(__file__).parents[1]
COLOR = re.compile(r"#[0-9A-Fa-f]{6}\b")
# Shades side by side are told from about 2 on; lines that lie apart need more.
APART = 15
SEEN_BY = {  # matrices for linear sRGB
    "all colours": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "no blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}
XYZ = [  # of linear sRGB
    [0.4124, 0.3576, 0.1805],
    [0.2126, 0.7152, 0.0722],
    [0.0193, 0.1192, 0.9505],
]


def lab(color, sight):
    """CIELAB of an sRGB colour "#rrggbb", seen by `sight`."""
    srgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(SEEN_BY[sight] @ linear, 0, 1)
    xyz = XYZ @ seen / np.sum(XYZ, 1)  # white is (1, 1, 1)
    slope = xyz / (3 * (6 / 29) ** 2) + 4 / 29
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), slope)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def closest(colors, sight):
    """The distance of the two colours that are hardest to tell apart."""
    pairs = combinations(colors, 2)
    return min(np.linalg.norm(lab(a, sight) - lab(b, sight)) for a, b in pairs)


def code_of(path):
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def palettes():
    """{name: the colours that one file names}, for files that name two or more."""
    found = {"models": [look["color"] for look in LOOKS.values()]}
    modules = (ROOT / "course").rglob("*.py")
    notebooks = (ROOT / "notebooks").glob("*.ipynb")
    for path in sorted([*modules, *notebooks]):
        colors = set(COLOR.findall(code_of(path)))
        if len(colors) > 1:
            found[path.stem] = sorted(colors)
    return found


PALETTES = palettes()


def test_each_model_has_a_colour_and_no_two_the_same_look():
    assert len(PALETTES["models"]) == 5
    looks = {tuple(look.values()) for look in LOOKS.values()}
    assert len(looks) == 5


def test_the_colours_of_notebooks_and_modules_are_found():
    assert {"colors", "drawings"} <= set(PALETTES)


@pytest.mark.parametrize("sight", SEEN_BY)
@pytest.mark.parametrize("palette", PALETTES)
def test_colors_can_be_told_apart(palette, sight):
    assert closest(PALETTES[palette], sight) > APART


def test_red_beside_green_would_be_found():
    red_and_green = "#D62728", "#2CA02C"  # of matplotlib's own cycle
    assert (
        closest(red_and_green, "all colours")
        > APART
        > closest(red_and_green, "no green")
    )


def test_distances_are_those_of_cielab():
    assert np.allclose(lab("#FFFFFF", "all colours"), [100, 0, 0], atol=0.1)
    assert np.allclose(
        lab("#FF0000", "all colours"), [53.2, 80.1, 67.2], atol=0.2
    )  # sRGB red, D65
    for sight in SEEN_BY:  # a grey stays what it is for everybody
        assert np.allclose(
            lab("#808080", sight), lab("#808080", "all colours"), atol=0.5
        )

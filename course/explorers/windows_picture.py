"""The windows explorer as a picture, for pages without scripts."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course.colors import FUTURE, INK, LOOKED_AT, PAPER, WEIGHTS, WIRE
from course.drawings import as_png
from course.explorers.packing import Arrays
from course.explorers.wavenet_picture import draw_chances
from helpers import END

DPI = 160  # sharp on screens with two pixels a point
ROWS = 14  # windows that there is room for in full height
TILE = {"boxstyle": "round,pad=0.18", "facecolor": PAPER}
LETTER = {"ha": "center", "va": "center", "family": "monospace", "size": 9}
SHADES = [0.45, 1, 0.25, 0.7]  # of the layers in the stacked bar
Areas = dict[str, int]  # name of a layer with its shape: parameters


def areas_of(arrays: Arrays, hidden: int) -> Areas:
    """The parameters of each layer of a flat model, BatchNorm among them."""
    table = arrays["embedding"]
    first = arrays["weight 1"]
    last = arrays["weight 2"]
    rows, columns = table.shape
    inputs, outputs = first.shape
    channels, logits = last.shape
    return {
        f"Embedding {rows} × {columns}": table.size,
        f"Linear {inputs} × {outputs}": first.size,
        "BatchNorm, two a channel": 2 * hidden,
        f"Linear {channels} × {logits} + {logits}": last.size + logits,
    }


def draw(
    name: str, block_size: int, areas: Areas, chances: list[float], *, characters: str
) -> bytes:
    """The windows of the name, the model's parameters and what it expects, as PNG."""
    fig = Figure(figsize=(9.2, 4.4), dpi=DPI, layout="constrained")
    rows = [["windows", "next"], ["windows", "areas"]]
    options = {"width_ratios": [1, 1.1], "height_ratios": [1.5, 1]}
    places = fig.subplot_mosaic(rows, **options)
    draw_windows(places["windows"], name, block_size)
    draw_chances(places["next"], name, chances, characters)
    draw_areas(places["areas"], areas)
    return as_png(fig)


def draw_windows(ax: Axes, name: str, block_size: int) -> None:
    """A row for each window; left of it what is cut off, right of it what follows."""
    columns = max(block_size, len(name))
    for row in range(len(name) + 1):
        text = END * block_size + name[:row]
        window = text[-block_size:]
        cut_off = name[: max(0, row - block_size)]
        left = columns - len(cut_off) - block_size
        for i, character in enumerate(cut_off + window):
            color = INK
            edge = INK
            if i < len(cut_off):
                color = FUTURE
                edge = FUTURE
            elif character == END:
                color = WIRE
                edge = FUTURE
            box = TILE | {"edgecolor": edge}
            place = (left + i, row)
            ax.text(*place, character, color=color, bbox=box, **LETTER)
        ax.text(columns + 0.1, row, "→", color=WIRE, **LETTER)
        following = (name + END)[row]
        box = TILE | {"edgecolor": LOOKED_AT, "linestyle": "--"}
        ax.text(columns + 1.2, row, following, color=INK, bbox=box, **LETTER)
    last = max(ROWS, len(name) + 1)
    widest = max(columns, 14)
    ax.set_xlim(-0.8, widest + 1.8)
    ax.set_ylim(last - 0.4, -0.8)
    ax.set_title(f"the windows of “{name}” at block size {block_size}", size=10)
    ax.set_axis_off()


def draw_areas(ax: Axes, areas: Areas) -> None:
    """One bar whose parts are as large as their shares of the parameters."""
    total = sum(areas.values())
    left = 0
    for row, (name, count) in enumerate(areas.items()):
        share = count / total
        look = {"color": WEIGHTS, "alpha": SHADES[row], "edgecolor": PAPER}
        ax.barh(0, share, left=left, height=1, **look)
        left += share
        y = 1.1 + 0.55 * row
        ax.barh(y, 0.03, height=0.36, **look)
        words = f"{name}: {count:,}"
        ax.text(0.05, y, words, va="center", size=9, color=INK)
    ax.set(xlim=(0, 1), ylim=(3.1, -0.6))
    ax.set_title(f"{total:,} parameters", size=10)
    ax.set_axis_off()

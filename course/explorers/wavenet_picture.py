"""The WaveNet explorer as a picture, for pages without scripts."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course.colors import INK, WIRE
from course.drawings import as_png
from course.explorers.tree_picture import BAR, SIGNED

DPI = 160  # sharp on screens with two pixels a point
HIGHEST = 6  # nats


def draw(
    name: str,
    surprises: list[float],
    gates: list[list[float]],
    chances: list[float],
    characters: str,
) -> bytes:
    """Surprise and gates along the name, and the next character, as PNG."""
    fig = Figure(figsize=(9.2, 4.2), dpi=DPI, layout="constrained")
    places = fig.subplot_mosaic([["surprises", "next"], ["gates", "next"]])
    draw_surprises(places["surprises"], name, surprises)
    draw_gates(places["gates"], name, gates)
    draw_chances(places["next"], name, chances, characters)
    return as_png(fig)


def draw_surprises(ax: Axes, name: str, surprises: list[float]) -> None:
    """A bar for each character, and one for the end of the name."""
    labels = [*name, "end"]
    positions = range(len(labels))
    ax.bar(positions, surprises, color=BAR)
    for x, surprise in enumerate(surprises):
        number = f"{surprise:.1f}"
        ax.text(x, surprise + 0.1, number, ha="center", size=8, color=INK)
    ax.set_xticks(positions, labels, family="monospace")
    ax.set_xlim(-0.6, len(labels) - 0.4)
    ax.set_ylim(0, HIGHEST)
    ax.set_yticks([0, 2, 4])
    ax.set_title("surprise of each character, nats", size=10)


def draw_gates(ax: Axes, name: str, gates: list[list[float]]) -> None:
    """A cell for each block and position, red where the gates are open."""
    ax.imshow(gates, cmap=SIGNED, vmin=-1, vmax=1, aspect="auto", origin="lower")
    labels = [".", *name]
    ax.set_xticks(range(len(labels)), labels, family="monospace")
    ax.set_yticks([0, len(gates) - 1], ["first block", "last block"], color=WIRE)
    ax.set_title("how far the gates are open", size=10)


def draw_chances(ax: Axes, name: str, chances: list[float], characters: str) -> None:
    """The distribution over what comes after the name."""
    positions = range(len(characters))
    best = max(chances)
    for x, chance in zip(positions, chances):
        if chance == best:
            ax.bar(x, chance, color=BAR, alpha=1)
            ax.text(x, chance, f"{chance:.0%}", ha="center", va="bottom", size=9)
        else:
            ax.bar(x, chance, color=BAR, alpha=0.55)
    ax.set_xticks(positions, characters, family="monospace", size=8)
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 0.5, 1])
    ax.set_title(f"what comes after “{name}”", size=10)

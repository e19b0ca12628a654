"""Notebook 04: over what BatchNorm averages, and what each step gains."""

import copy
from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import Polygon, Rectangle
from torch import Generator, Tensor

from course.checks import check_callable, check_kind, checked
from course.colors import INK, LOOKED_AT, NEGATIVE, PAPER, POSITIVE, WIRE
from course.diagrams.language import (
    DPI,
    LARGE,
    SMALL,
    WIDTH,
    canvas,
    title,
    wire,
    words,
)
from course.drawings import LOOKS, check_curves
from helpers import Layer

SIDE = 0.2  # inches: a cell of a cube
DEPTH = (0.6 * SIDE, 0.4 * SIDE)  # from an example to the one behind it
ENLARGED = 8  # means at the end of a curve
DRAWN = {"examples": 4, "channels": 5}  # the cubes have no more of them


# ---- BatchNorm as cubes --------------------------------------------------------------
def check_shape(name: str, value) -> tuple[int, int, int]:
    """(B, T, C) of two examples or more; ValueError otherwise."""
    cure = "give (B, T, C), such as (32, 4, 68)"
    check_kind(name, value, kind=tuple, cure=cure)
    whole = [size for size in value if isinstance(size, int) and size > 0]
    fits = len(value) == 3 and len(whole) == 3
    if not fits or value[0] < 2 or value[1] > 8:
        raise ValueError(f"{name} is {value}: {cure}, with B > 1 and T < 9")
    return value


@checked(before=check_callable, after=check_callable, shape=check_shape)
def draw_cubes(
    before: Callable[[int], Layer],
    after: Callable[[int], Layer],
    *,
    shape: tuple[int, int, int] = (32, 4, 68),
) -> plt.Figure:
    """Three times what one mean of BatchNorm is taken over, and the buffer it goes to.

    `before` and `after` make the layer from its number of channels. On (B, C) both do
    the same, so the first cube is flat. Orange cells are found by changing one number
    after the other and looking whether the mean moves.
    """
    B, T, C = shape
    ax = canvas(4.55)
    title(ax, "Which numbers does one mean average?")
    cases = {
        "one position": (before, (B, C)),
        f"{T} positions, the bug": (before, shape),
        f"{T} positions, fixed": (after, shape),
    }
    for i, (caption, (make, sizes)) in enumerate(cases.items()):
        left = 0.15 + i * WIDTH / 3
        words(ax, (left, 3.95), caption, size=SMALL, ha="left", weight="bold")
        words(ax, (left, 3.72), f"x {sizes}", size=SMALL, ha="left", color=WIRE)
        small = (DRAWN["examples"], *sizes[1:-1], DRAWN["channels"])
        marked = averaged(make, small)
        draw_cube(ax, marked, (left + 0.1, 2.2))
        norm = make(C)
        x = torch.randn(sizes, generator=Generator().manual_seed(0))
        with torch.no_grad():
            norm(x)
        means = norm.running_mean
        draw_buffer(ax, means, (left + 0.1, 1.75))
        count = x.numel() // means.numel()
        foot = [
            f"running mean {tuple(means.shape)}",
            f"{means.numel()} means,",
            f"each of {count} numbers",
        ]
        for line, text in enumerate(foot):
            place = (left, 0.62 - 0.21 * line)
            words(ax, place, text, size=SMALL, ha="left")
    left = 0.15 + WIDTH / 3
    look = {"size": SMALL, "color": WIRE}
    words(ax, (left + 0.62, 2.08), "position →", **look)
    words(ax, (left - 0.02, 2.75), "channel →", rotation=90, **look)
    words(ax, (left + 1.34, 2.22), "example →", rotation=34, **look)
    return ax.figure


def averaged(make: Callable[[int], Layer], sizes: tuple[int, ...]) -> Tensor:
    """Which of the numbers x (B, ..., C) move the last running mean: bools like x."""
    x = torch.randn(sizes, generator=Generator().manual_seed(0))
    norm = make(sizes[-1]).train()

    def last_mean(x: Tensor) -> float:
        trial = copy.deepcopy(norm)
        with torch.no_grad():
            trial(x)
        means = trial.running_mean.flatten()
        return means[-1].item()

    unchanged = last_mean(x)
    moves = torch.zeros(x.numel(), dtype=torch.bool)
    for i in range(x.numel()):
        changed = x.flatten().clone()
        changed[i] += 1
        mean = last_mean(changed.view(sizes))
        moves[i] = mean != unchanged
    return moves.view(sizes)


def draw_cube(ax: plt.Axes, marked: Tensor, corner: tuple) -> None:
    """Cells (B, T, C) or (B, C), of which three sides are seen; marked ones orange.

    Positions go to the right, channels up, examples to the back.
    """
    if marked.ndim == 2:
        marked = marked[:, None]  # (B, C) -> (B, 1, C)
    B, T, C = marked.shape

    def at(b: float, t: float, c: float) -> tuple[float, float]:
        x = corner[0] + t * SIDE + b * DEPTH[0]
        y = corner[1] + c * SIDE + b * DEPTH[1]
        return x, y

    def face(is_marked: Tensor, *corners: tuple, shade: float) -> None:
        color = LOOKED_AT if is_marked else str(shade)
        places = [at(*place) for place in corners]
        polygon = Polygon(places, fc=color, ec=INK, lw=0.7, zorder=3)
        ax.add_patch(polygon)

    for t in range(T):
        for c in range(C):
            right = t + 1
            above = c + 1
            square = (0, t, c), (0, right, c), (0, right, above), (0, t, above)
            face(marked[0, t, c], *square, shade=1.0)
    for b in range(B):
        behind = b + 1
        for t in range(T):
            right = t + 1
            lid = (b, t, C), (b, right, C), (behind, right, C), (behind, t, C)
            face(marked[b, t, C - 1], *lid, shade=0.93)
        for c in range(C):
            above = c + 1
            side = (b, T, c), (behind, T, c), (behind, T, above), (b, T, above)
            face(marked[b, T - 1, c], *side, shade=0.85)


def draw_buffer(ax: plt.Axes, means: Tensor, corner: tuple) -> None:
    """The running means as a table: a row for each channel, the marked one on top."""
    left, top = corner
    positions = means.numel() // means.shape[-1]
    channels = DRAWN["channels"]
    marked = (positions - 1, channels - 1)
    middle = left + SIDE / 2
    wire(ax, (middle, top + 0.35), (middle, top + 0.08), arrow=True)
    height = 0.85 * SIDE
    for t in range(positions):
        for c in range(channels):
            x = left + t * SIDE
            y = top - (channels - c) * height
            color = LOOKED_AT if (t, c) == marked else PAPER
            cell = Rectangle((x, y), SIDE, height, fc=color, ec=INK, lw=0.7, zorder=3)
            ax.add_patch(cell)


# ---- From curves to a ladder ---------------------------------------------------------
def check_ladder(arguments: dict) -> None:
    """ValueError unless each curve has a loss."""
    curves = arguments["curves"]
    losses = arguments["val"]
    missing = [name for name in curves if name not in losses]
    if missing:
        raise ValueError(f"val lacks {missing}: give a loss for each of the curves")


def check_val(name: str, value) -> dict[str, float]:
    """{name: loss} with finite numbers; TypeError or ValueError otherwise."""
    cure = "give {name: loss}, a number for each curve"
    check_kind(name, value, kind=dict, cure=cure)
    for key, loss in value.items():
        if not isinstance(loss, float) or loss != loss:
            raise ValueError(f"{name}[{key!r}] is {loss!r}: {cure}")
    return value


@checked(check_ladder, curves=check_curves, val=check_val)
def draw_ladder(
    curves: dict[str, list[float]], val: dict[str, float], *, window: int = 100
) -> plt.Figure:
    """The training curves with their names at their ends, and the steps between them.

    `curves` are means of `window` steps, in the order in which the models were built;
    `val` are their losses on validation names, nats per character. Curves that end
    close to each other are drawn once more, enlarged.
    """
    fig, (top, bottom) = plt.subplots(
        2,
        1,
        figsize=(WIDTH, 7),
        dpi=DPI,
        layout="constrained",
        height_ratios=[5, 4],
    )
    draw_curves(top, curves, window)
    top.set_title(f"Training loss of {len(curves)} models by one recipe", size=LARGE)
    in_order = {name: val[name] for name in curves}
    draw_steps(bottom, in_order)
    bottom.set_title("Validation loss: what each step gains", size=LARGE)
    return fig


def draw_curves(ax: plt.Axes, curves: dict[str, list[float]], window: int) -> None:
    """All curves with their names, and those that end close together enlarged."""
    ends = {name: curve[-1] for name, curve in curves.items()}
    low = min(ends.values())
    ax.set(xlabel="step", ylabel="loss, nats per character")
    ax.set_ylim(low - 0.05, low + 0.85)
    ax.spines[["top", "right"]].set_visible(False)
    close = close_ones(ends)
    for name, curve in curves.items():
        steps = [(i + 0.5) * window for i in range(len(curve))]
        look = LOOKS.get(name, {})
        ax.plot(steps, curve, lw=2, **look)
    longest = max(len(curve) for curve in curves.values())
    last = longest * window
    ax.set_xlim(0, 1.28 * last)
    spacing = max(1, last // 3)
    ax.set_xticks(range(0, last + 1, spacing))
    for name, y in apart(ends, 0.05).items():
        color = LOOKS.get(name, {}).get("color", INK)
        ax.text(1.02 * last, y, name, color=color, va="center", weight="bold")
    if close:
        inset = ax.inset_axes((0.4, 0.6, 0.4, 0.3))
        for name in close:
            tail = curves[name][-ENLARGED:]
            first = len(curves[name]) - len(tail)
            steps = [(first + i + 0.5) * window for i in range(len(tail))]
            look = LOOKS.get(name, {})
            inset.plot(steps, tail, lw=2, **look)
        inset.set_title("enlarged", size=SMALL)
        inset.tick_params(labelsize=SMALL)
        frame = ax.indicate_inset_zoom(inset, edgecolor=INK)
        for line in frame.connectors:
            line.set_visible(False)


def close_ones(ends: dict[str, float], nearer: float = 0.04) -> list[str]:
    """The names whose curve ends nearer to another one than this."""
    found = []
    for name, end in ends.items():
        others = [abs(end - ends[other]) for other in ends if other != name]
        if others and min(others) < nearer:
            found.append(name)
    return found


def apart(heights: dict[str, float], least: float) -> dict[str, float]:
    """The heights, moved up where two are nearer to each other than `least`."""
    moved = {}
    floor = float("-inf")
    for name in sorted(heights, key=heights.get):
        moved[name] = max(heights[name], floor)
        floor = moved[name] + least
    return moved


def draw_steps(ax: plt.Axes, val: dict[str, float]) -> None:
    """The losses as stairs, and on each step how much the loss fell."""
    look = {"textcoords": "offset points", "ha": "center"}
    before = None
    for i, (name, loss) in enumerate(val.items()):
        color = LOOKS.get(name, {}).get("color", INK)
        ax.plot([i - 0.4, i + 0.4], [loss, loss], color=color, lw=4)
        label = f"{name}\n{loss:.3f}"
        ax.annotate(label, (i, loss), (0, 5), va="bottom", **look)
        if before is not None:
            sign = NEGATIVE if loss < before else POSITIVE
            between = i - 0.5
            top = (between, before)
            foot = (between, loss)
            arrow = {"arrowstyle": "-|>", "color": sign}
            ax.annotate("", foot, top, arrowprops=arrow)
            gain = f"{loss - before:+.3f}".replace("-", "−")
            ax.annotate(gain, foot, (0, -4), color=sign, va="top", **look)
        before = loss
    lowest = min(val.values())
    highest = max(val.values())
    room = 0.25 * (highest - lowest) + 0.005
    ax.set(xticks=[], ylabel="loss, nats per character")
    ax.set_ylim(lowest - room, highest + room)
    ax.set_xlim(-0.6, len(val) - 0.4)
    ax.spines[["top", "right", "bottom"]].set_visible(False)

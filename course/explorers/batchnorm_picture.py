"""The BatchNorm explorer as a picture, for pages without scripts: bug and fix."""

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from course.colors import INK, LOOKED_AT, WIRE
from course.drawings import as_png
from course.explorers.tree_picture import SIGNED

DPI = 160  # sharp on screens with two pixels a point
DEPTH = (0.42, 0.34)  # how far an example lies right of, and above, the one before it
CHANNEL = 3  # whose cells are shaded
WIDEST = 2  # numbers from here on, or from minus this on, have full colour
Point = tuple[float, float]


def draw(cube: list, buffers: dict, sizes: list[int]) -> bytes:
    """Two cubes; the cells that go into one mean are shaded, and all means below."""
    fig = Figure(figsize=(9.2, 4.4), dpi=DPI)
    axes = fig.subplots(1, 2)
    fig.subplots_adjust(left=0.02, right=0.98, bottom=0.07, top=0.87, wspace=0.06)
    B, T, C = sizes
    examples = len(cube)
    positions = len(cube[0])
    channels = len(cube[0][0])
    look = {"facecolor": LOOKED_AT, "edgecolor": INK, "alpha": 0.75}
    for ax, (name, buffer) in zip(axes, buffers.items()):
        means = buffer["means"]
        draw_cube(ax, cube)
        shaded = positions if len(means) == 1 else 1
        prism = box(CHANNEL, 0, examples, high=shaded)
        bar = PolyCollection(prism, zorder=3, **look)
        ax.add_collection(bar)
        draw_means(ax, means, top=positions + 1.6)
        words = f"with the {name}: a mean of {buffer['values']} numbers"
        ax.set_title(f"{words}\nrunning_mean {buffer['shape']}", size=10)
        right = channels + examples * DEPTH[0]
        above = -examples * DEPTH[1]
        ax.set_xlim(-0.3, right + 0.3)
        ax.set_ylim(positions + 6, above - 0.3)
        ax.set_aspect("equal")
        ax.set_axis_off()
    shown = f"{examples} of {B} examples, {channels} of {C} channels are drawn"
    fig.supxlabel(shown, size=9, color=WIRE)
    return as_png(fig)


def corner(c: float, t: float, b: float) -> Point:
    """Where a corner of the cube lies; t counts downwards."""
    x = c + b * DEPTH[0]
    y = t - b * DEPTH[1]
    return x, y


def box(c: int, t: int, deep: int, *, high: int = 1) -> list[list[Point]]:
    """Front, top and right face of a bar through all examples."""
    right = c + 1
    foot = t + high
    upper_left = corner(c, t, 0)
    upper_right = corner(right, t, 0)
    lower_left = corner(c, foot, 0)
    lower_right = corner(right, foot, 0)
    back_left = corner(c, t, deep)
    back_right = corner(right, t, deep)
    back_lower = corner(right, foot, deep)
    front = [upper_left, upper_right, lower_right, lower_left]
    top = [upper_left, upper_right, back_right, back_left]
    side = [upper_right, back_right, back_lower, lower_right]
    return [front, top, side]


def draw_cube(ax: Axes, cube: list) -> None:
    """The cells of the three faces that can be seen, coloured by their numbers."""
    last = len(cube[0][0]) - 1
    faces = []
    numbers = []
    for b, example in enumerate(cube):
        right = b * DEPTH[0]
        up = b * DEPTH[1]
        for t, row in enumerate(example):
            for c, number in enumerate(row):
                front, top, side = box(c, t, 1)
                seen = [(front, b == 0), (top, t == 0), (side, c == last)]
                for face, is_seen in seen:
                    if is_seen:
                        moved = [(x + right, y - up) for x, y in face]
                        faces.append(moved)
                        numbers.append(number)
    cells = PolyCollection(faces, cmap=SIGNED, edgecolor=WIRE, linewidth=0.4)
    cells.set_array(numbers)
    cells.set_clim(-WIDEST, WIDEST)
    ax.add_collection(cells)


def draw_means(ax: Axes, means: list, *, top: float) -> None:
    """A cell for each mean that is kept; that of the shaded cells has a frame."""
    look = {"cmap": SIGNED, "vmin": -WIDEST, "vmax": WIDEST, "aspect": "equal"}
    width = len(means[0])
    foot = top + len(means)
    ax.imshow(means, extent=(0, width, foot, top), **look)
    right = CHANNEL + 1
    below = top + 1
    chosen = [(CHANNEL, top), (right, top), (right, below), (CHANNEL, below)]
    frame = {"facecolor": "none", "edgecolor": LOOKED_AT, "linewidth": 2.5}
    ax.add_collection(PolyCollection([chosen], **frame))

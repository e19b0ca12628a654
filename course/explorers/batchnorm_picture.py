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
    for ax, (name, buffer) in zip(axes, buffers.items()):
        means = buffer["means"]
        draw_cube(ax, cube)
        rows = range(len(cube[0]))
        shaded = rows if len(means) == 1 else rows[:1]
        prism = box(CHANNEL, shaded[0], len(cube), high=len(shaded))
        look = {"facecolor": LOOKED_AT, "edgecolor": INK, "alpha": 0.75}
        ax.add_collection(PolyCollection(prism, zorder=3, **look))
        draw_means(ax, means, top=len(rows) + 1.6)
        words = f"with the {name}: a mean of {buffer['values']} numbers"
        ax.set_title(f"{words}\nrunning_mean {buffer['shape']}", size=10)
        ax.set(xlim=(-0.3, len(cube[0][0]) + len(cube) * DEPTH[0] + 0.3))
        ax.set(ylim=(len(rows) + 6, -len(cube) * DEPTH[1] - 0.3), aspect="equal")
        ax.set_axis_off()
    shown = f"{len(cube)} of {B} examples, {len(cube[0][0])} of {C} channels are drawn"
    fig.supxlabel(shown, size=9, color=WIRE)
    return as_png(fig)


def corner(c: float, t: float, b: float) -> Point:
    """Where a corner of the cube lies; t counts downwards."""
    return c + b * DEPTH[0], t - b * DEPTH[1]


def box(c: int, t: int, deep: int, *, high: int = 1) -> list[list[Point]]:
    """Front, top and right face of a bar through all examples."""
    front = [corner(c, t, 0), corner(c + 1, t, 0)]
    front += [corner(c + 1, t + high, 0), corner(c, t + high, 0)]
    top = [corner(c, t, 0), corner(c + 1, t, 0)]
    top += [corner(c + 1, t, deep), corner(c, t, deep)]
    side = [corner(c + 1, t, 0), corner(c + 1, t, deep)]
    side += [corner(c + 1, t + high, deep), corner(c + 1, t + high, 0)]
    return [front, top, side]


def draw_cube(ax: Axes, cube: list) -> None:
    """The cells of the three faces that can be seen, coloured by their numbers."""
    last = len(cube[0][0]) - 1
    faces = []
    numbers = []
    for b, example in enumerate(cube):
        for t, row in enumerate(example):
            for c, number in enumerate(row):
                front, top, side = box(c, t, 1)
                offset = (b * DEPTH[0], -b * DEPTH[1])
                seen = [(front, b == 0), (top, t == 0), (side, c == last)]
                for face, is_seen in seen:
                    if is_seen:
                        faces.append([(x + offset[0], y + offset[1]) for x, y in face])
                        numbers.append(number)
    cells = PolyCollection(faces, cmap=SIGNED, edgecolor=WIRE, linewidth=0.4)
    cells.set_array(numbers)
    cells.set_clim(-WIDEST, WIDEST)
    ax.add_collection(cells)


def draw_means(ax: Axes, means: list, *, top: float) -> None:
    """A cell for each mean that is kept; that of the shaded cells has a frame."""
    look = {"cmap": SIGNED, "vmin": -WIDEST, "vmax": WIDEST, "aspect": "equal"}
    right = len(means[0])
    ax.imshow(means, extent=(0, right, top + len(means), top), **look)
    chosen = [(CHANNEL, top), (CHANNEL + 1, top)]
    chosen += [(CHANNEL + 1, top + 1), (CHANNEL, top + 1)]
    frame = {"facecolor": "none", "edgecolor": LOOKED_AT, "linewidth": 2.5}
    ax.add_collection(PolyCollection([chosen], **frame))

"""Pictures that answer a slider at once: only what it changes is drawn again."""

from collections.abc import Iterable
from io import BytesIO

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from course.checks import check_kind
from course.drawings import use_own_look

use_own_look()  # texts have their places here, and a matplotlibrc could move them


class Backdrop:
    """A figure that is drawn once and kept as pixels, for artists to be drawn on top.

    Drawing axes and their numbers takes several times as long as a few bars or lines
    (this is called blitting). The limits of the axes stay as they are.
    """

    def __init__(self, fig: Figure):
        check_kind("fig", fig, kind=Figure, cure="give a figure")
        for ax in fig.axes:
            ax.autoscale(False)  # what comes later must not move the axes
        self.axes = fig.axes
        self.canvas = FigureCanvasAgg(fig)
        self.canvas.draw()
        self.pixels = self.canvas.copy_from_bbox(fig.bbox)

    def draw(self, artists: Iterable[Artist]) -> bytes:
        """A PNG of the backdrop with these artists of its axes on top, in this order.

        They are removed from their axes afterwards; equal artists give equal bytes.
        """
        self.canvas.restore_region(self.pixels)
        for artist in artists:
            artist.axes.draw_artist(artist)
            artist.remove()
        png = BytesIO()
        pixels = self.canvas.buffer_rgba()
        plt.imsave(png, pixels, format="png", metadata={"Software": None})
        return png.getvalue()

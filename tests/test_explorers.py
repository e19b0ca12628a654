"""Pictures that answer at once: what is drawn again, and what stays."""

from io import BytesIO

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from course.explorers.backdrop import Backdrop


def test_a_backdrop_forgets_what_was_drawn_on_top_of_it():
    fig = Figure(figsize=(3, 2), dpi=50)
    ax = fig.add_axes((0.1, 0.1, 0.8, 0.8), xlim=(0, 1), ylim=(0, 1))
    backdrop = Backdrop(fig)
    empty = backdrop.draw([])
    low = backdrop.draw(ax.plot([0, 1], [0.2, 0.2]))
    ax.set_prop_cycle(None)  # the first colour again
    high = backdrop.draw(ax.plot([0, 1], [0.9, 0.9]))
    ax.set_prop_cycle(None)
    assert backdrop.draw(ax.plot([0, 1], [0.2, 0.2])) == low
    assert backdrop.draw([]) == empty
    assert len({empty, low, high}) == 3
    assert not ax.lines
    assert plt.imread(BytesIO(empty)).shape == (100, 150, 4)


def test_an_artist_beyond_the_axes_does_not_move_them():
    fig = Figure()
    ax = fig.add_axes((0.1, 0.1, 0.8, 0.8))
    ax.plot([0, 1], [0, 1])
    backdrop = Backdrop(fig)
    limits = ax.get_xlim()
    backdrop.draw(ax.plot([0, 100], [0, 100]))
    assert ax.get_xlim() == limits

"""course.inspection and course.drawings: they look, and change nothing."""

from io import BytesIO

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.image import imread
from torch import Generator
from unchanged import unchanged

from course import drawings
from course.drawings import (
    LOOKS,
    as_png,
    as_sharp_png,
    plot_curves,
    plot_losses,
    show,
)
from course.inspection import in_float64, summary
from course.runs import BatchNormPerPosition
from helpers import BatchNorm1d, History, Sequential, build_flat, build_tree

matplotlib.use("Agg")  # no window, whatever the machine

WINDOWS = torch.randint(27, (32, 8), generator=Generator().manual_seed(0))


@pytest.fixture(params=[BatchNorm1d, BatchNormPerPosition])
def model(request):
    """A small tree whose running statistics have moved."""
    generator = Generator().manual_seed(1)
    sizes = {"embedding_dim": 4, "hidden": 16}
    model = build_tree(27, **sizes, generator=generator, norm=request.param)
    model(WINDOWS)
    return model


@pytest.fixture
def fig():
    fig, ax = plt.subplots(figsize=(2, 1))
    ax.plot([1, 2, 3])
    yield fig
    plt.close(fig)


def modes(model):
    return [model.training, *(layer.training for layer in model.layers)]


def tensors(model):
    """Copies of all tensors: parameters and running statistics."""
    found = []
    for layer in model.layers:
        for value in vars(layer).values():
            if isinstance(value, torch.Tensor):
                found.append(value.detach().clone())
    return found


def untouched(model=None):
    """Fails if the block changes a global state, or the model."""

    def own():
        found = {"settings of figures": dict(plt.rcParams)}
        if model:
            found["modes"] = modes(model)
            found["tensors"] = [(t.dtype, t.tolist()) for t in tensors(model)]
        return found

    return unchanged(own)


class Broken(Sequential):
    """A layer that raises `error` when it is called."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def __call__(self, x):
        raise self.error


# ---- Tables ------------------------------------------------------------------------
def test_summary_lists_shapes_and_parameters():
    table = summary(build_tree(27), WINDOWS)
    assert [shape for shape in table["output shape"] if shape[-1] != 68] == [
        (32, 8, 10),
        (32, 4, 20),
        (32, 2, 136),
        (32, 136),
        (32, 27),
    ]
    assert table["parameters"].sum() == table["total"].iloc[-1] == 22_397
    assert table["layer"].iloc[0] == "Embedding(27, 10)"


@pytest.mark.parametrize("mode", [True, False])
def test_summary_changes_nothing_in_the_model(model, mode):
    model.train(mode)
    with untouched(model):
        summary(model, WINDOWS[:1])  # a batch of one, on which BatchNorm cannot train


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_summary_puts_the_mode_back_after_an_error(model, mode, error):
    model.layers.append(Broken(error))
    model.train(mode)
    with untouched(model), pytest.raises(error):
        summary(model, WINDOWS)


# ---- Exact copies ------------------------------------------------------------------
@pytest.mark.parametrize("mode", [True, False])
def test_an_exact_copy_is_in_float64_and_in_eval_mode(model, mode):
    model.train(mode)
    with untouched(model):
        exact = in_float64(model)
        difference = exact(WINDOWS) - in_float64(model)(WINDOWS)
    assert {tensor.dtype for tensor in tensors(exact)} == {torch.float64}
    assert not any(modes(exact))
    assert difference.abs().max() == 0
    torch.testing.assert_close(exact(WINDOWS).float(), model.eval()(WINDOWS))


def test_an_exact_copy_has_the_same_numbers_and_shares_none(model):
    exact = in_float64(model)
    assert len(exact.parameters()) == len(model.parameters())
    for own, other in zip(tensors(exact), tensors(model), strict=True):
        assert torch.equal(own, other.double())
    before = tensors(model)
    for p in exact.parameters():
        p.data += 1
    for own, other in zip(tensors(model), before, strict=True):
        assert torch.equal(own, other)


def test_an_exact_copy_reaches_layers_inside_layers():
    inner = build_flat(27, 8, hidden=4)
    exact = in_float64(Sequential(inner))
    assert {p.dtype for p in exact.parameters()} == {torch.float64}
    assert exact(WINDOWS).dtype == torch.float64


# ---- Curves ------------------------------------------------------------------------
def test_loss_figure_names_its_axes_and_each_model_once():
    histories = {name: History([3.0, 2.0, 1.5]) for name in ["flat3", "tree", "mine"]}
    with untouched():
        ax = plot_losses(histories | {"interrupted at once": History()}, window=2)
    assert ax.get_xlabel() == "step"
    assert ax.get_ylabel() == "loss, nats per character"
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == [*histories, "interrupted at once"]
    assert plot_losses(histories, ax=ax) is ax
    plt.close(ax.figure)


def lines_of(ax):
    """Of each line: its x, its y and its colour."""
    lines = []
    for line in ax.lines:
        x, y = line.get_data()
        lines.append((list(x), list(y), line.get_color()))
    plt.close(ax.figure)
    return lines


def test_each_model_has_its_own_look_and_one_colour():
    histories = {name: History([3.0, 2.0, 1.5]) for name in [*LOOKS, "mine"]}
    ax = plot_losses(histories)
    for i, look in enumerate(LOOKS.values()):
        assert ax.lines[2 * i].get_color() == look["color"]
        assert ax.lines[2 * i].get_linestyle() == look["linestyle"]
    for thick, pale in zip(ax.lines[::2], ax.lines[1::2], strict=True):
        assert thick.get_color() == pale.get_color()
        assert thick.get_linewidth() > pale.get_linewidth()
    plt.close(ax.figure)


def test_the_window_changes_the_means_and_not_the_losses():
    histories = {"mine": History([4.0, 2.0, 3.0, 1.0, 7.0])}
    losses = ([0, 1, 2, 3, 4], [4.0, 2.0, 3.0, 1.0, 7.0])
    means, pale = lines_of(plot_losses(histories, window=2))
    assert means[:2] == ([1.0, 3.0, 5.0], [3.0, 2.0, 7.0])
    assert pale[:2] == losses
    means, pale = lines_of(plot_losses(histories, window=5))
    assert means[:2] == ([2.5], [3.4])
    assert pale[:2] == losses


def test_a_stored_curve_is_drawn_as_the_means_of_the_losses_were():
    losses = [float(i % 7) for i in range(250)]
    history = History(losses)
    (thick, _) = lines_of(plot_losses({"tree": history}))
    means = [sum(losses[i : i + 100]) / len(losses[i : i + 100]) for i in (0, 100, 200)]
    ax = plot_curves({"tree": means})
    assert ax.lines[0].get_linestyle() == LOOKS["tree"]["linestyle"]
    (stored,) = lines_of(ax)
    assert stored[0] == thick[0] == [50, 150, 250]
    assert stored[1] == pytest.approx(thick[1])
    assert stored[2] == thick[2] == LOOKS["tree"]["color"]


def test_curves_go_where_they_are_told():
    fig, (left, right) = plt.subplots(1, 2)
    assert plot_curves({"tree": [3.0, 2.0]}, ax=right) is right
    assert plot_losses({"flat3": History([3.0])}, ax=right) is right
    assert len(left.lines) == 0 and len(right.lines) == 3
    plt.close(fig)


# ---- Figures as pictures -----------------------------------------------------------
def test_equal_figures_give_equal_bytes(fig, tmp_path):
    with untouched():
        first = as_png(fig)
        assert as_png(fig) == first
    path = tmp_path / "figure.png"
    path.write_bytes(first)
    assert imread(path).shape == (fig.get_dpi(), 2 * fig.get_dpi(), 4)
    fig.axes[0].plot([3, 2, 1])
    assert as_png(fig) != first


@pytest.fixture
def displayed(monkeypatch):
    """What `show` displays: (data, metadata)."""
    shown = []

    def display(data, metadata, raw):
        assert raw
        shown.append((data, metadata))

    monkeypatch.setattr(drawings, "display", display)
    return shown


def test_a_figure_is_shown_once_and_with_its_text(fig, displayed):
    with untouched():
        png = as_sharp_png(fig)
        text = repr(fig)
        show(fig, alt="a line that rises")
    ((data, metadata),) = displayed
    assert data == {"image/png": png, "text/plain": text}
    assert metadata["image/png"]["alt"] == "a line that rises"
    assert not plt.fignum_exists(fig.number)


def test_a_figure_is_shown_with_two_dots_for_each_pixel(fig, displayed):
    show(fig, alt="a line that rises")
    ((data, metadata),) = displayed
    height, width = imread(BytesIO(data["image/png"])).shape[:2]
    seen = metadata["image/png"]
    assert (seen["width"], seen["height"]) == (width // 2, height // 2)
    assert seen["width"] > fig.get_dpi()  # it is two inches wide, less its margins


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_a_figure_without_a_text_is_refused_and_left_open(fig, alt, displayed):
    with pytest.raises(ValueError, match="alt is empty: say in a sentence"):
        show(fig, alt=alt)
    assert not displayed
    assert plt.fignum_exists(fig.number)

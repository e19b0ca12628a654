"""The pictures of course.diagrams claim what is true of their models and tensors.

Each is drawn from a live model, and with another model it claims something else.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from torch import Generator

from course.colors import LOOKED_AT, NEGATIVE, POSITIVE
from course.comparisons import sign_flip
from course.convolution import as_convolution, convolutions, whole_names
from course.diagrams.blocks import block_gradients, draw_block, draw_gradients
from course.diagrams.charts import draw_correlations, draw_costs
from course.diagrams.language import SMALL, WIDTH, canvas, chip, steps, weights
from course.diagrams.layouts import SIDE, draw_layouts
from course.diagrams.likely import (
    APART,
    PLANE,
    draw_characters,
    draw_kinds,
    moved_apart,
)
from course.diagrams.memory import draw_memory
from course.diagrams.norms import averaged, draw_cubes, draw_ladder
from course.diagrams.pairs import draw_pairs, flipped_means
from course.diagrams.stacks import cone_of, draw_stack, draw_trees_into_stack
from course.diagrams.surprise import draw_name, look_inside
from course.diagrams.trees import draw_flat_against_tree
from course.diagrams.windows import draw_windows
from course.fusions import fusions
from course.runs import BatchNormPerPosition
from course.wavenet import WaveNet, WaveNetConfig, name_losses
from helpers import (
    BatchNorm1d,
    Embedding,
    Linear,
    Tanh,
    Vocab,
    build_flat,
    build_tree,
    count_parameters,
)

NAMES = ["diondre", "christopher", "emma", "wyatt", "jaz"]
VOCAB = Vocab(NAMES)
V = len(VOCAB)
BLOCK_SIZES = [2, 4, 8, 16]
SMALL_NET = {"channels": 8, "skip_channels": 8, "levels": 3, "stacks": 1}


def seeded(seed=0):
    return Generator().manual_seed(seed)


def wavenet(seed=0, **options):
    return WaveNet(WaveNetConfig(**SMALL_NET | options), V, generator=seeded(seed))


def context_of(block_size):
    return ("." * block_size + "diondr")[-block_size:]


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


def texts(fig):
    """All words in a figure, its titles and labels too."""
    found = []
    for ax in fig.axes:
        found += [text.get_text() for text in ax.texts]
        found += [ax.get_title(), ax.get_xlabel(), ax.get_ylabel()]
    return found


def chips(fig):
    """The numbers of each chip."""
    return [np.asarray(image.get_array())[0] for image in fig.axes[0].images]


def matrices(fig):
    """Area of each weight matrix, in square inches: they have one colour."""
    ax = canvas(1)
    weights(ax, (0, 0), torch.ones(1, 1), cell=0.1)
    color = ax.patches[-1].get_facecolor()
    found = []
    for patch in fig.axes[0].patches:
        if isinstance(patch, Rectangle) and patch.get_facecolor() == color:
            found.append(patch.get_width() * patch.get_height())
    return found


def fusing(model):
    """The weights of all its Linear but the last."""
    linears = [layer for layer in model.layers if isinstance(layer, Linear)]
    return [layer.weight for layer in linears[:-1]]


# ---- The words of the pictures -------------------------------------------------------
@pytest.mark.parametrize("channels", [1, 10, 68, 200])
def test_a_chip_has_a_cell_for_each_channel(channels):
    values = torch.linspace(-1, 1, channels)
    ax = canvas(1)
    assert chip(ax, (0.5, 0.2), values, cell=0.01) == pytest.approx(0.01 * channels)
    (image,) = ax.images
    assert np.allclose(image.get_array()[0], values)
    left, right, _, _ = image.get_extent()
    assert right - left == pytest.approx(0.01 * channels)
    assert image.get_clim() == (-1, 1)


def test_minus_one_is_blue_zero_is_paper_and_one_is_red():
    ax = canvas(1)
    chip(ax, (0, 0), torch.tensor([-1.0, 0.0, 1.0]), cell=0.1)
    (image,) = ax.images
    colors = [to_hex(image.cmap(image.norm(number))) for number in (-1, 0, 1)]
    assert colors == [NEGATIVE.lower(), "#ffffff", POSITIVE.lower()]


@pytest.mark.parametrize("shape", [(3, 5), (80, 200), (136, 68)])
def test_the_area_of_a_matrix_is_its_number_of_weights(shape):
    ax = canvas(1)
    width, height = weights(ax, (0, 0), torch.ones(shape), cell=0.001)
    assert width * height == pytest.approx(math.prod(shape) * 0.001**2)


# ---- Flat against tree ---------------------------------------------------------------
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
@pytest.mark.parametrize("hidden", [16, 68, 128])
def test_flat_against_tree_shows_activations_and_areas(block_size, hidden):
    context = context_of(block_size)
    flat = build_flat(V, block_size, generator=seeded())
    tree = build_tree(V, block_size, hidden=hidden, generator=seeded())
    fig = draw_flat_against_tree(flat, tree, VOCAB, context)

    expected = []
    for model in (flat, tree):
        for layer, output in steps(model, VOCAB, context):
            if isinstance(layer, Embedding | Tanh):
                expected += output.reshape(-1, output.shape[-1]).tolist()
    shown = chips(fig)
    assert len(shown) == len(expected) == 2 * block_size + 1 + (block_size - 1)
    for ours, theirs in zip(shown, expected, strict=True):
        assert np.allclose(ours, theirs)

    counts = [weight.numel() for weight in fusing(flat) + fusing(tree)]
    areas = matrices(fig)
    scale = areas[0] / counts[0]
    assert np.allclose(areas, np.array(counts) * scale)
    words = texts(fig)
    assert f"{sum(counts[1:]):,} weights" in words
    for uses in [block_size // 2**level for level in range(1, block_size.bit_length())]:
        assert f"×{uses}" in words


def test_other_weights_change_the_chips_of_a_tree():
    flat = build_flat(V, 8, generator=seeded())
    pictures = []
    for seed in (0, 1):
        tree = build_tree(V, generator=seeded(seed))
        pictures.append(draw_flat_against_tree(flat, tree, VOCAB, "..diondr"))
    first, second = (chips(fig) for fig in pictures)
    assert np.array_equal(first[0], second[0])  # the flat model's
    assert not np.array_equal(first[-1], second[-1])


@pytest.mark.parametrize("sizes", [[3], [3, 8], [2, 4, 8, 16]])
def test_windows_show_what_is_cut_off_and_the_first_matrix(sizes):
    models = [build_flat(V, size, generator=seeded()) for size in sizes]
    fig = draw_windows(models, VOCAB, "diondre")
    words = texts(fig)
    for size, model in zip(sizes, models):
        assert f"block size {size}: {count_parameters(model):,} parameters" in words
    assert words.count("cut off") == sum(size < len("diondr") for size in sizes)
    counts = [fusing(model)[0].numel() for model in models]
    areas = matrices(fig)
    assert np.allclose(areas, np.array(counts) * areas[0] / counts[0])


# ---- Memory and BatchNorm ------------------------------------------------------------
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_memory_shows_every_number_in_both_orders(block_size):
    fig = draw_memory(context_of(block_size), channels=3)
    numbers = [int(text) for text in texts(fig) if text.isdigit()]
    x = torch.arange(3 * block_size).view(block_size, 3)
    assert numbers == [*range(3 * block_size), *x.T.flatten().tolist()]
    for level in range(block_size.bit_length() - 1):
        rows = block_size // 2**level
        assert str((rows, 3 * 2**level)) in texts(fig)


def test_the_cells_of_one_mean_are_those_that_move_it():
    wrong = averaged(BatchNormPerPosition, (3, 4, 5))
    right = averaged(BatchNorm1d, (3, 4, 5))
    expected = torch.zeros(3, 4, 5, dtype=torch.bool)
    expected[:, :, -1] = True  # the last channel, everywhere
    assert torch.equal(right, expected)
    expected[:, :-1] = False  # at the last position alone
    assert torch.equal(wrong, expected)
    assert torch.equal(averaged(BatchNormPerPosition, (3, 5)), wrong[:, -1])


def test_the_cubes_name_the_buffers_as_they_are():
    words = texts(draw_cubes(BatchNormPerPosition, BatchNorm1d, shape=(16, 2, 10)))
    for shape in [(1, 10), (1, 2, 10), (10,)]:
        assert f"running mean {shape}" in words
    assert "each of 32 numbers" in words  # with the fix: examples times positions
    same = texts(draw_cubes(BatchNorm1d, BatchNorm1d, shape=(16, 2, 10)))
    assert "running mean (1, 2, 10)" not in same


def test_the_ladder_says_what_each_step_gains():
    curves = {"flat3": [2.5, 2.1], "flat8": [2.4, 1.91], "tree": [2.4, 1.93]}
    val = {"flat3": 2.11, "flat8": 2.033, "tree": 2.04}
    fig = draw_ladder(curves, val)
    words = texts(fig)
    assert "−0.077" in words and "+0.007" in words
    (inset,) = fig.axes[0].child_axes
    assert len(inset.lines) == 2  # flat8 and tree end close to each other
    assert not draw_ladder({"flat3": [2.5, 2.1]}, val).axes[0].child_axes


# ---- Stacks --------------------------------------------------------------------------
@pytest.mark.parametrize("name, block_size", [("diondre", 8), ("al", 4), ("emma", 16)])
def test_the_stack_has_a_node_for_each_fusion_that_differs(name, block_size):
    fig = draw_trees_into_stack(name, block_size)
    found = fusions(name, block_size)
    distinct = {(level, position) for _, level, position in found}
    marks = fig.axes[0].collections  # a scatter for each node, and three of the legend
    assert len(marks) == 3 + len(found) + len(distinct)
    examples = len(name) + 1
    count = f"{len(found)} fusions in {examples} trees, {len(distinct)} different nodes"
    assert f"{count};" in texts(fig)


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_the_cone_is_what_the_gradient_reaches(block_size):
    network = as_convolution(build_tree(V, block_size, generator=seeded())).eval()
    layers = list(convolutions(network))
    text = context_of(20)
    at = 17
    x = network.layers[0](torch.tensor([VOCAB.encode(text)]))  # the embedding
    x = x.detach().requires_grad_()
    out = x
    for layer in network.layers[1:]:
        out = layer(out)
    out[0, at].square().sum().backward()
    reached = x.grad[0].abs().sum(-1).nonzero().flatten().tolist()
    cone = cone_of(layers, at)
    assert sorted(p for level, p in cone if level == 0) == reached
    assert len([node for node in cone if node[0] == 1]) == block_size // 2


@pytest.mark.parametrize("queues", [False, True])
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_a_stack_shows_its_cone_in_orange_and_new_nodes_alone_with_queues(
    block_size, queues
):
    network = as_convolution(build_tree(V, block_size, generator=seeded()))
    text = "." * 10 + "diondre."
    fig = draw_stack(network, text, at=15, queues=queues)
    levels = block_size.bit_length() - 1
    nodes = [line for line in fig.axes[0].lines if line.get_marker() == "o"]
    assert len(nodes) == levels * len(text)
    orange = [line for line in nodes if line.get_markerfacecolor() == LOOKED_AT]
    assert len(orange) == (levels if queues else block_size - 1)
    words = texts(fig)
    for level in range(levels):
        assert f"dilation {2**level}" in words


def test_a_wavenet_can_be_drawn_as_a_stack():
    words = texts(draw_stack(wavenet(), "........diondre.", at=14))
    assert "One output sees 8 characters and nothing of the future" in words


# ---- The WaveNet ---------------------------------------------------------------------
def test_the_block_shows_the_vectors_of_the_last_character():
    network = wavenet()
    block = network.blocks[1]
    tokens = torch.tensor([VOCAB.encode(".diondr")])
    with torch.no_grad():
        network.eval()
        x, _ = network.blocks[0](network.embedding(tokens))
        onward, skip = block(x)
        z = block.gate(block.conv(x))
        expected = [x, z, onward, skip, network(tokens)]
    shown = [values.tolist() for values in chips(draw_block(network, VOCAB, ".diondr"))]
    for tensor in expected:
        assert any(np.allclose(tensor[0, -1], values) for values in map(np.array, shown)
                   if len(values) == tensor.shape[-1])  # fmt: skip
    words = texts(draw_block(network, VOCAB, ".diondr"))
    assert "7 × 16" in words  # filter and gate, of 8 channels each
    assert any(word.endswith("dilation 2") for word in words)


def test_gradients_are_those_of_each_blocks_input_and_none_is_left():
    network = wavenet(dropout=0.3)
    network.train()
    tokens, targets = whole_names(NAMES, VOCAB)
    found = block_gradients(network, tokens, targets)
    assert len(found) == len(network.blocks)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert network.training
    # The first block's input is the embedding: its gradient is known another way.
    network.eval()
    x = network.embedding(tokens).detach().requires_grad_()
    total = 0
    out = x
    for block in network.blocks:
        out, skipped = block(out)
        total = total + skipped
    logits = network.out(torch.relu(network.hidden(torch.relu(total))))
    torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten()
    ).backward()
    assert found[0] == pytest.approx(x.grad.square().mean().sqrt().item())


def test_the_thickness_of_a_wire_is_the_gradient():
    tokens, targets = whole_names(NAMES, VOCAB)
    networks = {
        "neither": wavenet(residual=False, skip=False),
        "both": wavenet(),
    }
    fig = draw_gradients(networks, tokens, targets)
    wires = [line for line in fig.axes[0].lines if line.get_gid()]
    thickness = [line.get_linewidth() for line in wires]
    expected = []
    for network in networks.values():
        gradients = block_gradients(network, tokens, targets)
        expected += [min(24, 5 * gradient / gradients[-1]) for gradient in gradients]
    assert np.allclose(thickness, expected)
    assert expected[0] < 5 / 4  # with neither it fades away


def test_the_surprises_of_a_name_sum_up_to_its_loss():
    network = wavenet()
    fig = draw_name(network, VOCAB, "diondre")
    heights = [bar.get_height() for bar in fig.axes[0].patches]
    loss = name_losses(network, ["diondre"], VOCAB).item()
    assert sum(heights) == pytest.approx(loss, rel=1e-5)
    chances, gates = look_inside(network, VOCAB, "diondre")
    assert np.allclose(fig.axes[1].images[0].get_array(), chances.T)
    assert np.allclose(fig.axes[2].images[0].get_array(), gates)
    assert gates.shape == (len(network.blocks), len(".diondre"))
    rings = fig.axes[1].lines[0].get_ydata()
    assert VOCAB.decode(list(rings)) == "diondre."
    other = draw_name(wavenet(seed=1), VOCAB, "diondre")
    assert [bar.get_height() for bar in other.axes[0].patches] != heights


# ---- Which names are likely, and the characters --------------------------------------
def test_each_kind_of_names_has_all_its_losses_and_its_mean():
    losses = {"real": np.array([1.5, 2.0, 2.5, 2.6]), "nonsense": np.array([5.0, 6.0])}
    fig = draw_kinds(losses)
    for ax, (kind, values) in zip(fig.axes, losses.items(), strict=True):
        assert sum(bar.get_height() for bar in ax.patches) == len(values)
        (line,) = ax.lines
        assert line.get_xdata()[0] == pytest.approx(values.mean())
        (label,) = ax.texts
        assert label.get_text() == f"{kind}: {values.mean():.2f}"


def test_the_characters_are_where_their_rows_differ_most_and_vowels_are_orange():
    rows = torch.zeros(V - 1, 5)
    rows[:, 3] = torch.arange(V - 1)  # all the difference is in one direction
    (ax,) = draw_characters(rows, VOCAB).axes
    places = [text.get_position() for text in ax.texts]
    steps_between = np.diff([x for x, _ in places])
    assert np.allclose(abs(steps_between), 1, atol=1e-5)
    assert np.allclose([y for _, y in places], 0, atol=1e-5)
    orange = []
    for text in ax.texts:
        if to_hex(text.get_bbox_patch().get_facecolor()) == LOOKED_AT.lower():
            orange.append(text.get_text())
    assert orange == [c for c in VOCAB.itos[1:] if c in "aeiouy"]


def test_characters_that_would_hide_one_another_are_moved_apart():
    points = torch.tensor([[0.0, 0.0], [10.0, 10.0], [10.01, 10.0], [0.0, 10.0]])
    found = moved_apart(points)
    inches = found / 10.01 * PLANE[0]
    assert abs(inches[2, 0] - inches[1, 0]) > 0.99 * APART
    assert torch.allclose(found[[0, 3]], points[[0, 3]])  # the others stay
    assert torch.allclose(found.mean(0), points.mean(0))


# ---- Pairs ---------------------------------------------------------------------------
@pytest.mark.parametrize("n", [2, 5, 8, 12])
def test_the_orange_share_of_the_signs_is_p(n):
    rng = np.random.default_rng(n)
    old = pd.Series(2 + 0.01 * rng.standard_normal(n))
    new = old - 0.004 + 0.01 * rng.standard_normal(n)
    fig = draw_pairs(old, new)
    slopes, flips = fig.axes
    lines = [line.get_color() for line in slopes.lines]
    assert lines.count(NEGATIVE) == (new < old).sum()
    assert lines.count(POSITIVE) == (new >= old).sum()
    orange = 0
    total = 0
    for container in flips.containers:
        for bar in container:
            total += bar.get_height()
            if to_hex(bar.get_facecolor()) == LOOKED_AT.lower():
                orange += bar.get_height()
    assert total == len(flipped_means(np.asarray(new - old))) == 2**n
    assert orange / total == sign_flip(new - old)


# ---- All of them ---------------------------------------------------------------------
def all_pictures():
    flat = build_flat(V, 8, generator=seeded())
    tree = build_tree(V, generator=seeded())
    tokens, targets = whole_names(NAMES, VOCAB)
    losses = pd.Series([2.0, 2.1, 2.2])
    return {
        "flat against tree": draw_flat_against_tree(flat, tree, VOCAB, "..diondr"),
        "windows": draw_windows([flat], VOCAB, "diondre"),
        "memory": draw_memory("..diondr"),
        "cubes": draw_cubes(BatchNormPerPosition, BatchNorm1d),
        "trees": draw_trees_into_stack("diondre"),
        "stack": draw_stack(as_convolution(tree), "..diondre.", at=8),
        "block": draw_block(wavenet(), VOCAB, ".diondr"),
        "gradients": draw_gradients({"both": wavenet()}, tokens, targets),
        "name": draw_name(wavenet(), VOCAB, "diondre"),
        "pairs": draw_pairs(losses, losses - 0.01),
        "kinds": draw_kinds({"real, unseen": losses, "random characters": 3 * losses}),
        "characters": draw_characters(torch.randn(V - 1, 4), VOCAB),
    }


def test_every_picture_fits_a_phone_and_no_text_leaves_it():
    for name, fig in all_pictures().items():
        assert fig.get_figwidth() == WIDTH, name
        canvas_box = fig.bbox
        renderer = fig.canvas.get_renderer()
        for ax in fig.axes:
            for text in ax.texts:
                box = text.get_window_extent(renderer)
                inside = canvas_box.x0 <= box.x0 and box.x1 <= canvas_box.x1
                assert inside and canvas_box.y0 <= box.y0, (name, text.get_text())
                if len(text.get_text()) > 1:
                    assert text.get_size() >= SMALL - 2, (name, text.get_text())


# ---- Charts ----------------------------------------
def texts_of(fig):
    return [text.get_text() for ax in fig.axes for text in ax.texts]


def test_the_cells_hold_the_correlations_and_their_colours():
    table = torch.eye(5)
    table[0, 1] = table[1, 0] = -0.5
    table[0, 4] = table[4, 0] = 0.25
    fig = draw_correlations(table)
    found = texts_of(fig)
    for words, count in (("1.00", 5), ("−0.50", 2), ("0.25", 2), ("0.00", 16)):
        assert found.count(words) == count
    assert "neighbours −0.12 on average; 3 or more apart 0.08" in found
    faces = [to_hex(patch.get_facecolor()) for patch in fig.axes[0].patches]
    assert faces.count(POSITIVE.lower()) == 5
    plt.close(fig)


def test_costs_are_lines_and_points_of_the_tables():
    contexts = [8, 16, 32, 64]
    counted = pd.DataFrame({"a": [1.0, 2, 4, 8], "b": [1.0, 1, 2, 2]}, index=contexts)
    measured = counted.loc[[8, 32]] * 1.5
    panels = {"one": (counted, measured), "two": (counted * 2, measured * 2)}
    fig = draw_costs(panels, "costs", unit="seconds")
    assert [ax.get_title() for ax in fig.axes] == ["one", "two"]
    for ax, (lines, points) in zip(fig.axes, panels.values()):
        drawn = [line.get_ydata().tolist() for line in ax.lines]
        assert drawn[0::2] == [lines[way].tolist() for way in "ab"]
        assert drawn[1::2] == [points[way].tolist() for way in "ab"]
    assert texts_of(fig) == ["a", "b"]
    assert fig.get_figwidth() == WIDTH
    plt.close(fig)


@pytest.mark.parametrize(
    "wrong, words",
    [
        (None, "no dict"),
        ({}, "no dict"),
        ({"one": pd.DataFrame()}, "no pair of tables"),
        ({"one": (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}))}, "columns"),
    ],
)
def test_costs_want_pairs_of_tables(wrong, words):
    with pytest.raises((TypeError, ValueError), match=f"panels.*{words}.*: give"):
        draw_costs(wrong, "costs", unit="seconds")


def test_correlations_want_a_square():
    with pytest.raises(
        ValueError, match=r"has the shape \(2, 3\): give torch.corrcoef"
    ):
        draw_correlations(torch.zeros(2, 3))


# ---- Layouts (09) --------------------------------------------------------------------
@pytest.mark.parametrize("T, C, reach", [(7, 6, 2), (3, 2, 1), (8, 8, 3)])
def test_both_layouts_show_each_number_and_copies_on_the_left(T, C, reach):
    x = torch.linspace(-1, 1, T * C).view(T, C)
    fig = draw_layouts(x, ".diondre"[:T], reach=reach)
    cells = {}
    for patch in fig.axes[0].patches:
        is_cell = patch.get_width() == patch.get_height() == SIDE
        if isinstance(patch, Rectangle) and is_cell and patch.get_fill():
            shown = to_hex(patch.get_facecolor())
            cells.setdefault(shown, []).append(patch.get_linestyle())
    drawn = [style for styles in cells.values() for style in styles]
    assert len(drawn) == 2 * T * C + reach * C
    assert drawn.count(":") == reach * C


def test_a_layout_without_a_row_for_each_character_is_refused():
    with pytest.raises(ValueError, match="2 rows for 3 characters"):
        draw_layouts(torch.zeros(2, 3), "ava")
    with pytest.raises(ValueError, match="at most 8"):
        draw_layouts(torch.zeros(3, 30), "ava")

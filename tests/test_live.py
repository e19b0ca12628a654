"""The live explorers without a browser: weights as bytes, traits, pictures of the tree.

tests/browser/test_live.py compares what their scripts show with what Python computes.
"""

import json
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import Generator

from course.comparisons import load_results
from course.explorers import packing, stored
from course.explorers.live import SCRIPTS, SHARED, Explorer
from course.explorers.tree import TreeExplorer, draw_tree
from course.explorers.tree_picture import levels_of
from course.runs import load_data, load_splits
from helpers import (
    BatchNorm1d,
    Linear,
    Sequential,
    Tanh,
    build_dataset,
    build_flat,
    build_tree,
    count_parameters,
    eval_mode,
    evaluate,
)

NAMES = ["diondr", "emma", "a", "", "christopher", "zzyzx"]


@pytest.fixture
def tree(vocab):
    return TreeExplorer(vocab)


def trained_a_little(model, vocab, block_size):
    """The model after a batch, so that its BatchNorm has something to fold."""
    X, _ = build_dataset(load_splits()[1]["val"][:300], vocab, block_size)
    model(X)
    for layer in model.layers:
        if isinstance(layer, BatchNorm1d):
            layer.weight.data += 0.5
            layer.bias.data -= 0.25
    return model


def windows_of(names, vocab, block_size):
    X, _ = build_dataset(names, vocab, block_size)
    return X


def chances(model, X):
    with eval_mode(model):
        return model(X).softmax(-1)


# ---- Weights as bytes ----------------------------------------
MODELS = [("flat", 8, 200), ("flat", 2, 9), ("tree", 8, 68), ("tree", 16, 12)]


@pytest.fixture(params=MODELS, ids=str)
def model_and_size(request, vocab):
    architecture, block_size, hidden = request.param
    build = build_flat if architecture == "flat" else build_tree
    generator = Generator().manual_seed(1)
    model = build(len(vocab), block_size, hidden=hidden, generator=generator)
    model.layers[-1].weight.data *= 20  # so that its predictions differ
    return trained_a_little(model, vocab, block_size), block_size, architecture


def test_a_folded_model_computes_the_same(model_and_size, vocab):
    model, block_size, _ = model_and_size
    X = windows_of(NAMES, vocab, block_size)
    folded = packing.fold(model)
    assert not any(isinstance(layer, BatchNorm1d) for layer in folded.layers)
    assert torch.allclose(chances(folded, X), chances(model, X), atol=1e-6)


def test_folding_leaves_the_model_as_it_was(model_and_size):
    model, _, _ = model_and_size
    before = [p.clone() for p in model.parameters()]
    packing.fold(model)
    assert all(map(torch.equal, before, model.parameters()))
    assert model.training


def test_floats_come_back_as_they_were(model_and_size):
    model, _, _ = model_and_size
    arrays = packing.arrays_of(model)
    found, about = packing.unpack(packing.pack_arrays(arrays, {"hidden": 5}))
    assert about == {"hidden": 5}
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)
        assert found[name].dtype == np.float32


def test_small_numbers_are_half_a_step_away_at_most(model_and_size):
    arrays = packing.arrays_of(model_and_size[0])
    found, _ = packing.unpack(packing.pack_arrays(arrays, kind="int8"))
    for name, array in arrays.items():
        step = 0
        if array.ndim == 2:
            step = np.abs(array).max(axis=0) / packing.MOST
        assert (np.abs(found[name] - array) <= 0.5 * step + 1e-6).all()


def test_the_packed_model_predicts_what_the_model_does(model_and_size, vocab):
    model, block_size, architecture = model_and_size
    X = windows_of(NAMES, vocab, block_size)
    expected = chances(model, X)
    for kind, most in (("float32", 1e-6), ("float16", 0.002), ("int8", 0.02)):
        packed = packing.pack_arrays(packing.arrays_of(model), kind=kind)
        arrays, _ = packing.unpack(packed)
        again = packing.model_of(arrays, block_size, flat=architecture == "flat")
        assert (chances(again, X) - expected).abs().max() < most


def test_a_column_of_zeros_stays_one():
    array = np.zeros((3, 2), np.float32)
    array[:, 0] = [1, -2, 0.5]
    found, _ = packing.unpack(packing.pack_arrays({"weight 1": array}, kind="int8"))
    assert (found["weight 1"][:, 1] == 0).all()


def test_small_numbers_take_a_quarter_of_the_room(model_and_size):
    arrays = packing.arrays_of(model_and_size[0])
    sizes = {
        kind: len(packing.pack_arrays(arrays, kind=kind)) for kind in packing.KINDS
    }
    matrices = sum(array.size for array in arrays.values() if array.ndim == 2)
    assert sizes["int8"] < sizes["float16"] < sizes["float32"] - matrices


@pytest.mark.parametrize("damage", [0, 3, 10, 200, -1])
def test_damaged_bytes_are_refused(damage):
    packed = packing.pack_arrays({"weight 1": np.ones((40, 30), np.float32)})
    with pytest.raises(ValueError, match="no packed model"):
        packing.unpack(packed[:damage])


def test_a_kind_that_is_none_is_refused():
    with pytest.raises(ValueError, match="kind is 'int4': choose one of"):
        packing.pack_arrays({}, kind="int4")


def test_a_batchnorm_with_nothing_to_fold_into_is_refused():
    for layers in ([BatchNorm1d(3)], [Linear(3, 3), Tanh(), BatchNorm1d(3)]):
        with pytest.raises(TypeError, match="a Linear before each BatchNorm"):
            packing.fold(Sequential(*layers))


# ---- The stored models ----------------------------------------
def test_every_model_that_the_site_offers_is_stored_and_no_other():
    wanted = {f"{stored.file_name(*cell)}.bin" for cell in stored.cells()}
    assert {path.name for path in stored.FOLDER.iterdir()} == wanted
    assert len(wanted) >= 32
    assert sum(path.stat().st_size for path in stored.FOLDER.iterdir()) < 2.5e6


def test_flat_models_of_the_same_size_are_about_as_large_as_the_tree():
    for block_size in stored.BLOCK_SIZES:
        for hidden in stored.WIDTHS:
            width = stored.matching_width(block_size, hidden)
            flat = count_parameters(build_flat(27, block_size, hidden=width))
            tree = count_parameters(build_tree(27, block_size, hidden=hidden))
            assert abs(flat - tree) <= block_size * 10 / 2 + 15  # half a unit


@pytest.mark.parametrize("cell", stored.cells(), ids=str)
def test_a_stored_model_has_the_loss_that_it_says(cell, vocab):
    architecture, block_size, hidden = cell
    arrays, about = packing.unpack(stored.stored_model(*cell))
    found = about["architecture"], about["block_size"], about["hidden"]
    assert found == cell
    model = packing.model_of(arrays, block_size, flat=architecture == "flat")
    _, data = load_data(block_size)
    X, Y = data["val"]
    loss = evaluate(model, X[::8], Y[::8])  # every eighth position
    # Eight bits a weight cost most where the weights are many: 0.06 for the largest.
    assert abs(loss - about["val"]) < (0.07 if hidden == 256 else 0.05)
    assert len(about["samples"]) == 10


def test_the_stored_losses_are_those_of_the_grid():
    """The same runs; another processor rounds differently."""
    grid = load_results("grid")
    first = grid[grid["seed"] == 0].set_index("variant")["val"]
    for architecture, block_size, hidden in stored.cells():
        name = f"{architecture}, block size {block_size}, hidden {hidden}"
        if name in first.index:
            packed = stored.stored_model(architecture, block_size, hidden)
            about = packing.unpack(packed)[1]
            assert abs(first[name] - about["val"]) < 0.01


def test_a_model_that_is_not_stored_is_none():
    assert stored.stored_model("tree", 8, 68) is None
    with pytest.raises(ValueError, match="architecture is 'lstm'"):
        stored.stored_model("lstm", 8, 64)


# ---- What an explorer shows ----------------------------------------
def test_the_sentence_names_what_is_chosen(tree):
    assert repr(tree) == "Tree explorer, block size 8, hidden width 64"
    tree.block_size = 16
    tree.hidden = 68
    assert repr(tree) == "Tree explorer, block size 16, hidden width 68"


def test_one_output_holds_widget_picture_sentence_and_state(tree):
    data, metadata = tree._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert data["text/plain"] == repr(tree)
    assert len(metadata["image/png"]["alt"]) < 400
    json.dumps(metadata["explorer"])  # it is stored in the notebook
    state = metadata["explorer"]["state"]
    assert not state["has_kernel"]
    assert state["widths"] == stored.WIDTHS
    assert "tree" not in state  # weights are files of their own


def test_the_script_is_all_three_and_the_own_one_last(tree):
    texts = []
    for name in [*SHARED, "tree"]:
        texts.append((SCRIPTS / f"{name}.js").read_text(encoding="utf-8"))
    assert "\n".join(texts) in tree._esm
    assert tree._esm.count("export default") == 1


def test_scripts_name_no_other_host_and_import_nothing():
    for path in SCRIPTS.glob("*.js"):
        text = path.read_text(encoding="utf-8").replace(
            "http://www.w3.org/2000/svg", ""
        )
        assert "http" not in text and "import " not in text, path.name
        assert max(map(len, text.splitlines())) <= 88, path.name


def test_the_colours_of_the_style_are_those_of_the_table():
    from course import colors

    style = (SCRIPTS / "explorers.css").read_text(encoding="utf-8")
    roles = {
        "looked-at": colors.LOOKED_AT,
        "minus": colors.NEGATIVE,
        "plus": colors.POSITIVE,
        "weights": colors.WEIGHTS,
    }
    for name, color in roles.items():
        assert f"--{name}: {color.lower()};" in style


def test_an_untrained_width_shows_the_live_model(tree, vocab):
    tree.hidden = 68
    tree.name = "emma"
    for architecture, build in (("flat", build_flat), ("tree", build_tree)):
        model = build(27, 8, hidden=68, generator=Generator().manual_seed(42))
        window = torch.tensor([vocab.encode("....emma")])
        expected = chances(model, window)[0]
        found = tree.probabilities(architecture)
        assert torch.allclose(found, expected, atol=1e-6)


def test_a_stored_width_shows_the_stored_model(tree):
    tree.block_size = 4
    tree.hidden = 32
    assert tree.tree == stored.stored_model("tree", 4, 32)
    assert tree.flat == stored.stored_model("flat", 4, 32)
    assert tree.probabilities("tree").sum() == pytest.approx(1)


def test_flat_and_tree_of_equal_size(tree):
    tree.equal = True
    for hidden in (32, 68, 256):
        tree.hidden = hidden
        counts = []
        for packed in (tree.flat, tree.tree):
            counts.append(packing.unpack(packed)[1]["parameters"])
        assert abs(counts[0] - counts[1]) <= 8 * 10
    tree.equal = False
    assert packing.unpack(tree.flat)[1]["hidden"] == 256


def test_a_wrong_argument_is_refused():
    with pytest.raises(TypeError, match="give a Vocab"):
        TreeExplorer(["emma"])


def test_the_picture_follows_what_is_chosen(tree):
    pictures = {tree.picture()}
    for option, value in (("name", "emma"), ("block_size", 2), ("hidden", 68)):
        setattr(tree, option, value)
        pictures.add(tree.picture())
    assert len(pictures) == 4
    height, width, _ = plt.imread(BytesIO(tree.picture())).shape
    assert width > 1.5 * height


def test_the_alternative_text_says_what_is_expected(tree):
    chances = tree.probabilities("tree")
    best = tree.vocab.itos[int(chances.argmax())]
    assert f"{best} {chances.max():.0%} in the tree one" in tree.alt()


def test_the_base_class_is_not_to_be_shown():
    for what in ("settings", "picture", "alt"):
        with pytest.raises(NotImplementedError):
            getattr(Explorer(), what)()


# ---- The tree alone ----------------------------------------
def test_levels_have_the_shapes_of_the_model(vocab):
    model = build_tree(len(vocab), 8, hidden=5)
    outputs = levels_of(model, torch.zeros(4, 8, dtype=torch.long))
    shapes = [tuple(output.shape) for output in outputs]
    assert shapes == [(4, 8, 10), (4, 4, 5), (4, 2, 5), (4, 5)]


def test_the_drawn_tree_follows_its_context_and_width(vocab):
    pictures = {draw_tree(".diondra", vocab), draw_tree("......al", vocab)}
    pictures |= {draw_tree(".diondra", vocab, 5), draw_tree("al", vocab)}
    assert len(pictures) == 4
    with pytest.raises(ValueError, match="2, 4, 8, 16"):
        draw_tree("diondr", vocab)

"""course.weights: a file that does not fit is refused, one that is good is kept."""

import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator

from course import weights as weights_module
from course.comparisons import load_results
from course.convolution import as_convolution
from course.inspection import in_float64
from course.wavenet import WaveNet, WaveNetConfig, run_wavenet
from course.weights import check_can_save, layer_lines, load_weights, save_weights
from helpers import Vocab, build_tree

ROOT = Path(__file__).parents[1]
TINY = WaveNetConfig(steps=2, batch_size=8, channels=6, skip_channels=5, levels=2)
NAMES = ["ava", "emma", "noah", "liam"] * 5


def network(seed=0, **changes):
    config = replace(TINY, **changes)
    return WaveNet(config, 9, generator=Generator().manual_seed(seed))


def numbers(model):
    return [p.tolist() for p in model.parameters()]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "w.npz"
    save_weights(network(), path)
    return path


def refused(path, words, model=None):
    """load_weights says these words and changes nothing."""
    model = model or network(1)
    before = numbers(model)
    with pytest.raises(ValueError, match=words):
        load_weights(model, path)
    assert numbers(model) == before


# ---- What is not a file of weights ---------------------------------------------------
def test_nothing_at_the_path(tmp_path):
    refused(tmp_path / "w.npz", "no weights at .*w.npz: give a file that save_weights")


def test_a_folder(tmp_path):
    refused(tmp_path, "no weights at")


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"PK\x03\x04", b"\x80\x04.", b"names\n", b"\x93NUMPY"]
)
def test_no_archive(tmp_path, content):
    (tmp_path / "w.npz").write_bytes(content)
    refused(tmp_path / "w.npz", "contains no weights .*: it is damaged or something")


def test_one_array_alone(tmp_path):
    np.save(tmp_path / "w.npy", np.zeros(3))
    refused(tmp_path / "w.npy", "contains no weights")


def test_pickled_arrays(tmp_path):
    np.savez(tmp_path / "w.npz", np.array([{"a": 1}], dtype=object))
    refused(tmp_path / "w.npz", "contains no weights .*allow_pickle=False")


@pytest.mark.parametrize("kind", [int, bool, complex, np.float16, ">f4", "U3"])
def test_numbers_of_another_kind(path, kind):
    arrays = [np.zeros(p.shape, dtype=kind) for p in network().parameters()]
    np.savez(path, *arrays)
    refused(path, "has numbers of the type")


def test_a_file_that_is_cut_off_anywhere(path):
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        refused(path, "contains no weights")


def test_bytes_that_have_changed_are_seen_or_change_nothing(path):
    """Each byte of an archive's contents is covered by a sum; others may be unused."""
    whole = path.read_bytes()
    rng = random.Random(0)
    expected = numbers(network())
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        model = network(1)
        try:
            load_weights(model, path)
        except ValueError as error:
            assert "w.npz" in str(error)
            expected_now = numbers(network(1))
        else:
            expected_now = expected
        assert numbers(model) == expected_now


def arrays_of(path):
    with np.load(path) as stored:
        return dict(stored)


def test_missing_arrays(path):
    arrays = arrays_of(path)
    del arrays["arr_1"]
    np.savez(path, **arrays)
    refused(path, "has no arr_1, but .'arr_0'.*'arr_2'")
    del arrays["arr_0"]
    np.savez(path, **arrays)
    refused(path, "has no arr_0, but")


def test_other_names(path):
    np.savez(path, weight=np.zeros(3))
    refused(path, "has no arr_0, but .'weight'")


# ---- Weights of another model --------------------------------------------------------
OTHERS = [
    {"channels": 7},
    {"stacks": 1},
    {"skip": False},
    {"gate": "none"},
    # From here on all shapes are the same: without their layers, these would be silent.
    {"gate": "glu"},
    {"residual": False},
    {"levels": 1, "stacks": 4},
]


@pytest.mark.parametrize("changes", OTHERS, ids=str)
def test_another_config_is_refused(path, changes):
    refused(path, "build it with the stored config", network(1, **changes))


@pytest.mark.parametrize("change", [{"dropout": 0.5}, {"lr": 0.1}, {"steps": 9}])
def test_another_training_may_go_on_with_them(path, change):
    model = load_weights(network(1, **change), path)
    assert numbers(model) == numbers(network())


def test_a_model_with_a_layer_more_is_refused(path):
    model = network()
    model.layers.append(weights_module.Layer())
    refused(path, "build it with the stored config", model)


@pytest.mark.parametrize("layers", [[1, 2], "x", [["Gate()"]], np.zeros((2, 2))])
def test_layers_that_are_none_are_refused(path, layers):
    arrays = arrays_of(path) | {"layers": layers}
    np.savez(path, **arrays)
    refused(path, "build it with the stored config")


def test_a_file_of_old_without_layers_is_read(path):
    arrays = arrays_of(path)
    del arrays["layers"]
    np.savez(path, **arrays)
    assert numbers(load_weights(network(1), path)) == numbers(network())


def test_the_stored_weights_can_be_read_and_fit_their_record():
    stored = load_results("wavenet_long").iloc[0]
    config = WaveNetConfig(**stored["config"])
    file = ROOT / "data" / "results" / "wavenet_long.npz"
    load_weights(WaveNet(config, 27), file)
    with pytest.raises(ValueError, match="build it with the stored config"):
        load_weights(WaveNet(replace(config, channels=8), 27), file)


def test_float64_weights_go_into_a_float32_model_and_back(tmp_path):
    save_weights(in_float64(network()), tmp_path / "w.npz")
    model = load_weights(network(1), tmp_path / "w.npz")
    assert numbers(model) == numbers(network())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    exact = load_weights(in_float64(network(1)), tmp_path / "w.npz")
    assert {p.dtype for p in exact.parameters()} == {torch.float64}


def test_other_models_have_weights_too(tmp_path):
    tree = build_tree(9, 8, hidden=4, generator=Generator().manual_seed(0))
    for model in (tree, as_convolution(tree)):
        save_weights(model, tmp_path / "w.npz")
        model.layers[0].weight.data.zero_()
        load_weights(model, tmp_path / "w.npz")
        assert model.layers[0].weight.any()


def test_lines_name_what_shapes_do_not_tell():
    lines = "\n".join(layer_lines(network(gate="glu", residual=False)))
    for words in ("kind='glu'", "residual=False", "dilation=2", "padding='dots'"):
        assert words in lines


# ---- Writing -------------------------------------------------------------------------
class FullDisk:
    """np.savez on a disk that has room for so many bytes."""

    def __init__(self, error, room=500):
        self.error = error
        self.room = room

    def __call__(self, file, *arrays, **named):
        file.write(b"PK" * self.room)
        raise self.error


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_file_that_cannot_be_finished_replaces_no_good_one(path, monkeypatch, error):
    good = path.read_bytes()
    monkeypatch.setattr(np, "savez", FullDisk(error))
    with pytest.raises((ValueError, KeyboardInterrupt)) as raised:
        save_weights(network(1), path)
    if isinstance(error, OSError):
        assert "w.npz cannot be written" in str(raised.value)
        assert "No space left" in str(raised.value)
    assert path.read_bytes() == good
    assert list(path.parent.iterdir()) == [path]


def test_a_new_file_takes_the_place_of_an_old_one(path):
    save_weights(network(1), path)
    assert numbers(load_weights(network(), path)) == numbers(network(1))
    assert list(path.parent.iterdir()) == [path]


WRONG_PATHS = {
    "w.pt": "ends in .npz",
    "w": "ends in .npz",
    "none/w.npz": "none is not a folder",
    "file/w.npz": "file is not a folder",
    "folder.npz": "is a folder",
}


@pytest.mark.parametrize("wrong, words", WRONG_PATHS.items())
@pytest.mark.parametrize("write", [save_weights, check_can_save])
def test_a_path_where_no_file_can_be_is_refused(tmp_path, write, wrong, words):
    (tmp_path / "file").touch()
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ValueError, match=words):
        write(network(), tmp_path / wrong)


@pytest.mark.parametrize("write", [save_weights, check_can_save])
def test_a_folder_that_may_not_be_written_is_named(tmp_path, write):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(ValueError, match="cannot be written .*Permission denied"):
        write(network(), tmp_path / "w.npz")


def test_a_trial_leaves_everything_as_it_is(path):
    good = path.read_bytes()
    check_can_save(network(1), path)
    assert path.read_bytes() == good
    assert list(path.parent.iterdir()) == [path]


def test_a_run_says_before_its_training_that_weights_cannot_be_kept(
    tmp_path, monkeypatch
):
    vocab = Vocab(NAMES)
    splits = {"train": NAMES, "val": NAMES}
    monkeypatch.setattr("course.wavenet.load_splits", lambda leak_free: (vocab, splits))
    steps = []
    options = {"on_step": lambda history: steps.append(1)}
    for wrong in ("w.pt", "none/w.npz"):
        with pytest.raises(ValueError, match="give|make"):
            run_wavenet(TINY, 0, keep=tmp_path / wrong, **options)
    monkeypatch.setattr(np, "savez", FullDisk(OSError(28, "No space left")))
    with pytest.raises(ValueError, match="No space left"):
        run_wavenet(TINY, 0, keep=tmp_path / "w.npz", **options)
    assert not steps
    assert not [path for path in tmp_path.iterdir()]


@pytest.mark.parametrize("model, path", [("w.npz", network()), (None, "w.npz")])
def test_another_kind_of_argument_is_refused(model, path):
    for function in (save_weights, load_weights):
        with pytest.raises(TypeError, match="model"):
            function(model, path)
    for wrong in (3, None, b"w.npz"):
        for function in (save_weights, load_weights):
            with pytest.raises(TypeError, match="path"):
                function(network(), wrong)

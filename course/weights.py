"""Stored weights: a .npz file of plain arrays, and the layers that they belong to."""

import os
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from course.checks import check_kind, check_layers
from helpers import Layer

NO_SETTINGS = ("training", "label")  # attributes that are not part of the architecture
FLOATS = (np.float32, np.float64)


def layer_lines(layer: Layer) -> list[str]:
    """A line for each layer: what shapes do not show, such as gates and dilations."""
    if type(layer).__name__ == "Dropout":
        return []  # the weights may be trained further with another dropout
    settings = []
    for name, value in vars(layer).items():
        if isinstance(value, int | float | str) and name not in NO_SETTINGS:
            settings.append(f"{name}={value!r}")
    lines = [f"{type(layer).__name__}({', '.join(settings)})"]
    for inner in layer.layers:
        lines += layer_lines(inner)
    return lines


def weights_path(path: str | Path) -> Path:
    """The path of a .npz file; ValueError if none can be written there."""
    check_kind("path", path, kind=str | Path, cure="give the path of a .npz file")
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"{path} is not a .npz file: give a path that ends in .npz")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the path of a file")
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent} is not a folder: make it or give another path")
    return path


def save_weights(model: Layer, path: str | Path) -> None:
    """Stores the parameters in order, and the layers that they belong to.

    An existing file is replaced only when the new one is complete.
    """
    check_layers("model", model)
    path = weights_path(path)
    arrays = []
    for parameter in model.parameters():
        arrays.append(parameter.detach().numpy())
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, *arrays, layers=layer_lines(model))
        os.replace(part, path)
    except OSError as error:
        cure = "give a folder that has room and that you may write to"
        raise ValueError(f"{path} cannot be written ({error}): {cure}") from error
    finally:
        part.unlink(missing_ok=True)


def check_can_save(model: Layer, path: str | Path) -> None:
    """ValueError if save_weights would fail; a file at the path is left as it is."""
    path = weights_path(path)
    trial = path.with_name(f"trial-{os.getpid()}-{path.name}")
    save_weights(model, trial)
    trial.unlink()


def load_weights(model: Layer, path: str | Path) -> Layer:
    """Puts stored parameters into `model`. No pickle is read, so no file can run code.

    ValueError, and an unchanged model, if the file is damaged or for another model.
    """
    check_layers("model", model)
    arrays, lines = read_weights(path)
    parameters = model.parameters()
    found = [array.shape for array in arrays]
    wanted = [tuple(p.shape) for p in parameters]
    cure = "build it with the stored config"
    if found != wanted:
        raise ValueError(f"{path} has {found}, the model needs {wanted}: {cure}")
    # Files that were made before lines were stored have none.
    if lines:
        for theirs, ours in zip_longest(lines, layer_lines(model)):
            if theirs != ours:
                raise ValueError(f"{path} has {theirs}, the model has {ours}: {cure}")
    for parameter, array in zip(parameters, arrays):
        parameter.data = torch.from_numpy(array).to(parameter.dtype)
    return model


def read_weights(path: str | Path) -> tuple[list[np.ndarray], list[str]]:
    """The arrays of a file in order, and its layer_lines; ValueError if damaged."""
    check_kind("path", path, kind=str | Path, cure="give the path of a .npz file")
    if not Path(path).is_file():
        raise ValueError(f"no weights at {path}: give a file that save_weights wrote")
    cure = "it is damaged or something else; give a file that save_weights wrote"
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = dict(stored)
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds of errors
        raise ValueError(f"{path} contains no weights ({error}): {cure}") from error
    lines = np.ravel(found.pop("layers", [])).tolist()
    arrays = []
    for i in range(len(found)):
        name = f"arr_{i}"
        if name not in found:
            raise ValueError(f"{path} has no {name}, but {sorted(found)}: {cure}")
        array = found[name]
        if array.dtype not in FLOATS:
            raise ValueError(f"{path} has numbers of the type {array.dtype}: {cure}")
        arrays.append(array)
    return arrays, lines

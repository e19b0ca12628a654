"""The weights of a model as bytes, for the explorers' scripts, and back.

A packed model is four bytes (the length of what follows them), a text in JSON that
names its arrays, and the arrays one after the other. A matrix is stored as float32, as
float16 (three digits), or as int8: whole numbers from -127 to 127 and a scale for each
column. Rows of numbers, such as biases, are always float32. `scripts/network.js` reads
the same bytes.
"""

import json
import struct

import numpy as np
import torch
from torch import Tensor

from course.checks import check_choice, check_kind, checked
from helpers import BatchNorm1d, Embedding, FlattenConsecutive, Linear, Sequential, Tanh

KINDS = ("float32", "float16", "int8")
MOST = 127  # the largest number that int8 stores here
WORD = 4  # every array begins at a multiple of so many bytes
Arrays = dict[str, np.ndarray]


# ---- Models and their matrices -------------------------------------------------------
@checked()
def fold(model: Sequential) -> Sequential:
    """A flat model or tree without BatchNorm, which computes the same in eval mode.

    In eval mode BatchNorm multiplies each channel by a number and adds another one: the
    Linear before it can do both. TypeError for a BatchNorm with no Linear before it.
    """
    layers = []
    with torch.no_grad():
        for layer in model.layers:
            if isinstance(layer, BatchNorm1d):
                cure = "give a model with a Linear before each BatchNorm"
                before = layers[-1] if layers else None
                check_kind("the layer before it", before, kind=Linear, cure=cure)
                layers[-1] = fold_into(layers[-1], layer)
            else:
                layers.append(layer)
    return Sequential(*layers).eval()


def fold_into(linear: Linear, norm: BatchNorm1d) -> Linear:
    """The Linear that does what `linear` and then `norm` do in eval mode."""
    scale = norm.weight / (norm.running_var + norm.eps) ** 0.5  # (C,)
    bias = torch.zeros(()) if linear.bias is None else linear.bias
    weight = linear.weight * scale
    return linear_of(weight, norm.bias + (bias - norm.running_mean) * scale)


def linear_of(weight: Tensor, bias: Tensor) -> Linear:
    """The Linear with this weight (in, out) and bias (out,)."""
    linear = Linear(*weight.shape, generator=torch.Generator())
    linear.weight = weight.detach().clone()
    linear.bias = bias.detach().clone()
    return linear


def arrays_of(model: Sequential) -> Arrays:
    """The folded model's table "embedding", then "weight 1", "bias 1", "weight 2" …"""
    arrays = {}
    count = 0
    for layer in fold(model).layers:
        if isinstance(layer, Embedding):
            arrays["embedding"] = layer.weight.detach().numpy()
        elif isinstance(layer, Linear):
            count += 1
            arrays[f"weight {count}"] = layer.weight.detach().numpy()
            arrays[f"bias {count}"] = layer.bias.detach().numpy()
    return arrays


@checked()
def model_of(arrays: Arrays, block_size: int, *, flat: bool = False) -> Sequential:
    """A folded model with these arrays: (B, block_size) -> logits (B, V)."""
    table = arrays["embedding"]
    embedding = Embedding(*table.shape, generator=torch.Generator())
    embedding.weight = torch.from_numpy(table)
    layers = [embedding]
    count = sum(name.startswith("weight") for name in arrays)
    for i in range(1, count + 1):
        weight = torch.from_numpy(arrays[f"weight {i}"])
        linear = linear_of(weight, torch.from_numpy(arrays[f"bias {i}"]))
        if i == count:
            layers.append(linear)
        else:
            fused = block_size if flat else 2
            layers += [FlattenConsecutive(fused), linear, Tanh()]
    return Sequential(*layers).eval()


# ---- Arrays as bytes -----------------------------------------------------------------
def pack_arrays(
    arrays: Arrays, about: dict | None = None, *, kind: str = "float32"
) -> bytes:
    """The arrays, and what `about` says of them (numbers, texts, lists), as bytes."""
    check_choice("kind", kind, choices=KINDS)
    entries = []
    pieces = []
    for name, array in arrays.items():
        array = np.ascontiguousarray(array, dtype=np.float32)
        chosen = kind if array.ndim == 2 else "float32"
        rows, columns = np.atleast_2d(array).shape
        entries.append({"name": name, "rows": rows, "columns": columns, "kind": chosen})
        if chosen == "int8":
            pieces += rounded(array)
        else:
            pieces.append(array.astype(chosen))
    header = json.dumps({"about": about or {}, "arrays": entries}).encode()
    body = b"".join(padded(piece.tobytes()) for piece in pieces)
    header = padded(header, b" ")
    return struct.pack("<I", len(header)) + header + body


def rounded(array: np.ndarray) -> list[np.ndarray]:
    """The scale of each column (float32), and the array divided by them, as int8."""
    scales = np.abs(array).max(axis=0) / MOST
    scales[scales == 0] = 1  # a column of zeros stays one
    return [scales.astype(np.float32), np.rint(array / scales).astype(np.int8)]


def padded(piece: bytes, filler: bytes = b"\0") -> bytes:
    """The bytes, filled up to whole words."""
    return piece + filler * (-len(piece) % WORD)


def unpack(packed: bytes) -> tuple[Arrays, dict]:
    """The arrays as float32 and what is said about them; ValueError if damaged."""
    cure = "give what pack_arrays returned"
    try:
        (length,) = struct.unpack_from("<I", packed)
        header = json.loads(packed[WORD : WORD + length])
        arrays = {}
        start = WORD + length
        for entry in header["arrays"]:
            array, start = read_array(packed, start, entry)
            arrays[entry["name"]] = array
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"packed is no packed model ({error}): {cure}") from error
    return arrays, header["about"]


def read_array(packed: bytes, start: int, entry: dict) -> tuple[np.ndarray, int]:
    """One array, which begins at `start`, and where the next one begins."""
    rows = entry["rows"]
    columns = entry["columns"]
    scales = 1
    if entry["kind"] == "int8":
        scales = np.frombuffer(packed, np.float32, columns, start)
        start += WORD * columns
    numbers = np.frombuffer(packed, entry["kind"], rows * columns, start)
    array = numbers.reshape(rows, columns) * np.float32(scales)
    if "bias" in entry["name"].split():
        array = array[0]
    size = numbers.nbytes
    return array, start + size + -size % WORD

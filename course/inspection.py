"""Looking into a model: its layers as a table, and a float64 copy for comparisons."""

import copy

import pandas as pd
from torch import Tensor

from course.checks import check_layers, checked
from helpers import Layer, Sequential, count_parameters, eval_mode


@checked(model=check_layers)
def summary(model: Sequential, x: Tensor) -> pd.DataFrame:
    """For the batch `x`: each layer's output shape, parameters and running total."""
    rows = []
    with eval_mode(model):
        for layer in model.layers:
            x = layer(x)
            rows.append((repr(layer), tuple(x.shape), count_parameters(layer)))
    table = pd.DataFrame(rows, columns=["layer", "output shape", "parameters"])
    return table.assign(total=table["parameters"].cumsum())


@checked(model=check_layers)
def in_float64(model: Layer) -> Layer:
    """A copy in eval mode whose parameters and buffers are all float64.

    Two ways to compute the same thing then differ by at most 1e-12, so a larger
    difference is a mistake rather than rounding.
    """
    model = copy.deepcopy(model).eval()
    to_float64(model)
    return model


@checked(layer=check_layers)
def to_float64(layer: Layer) -> None:
    """Changes the tensors of a layer, and of the layers inside it, to float64."""
    for name, value in vars(layer).items():
        if isinstance(value, Tensor):
            exact = value.detach().double().requires_grad_(value.requires_grad)
            setattr(layer, name, exact)
    for inner in layer.layers:
        to_float64(inner)

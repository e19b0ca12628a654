"""Notebook 04: which numbers BatchNorm averages into one mean, bug and fix."""

import traitlets
from torch import Tensor

from course.checks import checked, tensor
from course.explorers import batchnorm_picture
from course.explorers.live import Explorer
from course.runs import BatchNormPerPosition
from helpers import BatchNorm1d

EXAMPLES = 8  # of the batch that are drawn
CHANNELS = 12  # that are drawn
POSITIONS = 8  # at most
LAYERS = {"bug": BatchNormPerPosition, "fix": BatchNorm1d}


class BatchNormExplorer(Explorer):
    """The numbers (B, T, C) that enter a BatchNorm, and the means that it keeps.

    `x` are those numbers, of a live model. Both layers compute their means of it: that
    of the bug, and that of helpers.py. `fixed` chooses which one is shown.
    """

    script = "batchnorm"
    title = "BatchNorm explorer"

    fixed = traitlets.Bool(False).tag(sync=True)
    sizes = traitlets.List().tag(sync=True)  # [B, T, C]
    cube = traitlets.List().tag(sync=True)  # the numbers that are drawn, [b][t][c]
    buffers = traitlets.Dict().tag(sync=True)  # {"bug": ..., "fix": ...}

    @checked(x=tensor(dims=3))
    def __init__(self, x: Tensor):
        B, T, C = x.shape
        if B < 2 or T > POSITIONS:
            cure = f"give (B, T, C) with two examples or more and T up to {POSITIONS}"
            raise ValueError(f"x has the shape {tuple(x.shape)}: {cure}")
        x = x.detach()
        drawn = x[:EXAMPLES, :, :CHANNELS]
        buffers = {name: buffer_of(norm, x) for name, norm in LAYERS.items()}
        super().__init__(sizes=[B, T, C], cube=rounded(drawn), buffers=buffers)

    # ---- What it says of itself ----
    def shown(self) -> dict:
        """What the chosen layer keeps."""
        return self.buffers["fix" if self.fixed else "bug"]

    def settings(self) -> dict[str, object]:
        kind = "with the fix" if self.fixed else "with the bug"
        return {kind: f"running mean {self.shown()['shape']}"}

    def alt(self) -> str:
        bug = self.buffers["bug"]
        fix = self.buffers["fix"]
        B, T, C = self.sizes
        return (
            f"two cubes of {B} examples, {T} positions and {C} channels; with the bug "
            f"{bug['values']} numbers of one position are averaged, and the running "
            f"mean is {bug['shape']}; with the fix {fix['values']} of all positions, "
            f"and it is {fix['shape']}"
        )

    def picture(self) -> bytes:
        return batchnorm_picture.draw(self.cube, self.buffers, self.sizes)


def buffer_of(norm: type[BatchNorm1d], x: Tensor) -> dict:
    """What a layer of this kind keeps of the batch x (B, T, C), and over how many."""
    C = x.shape[-1]
    layer = norm(C, momentum=1.0)  # it keeps the mean of this batch alone
    layer(x)
    mean = layer.running_mean
    rows = mean.reshape(-1, C)  # one row, or one for each position
    return {
        "shape": str(tuple(mean.shape)),
        "means": rounded(rows[:, :CHANNELS]),
        "values": x.numel() // rows.numel(),
    }


def rounded(x: Tensor) -> list:
    """The numbers as lists, with three digits."""
    return (x.double() * 1000).round().div(1000).tolist()

"""The checks of the exercises of notebook 09; course.exercises imports them.

Shapes: B examples in a batch, T positions, C channels, H outputs.
"""

import torch
import torch.nn.functional as F
from torch import nn

from course.exercise_tools import compare, exercise, expect, given, random_tensor
from course.in_pytorch import ConvTree, LinearTree


@exercise
def check_causal_conv(causal) -> str:
    """causal(conv, x): an nn.Conv1d on x (B, C, T), padded with copies on the left."""
    for k, dilation in ((2, 1), (2, 4), (3, 2)):
        conv = seeded(nn.Conv1d, 3, 5, k, dilation=dilation)
        x = random_tensor(2, 3, 9)
        reach = (k - 1) * dilation
        expected = conv(F.pad(x, (reach, 0), mode="replicate"))
        zeros = conv(F.pad(x, (reach, 0)))
        right = conv(F.pad(x, (0, reach), mode="replicate"))
        both = conv(F.pad(x, (reach, reach), mode="replicate"))
        mistakes = {
            "it is padded with zeros, not with the first position": zeros,
            "it is padded on the right, so outputs see the future": right,
            "both sides are padded, so it is too long": both,
            "nothing is padded, so it is too short": conv(x),
        }
        got = causal(conv, x.clone())
        name = f"the output for kernel_size={k}, {dilation=}"
        compare(got, expected, name, mistakes)
    return "as long as the input, and no output sees the future"


@exercise
def check_linear_state(linear_state) -> str:
    """linear_state(state): a ConvTree's state_dict as that of a LinearTree."""
    sizes = {"vocab_size": 7, "block_size": 8, "embedding_dim": 3, "hidden": 5}
    conv_tree = seeded(ConvTree, **sizes)
    conv_tree(torch.arange(48).remainder(7).view(6, 8))  # moves the running means
    state = given(linear_state(conv_tree.state_dict()), "the answer")
    kind = type(state).__name__
    expect(isinstance(state, dict), f"the answer is a {kind}: expected a dict")
    linear_tree = LinearTree(**sizes)
    wanted = linear_tree.state_dict()
    missing = [name for name in wanted if name not in state]
    expect(not missing, f"{missing} are missing, {len(wanted)} entries are expected")
    extra = [name for name in state if name not in wanted]
    expect(not extra, f"{extra} are in no LinearTree")
    for name, old in conv_tree.state_dict().items():
        expected = old
        mistakes = {}
        if name.startswith("fuses"):
            expected = old.permute(0, 2, 1).flatten(1)  # (H, C, 2) -> (H, 2*C)
            mistakes = {"taps and channels are mixed": old.flatten(1)}
            turned = old.flip(2).permute(0, 2, 1).flatten(1)
            mistakes["the older character comes first"] = turned
        compare(state[name], expected, name, mistakes)
    return f"{len(wanted)} entries, and both trees compute the same"


def seeded(module_class, *sizes, **options) -> nn.Module:
    """A module with initial weights that are always the same."""
    torch.manual_seed(0)  # @exercise restores the state
    return module_class(*sizes, **options)

"""The checks of the exercises of notebooks 06 to 08; course.exercises imports them.

Shapes: B examples in a batch, T positions, C channels, H outputs, V characters.
"""

from math import isclose

import torch
import torch.nn.functional as F
from torch import Generator, nn

from course.convolution import CausalConv1d, CausalNetwork, receptive_field
from course.exercise_tools import (
    compare,
    compare_lines,
    exercise,
    expect,
    given,
    random_tensor,
    two_values,
)
from course.wavenet import WaveNet, WaveNetConfig, name_losses
from helpers import END, Linear, Vocab, eval_mode

# The kernel size and the dilations of each stack
STACKS = {
    "kernel 2, dilations 1 2 4 8": (2, [1, 2, 4, 8]),
    "kernel 2, dilations 1 2 4 8 1 2 4 8": (2, [1, 2, 4, 8, 1, 2, 4, 8]),
    "kernel 3, dilations 1 2 4": (3, [1, 2, 4]),
}


# ---- 06 Convolution --------------------------------------------------------------
@exercise
def check_receptive_fields(answers) -> str:
    """How many characters one output of each of STACKS reads."""
    truth = {}
    for line, (kernel_size, dilations) in STACKS.items():
        stack = [CausalConv1d(1, 1, kernel_size, dilation=d) for d in dilations]
        truth[line] = receptive_field(CausalNetwork(*stack))
    mistakes = {
        14: "the character itself counts, too",
        15: "the character itself counts, too",
        30: "the character itself counts, too",
        8: "three taps look back twice the dilation",
        32: "the character itself counts only once",
    }

    def explain(line: str, answer) -> str:
        if not isinstance(answer, int | float):
            return f"{answer!r}, expected a number"
        cure = mistakes.get(answer, "add up how far each level looks back")
        return f"{answer} is not right: {cure}"

    return compare_lines(answers, truth, explain)


@exercise
def check_convolution(to_convolution) -> str:
    """The nn.Conv1d of a Linear (n*C, H), whose first rows are for the oldest input."""
    for n, C, dilation in ((2, 3, 1), (3, 4, 2)):
        linear = Linear(n * C, 5, generator=Generator().manual_seed(n))
        linear.bias = random_tensor(5)
        conv = given(to_convolution(linear, n, dilation), "the answer")
        kind = type(conv).__name__
        is_conv = isinstance(conv, nn.Conv1d)
        expect(is_conv, f"the answer is a {kind}: expected an nn.Conv1d")
        expected = linear.weight.view(n, C, 5).permute(2, 1, 0)  # (n*C, H) -> (H, C, n)
        mixed = linear.weight.T.reshape(5, C, n)
        mistakes = {
            "the taps are in reverse: tap 0 is the oldest character": expected.flip(2),
            "taps and channels got mixed: each character has C adjacent rows": mixed,
        }
        compare(conv.weight, expected, f"the filter for {n=}, {C=}", mistakes)
        no_bias = torch.zeros(5)
        bias = no_bias if conv.bias is None else conv.bias
        compare(bias, linear.bias, "the bias", {"it is missing": no_bias})
        x = random_tensor(2, 12, C)
        T = 12 - (n - 1) * dilation
        taps = []
        for i in range(n):
            start = i * dilation
            taps.append(x[:, start : start + T])  # (B, T, C)
        expected = linear(torch.cat(taps, dim=-1))
        name = f"the output for 12 positions, {n=}, {dilation=}"
        compare(conv(x.mT).mT, expected, name)
    return "what the Linear computes at each position, with and without dilation"


# ---- 07 Whole names --------------------------------------------------------------
@exercise
def check_cached_step(cached_step) -> str:
    """x (B, C), queue (B, d, C) with the oldest first, and weight (2*C, H)."""
    weight = random_tensor(6, 5, seed=1)
    for d in (4, 1):
        text = random_tensor(2, 9 + d, 3)
        for step in range(9):
            queue = text[:, step : step + d]
            x = text[:, step + d]
            oldest = queue[:, 0]
            newest = queue[:, -1]
            answer = cached_step(x, queue.clone(), weight)
            out, new_queue = two_values(answer, "the output and the new queue")
            turned = torch.cat([x, oldest], dim=-1) @ weight
            mistakes = {"the first rows of the weight are for the older input": turned}
            if d > 1:
                wrong = torch.cat([newest, x], dim=-1) @ weight
                mistakes["x belongs with the oldest entry of the queue"] = wrong
            expected = torch.cat([oldest, x], dim=-1) @ weight
            name = f"the output of step {step}, queue of {d}"
            compare(out, expected, name, mistakes)
            expected = text[:, step + 1 : step + 1 + d]
            mistakes = {"it has not moved on; one goes in, one comes out": queue}
            name = f"the queue of {d} after step {step}"
            compare(new_queue, expected, name, mistakes)
    return "nine steps of the convolution, with queues of 4 and of 1"


# ---- 08 The full WaveNet ---------------------------------------------------------
@exercise
def check_masked_loss(masked_loss) -> str:
    """Logits (B, T, V), targets (B, T): the mean over positions that are not -100."""
    logits = 2 * random_tensor(3, 5, 7)
    lengths = torch.tensor([3, 5, 2])
    is_name = torch.arange(5) < lengths[:, None]  # (B, T)
    characters = torch.arange(15).remainder(7).view(3, 5)
    targets = characters.where(is_name, -100)
    losses = F.cross_entropy(logits.mT, targets, reduction="none")  # (B, T), 0 at -100
    padding_as_end = F.cross_entropy(logits.mT, targets.clamp(min=0))
    mean_by_name = losses.sum(1) / lengths  # (B,)
    mistakes = {
        "the sum is right, but divided by all positions, even padding": losses.mean(),
        "padding counts as an end mark": padding_as_end,
        "a short name counts as much as a long one": mean_by_name.mean(),
    }
    expected = losses.sum() / lengths.sum()
    got = masked_loss(logits.clone(), targets.clone())
    compare(got, expected, "the loss of three names", mistakes)
    return "padding costs nothing, and all characters count the same"


@exercise
def check_log_probability(log_probability) -> str:
    """log_probability(model, name, vocab): that of a name and its end, in eval mode."""
    vocab = Vocab(["abcdefgh"])
    config = WaveNetConfig(channels=8, skip_channels=8, levels=2, dropout=0.5)
    model = WaveNet(config, len(vocab), generator=Generator().manual_seed(0))
    model.out.weight.data *= 30  # as if it had learned something
    for name in ("bad", "headache"):
        first = given(log_probability(model, name, vocab), "the answer")
        second = log_probability(model, name, vocab)
        found = f"{name!r}: first {first:.3f}, then {second:.3f}"
        same = isclose(first, second, rel_tol=1e-6)
        expect(same, f"{found}: the model is in training mode")
        expect(model.training, "the model is no longer in the training mode it was in")
        expected = -name_losses(model, [name], vocab)[0]
        tokens = torch.tensor([vocab.encode(END + name)])
        with eval_mode(model):
            last = model(tokens)[0, -1].log_softmax(-1)  # (1, T, V) -> (V,)
        mistakes = {
            "the end mark is missing": expected - last[0],
            "this is a mean: expected the sum": expected / (len(name) + 1),
            "the sign is wrong, because a probability is below 1": -expected,
        }
        compare(first, expected, f"the log probability of {name!r}", mistakes)
    return "all characters and the end, in eval mode"

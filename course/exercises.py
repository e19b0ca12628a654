"""The checks of the exercises that end the notebooks; the solutions use them, too.

A check takes an answer and returns a sentence (see `course.exercise_tools`). This
module has the checks for notebooks 01 to 05. Those for 06 to 08 are in
`course.late_exercises`, those for 09 in `course.pytorch_exercises`; all of them can be
imported from here as well.
Shapes: B examples in a batch, T positions, C channels, H outputs.
"""

import sys
import time
from math import isclose, isfinite
from statistics import fmean, stdev

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from course.checks import checked
from course.comparisons import interval
from course.exercise_tools import (
    NotDone,
    NotRight,
    compare,
    compare_lines,
    exercise,
    expect,
    given,
    random_tensor,
    two_values,
)
from course.inspection import summary
from course.late_exercises import (
    check_cached_step,
    check_convolution,
    check_log_probability,
    check_masked_loss,
    check_receptive_fields,
)
from course.pytorch_exercises import check_causal_conv, check_linear_state
from course.runs import RunConfig, run
from helpers import BAR, BatchNorm1d, build_tree, count_parameters

__all__ = [
    "check_relu",
    "check_layer_norm",
    "check_windows",
    "check_small_products",
    "check_tree_shapes",
    "check_tree_parameters",
    "check_triples",
    "check_channels_last",
    "check_mended",
    "check_paired",
    "check_beat_bar",
    "check_receptive_fields",
    "check_convolution",
    "check_cached_step",
    "check_masked_loss",
    "check_log_probability",
    "check_causal_conv",
    "check_linear_state",
]

# 03: the tree whose shapes and parameters are asked for
TREE = {"vocab_size": 27, "block_size": 16, "embedding_dim": 12, "hidden": 40}
# 05: nats per character, seconds for each training, and the seeds of the trainings
LOSS_TO_BEAT = 1.97
SECONDS_EACH = 120
SEEDS = (0, 1, 2)


# ---- 01 Cleanup ------------------------------------------------------------------
@exercise
def check_relu(layer_class) -> str:
    """ReLU(): max(x, 0) of each element."""
    layer = layer_class()
    x = random_tensor(4, 3, 5)
    before = x.clone()
    mistakes = {"negative numbers changed sign": before.abs()}
    compare(layer(x), before.clamp(min=0), "the output", mistakes)
    unchanged = torch.equal(x, before)
    expect(unchanged, "the layer changed its input, which belongs to the caller")
    cure = "let it inherit from Layer"
    expect(hasattr(layer, "parameters"), f"the class has no parameters(): {cure}")
    return "the numbers of torch.relu, and the input is unchanged"


@exercise
def check_layer_norm(layer_class) -> str:
    """LayerNorm(num_features): normalises each row, then applies gain and shift."""
    layer = layer_class(6)
    x = 3 * random_tensor(5, 6) + 1
    given(layer(x), "the output")
    by_batch = F.batch_norm(x, None, None, training=True)
    unbiased = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)
    mistakes = {
        "each channel was normalised over the batch: that is BatchNorm": by_batch,
        "the variance is the unbiased one: torch divides by the biased one": unbiased,
    }
    for y in (x, x[:1], random_tensor(2, 4, 6), x / 1e3):
        expected = F.layer_norm(y, (6,))
        compare(layer(y), expected, f"the output for {tuple(y.shape)}", mistakes)
    shapes = [tuple(p.shape) for p in layer.parameters()]
    needed = "expected a gain and a shift, each (6,)"
    expect(shapes == [(6,), (6,)], f"the parameters have shapes {shapes}: {needed}")
    layer.weight.data = random_tensor(6, seed=1)
    layer.bias.data = random_tensor(6, seed=2)
    expected = F.layer_norm(x, (6,), layer.weight, layer.bias)
    compare(layer(x), expected, "the output with another gain and shift")
    return "the numbers of torch.nn.LayerNorm, also for a single example"


# ---- 02 Flat baseline ------------------------------------------------------------
@exercise
def check_windows(pairs) -> str:
    """The windows of "ada" at block size 4: [(context, next character), ...]."""
    truth = [("....", "a"), ("...a", "d"), ("..ad", "a"), (".ada", ".")]
    count = len(given(pairs, "pairs"))
    cure = "; the end is predicted like any other character" if count == 3 else ""
    expect(count == 4, f"{count} is not the right number of windows{cure}")
    for i, (right_context, right_next) in enumerate(truth):
        context, following = pairs[i]
        start = f"pairs[{i}]: {context!r}"
        expect(len(context) == 4, f"{start} has {len(context)} characters: expected 4")
        turned = context == right_context[::-1]
        cure = "; the newest character goes on the right" if turned else ""
        expect(context == right_context, f"{start} is not what was read so far{cure}")
        is_next = following == right_next
        expect(is_next, f"{start} is not followed by {following!r} in 'ada'")
    return "all 4 windows"


@exercise
def check_small_products(small_products) -> str:
    """e.flatten(1) @ W for e (B, T, C), W (T*C, H), as a sum over positions."""
    e = random_tensor(2, 4, 3)
    W = random_tensor(12, 5, seed=1)
    products = torch.einsum("btc,tch->tbh", e, W.view(4, 3, 5))  # one for each position
    strided = torch.einsum("btc,cth->bh", e, W.view(3, 4, 5))
    mistakes = {
        "W has the C rows of one position together, then those of the next": strided,
        "this is the mean over positions: expected the sum": products.mean(0),
        "it contains only the last position: add, do not replace": products[-1],
    }
    got = small_products(e, W)
    compare(got, products.sum(0), "the result for e (2, 4, 3) and W (12, 5)", mistakes)
    return "one product of (2, 12) and (12, 5) is the sum of four of (2, 3) and (3, 5)"


# ---- 03 WaveNet ------------------------------------------------------------------
@exercise
def check_tree_shapes(answers) -> str:
    """The output shapes of the layers of TREE for a batch of 5."""
    x = torch.zeros(5, TREE["block_size"], dtype=torch.long)
    table = summary(build_tree(**TREE), x)
    same_shape = table["layer"].str.startswith(("BatchNorm1d", "Tanh"))  # not asked for
    lines = ["embedding"]
    for level in ("1st", "2nd", "3rd", "4th"):
        lines += [f"{level} flatten", f"{level} Linear"]
    lines.append("last Linear")
    truth = dict(zip(lines, table["output shape"][~same_shape], strict=True))

    def explain(line: str, answer) -> str:
        expected = truth[line]
        if not isinstance(answer, tuple) or len(answer) != len(expected):
            return f"{answer!r}, expected a tuple of {len(expected)} numbers"
        names = ["batch", "time", "channels"]
        if len(expected) == 2:
            names.remove("time")
        wrong = [names[i] for i in range(len(names)) if answer[i] != expected[i]]
        return f"{answer} is wrong in {', '.join(wrong)}"

    return compare_lines(answers, truth, explain)


@exercise
def check_tree_parameters(answers) -> str:
    """The parameters of the layers of TREE, and of all of it."""
    V, T, E, H = TREE.values()
    model = build_tree(**TREE)
    indices = {
        "embedding": 0,
        "1st Linear": 2,
        "2nd Linear": 6,
        "each BatchNorm1d": 3,
        "last Linear": 17,
    }
    truth = {line: count_parameters(model.layers[i]) for line, i in indices.items()}
    each_once = sum(truth.values())
    truth["whole tree"] = count_parameters(model)
    no_bias = "there is no bias, because BatchNorm follows"
    mistakes = {
        ("embedding", T * E):
            "it has a row for each character of the vocabulary, not of the context",
        ("1st Linear", (2 * E + 1) * H): no_bias,
        ("1st Linear", T * E * H): "all pairs use the same weights",
        ("2nd Linear", (2 * H + 1) * H): no_bias,
        ("2nd Linear", H * H): "its input is two neighbours, concatenated",
        ("each BatchNorm1d", 4 * H): "the running statistics are not trained",
        ("last Linear", H * V): "this one has a bias",
        ("whole tree", each_once): "how many are there of each of these layers?",
    }  # fmt: skip

    def explain(line: str, answer) -> str:
        if not isinstance(answer, int | float):
            return f"{answer!r}, expected a number"
        return f"{answer}: {mistakes.get((line, answer), 'count again')}"

    return compare_lines(answers, truth, explain)


@exercise
def check_triples(layer_class) -> str:
    """FlattenTriples(): (B, T, C) -> (B, T//3, 3*C), or (B, 3*C) if T is 3."""
    layer = layer_class()
    x = torch.arange(2 * 9 * 4).view(2, 9, 4)
    expected = x.reshape(2, 3, 12)
    far_apart = torch.cat(x.split(3, dim=1), dim=-1)
    mixed = x.view(2, 3, 3, 4).transpose(2, 3).reshape(2, 3, 12)
    mistakes = {
        "positions 0, 3 and 6 were concatenated, which are not neighbours": far_apart,
        "the neighbours are right, but their channels are mixed up": mixed,
    }
    compare(layer(x), expected, "the output for (2, 9, 4)", mistakes)
    compare(layer(x[:, :3]), x[:, :3].reshape(2, 12), "the output for (2, 3, 4)")
    not_contiguous = x.mT.contiguous().mT
    compare(layer(not_contiguous), expected, "the output for a non-contiguous tensor")
    try:
        shape = tuple(layer(x[:, :8]).shape)
    except ValueError:
        return "triples of neighbours, no time dimension for T = 3, an error for T = 8"
    cure = "expected a ValueError, because two characters are left over"
    raise NotRight(f"8 positions gave {shape}: {cure}")


# ---- 04 BatchNorm fix ------------------------------------------------------------
@exercise
def check_channels_last(channels_last) -> str:
    """channels_last(norm, x): a torch.nn.BatchNorm1d applied to x (B, T, C)."""
    for B, T, C in ((6, 5, 3), (6, 4, 4)):
        scales = torch.arange(1.0, C + 1)
        shifts = torch.arange(T).view(T, 1)
        x = random_tensor(B, T, C) * scales + shifts
        mixed = F.batch_norm(x.reshape(B, C, T), None, None, training=True)
        cure = "swap the axes, which no view does"
        mistakes = {f"channels and positions got mixed: {cure}": mixed.reshape(B, T, C)}
        got = channels_last(nn.BatchNorm1d(C), x)
        compare(got, BatchNorm1d(C)(x), f"the output for {(B, T, C)}", mistakes)
    return "torch's layer and ours agree, also where T equals C"


@exercise
def check_mended(layer_class) -> str:
    """The buggy BatchNorm, fixed: it computes the same as helpers.BatchNorm1d."""
    theirs = layer_class(3)
    norm = BatchNorm1d(3)
    x = 2 * random_tensor(16, 4, 3) + 1
    compare(theirs(x), norm(x), "the output in training mode")
    compare(theirs.running_mean, norm.running_mean, "running_mean after one batch")
    # Both keep 0.9 of the initial running variance, 1; the rest is the batch's share.
    ratio = ((theirs.running_var - 0.9) / (norm.running_var - 0.9)).mean().item()
    symptom = (
        "the output and running_mean are right, "
        f"running_var took in {ratio:.3f} times what torch's takes in"
    )
    handed_out = (16 / 15) / (64 / 63)  # n is 16, but 64 values are averaged
    if isclose(ratio, handed_out, rel_tol=1e-4):
        raise NotDone(f"for a batch of (16, 4, 3) {symptom}")
    compare(theirs.running_var, norm.running_var, symptom)
    for x in (random_tensor(1, 4, 3), random_tensor(16, 3)):
        shape = tuple(x.shape)
        compare(theirs(x), norm(x), f"the output for {shape}")
        name = f"running_var after a batch of {shape}"
        compare(theirs.running_var, norm.running_var, name)
    compare(theirs.eval()(x), norm.eval()(x), "the output in eval mode")
    return "outputs and running statistics as torch's, in both modes, also for one name"


# ---- 05 Experiments --------------------------------------------------------------
@exercise
def check_paired(paired) -> str:
    """The mean over the seeds of after - before, and its standard error."""
    before = [2029.1, 2033.4, 2027.9, 2035.2, 2026.8]
    after = [2026.2, 2029.7, 2025.9, 2031.0, 2025.1]
    answer = paired(list(before), list(after))
    mean, error = two_values(answer, "the mean and its standard error")
    differences = [second - first for first, second in zip(before, after)]
    expected = fmean(differences)
    spread = stdev(differences)
    n = len(differences)
    unpaired = ((stdev(before) ** 2 + stdev(after) ** 2) / n) ** 0.5
    mistakes = {"expected after minus before": -expected}
    compare(mean, expected, "the mean, in thousandths", mistakes)
    mistakes = {
        "the pairs are lost; take the difference for each seed first": unpaired,
        "this is the spread of one difference; the mean's is smaller": spread,
        "divide the squares by n - 1, not by n": spread * (n - 1) ** 0.5 / n,
    }
    compare(error, spread / n**0.5, "the standard error, in thousandths", mistakes)
    without = f"without pairs it would be ± {unpaired:.2f}"
    return f"{mean:.2f} ± {error:.2f} thousandths; {without}"


@checked()
def train_within_budget(config: RunConfig, seed: int) -> tuple[dict, str]:
    """The record of a run that ends after SECONDS_EACH, and how far it got."""
    show = {"total": config.steps, "unit": "steps", "file": sys.stdout}
    ends = []  # when each step ended; the first one starts the clock

    def on_step(history) -> bool:
        bar.update()
        ends.append(time.perf_counter())
        return ends[-1] - ends[0] > SECONDS_EACH

    with tqdm(desc=f"seed {seed}", **show, **BAR) as bar:
        record = run(config, seed, on_step=on_step)
    steps = f"{len(ends):,} of {config.steps:,} steps, {record['seconds']:.0f} s"
    return record, steps


@exercise
def check_beat_bar(config) -> str:
    """Trains the model of a RunConfig with each of SEEDS, for at most SECONDS_EACH.

    The 95% interval of their mean val loss must be below LOSS_TO_BEAT. If the first
    loss is not below it, no other model is trained.
    """
    kind = type(given(config, "nothing was trained: the config")).__name__
    is_config = isinstance(config, RunConfig)
    expect(is_config, f"the config is a {kind}: expected a RunConfig")
    other_names = "leak_free=True changes the validation names: leave it False"
    expect(not config.leak_free, other_names)
    losses = []
    for seed in SEEDS:
        record, steps = train_within_budget(config, seed)
        val = record["val"]
        losses.append(val)
        found = f"val {val:.4f} with seed {seed} after {steps}"
        expect(isfinite(val), f"{found}: the training has diverged")
        if seed == SEEDS[0]:
            goal = f"expected less than {LOSS_TO_BEAT} within {SECONDS_EACH} s"
            expect(val < LOSS_TO_BEAT, f"{found}: {goal}")
    mean, half = interval(pd.Series(losses))
    top = mean + half
    what = f"the mean of {len(SEEDS)} seeds and its 95% interval"
    found = f"val {mean:.4f} ± {half:.4f}, {what}"
    too_wide = f"it reaches up to {top:.4f}, above {LOSS_TO_BEAT}, so it may be luck"
    expect(top < LOSS_TO_BEAT, f"{found}: {too_wide}")
    return f"{found}; {record['parameters']:,} parameters, the last one {steps}"

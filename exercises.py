"""The checks of the exercises that end the notebooks; notebooks/solutions.ipynb calls the same ones.
A check takes an answer and returns a sentence that begins with RIGHT, WRONG or TODO and says what was got and
what was expected. It raises nothing: an error of the answer's own goes into the sentence."""

import sys
import time
from functools import wraps
from math import isclose, isfinite
from statistics import fmean, stdev

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from tqdm import tqdm

import helpers
from helpers import BatchNorm1d, Linear, RunConfig, Vocab, build_tree, count_parameters, eval_mode
from wavenet import WaveNet, WaveNetConfig, name_losses

RIGHT, WRONG, TODO = "right", "not right yet", "not done yet"
BAR, BUDGET, SEEDS = 1.985, 120, (0, 1, 2)  # notebook 05: nats per character, seconds of each training
TREE = 27, 16, 12, 40  # notebook 03: vocabulary, block size, embedding, hidden width


class NotRight(Exception):
    """Says what is wrong with an answer."""


class NotDone(Exception):
    """Says what is still missing."""


def exercise(check):
    """Makes a function that raises NotRight or NotDone, or returns what it has tested, return a sentence."""

    @wraps(check)
    def says(*answer) -> str:
        try:
            return f"{RIGHT}: {check(*answer)}"
        except NotDone as todo:
            return f"{TODO}: {todo}"
        except NotRight as fault:
            return f"{WRONG}: {fault}"
        except Exception as error:
            return f"{WRONG}: your code raised {type(error).__name__}: {error}"

    return says


def expect(condition, otherwise: str) -> None:
    if not condition:
        raise NotRight(otherwise)


def given(answer, what: str):
    """The answer, if there is one."""
    if answer is None or answer is ...:
        raise NotDone(f"{what} is None")
    return answer


def compare(got, expected, what: str, faults: dict | None = None) -> None:
    """A tensor or number against the expected one; `faults` says what known mistakes would give."""
    given(got, what)
    expect(isinstance(got, Tensor | int | float), f"{what} is of type {type(got).__name__}, not a tensor")
    got, expected = (torch.as_tensor(x).detach().double() for x in (got, expected))
    for fault, value in (faults or {}).items():
        value = torch.as_tensor(value).double()
        close = got.shape == value.shape and torch.allclose(got, value, rtol=1e-4, atol=1e-5)
        expect(not close, f"{what}: {fault}")
    shapes = tuple(got.shape), tuple(expected.shape)
    expect(shapes[0] == shapes[1], f"{what} has shape {shapes[0]}, expected is {shapes[1]}")
    away, close = (got - expected).abs().max(), torch.allclose(got, expected, rtol=1e-4, atol=1e-5)
    if not expected.ndim:
        expect(close, f"{what} is {got:.4f}, expected is {expected:.4f}")
    expect(close, f"{what}: shape as expected, but numbers up to {away:.2g} away from those expected")


def compare_answers(answers: dict, truth: dict, explain) -> str:
    """Each line of a dict against the truth; explain(line, answer) says what is wrong with an answer."""
    expect(list(answers) == list(truth), f"the lines are to be {list(truth)}: leave them as they are")
    filled = {line: answer for line, answer in answers.items() if answer is not None}
    wrong = [line for line, answer in filled.items() if answer != truth[line]]
    count = f"{len(filled) - len(wrong)} of {len(truth)} lines right"
    expect(not wrong, "\n  ".join([count, *(f"{line}: {explain(line, filled[line])}" for line in wrong)]))
    for line in truth:
        given(answers[line], f"{count}, {line!r}")
    return count


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


# ---- 01 Cleanup ----------------------------------------------------------------------------------
@exercise
def check_relu(layer_class):
    """ReLU(): max(x, 0) of each element."""
    layer, x = layer_class(), numbers(4, 3, 5)
    before = x.clone()
    compare(layer(x), before.clamp(min=0), "the output", {"negative numbers changed sign": before.abs()})
    expect(torch.equal(x, before), "the layer has changed its input: the caller's tensor is another one now")
    expect(hasattr(layer, "parameters"), "the class has no parameters(): let it inherit from Layer")
    return "the numbers of torch.relu, and the input left alone"


@exercise
def check_layer_norm(layer_class):
    """LayerNorm(num_features): each row normalised over its channels, then a gain and a shift."""
    layer, x = layer_class(6), 3 * numbers(5, 6) + 1
    given(layer(x), "the output")
    by_batch = F.batch_norm(x, None, None, training=True)
    faults = {
        "each channel was normalised over the batch: that is BatchNorm": by_batch,
        "unbiased variance; torch divides by the biased one": (x - x.mean(-1, True))
        / x.std(-1, keepdim=True),
    }
    for y in (x, x[:1], numbers(2, 4, 6), x / 1e3):
        compare(layer(y), F.layer_norm(y, (6,)), f"the output for {tuple(y.shape)}", faults)
    sizes = [tuple(p.shape) for p in layer.parameters()]
    expect(sizes == [(6,), (6,)], f"parameters {sizes}, expected are a gain and a shift, (6,) each")
    layer.weight.data, layer.bias.data = numbers(6, seed=1), numbers(6, seed=2)
    expected = F.layer_norm(x, (6,), layer.weight, layer.bias)
    compare(layer(x), expected, "the output with another gain and shift")
    return "the numbers of torch.nn.LayerNorm, for one example alone as well"


# ---- 02 Flat baseline ----------------------------------------------------------------------------
@exercise
def check_windows(pairs):
    """The windows of "ada" at block size 4: [(context, next character), ...]."""
    truth = [("....", "a"), ("...a", "d"), ("..ad", "a"), (".ada", ".")]
    end = "; the end is predicted like any other character" if len(given(pairs, "pairs")) == 3 else ""
    expect(len(pairs) == 4, f"{len(pairs)} windows, expected is another number{end}")
    for i, ((context, following), (left, right)) in enumerate(zip(pairs, truth)):
        expect(len(context) == 4, f"pairs[{i}]: {context!r} has {len(context)} characters, expected are 4")
        turned = "; the newest letter stands on the right" if context == left[::-1] else ""
        expect(context == left, f"pairs[{i}]: {context!r} is not what has been read by then{turned}")
        expect(following == right, f"pairs[{i}]: {following!r} is not what comes after {context!r} in 'ada'")
    return "all 4 windows"


@exercise
def check_small_products(small_products):
    """small_products(e, W): e.flatten(1) @ W for e (B, T, C) and W (T*C, H), as a sum over positions."""
    e, W = numbers(2, 4, 3), numbers(12, 5, seed=1)
    each = torch.einsum("btc,tch->tbh", e, W.view(4, 3, 5))  # a product for each position
    strided = torch.einsum("btc,cth->bh", e, W.view(3, 4, 5))
    faults = {
        "the rows of a position lie together in W, C after C": strided,
        "this is the mean over positions, wanted is the sum": each.mean(0),
        "only the last position is in it: add, do not replace": each[-1],
    }
    compare(small_products(e, W), each.sum(0), "the result for e (2, 4, 3) and W (12, 5)", faults)
    return "one product of (2, 12) and (12, 5) is the sum of four of (2, 3) and (3, 5)"


# ---- 03 WaveNet ----------------------------------------------------------------------------------
@exercise
def check_tree_shapes(answers):
    """What comes out of the layers of build_tree(*TREE) for a batch of 5."""
    shapes = helpers.summary(build_tree(*TREE), torch.zeros(5, TREE[1], dtype=torch.long))["output shape"]
    lines = [f"{where} {layer}" for where in ("1st", "2nd", "3rd", "4th") for layer in ("flatten", "Linear")]
    truth = dict(zip(["embedding", *lines, "last Linear"], shapes[[0, 1, 2, 5, 6, 9, 10, 13, 14, 17]]))

    def explain(line, answer):
        expected = truth[line]
        if not isinstance(answer, tuple) or len(answer) != len(expected):
            return f"{answer!r}, expected is a tuple of {len(expected)} numbers"
        names = ("batch", "time", "channels") if len(expected) == 3 else ("batch", "channels")
        return f"{answer} is wrong in {', '.join(n for n, a, b in zip(names, answer, expected) if a != b)}"

    return compare_answers(answers, truth, explain)


@exercise
def check_tree_parameters(answers):
    """The parameters of the layers of build_tree(*TREE), and of all of it."""
    (V, T, E, H), model = TREE, build_tree(*TREE)
    places = {"embedding": 0, "1st Linear": 2, "2nd Linear": 6, "each BatchNorm1d": 3, "last Linear": 17}
    truth = {line: count_parameters(model.layers[i]) for line, i in places.items()}
    truth["whole tree"] = count_parameters(model)
    faults = {
        ("embedding", T * E): "a row for each character of the vocabulary, not of the context",
        ("1st Linear", (2 * E + 1) * H): "there is no bias, since BatchNorm follows",
        ("1st Linear", T * E * H): "all pairs use the same weights",
        ("2nd Linear", (2 * H + 1) * H): "there is no bias, since BatchNorm follows",
        ("2nd Linear", H * H): "two neighbours come in side by side",
        ("each BatchNorm1d", 4 * H): "the running statistics are not trained",
        ("last Linear", H * V): "this one has a bias",
        ("whole tree", sum(list(truth.values())[:-1])): "how often is each of these layers there?",
    }
    return compare_answers(answers, truth, lambda line, a: f"{a}: {faults.get((line, a), 'count again')}")


@exercise
def check_triples(layer_class):
    """FlattenTriples(): (B, T, C) -> (B, T//3, 3*C), without the middle if T is 3."""
    layer, x = layer_class(), torch.arange(2 * 9 * 4).view(2, 9, 4)
    mixed = x.view(2, 3, 3, 4).transpose(2, 3).reshape(2, 3, 12)
    faults = {
        "places 0, 3 and 6 were put together, not neighbours": torch.cat(x.split(3, 1), -1),
        "the right neighbours, but their channels are mixed": mixed,
    }
    compare(layer(x), x.reshape(2, 3, 12), "the output for (2, 9, 4)", faults)
    compare(layer(x[:, :3]), x[:, :3].reshape(2, 12), "the output for (2, 3, 4)")
    compare(layer(x.mT.contiguous().mT), x.reshape(2, 3, 12), "the output for a tensor not contiguous")
    try:
        shape = tuple(layer(x[:, :8]).shape)
    except ValueError:
        return "triples of neighbours, one place left without a middle, 8 places refused"
    raise NotRight(f"8 places gave {shape}, expected is a ValueError: two letters are left over")


# ---- 04 BatchNorm fix ----------------------------------------------------------------------------
@exercise
def check_channels_last(channels_last):
    """channels_last(norm, x): what a torch.nn.BatchNorm1d gives for x (B, T, C), in our layout."""
    for B, T, C in ((6, 5, 3), (6, 4, 4)):
        x = numbers(B, T, C) * torch.arange(1.0, C + 1) + torch.arange(T).view(T, 1)
        mixed = F.batch_norm(x.reshape(B, C, T), None, None, training=True).reshape(B, T, C)
        faults = {"channels and positions are mixed: axes have to change places, no view does that": mixed}
        compare(channels_last(nn.BatchNorm1d(C), x), BatchNorm1d(C)(x), f"the output for {B, T, C}", faults)
    return "torch's layer and ours agree, where T equals C too"


@exercise
def check_mended(layer_class):
    """The BatchNorm with a bug, mended: the outputs and running statistics of helpers.BatchNorm1d."""
    ours, norm, x = layer_class(3), BatchNorm1d(3), 2 * numbers(16, 4, 3) + 1
    compare(ours(x), norm(x), "the output in training mode")
    compare(ours.running_mean, norm.running_mean, "running_mean after one batch")
    ratio = ((ours.running_var - 0.9) / (norm.running_var - 0.9)).mean().item()
    symptom = f"output and running_mean are right, running_var took in {ratio:.3f} times what torch's does"
    if isclose(ratio, (16 / 15) / (64 / 63), rel_tol=1e-4):  # the bug as it is handed out
        raise NotDone(f"for a batch of (16, 4, 3) {symptom}")
    compare(ours.running_var, norm.running_var, symptom)
    for x in (numbers(1, 4, 3), numbers(16, 3)):
        compare(ours(x), norm(x), f"the output for {tuple(x.shape)}")
        compare(ours.running_var, norm.running_var, f"running_var after a batch of {tuple(x.shape)}")
    compare(ours.eval()(x), norm.eval()(x), "the output in eval mode")
    return "outputs and running statistics as torch's, in both modes, and for one name alone"


# ---- 05 Experiments ------------------------------------------------------------------------------
@exercise
def check_paired(paired):
    """paired(before, after): the mean of after - before by seed, and its standard error."""
    before, after = [2029.1, 2033.4, 2027.9, 2035.2, 2026.8], [2026.2, 2029.7, 2025.9, 2031.0, 2025.1]
    mean, error = given(paired(before, after), "the answer")
    differences = [b - a for a, b in zip(before, after)]
    expected, spread, n = fmean(differences), stdev(differences), len(differences)
    unpaired = ((stdev(before) ** 2 + stdev(after) ** 2) / n) ** 0.5
    compare(mean, expected, "the mean, in thousandths", {"wanted is after minus before": -expected})
    faults = {
        "the pairs are lost; first take the difference of each seed": unpaired,
        "this is the spread of one difference; that of a mean is smaller": spread,
        "squares are divided by n - 1 here: five seeds are few": spread * (n - 1) ** 0.5 / n,
    }
    compare(error, spread / n**0.5, "the standard error, in thousandths", faults)
    return f"{mean:.2f} ± {error:.2f} thousandths; without pairs it would be ± {unpaired:.2f}"


def train_within_budget(config: RunConfig, seed: int) -> dict:
    """The record of helpers.run, ended when BUDGET is spent, and how many steps it took; shows progress."""
    layout = "seed {desc} |{bar}| {n_fmt}/{total_fmt} steps"
    bar = tqdm(total=config.steps, desc=f"{seed}", file=sys.stdout, ncols=79, bar_format=layout)
    ends = []  # when each step ended

    def on_step(history):
        bar.update()
        ends.append(time.perf_counter())
        return ends[-1] - ends[0] > BUDGET

    with bar:
        record = helpers.run(config, seed, on_step)
    return record | {"steps": f"{len(ends):,} of {config.steps:,} steps, {record['seconds']:.0f} s"}


@exercise
def check_beat_bar(config):
    """Trains the model of a RunConfig with each of SEEDS, BUDGET seconds each at most: the 95 % interval of
    the mean of their val losses is to lie below BAR. A first loss that does not reach it ends the check."""
    from studies import interval  # here, since its libraries take seconds to load and no other check needs it

    given(config, "nothing was trained: the config")
    expect(isinstance(config, RunConfig), f"the config is a {type(config).__name__}, expected is a RunConfig")
    expect(not config.leak_free, "leak_free=True makes other validation names: the bar is not for them")
    losses = []
    for seed in SEEDS:
        record = train_within_budget(config, seed)
        losses.append(record["val"])
        found = f"val {losses[-1]:.4f} with seed {seed} after {record['steps']}"
        expect(isfinite(losses[-1]), f"{found}: the training has diverged")
        expect(seed != SEEDS[0] or losses[0] < BAR, f"{found}; expected is less than {BAR} within {BUDGET} s")
    mean, half = interval(pd.Series(losses))
    found = f"val {mean:.4f} ± {half:.4f}, the mean of {len(SEEDS)} seeds and its 95 % interval"
    expect(mean + half < BAR, f"{found}: it reaches up to {mean + half:.4f}, above {BAR}; that may be luck")
    return f"{found}; {record['parameters']:,} parameters, the last one {record['steps']}"


# ---- 06 Convolution ------------------------------------------------------------------------------
@exercise
def check_receptive_fields(answers):
    """How many letters one output of a stack of causal convolutions reads."""
    truth = {"kernel 2, dilations 1 2 4 8": 16, "kernel 2, dilations 1 2 4 8 1 2 4 8": 31}
    truth |= {"kernel 3, dilations 1 2 4": 15}
    known = dict.fromkeys((14, 15, 30), "the letter itself counts, too")
    known |= {8: "three taps look back twice the dilation", 32: "the letter itself counts once"}
    rule = "add up how far each level looks back"
    return compare_answers(answers, truth, lambda _, a: f"{a} is not it: {known.get(a, rule)}")


@exercise
def check_convolution(to_convolution):
    """to_convolution(linear, n, dilation): the nn.Conv1d of a Linear (n*C, H), oldest letter's rows first."""
    for n, C, dilation in ((2, 3, 1), (3, 4, 2)):
        linear, x = Linear(n * C, 5, generator=Generator().manual_seed(n)), numbers(2, 12, C)
        linear.bias = numbers(5)
        conv = given(to_convolution(linear, n, dilation), "the answer")
        expect(isinstance(conv, nn.Conv1d), f"a {type(conv).__name__} comes back, expected is an nn.Conv1d")
        expected = linear.weight.view(n, C, 5).permute(2, 1, 0)  # (n*C, H) -> (H, C, n)
        faults = {
            "the taps are turned round: tap 0 is the oldest letter": expected.flip(2),
            "taps and channels are mixed: a letter's C rows lie together": linear.weight.T.reshape(5, C, n),
        }
        compare(conv.weight, expected, f"the filter for n={n}, C={C}", faults)
        bias = torch.zeros(5) if conv.bias is None else conv.bias
        compare(bias, linear.bias, "the bias", {"it is missing": torch.zeros(5)})
        reach = (n - 1) * dilation
        taps = [x[:, i : i + 12 - reach] for i in range(0, reach + 1, dilation)]
        compare(conv(x.mT).mT, linear(torch.cat(taps, -1)), f"the output of 12 places, {n=}, {dilation=}")
    return "pairs and triples, with and without dilation, as the Linear has them at each place"


@exercise
def check_cached_step(cached_step):
    """cached_step(x, queue, weight): x (B, C), queue (B, d, C) oldest first, weight (2*C, H)."""
    for d in (4, 1):
        text, weight = numbers(2, 9 + d, 3), numbers(6, 5, seed=1)
        queue = text[:, :d].clone()
        for t in range(d, 9 + d):
            old, newest, x = text[:, t - d], text[:, t - 1], text[:, t]
            faults = {"the older one's rows of the weight come first": torch.cat([x, old], -1) @ weight}
            if d > 1:
                due = torch.cat([newest, x], -1) @ weight
                faults |= {"x was put beside the newest of the queue; due is the oldest": due}
            out, new = given(cached_step(x, queue.clone(), weight), "the answer")
            expected = torch.cat([old, x], -1) @ weight
            compare(out, expected, f"the output of step {t - d}, queue of {d}", faults)
            faults = {"it has not moved on: one goes in, one comes out": queue}
            compare(new, text[:, t - d + 1 : t + 1], f"the queue of {d} after step {t - d}", faults)
            queue = new
    return "nine steps as the convolution has them, with queues of 4 and of 1"


# ---- 07 The full WaveNet -------------------------------------------------------------------------
@exercise
def check_masked_loss(masked_loss):
    """masked_loss(logits (B, T, V), targets (B, T)): the mean over all places whose target is not -100."""
    logits, lengths = 2 * numbers(3, 5, 7), torch.tensor([3, 5, 2])
    targets = torch.arange(15).view(3, 5).remainder(7).where(torch.arange(5) < lengths[:, None], -100)
    losses = F.cross_entropy(logits.mT, targets, reduction="none")  # (B, T), 0 where the target is -100
    faults = {
        "right sum, but divided by all places, filling included": losses.mean(),
        "filling counts as an end mark": F.cross_entropy(logits.mT, targets.clamp(min=0)),
        "a short name weighs as much as a long one": (losses.sum(1) / lengths).mean(),
    }
    compare(masked_loss(logits, targets), losses.sum() / lengths.sum(), "the loss of three names", faults)
    return "filling costs nothing, and all letters weigh the same"


@exercise
def check_log_probability(log_probability):
    """log_probability(model, name, vocab): of a whole name, its end included, in eval mode."""
    vocab, config = Vocab(["abcdefgh"]), WaveNetConfig(channels=8, skip_channels=8, levels=2, dropout=0.5)
    model = WaveNet(config, len(vocab), Generator().manual_seed(0))
    model.out.weight.data *= 30  # as if it had learned something
    for name in ("bad", "headache"):
        got = [given(log_probability(model, name, vocab), "the answer") for _ in range(2)]
        same = isclose(*got, rel_tol=1e-6)
        expect(same, f"{name!r}: first {got[0]:.3f}, then {got[1]:.3f}: the model is in training mode")
        expected = -name_losses(model, [name], vocab)[0]
        with eval_mode(model):
            end = model(torch.tensor([vocab.encode("." + name)]))[0, -1].log_softmax(-1)[0]
        faults = {
            "its end is missing": expected - end,
            "this is a mean, wanted is the sum": expected / (len(name) + 1),
            "the sign: a probability is below 1": -expected,
        }
        compare(got[0], expected, f"the log probability of {name!r}", faults)
    return "letters and end, in eval mode"

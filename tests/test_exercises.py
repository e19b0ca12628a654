"""The exercises: each stub is told that it is not done, each plausible mistake is explained, each solution is
right; and stubs, solutions and these tests call the same checks."""

import ast
import contextlib
import io
import re
from math import log, nan
from pathlib import Path

import nbformat
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import exercises
import helpers
import wavenet
from exercises import RIGHT, TODO, WRONG
from helpers import Layer, RunConfig, eval_mode

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("0*.ipynb"))
CHECKS = [name for name in vars(exercises) if name.startswith("check_")]
LEVELS = "easy", "medium", "hard"


def section(path):
    """The cells of a notebook's exercises."""
    cells = nbformat.read(path, as_version=4).cells
    heads = [cell.source.split("\n")[0] if cell.cell_type == "markdown" else "" for cell in cells]
    first = heads.index("## Exercises")
    return cells[first : next(i for i in range(first + 1, len(cells)) if heads[i].startswith("## "))]


def fake_run(*losses):
    """In the place of helpers.run: no training, and these losses for seeds 0, 1, 2."""

    def run(config, seed, on_step):
        for _ in range(config.steps):
            on_step(helpers.History())
        return {"val": losses[seed], "seconds": 30.0, "parameters": 76_579}

    return run


def answers(cells):
    """{name of a check: the answer that these code cells hand to it}, and what they print."""
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    space = vars(helpers) | vars(wavenet) | {"torch": torch, "F": F, "nn": nn, "__name__": "notebook"}
    with contextlib.redirect_stdout(io.StringIO()) as printed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(helpers, "run", fake_run(1.97, 1.972, 1.968))
        exec(compile(source, "notebook", "exec"), space)
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in CHECKS:
                found[name] = space[node.args[0].id]
    return found, printed.getvalue()


STUBS = {name: answer for path in NOTEBOOKS for name, answer in answers(section(path))[0].items()}
SOLUTIONS, _ = answers(nbformat.read(FOLDER / "solutions.ipynb", as_version=4).cells)


# ---- Wrong answers that a learner may give, and a part of what the check says to them ---------------
def layer(call, size=False, **own):
    """A class of layers whose call is `call(self, x)`; with `size` it is made with num_features."""

    class Answer(Layer):
        def __init__(self, *num_features):
            for name, value in own.items():
                setattr(self, name, value)
            if size:
                self.weight = torch.ones(*num_features, requires_grad=True)
                self.bias = torch.zeros(*num_features, requires_grad=True)

        def __call__(self, x):
            return call(self, x)

    return Answer


def norm_over(dim, unbiased=False, gain=True):
    def call(self, x):
        x = (x - x.mean(dim, keepdim=True)) / (x.var(dim, keepdim=True, unbiased=unbiased) + 1e-5) ** 0.5
        return self.weight * x + self.bias if gain else x

    return call


def triples(x, put=lambda x: torch.cat([x[:, i::3] for i in range(3)], -1)):
    if x.shape[1] % 3:
        raise ValueError("not by threes")
    return put(x).squeeze(1)


def mended(change):
    """The solution's BatchNorm with another line in the place of one."""

    class Answer(SOLUTIONS["check_mended"]):
        def __call__(self, x):
            before = self.running_mean.clone(), self.running_var.clone()
            out = super().__call__(x)
            return change(self, x, out, *before)

    return Answer


def biased(self, x, out, mean, var):
    n = x[..., 0].numel()
    if self.training:
        self.running_var = 0.9 * var + (self.running_var - 0.9 * var) * (n - 1) / n
    return out


def batch_only(self, x, out, mean, var):
    return (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5) ** 0.5


def momentum_swapped(self, x, out, mean, var):
    self.running_mean = 0.1 * mean + 0.9 * x.mean(tuple(range(x.ndim - 1)))
    return out


def ignores_mode(self, x, out, mean, var):
    return norm_over(tuple(range(x.ndim - 1)))(self, x)


def solved(check, **changes):
    """A dict of answers, all right but the lines in `changes` (a line's number: another answer)."""
    lines = dict(SOLUTIONS[check])
    return lines | {list(lines)[int(i[1:])]: answer for i, answer in changes.items()}


def convolution(weight=None, bias=True, dilated=True):
    """The solution with one part replaced: weight(linear, n) gives the filter."""

    def answer(linear, n, dilation):
        conv = SOLUTIONS["check_convolution"](linear, n, dilation)
        other = nn.Conv1d(
            conv.in_channels, conv.out_channels, n, dilation=dilation if dilated else 1, bias=bias
        )
        other.weight.data = weight(linear, n).detach() if weight else conv.weight.data
        if bias:
            other.bias.data = conv.bias.data
        return other

    return answer


def turned(linear, n):
    return linear.weight.view(n, -1, linear.weight.shape[1]).permute(2, 1, 0).flip(2)


def step(
    first=lambda x, q: torch.cat([q[:, 0], x], -1), moved=lambda x, q: torch.cat([q[:, 1:], x[:, None]], 1)
):
    return lambda x, queue, weight: (first(x, queue) @ weight, moved(x, queue))


def losses_of(logits, targets):
    return F.cross_entropy(logits.mT, targets, reduction="none")


def likely(model, name, vocab, end=True, mean=False, sign=1, mode=True):
    with eval_mode(model) if mode else torch.no_grad():
        logs = model(torch.tensor([vocab.encode("." + name)]))[0].log_softmax(-1)
    targets = vocab.encode(name + ".") if end else vocab.encode(name)
    picked = logs[range(len(targets)), targets]
    return sign * (picked.mean() if mean else picked.sum()).item()


def forgetful(norm, x):
    """Right where torch would complain otherwise, wrong where it does not."""
    return norm(x) if x.shape[1] == x.shape[2] else norm(x.mT).mT


def cut_off(self, x):
    return triples(x[:, : x.shape[1] // 3 * 3])


def unsqueezed(self, x):
    return triples(x)[:, None] if x.shape[1] == 3 else triples(x)


def unpaired(before, after):
    return mean_of(before, after), ((spread(before, 1) ** 2 + spread(after, 1) ** 2) / 5) ** 0.5


def spread(values, n):
    return torch.tensor(values, dtype=torch.float64).std(correction=n).item()


def differences(before, after):
    return [b - a for a, b in zip(before, after)]


def mean_of(before, after):
    return sum(differences(before, after)) / len(after)


MIXED = layer(lambda self, x: triples(x, lambda x: x.unfold(1, 3, 3).flatten(2)))
WINDOWS = SOLUTIONS["check_windows"]
WRONG_ANSWERS = [
    ("check_relu", layer(lambda self, x: x.abs()), "changed sign"),
    ("check_relu", layer(lambda self, x: x.clamp_(min=0)), "changed its input"),
    ("check_relu", layer(lambda self, x: x.clamp(min=0).sum(0)), "expected is (4, 3, 5)"),
    ("check_relu", nn.Sigmoid, "away from those expected"),
    ("check_layer_norm", layer(norm_over(0), size=True), "that is BatchNorm"),
    ("check_layer_norm", layer(norm_over(-1, unbiased=True), size=True), "unbiased"),
    ("check_layer_norm", layer(norm_over(-1, gain=False), size=True), "another gain and shift"),
    ("check_layer_norm", layer(norm_over(-1, gain=False)), "a gain and a shift"),
    ("check_windows", WINDOWS[:3], "the end is predicted"),
    ("check_windows", [("", "a"), ("a", "d"), ("ad", "a"), ("ada", ".")], "has 0 characters"),
    ("check_windows", [(context[::-1], following) for context, following in WINDOWS], "on the right"),
    ("check_windows", [*WINDOWS[:3], (".ada", "a")], "not what comes after"),
    ("check_small_products", lambda e, W: sum(e[:, t] @ W[t::4] for t in range(4)), "C after C"),
    ("check_small_products", lambda e, W: e.flatten(1) @ W / 4, "mean over positions"),
    ("check_small_products", lambda e, W: e[:, 3] @ W[9:], "do not replace"),
    ("check_small_products", lambda e, W: e @ W, "raised RuntimeError"),
    ("check_tree_shapes", solved("check_tree_shapes", _7=(5, 1, 80)), "a tuple of 2 numbers"),
    ("check_tree_shapes", solved("check_tree_shapes", _3=(5, 4, 48)), "wrong in channels"),
    ("check_tree_shapes", solved("check_tree_shapes", _1=(5, 16, 24)), "wrong in time"),
    ("check_tree_shapes", solved("check_tree_shapes", _0=(32, 16, 12)), "wrong in batch"),
    ("check_tree_shapes", solved("check_tree_shapes", _0=5), "9 of 10 lines right"),
    ("check_tree_parameters", solved("check_tree_parameters", _0=16 * 12), "not of the context"),
    ("check_tree_parameters", solved("check_tree_parameters", _1=25 * 40), "no bias"),
    ("check_tree_parameters", solved("check_tree_parameters", _1=16 * 12 * 40), "the same weights"),
    ("check_tree_parameters", solved("check_tree_parameters", _2=40 * 40), "side by side"),
    ("check_tree_parameters", solved("check_tree_parameters", _3=160), "not trained"),
    ("check_tree_parameters", solved("check_tree_parameters", _4=40 * 27), "has a bias"),
    ("check_tree_parameters", solved("check_tree_parameters", _5=1), "count again"),
    ("check_triples", layer(lambda self, x: torch.cat(x.split(x.shape[1] // 3, 1), -1)), "not neighbours"),
    ("check_triples", MIXED, "the right neighbours, but"),
    ("check_triples", layer(unsqueezed), "(2, 1, 12)"),
    ("check_triples", layer(lambda self, x: x.view(len(x), -1, 12).squeeze(1)), "raised RuntimeError"),
    ("check_triples", layer(cut_off), "two letters are left over"),
    ("check_channels_last", lambda norm, x: norm(x), "raised RuntimeError"),
    ("check_channels_last", lambda norm, x: norm(x.transpose(1, 2)), "(6, 3, 5)"),
    ("check_channels_last", forgetful, "are mixed"),
    ("check_channels_last", lambda norm, x: norm(x.reshape(x.mT.shape)).reshape(x.shape), "are mixed"),
    ("check_mended", mended(biased), "0.984 times"),
    ("check_mended", mended(batch_only), "the output in training mode"),
    ("check_mended", mended(momentum_swapped), "running_mean after one batch"),
    ("check_mended", mended(ignores_mode), "in eval mode"),
    ("check_paired", lambda a, b: (-mean_of(a, b), 1.0), "after minus before"),
    ("check_paired", unpaired, "pairs are lost"),
    ("check_paired", lambda a, b: (mean_of(a, b), spread(differences(a, b), 1)), "spread of one"),
    ("check_paired", lambda a, b: (mean_of(a, b), spread(differences(a, b), 0) / 5**0.5), "n - 1"),
    ("check_paired", lambda a, b: mean_of(a, b), "raised TypeError"),
    ("check_beat_bar", helpers.ROWS["tree_large"], "up to 1.9893, above 1.985; that may be luck"),
    ("check_beat_bar", RunConfig(leak_free=True), "leak_free"),
    ("check_beat_bar", helpers.RECIPE, "expected is a RunConfig"),
    ("check_receptive_fields", solved("check_receptive_fields", _0=15), "itself counts, too"),
    ("check_receptive_fields", solved("check_receptive_fields", _1=32), "counts once"),
    ("check_receptive_fields", solved("check_receptive_fields", _2=8), "twice the dilation"),
    ("check_receptive_fields", solved("check_receptive_fields", _1=256), "add up"),
    ("check_convolution", convolution(turned), "turned round"),
    ("check_convolution", convolution(lambda linear, n: linear.weight.T.reshape(5, -1, n)), "mixed"),
    ("check_convolution", convolution(bias=False), "the bias: it is missing"),
    ("check_convolution", convolution(dilated=False), "(2, 10, 5)"),
    ("check_convolution", lambda linear, n, dilation: linear, "expected is an nn.Conv1d"),
    ("check_cached_step", step(lambda x, q: torch.cat([x, q[:, 0]], -1)), "come first"),
    ("check_cached_step", step(lambda x, q: torch.cat([q[:, -1], x], -1)), "due is the oldest"),
    ("check_cached_step", step(moved=lambda x, q: q), "not moved on"),
    ("check_cached_step", step(moved=lambda x, q: torch.cat([q, x[:, None]], 1)), "(2, 5, 3)"),
    ("check_cached_step", step(moved=lambda x, q: torch.cat([x[:, None], q[:, :-1]], 1)), "queue of 4"),
    ("check_masked_loss", lambda z, y: losses_of(z, y).mean(), "divided by all places"),
    ("check_masked_loss", lambda z, y: losses_of(z, y.clamp(min=0)).mean(), "an end mark"),
    ("check_masked_loss", lambda z, y: (losses_of(z, y).sum(1) / (y >= 0).sum(1)).mean(), "a short name"),
    ("check_masked_loss", lambda z, y: F.cross_entropy(z.mT, y) / log(2), "expected is 3.59"),
    ("check_log_probability", lambda *a: likely(*a, end=False), "end is missing"),
    ("check_log_probability", lambda *a: likely(*a, mean=True), "wanted is the sum"),
    ("check_log_probability", lambda *a: likely(*a, sign=-1), "the sign"),
    ("check_log_probability", lambda *a: likely(*a, mode=False), "training mode"),
]  # fmt: skip


@pytest.mark.parametrize(
    "check, answer, part", WRONG_ANSWERS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_mistake_is_explained(check, answer, part, monkeypatch):
    monkeypatch.setattr(helpers, "run", fake_run(1.979, 1.985, 1.981))  # the large tree's, by luck below
    verdict = getattr(exercises, check)(answer)
    assert verdict.startswith(WRONG + ": ") and part.lower() in verdict.lower(), verdict


@pytest.mark.parametrize("check", CHECKS)
def test_an_unfilled_stub_is_not_done(check, monkeypatch):
    monkeypatch.setattr(helpers, "run", None)  # nothing may be trained
    assert getattr(exercises, check)(STUBS[check]).startswith(TODO + ": ")


@pytest.mark.parametrize("check", CHECKS)
def test_the_solution_is_right(check, monkeypatch):
    monkeypatch.setattr(helpers, "run", fake_run(1.97, 1.972, 1.968))
    assert getattr(exercises, check)(SOLUTIONS[check]).startswith(RIGHT + ": ")


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("answer", [object(), "x", 3, [], {}, lambda *a: 1 / 0, lambda *a: "x", ValueError])
def test_a_check_raises_nothing(check, answer):
    assert getattr(exercises, check)(answer).startswith((WRONG, TODO))


@pytest.mark.parametrize("check", [check for check, answer in SOLUTIONS.items() if isinstance(answer, dict)])
def test_a_half_filled_dict_is_told_how_far_it_is(check):
    lines = dict(SOLUTIONS[check])
    lines[last := list(lines)[-1]] = None
    verdict = getattr(exercises, check)(lines)
    assert verdict.startswith(TODO) and f"{len(lines) - 1} of {len(lines)}" in verdict and last in verdict


def test_stubs_solutions_and_mistakes_have_the_same_checks():
    for those in (STUBS, SOLUTIONS, {check for check, *_ in WRONG_ANSWERS}):
        assert set(those) == set(CHECKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_two_to_four_exercises_in_rising_difficulty(path):
    text = "\n".join(cell.source for cell in section(path) if cell.cell_type == "markdown")
    titles = re.findall(r"^### .+ \(\*(\w+)\*, \d+ minutes\)$", text, re.MULTILINE)
    assert 2 <= len(titles) <= 4 and len(titles) == text.count("\n### ") == text.count(
        "<details><summary>Hint"
    )
    assert titles == sorted(titles, key=LEVELS.index)
    found, printed = answers(section(path))
    assert len(found) == len(titles) and printed.count(TODO + ": ") == len(titles)


def test_the_bar_is_beaten_by_an_interval_not_by_luck(monkeypatch):
    trained = []

    def verdict(*losses):
        def run(config, seed, on_step):
            trained.append(seed)
            return fake_run(*losses)(config, seed, on_step)

        monkeypatch.setattr(helpers, "run", run)
        return exercises.check_beat_bar(RunConfig(steps=3))

    assert verdict(1.984, 1.9841, 1.9842).startswith(RIGHT + ": val 1.9841 ± 0.0002")
    assert verdict(1.97, 1.984, 1.98).startswith(WRONG) and trained == [0, 1, 2] * 2
    assert "expected is less than 1.985 within 120 s" in verdict(1.985, 1.9, 1.9) and trained[6:] == [0]
    assert "seed 1 after 3 of 3 steps, 30 s: the training has diverged" in verdict(1.97, nan, 1.97)


def test_training_stops_when_the_budget_is_spent(monkeypatch):
    monkeypatch.setattr(exercises, "BUDGET", 0)
    verdict = exercises.check_beat_bar(RunConfig(architecture="flat", block_size=2, hidden=8, steps=5_000))
    assert "seed 0 after 2 of 5,000 steps" in verdict and verdict.startswith(WRONG)

"""The exercises: each stub is told that it is not done, each plausible mistake is
explained, each solution is right. Stubs, solutions and these tests call the same
checks, and a check leaves the state of torch and Python as it was."""

import ast
import contextlib
import inspect
import io
import random
import re
from math import log, nan
from pathlib import Path

import nbformat
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import helpers
from course import exercise_tools, exercises, runs, wavenet
from course.exercise_tools import RIGHT, TODO, WRONG, random_tensor
from course.exercises import LOSS_TO_BEAT
from course.runs import LECTURE_MODELS, RunConfig
from helpers import Layer, eval_mode

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("0*.ipynb"))
CHECKS = exercises.__all__
LEVELS = ("easy", "medium", "hard")


def section(path):
    """The cells of a notebook's exercises, from their heading to the next."""
    cells = nbformat.read(path, as_version=4).cells
    heads = []
    for cell in cells:
        is_text = cell.cell_type == "markdown"
        heads.append(cell.source.split("\n")[0] if is_text else "")
    (first,) = [i for i, head in enumerate(heads) if re.match("## Exercises?$", head)]
    last = first + 1
    while last < len(heads) and not heads[last].startswith("## "):
        last += 1
    return cells[first:last]


def fake_run(*losses, trained=None):
    """A replacement of course.runs.run: no training; these losses for seeds 0, 1, 2."""

    def run(config, seed, *, on_step):
        for _ in range(config.steps):
            on_step(helpers.History())
        if trained is not None:
            trained.append((config, seed))
        return {"val": losses[seed], "seconds": 30.0, "parameters": 76_579}

    return run


def answers(cells):
    """{name of a check: the answer that these code cells give it}, what they print."""
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    space = vars(helpers) | vars(runs) | vars(wavenet) | vars(exercises)
    space |= {"torch": torch, "F": F, "nn": nn, "__name__": "notebook"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(exercises, "run", fake_run(1.955, 1.957, 1.953))
        exec(compile(source, "notebook", "exec"), space)
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in CHECKS:
                found[name] = space[node.args[0].id]
    return found, printed.getvalue()


STUBS = {}
for notebook in NOTEBOOKS:
    STUBS |= answers(section(notebook))[0]
SOLUTIONS, _ = answers(nbformat.read(FOLDER / "solutions.ipynb", as_version=4).cells)


# ---- Wrong answers that a learner may give, and a part of what the check says ------
def layer(call, size=False):
    """A class of layers that call(self, x); with `size` it takes num_features."""

    class Answer(Layer):
        def __init__(self, *num_features):
            if size:
                self.weight = torch.ones(*num_features, requires_grad=True)
                self.bias = torch.zeros(*num_features, requires_grad=True)

        def __call__(self, x):
            return call(self, x)

    return Answer


def norm_over(dim, unbiased=False, gain=True):
    def call(self, x):
        var = x.var(dim, keepdim=True, unbiased=unbiased)
        x = (x - x.mean(dim, keepdim=True)) / (var + 1e-5) ** 0.5
        return self.weight * x + self.bias if gain else x

    return call


def by_threes(x):
    return torch.cat([x[:, i::3] for i in range(3)], -1)


def triples(x, put=by_threes):
    if x.shape[1] % 3:
        raise ValueError("not by threes")
    return put(x).squeeze(1)


def mended(change):
    """The solution's BatchNorm with one line replaced by another."""

    class Answer(SOLUTIONS["check_mended"]):
        def __call__(self, x):
            mean = self.running_mean.clone()
            var = self.running_var.clone()
            out = super().__call__(x)
            return change(self, x, out, mean, var)

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


def solved(check, line, answer):
    """The solution's dict with another answer in the line of this number."""
    lines = dict(SOLUTIONS[check])
    lines[list(lines)[line]] = answer
    return lines


def convolution(weight=None, bias=True, dilated=True):
    """The solution with one part replaced: weight(linear, n) gives the filter."""

    def answer(linear, n, dilation):
        right = SOLUTIONS["check_convolution"](linear, n, dilation)
        spacing = dilation if dilated else 1
        sizes = (right.in_channels, right.out_channels, n)
        other = nn.Conv1d(*sizes, dilation=spacing, bias=bias)
        other.weight.data = right.weight.data
        if weight:
            other.weight.data = weight(linear, n).detach()
        if bias:
            other.bias.data = right.bias.data
        return other

    return answer


def turned(linear, n):
    return linear.weight.view(n, -1, linear.weight.shape[1]).permute(2, 1, 0).flip(2)


def oldest_first(x, queue):
    return torch.cat([queue[:, 0], x], -1)


def moved_on(x, queue):
    return torch.cat([queue[:, 1:], x[:, None]], 1)


def step(inputs=oldest_first, move=moved_on):
    return lambda x, queue, weight: (inputs(x, queue) @ weight, move(x, queue))


def losses_of(logits, targets):
    return F.cross_entropy(logits.mT, targets, reduction="none")


def likely(model, name, vocab, *, end=True, mean=False, sign=1, mode=True):
    with eval_mode(model) if mode else torch.no_grad():
        logs = model(torch.tensor([vocab.encode("." + name)]))[0].log_softmax(-1)
    targets = vocab.encode(name + ".") if end else vocab.encode(name)
    picked = logs[range(len(targets)), targets]
    return sign * (picked.mean() if mean else picked.sum()).item()


def stays_in_eval_mode(model, name, vocab):
    model.eval()
    return likely(model, name, vocab)


def forgetful(norm, x):
    """Right where torch would complain otherwise, wrong where it does not."""
    return norm(x) if x.shape[1] == x.shape[2] else norm(x.mT).mT


def cut_off(self, x):
    return triples(x[:, : x.shape[1] // 3 * 3])


def unsqueezed(self, x):
    return triples(x)[:, None] if x.shape[1] == 3 else triples(x)


def differences(before, after):
    return [b - a for a, b in zip(before, after)]


def mean_of(before, after):
    return sum(differences(before, after)) / len(after)


def spread(values, correction):
    return torch.tensor(values, dtype=torch.float64).std(correction=correction).item()


def paired_as(error):
    """An answer with the right mean, and error(before, after)."""
    return lambda before, after: (mean_of(before, after), error(before, after))


def unpaired(a, b):
    return ((spread(a, 1) ** 2 + spread(b, 1) ** 2) / 5) ** 0.5


MIXED = layer(lambda self, x: triples(x, lambda x: x.unfold(1, 3, 3).flatten(2)))
FAR_APART = layer(lambda self, x: torch.cat(x.split(x.shape[1] // 3, 1), -1))
ONLY_VIEWS = layer(lambda self, x: x.view(len(x), -1, 12).squeeze(1))
WINDOWS = SOLUTIONS["check_windows"]


def reach_of(conv):
    return (conv.kernel_size[0] - 1) * conv.dilation[0]


def copies(x, left, right):
    return F.pad(x, (left, right), mode="replicate")


def linear_state_by(turn):
    """The answer that changes each weight of `fuses` by turn(weight)."""

    def answer(state):
        found = dict(state)
        for name in state:
            if name.startswith("fuses"):
                found[name] = turn(state[name])
        return found

    return answer


WRONG_ANSWERS = {
    "check_relu": [
        (layer(lambda self, x: x.abs()), "changed sign"),
        (layer(lambda self, x: x.clamp_(min=0)), "changed its input"),
        (layer(lambda self, x: x.clamp(min=0).sum(0)), "(3, 5): expected (4, 3, 5)"),
        (nn.Sigmoid, "numbers are wrong by up to"),
    ],
    "check_layer_norm": [
        (layer(norm_over(0), size=True), "that is BatchNorm"),
        (layer(norm_over(-1, unbiased=True), size=True), "unbiased"),
        (layer(norm_over(-1, gain=False), size=True), "another gain and shift"),
        (layer(norm_over(-1, gain=False)), "expected a gain and a shift"),
    ],
    "check_windows": [
        (WINDOWS[:3], "the end is predicted"),
        ([("", "a"), ("a", "d"), ("ad", "a"), ("ada", ".")], "has 0 characters"),
        (
            [(context[::-1], character) for context, character in WINDOWS],
            "on the right",
        ),
        ([*WINDOWS[:3], (".ada", "a")], "is not followed by 'a'"),
    ],
    "check_small_products": [
        (lambda e, W: sum(e[:, t] @ W[t::4] for t in range(4)), "position together"),
        (lambda e, W: e.flatten(1) @ W / 4, "mean over positions"),
        (lambda e, W: e[:, 3] @ W[9:], "do not replace"),
        (lambda e, W: e @ W, "raised RuntimeError"),
    ],
    "check_tree_shapes": [
        (solved("check_tree_shapes", 7, (5, 1, 80)), "expected a tuple of 2 numbers"),
        (solved("check_tree_shapes", 3, (5, 4, 48)), "wrong in channels"),
        (solved("check_tree_shapes", 1, (5, 16, 24)), "wrong in time"),
        (solved("check_tree_shapes", 0, (32, 16, 12)), "wrong in batch"),
        (solved("check_tree_shapes", 9, (32, 28)), "wrong in batch, channels"),
        (solved("check_tree_shapes", 0, 5), "9 of 10 lines are right"),
        ({"embedding": (5, 16, 12)}, "leave the keys as they are"),
    ],
    "check_tree_parameters": [
        (solved("check_tree_parameters", 0, 16 * 12), "not of the context"),
        (solved("check_tree_parameters", 1, 25 * 40), "no bias"),
        (solved("check_tree_parameters", 1, 16 * 12 * 40), "the same weights"),
        (solved("check_tree_parameters", 2, 40 * 40), "neighbours, concat"),
        (solved("check_tree_parameters", 2, 81 * 40), "no bias"),
        (solved("check_tree_parameters", 3, 160), "not trained"),
        (solved("check_tree_parameters", 4, 40 * 27), "has a bias"),
        (solved("check_tree_parameters", 5, 5671), "how many are there"),
        (solved("check_tree_parameters", 5, 1), "count again"),
        (solved("check_tree_parameters", 5, [1]), "[1], expected a number"),
    ],
    "check_triples": [
        (FAR_APART, "not neighbours"),
        (MIXED, "the neighbours are right, but"),
        (layer(unsqueezed), "(2, 1, 12)"),
        (ONLY_VIEWS, "raised RuntimeError"),
        (layer(cut_off), "two characters are left over"),
    ],
    "check_channels_last": [
        (lambda norm, x: norm(x), "raised RuntimeError"),
        (lambda norm, x: norm(x.transpose(1, 2)), "(6, 3, 5)"),
        (forgetful, "the output for (6, 4, 4)"),
        (lambda norm, x: norm(x.reshape(x.mT.shape)).reshape(x.shape), "got mixed"),
    ],
    "check_mended": [
        (mended(biased), "0.984 times"),
        (mended(batch_only), "the output in training mode"),
        (mended(momentum_swapped), "running_mean after one batch"),
        (mended(ignores_mode), "in eval mode"),
    ],
    "check_paired": [
        (lambda a, b: (-mean_of(a, b), 1.0), "after minus before"),
        (paired_as(unpaired), "pairs are lost"),
        (paired_as(lambda a, b: spread(differences(a, b), 1)), "spread of one"),
        (paired_as(lambda a, b: spread(differences(a, b), 0) / 5**0.5), "n - 1"),
        (mean_of, "is a float: expected two values"),
    ],
    "check_beat_bar": [
        (LECTURE_MODELS["tree_large"], "up to 1.9743, above 1.97, so it may be luck"),
        (RunConfig(leak_free=True), "leak_free"),
        (helpers.RECIPE, "is a TrainConfig: expected a RunConfig"),
    ],
    "check_receptive_fields": [
        (solved("check_receptive_fields", 0, 15), "itself counts, too"),
        (solved("check_receptive_fields", 1, 32), "counts only once"),
        (solved("check_receptive_fields", 2, 8), "twice the dilation"),
        (solved("check_receptive_fields", 1, 256), "add up"),
        (solved("check_receptive_fields", 1, {}), "{}, expected a number"),
    ],
    "check_convolution": [
        (convolution(turned), "in reverse"),
        (convolution(lambda linear, n: linear.weight.T.reshape(5, -1, n)), "mixed"),
        (convolution(bias=False), "the bias: it is missing"),
        (convolution(dilated=False), "(2, 10, 5)"),
        (lambda linear, n, dilation: linear, "is a Linear: expected an nn.Conv1d"),
    ],
    "check_cached_step": [
        (step(lambda x, q: torch.cat([x, q[:, 0]], -1)), "older input"),
        (step(lambda x, q: torch.cat([q[:, -1], x], -1)), "with the oldest"),
        (step(move=lambda x, q: q), "not moved on"),
        (step(move=lambda x, q: torch.cat([q, x[:, None]], 1)), "(2, 5, 3)"),
        (step(move=lambda x, q: torch.cat([x[:, None], q[:, :-1]], 1)), "queue of 4"),
        (lambda x, q, w: oldest_first(x, q) @ w, "the output and the new queue"),
    ],
    "check_masked_loss": [
        (lambda z, y: losses_of(z, y).mean(), "divided by all positions"),
        (lambda z, y: losses_of(z, y.clamp(min=0)).mean(), "an end mark"),
        (
            lambda z, y: (losses_of(z, y).sum(1) / (y >= 0).sum(1)).mean(),
            "a short name",
        ),
        (lambda z, y: F.cross_entropy(z.mT, y) / log(2), "expected 3.59"),
    ],
    "check_log_probability": [
        (lambda *given: likely(*given, end=False), "mark is missing"),
        (lambda *given: likely(*given, mean=True), "expected the sum"),
        (lambda *given: likely(*given, sign=-1), "the sign"),
        (lambda *given: likely(*given, mode=False), "the model is in training mode"),
        (stays_in_eval_mode, "longer in the training"),
    ],
    "check_causal_conv": [
        (lambda conv, x: conv(F.pad(x, (reach_of(conv), 0))), "zeros"),
        (lambda conv, x: conv(copies(x, 0, reach_of(conv))), "see the future"),
        (lambda conv, x: conv(copies(x, reach_of(conv), reach_of(conv))), "too long"),
        (lambda conv, x: conv(x), "too short"),
        (lambda conv, x: conv(copies(x, 1, 0)), "dilation=4"),
    ],
    "check_linear_state": [
        (lambda state: state, "fuses.0.weight has shape"),
        (linear_state_by(lambda w: w.flatten(1)), "mixed"),
        (linear_state_by(lambda w: w.flip(2).mT.flatten(1)), "older character"),
        (linear_state_by(lambda w: w.mT.flatten(1).T), "(6, 5)"),
        (lambda state: list(state), "is a list: expected a dict"),
        (lambda state: {"out.bias": state["out.bias"]}, "are missing"),
        (lambda state: state | {"more": 0}, "in no LinearTree"),
    ],
}
CASES = [(check, *case) for check, cases in WRONG_ANSWERS.items() for case in cases]


def name_of(value):
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize("check, answer, part", CASES, ids=name_of)
def test_a_mistake_is_explained(check, answer, part, monkeypatch):
    monkeypatch.setattr(exercises, "run", fake_run(1.964, 1.97, 1.966))
    verdict = getattr(exercises, check)(answer)
    assert verdict.startswith(WRONG + ": ")
    assert part.lower() in verdict.lower(), verdict
    assert "expected is" not in verdict


@pytest.mark.parametrize("check", CHECKS)
def test_an_unfilled_stub_is_not_done(check, monkeypatch):
    monkeypatch.setattr(exercises, "run", None)  # nothing may be trained
    assert getattr(exercises, check)(STUBS[check]).startswith(TODO + ": ")


@pytest.mark.parametrize("check", CHECKS)
def test_the_solution_is_right(check, monkeypatch):
    monkeypatch.setattr(exercises, "run", fake_run(1.955, 1.957, 1.953))
    assert getattr(exercises, check)(SOLUTIONS[check]).startswith(RIGHT + ": ")


ODD_ANSWERS = [object(), "x", 3, [], {}, lambda *a: 1 / 0, lambda *a: "x", ValueError]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("answer", ODD_ANSWERS)
def test_a_check_raises_nothing(check, answer):
    assert getattr(exercises, check)(answer).startswith((WRONG, TODO))


DICTS = [check for check, answer in SOLUTIONS.items() if isinstance(answer, dict)]


@pytest.mark.parametrize("check", DICTS)
def test_a_half_filled_dict_is_told_how_far_it_is(check):
    lines = dict(SOLUTIONS[check])
    last = list(lines)[-1]
    lines[last] = None
    verdict = getattr(exercises, check)(lines)
    assert verdict.startswith(TODO) and last in verdict
    assert f"{len(lines) - 1} of {len(lines)}" in verdict


def test_stubs_solutions_and_mistakes_have_the_same_checks():
    defined = [name for name in vars(exercises) if name.startswith("check_")]
    assert sorted(CHECKS) == sorted(defined)
    for names in (STUBS, SOLUTIONS, WRONG_ANSWERS):
        assert set(names) == set(CHECKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_exercises_of_a_notebook_get_harder(path):
    cells = section(path)
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    title = r"^### .+ \(\*(\w+)\*, \d+ minutes(, open-ended)?\)$"
    titles = re.findall(title, text, re.MULTILINE)
    levels = [level for level, _ in titles]
    checked = [level for level, is_open in titles if not is_open]
    assert 1 <= len(titles) <= 4
    assert len(titles) == text.count("\n### ")
    assert len(checked) == text.count("<details><summary>Hint")
    assert levels == sorted(levels, key=LEVELS.index)
    found, printed = answers(cells)
    assert len(found) == len(checked)
    assert printed.count(TODO + ": ") == len(checked)


# ---- Beat the bar ------------------------------------------------------------------
def test_the_bar_is_beaten_by_an_interval_not_by_luck(monkeypatch):
    config = RunConfig(steps=3)

    def verdict(*losses):
        trained.clear()
        monkeypatch.setattr(exercises, "run", fake_run(*losses, trained=trained))
        return exercises.check_beat_bar(config)

    trained = []
    assert verdict(1.969, 1.9691, 1.9692).startswith(RIGHT + ": val 1.9691 ± 0.0002")
    assert trained == [(config, 0), (config, 1), (config, 2)]
    assert verdict(1.955, 1.969, 1.965).startswith(WRONG)
    assert len(trained) == 3
    assert "expected less than 1.97 within 120 s" in verdict(1.97, 1.9, 1.9)
    assert trained == [(config, 0)]
    diverged = "seed 1 after 3 of 3 steps, 30 s: the training has diverged"
    assert diverged in verdict(1.955, nan, 1.955)
    assert LOSS_TO_BEAT == 1.97 and exercises.SECONDS_EACH == 120


def test_training_stops_when_the_time_is_over(monkeypatch):
    names = ["abcdefgh", "ijklmnop"]  # of 16 characters: the first loss is ln(17)
    vocab = helpers.Vocab(names)
    windows = helpers.build_dataset(names, vocab, 2)
    few = {split: windows for split in ("train", "val", "test")}
    monkeypatch.setattr(runs, "load_data", lambda *sizes: (vocab, few))
    monkeypatch.setattr(exercises, "SECONDS_EACH", 0)
    config = RunConfig(architecture="flat", block_size=2, hidden=8, steps=5_000)
    verdict = exercises.check_beat_bar(config)
    assert verdict.startswith(f"{WRONG}: val ")
    assert "seed 0 after 2 of 5,000 steps" in verdict


def test_an_interrupted_training_gives_no_verdict(monkeypatch, capsys):
    def interrupted(config, seed, *, on_step):
        raise KeyboardInterrupt

    monkeypatch.setattr(exercises, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        exercises.check_beat_bar(RunConfig())


# ---- What a check leaves behind ----------------------------------------------------
def state():
    python = random.getstate()
    numbers = torch.get_rng_state().tolist()
    return python, numbers, torch.get_default_dtype(), torch.is_grad_enabled()


def untidy(error):
    """An answer that changes all of the state and then raises an error."""

    def answer(*given):
        random.seed(1)
        torch.manual_seed(1)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        raise error("enough")

    return answer


@pytest.mark.parametrize("check", CHECKS)
def test_a_right_answer_leaves_the_state_as_it_was(check, monkeypatch):
    monkeypatch.setattr(exercises, "run", fake_run(1.955, 1.957, 1.953))
    before = state()
    getattr(exercises, check)(SOLUTIONS[check])
    assert state() == before


CODE = [check for check, answer in SOLUTIONS.items() if callable(answer)]


@pytest.mark.parametrize("check", CODE)
def test_an_error_in_the_answer_leaves_the_state_as_it_was(check):
    before = state()
    verdict = getattr(exercises, check)(untidy(RuntimeError))
    assert "your code raised RuntimeError: enough" in verdict
    assert state() == before


@pytest.mark.parametrize("check", CODE)
def test_an_interrupt_passes_and_leaves_the_state_as_it_was(check):
    before = state()
    with pytest.raises(KeyboardInterrupt):
        getattr(exercises, check)(untidy(KeyboardInterrupt))
    assert state() == before


def test_an_error_in_the_training_leaves_the_state_as_it_was(monkeypatch):
    before = state()
    monkeypatch.setattr(exercises, "run", lambda *a, on_step: untidy(OSError)())
    assert "raised OSError" in exercises.check_beat_bar(RunConfig())
    assert state() == before


def test_random_tensors_depend_on_their_seed_alone():
    before = state()
    first = random_tensor(4)
    assert torch.equal(first, random_tensor(4, seed=0))
    assert not torch.equal(first, random_tensor(4, seed=1))
    assert state() == before


def test_the_tools_keep_their_promises():
    assert inspect.signature(
        exercises.check_relu
    ).parameters  # wraps: the docstring too
    assert exercises.check_relu.__doc__.startswith("ReLU")
    close = exercise_tools.is_close
    assert close(torch.ones(2), torch.ones(2) + 1e-6)
    assert not close(torch.ones(2), torch.ones(2) + 1e-3)
    assert not close(torch.ones(2), torch.ones(1))

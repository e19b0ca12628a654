"""Judging stored runs: confidence intervals, paired comparisons, and a baseline that
counts characters instead of training. Notebook 05 teaches all of this.

Results are a table with one row for each run, as `course.studies.run_study` returns it.
Its columns are variant, seed, and a loss (nats per character) for each metric.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from course.checks import (
    check_callable,
    check_kind,
    check_names,
    check_text,
    check_vocab,
    checked,
    number,
    shown,
    whole,
)
from course.drawings import LOOKS
from helpers import END, NAMES, Vocab

RESULTS = NAMES.parent / "results"
COLUMNS = ["variant", "seed", "val"]  # each stored run has them
MOST_PAIRS = 16  # all sign flips are tried for up to 16 pairs, a random sample for more
MOST_FLIPPED = 20  # pairs: the sign flips of more would not fit into memory

share = number(above=0, below=1)
order = whole(0, 100)


def load_results(name: str) -> pd.DataFrame:
    """The stored results of a study: a row for each line of data/results/NAME.jsonl.

    ValueError if there are none, or if a line is damaged or lacks one of `COLUMNS`.
    """
    path = RESULTS / f"{name}.jsonl"
    if not path.is_file():
        names = sorted(file.stem for file in RESULTS.glob("*.jsonl"))
        raise ValueError(f"no stored results {name!r}: choose from {names}")
    cure = "restore the repository's file, or make it with `make experiments`"
    lines = path.read_bytes().splitlines()
    for i, line in enumerate(lines, start=1):
        try:
            run = json.loads(line)
            missing = [column for column in COLUMNS if column not in run]
        except (ValueError, TypeError):
            raise ValueError(f"line {i} of {path} is damaged: {cure}") from None
        if missing:
            raise ValueError(f"line {i} of {path} has no {missing}: {cure}")
    if not lines:
        raise ValueError(f"{path} is empty: {cure}")
    return pd.read_json(path, lines=True, precise_float=True)


# ---- Checks ------------------------------------------------------------------------
def numbers(name: str, values: Iterable[float]) -> pd.Series:
    """One or more numbers, none of them nan or infinite; ValueError otherwise."""
    allowed = "give a list or a column of numbers"
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} is {shown(values)}: {allowed}")
    if not isinstance(values, pd.Series):
        values = np.asarray(list(values))
        if values.ndim != 1:
            raise ValueError(f"{name} has {values.ndim} dimensions: {allowed}")
        values = pd.Series(values)
    if values.empty or values.dtype.kind not in "iuf":
        given = "empty" if values.empty else f"of type {values.dtype}"
        raise ValueError(f"{name} is {given}: {allowed}, one or more")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} contains nan or inf: leave these runs out")
    return values


def few_numbers(name: str, values: Iterable[float]) -> pd.Series:
    """Numbers, few enough to try every choice of signs; ValueError otherwise."""
    values = numbers(name, values)
    if len(values) > MOST_FLIPPED:
        cure = f"give {MOST_FLIPPED} at most, or call paired_p"
        raise ValueError(f"{name} has {len(values)} numbers: {cure}")
    return values


def varied_numbers(name: str, values: Iterable[float]) -> pd.Series:
    """Two or more numbers whose mean is not 0, which no number of seeds can detect."""
    values = numbers(name, values)
    if len(values) < 2 or values.mean() == 0:
        given = f"length {len(values)} and mean {values.mean():g}"
        raise ValueError(f"{name} has {given}: give two or more, with a mean not 0")
    return values


def check_results(results: pd.DataFrame, metric: str) -> None:
    """TypeError or ValueError unless each run has one row, with its loss."""
    cure = "give a table from run_study or load_results"
    check_kind("results", results, kind=pd.DataFrame, cure=cure)
    missing = [name for name in ("variant", "seed") if name not in results]
    if missing or results.empty:
        given = f"has no column {missing}" if missing else "has no row"
        raise ValueError(f"results {given}: {cure}")
    losses = list(results.select_dtypes("number").columns.drop("seed", errors="ignore"))
    if metric not in losses:
        raise ValueError(f"unknown metric {shown(metric)}: choose one of {losses}")
    twice = results[results.duplicated(["variant", "seed"])]
    if len(twice):
        run = dict(twice.iloc[0][["variant", "seed"]])
        raise ValueError(f"results has the run {run} twice: call drop_duplicates first")
    unknown = results[~np.isfinite(results[metric])]
    if len(unknown):
        run = dict(unknown.iloc[0][["variant", "seed"]])
        cure = "leave such runs out and judge the others"
        raise ValueError(f"{metric} of the run {run} is nan or inf: {cure}")


def known_characters(arguments: dict) -> None:
    """ValueError if a name has a character that the vocabulary lacks."""
    for name in arguments["names"]:
        arguments["vocab"].encode(name)


# ---- Intervals and paired comparisons ------------------------------------------------
@checked(values=numbers, level=share)
def interval(values: pd.Series, level: float = 0.95) -> tuple[float, float]:
    """The mean and the half-width of its confidence interval, from Student's t.

    The half-width is nan for a single value.
    """
    t = stats.t.ppf((1 + level) / 2, df=len(values) - 1)
    return values.mean(), t * values.sem()


@checked(differences=few_numbers)
def sign_flip(differences: Iterable[float]) -> float:
    """The exact two-sided p-value of a sign-flip test on paired differences.

    If a change had no effect, each difference might as well have the opposite sign. So
    p is the share of all 2**n choices of signs whose mean is at least as far from 0 as
    the mean of the given differences.
    """
    differences = np.array(differences)  # (n,)
    signs = np.array(list(product([1, -1], repeat=len(differences))))  # (2**n, n)
    means = (signs * differences).mean(axis=1)  # (2**n,)
    rounding = 1e-12  # equal means may differ by this much
    as_far = np.abs(means) >= abs(differences.mean()) - rounding
    return float(as_far.mean())


@checked(differences=numbers)
def paired_p(differences: pd.Series) -> float:
    """The p of sign_flip, for many pairs estimated from 2**16 random sign choices."""
    if len(differences) <= MOST_PAIRS:
        return sign_flip(differences)
    test = stats.permutation_test(
        [differences],
        np.mean,
        permutation_type="samples",
        n_resamples=2**MOST_PAIRS,
        rng=0,
    )
    return test.pvalue


@checked(alpha=share)
def compare(
    results: pd.DataFrame, baseline: str, *, metric: str = "val", alpha: float = 0.05
) -> pd.DataFrame:
    """Each variant's mean of `metric`, and its difference from `baseline` by seed.

    Columns: mean and difference, each with the half-width of its 95% interval
    ("± ..."); p of the sign-flip test; wins, the number of seeds with a lower loss; the
    verdict, "lower" or "higher" if p is below `alpha`, or else "not distinguishable at
    n seeds". ValueError for an unknown baseline, a variant that shares no seed with it,
    or a run whose loss is nan.
    """
    check_results(results, metric)
    table = results.pivot(index="seed", columns="variant", values=metric)
    if baseline not in list(table):
        allowed = list(table)
        raise ValueError(f"unknown baseline {baseline!r}: choose one of {allowed}")
    rows = {}
    for variant in results["variant"].unique():
        mean, half = interval(table[variant].dropna())
        rows[variant] = {"mean": mean, "± mean": half}
        if variant != baseline:
            differences = (table[variant] - table[baseline]).dropna()
            if differences.empty:
                cure = "run both with the same seeds"
                raise ValueError(f"{variant!r} and {baseline!r} share no seed: {cure}")
            rows[variant] |= judge_pairs(differences, alpha)
    return pd.DataFrame.from_dict(rows, orient="index")


@checked(differences=numbers, alpha=share)
def judge_pairs(differences: pd.Series, alpha: float = 0.05) -> dict:
    """What `compare` says about a variant, from its losses minus the baseline's."""
    n = len(differences)
    lower = (differences < 0).sum()
    mean, half = interval(differences)
    p = paired_p(differences)
    if p >= alpha:
        verdict = f"not distinguishable at {n} seeds"
    elif mean < 0:
        verdict = "lower"
    else:
        verdict = "higher"
    return {
        "difference": mean,
        "± difference": half,
        "p": p,
        "wins": f"{lower}/{n}",
        "verdict": verdict,
    }


@checked(differences=varied_numbers, power=share, alpha=share)
def seeds_needed(
    differences: pd.Series, *, power: float = 0.8, alpha: float = 0.05
) -> int:
    """How many pairs are needed to detect a difference of this mean with this power.

    Uses the normal approximation for a paired comparison.
    """
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    pairs = (z * differences.std() / differences.mean()) ** 2
    return max(6, math.ceil(pairs))  # with five, p is at least 2 / 2**5 = 0.0625


def plot_runs(
    results: pd.DataFrame, *, metric: str = "val", ax: plt.Axes | None = None
) -> plt.Axes:
    """One row per variant: a dot for each seed, and the 95% interval of the mean."""
    check_results(results, metric)
    if ax is not None:
        check_kind("ax", ax, kind=plt.Axes, cure="give the axes to draw on")
    ax = ax or plt.subplots(figsize=(8, 3.5))[1]
    for variant, values in results.groupby("variant", sort=False)[metric]:
        look = LOOKS.get(variant, {"color": "black"})
        row = [variant] * len(values)
        ax.plot(values, row, "o", alpha=0.5, color=look["color"])
        mean, half = interval(values)
        ax.errorbar(mean, variant, xerr=half, fmt="k|", ms=14, lw=1.5, zorder=3)
    ax.invert_yaxis()  # the first variant at the top
    ax.set_xlabel(f"{metric} loss, nats per character")
    return ax


# ---- A baseline without training: n-gram counts --------------------------------------
@checked(known_characters, names=check_names, vocab=check_vocab, order=order)
def count_ngrams(names: Iterable[str], vocab: Vocab, *, order: int = 5) -> dict:
    """{context: counts (V,) of the next character}, for contexts of 0 to `order`.

    For the longest contexts, the count is how often the character followed. For shorter
    ones, it is how many different characters came before the context and the character.
    """
    ngrams = Counter()  # a context and the character after it
    for name in names:
        text = END * order + name + END
        for t in range(order, len(text)):
            ngrams[text[t - order : t + 1]] += 1
    tables = {}
    for _ in range(order + 1):
        for ngram, count in ngrams.items():
            context = ngram[:-1]
            if context not in tables:
                tables[context] = np.zeros(len(vocab))
            tables[context][vocab.stoi[ngram[-1]]] = count
        ngrams = Counter(ngram[1:] for ngram in ngrams)
    return tables


@checked(order=order, discount=number(above=0, most=1))
def kneser_ney(
    names: Iterable[str], vocab: Vocab, *, order: int = 5, discount: float = 0.85
) -> Callable[[str], np.ndarray]:
    """p(context): the probabilities (V,) of the next character, from counts alone.

    Interpolated Kneser-Ney (Chen and Goodman 1999). `context` is the last `order`
    characters, or fewer.
    """
    tables = count_ngrams(names, vocab, order=order)

    @cache
    @checked(context=check_text)
    def p(context: str) -> np.ndarray:
        if context:
            lower = p(context[1:])  # back off to one character less
        else:
            lower = np.full(len(vocab), 1 / len(vocab))
        if context not in tables:
            return lower
        counts = tables[context]
        kept = np.maximum(counts - discount, 0)
        given_up = (counts - kept).sum()  # shared out by the shorter context
        return (kept + given_up * lower) / counts.sum()

    return p


@checked(known_characters, p=check_callable, names=check_names, vocab=check_vocab,
         order=order)  # fmt: skip
def counted_loss(
    p: Callable[[str], np.ndarray],
    names: Iterable[str],
    vocab: Vocab,
    *,
    order: int = 5,
) -> float:
    """The mean cross-entropy of `names` under `p`, in nats per character."""
    losses = []
    for name in names:
        text = END * order + name + END
        for t in range(order, len(text)):
            context = text[t - order : t]
            probability = p(context)[vocab.stoi[text[t]]]
            losses.append(-np.log(probability))
    return float(np.mean(losses))

"""Judging stored runs: confidence intervals, paired comparisons, and a baseline that
counts characters instead of training. Notebook 05 teaches what stands here.

Results are a table with one row for each run, as `course.studies.run_study` gives it:
the columns variant and seed, and a loss (nats per character) for each metric.
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
COLUMNS = ["variant", "seed", "val"]  # that each stored run has
MOST_PAIRS = 16  # up to 2**16 flips of signs are all tried, of more a random sample
MOST_FLIPPED = 20  # pairs: the signs of more do not fit into memory

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
    cure = "put the repository's file back, or make it with `make experiments`"
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
        raise ValueError(f"{name} holds nan or inf: leave these runs out")
    return values


def few_numbers(name: str, values: Iterable[float]) -> pd.Series:
    """So few that each choice of signs can be tried."""
    values = numbers(name, values)
    if len(values) > MOST_FLIPPED:
        cure = f"give {MOST_FLIPPED} at most, or call paired_p"
        raise ValueError(f"{name} are {len(values)}: {cure}")
    return values


def varied_numbers(name: str, values: Iterable[float]) -> pd.Series:
    """Two or more whose mean is not 0: no number of seeds would find such a one."""
    values = numbers(name, values)
    if len(values) < 2 or values.mean() == 0:
        given = f"{len(values)} with the mean {values.mean():g}"
        raise ValueError(f"{name} are {given}: give two or more, their mean not 0")
    return values


def check_results(results: pd.DataFrame, metric: str) -> None:
    """A row for each run with its loss; TypeError or ValueError otherwise."""
    cure = "give a table as run_study or load_results does"
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
        raise ValueError(f"results hold the run {run} twice: drop_duplicates helps")
    unknown = results[~np.isfinite(results[metric])]
    if len(unknown):
        run = dict(unknown.iloc[0][["variant", "seed"]])
        cure = "leave such runs out to judge the others"
        raise ValueError(f"{metric} of the run {run} is nan or inf: {cure}")


def known_characters(arguments: dict) -> None:
    """ValueError if a name has a character that the vocabulary lacks."""
    for name in arguments["names"]:
        arguments["vocab"].encode(name)


# ---- Intervals and paired comparisons ------------------------------------------------
@checked(values=numbers, level=share)
def interval(values: pd.Series, level: float = 0.95) -> tuple[float, float]:
    """The mean and half the width of its confidence interval, by Student's t.

    Half the width is nan for a single value.
    """
    t = stats.t.ppf((1 + level) / 2, df=len(values) - 1)
    return values.mean(), t * values.sem()


@checked(differences=few_numbers)
def sign_flip(differences: Iterable[float]) -> float:
    """The exact two-sided p-value of paired differences.

    If a change did nothing, each difference could as well have the other sign. So p is
    the share of all 2**n choices of signs whose mean is at least as far from 0.
    """
    differences = np.array(differences)  # (n,)
    signs = np.array(list(product([1, -1], repeat=len(differences))))  # (2**n, n)
    means = (signs * differences).mean(axis=1)  # (2**n,)
    rounding = 1e-12  # equal means may differ by this much
    as_far = np.abs(means) >= abs(differences.mean()) - rounding
    return float(as_far.mean())


@checked(differences=numbers)
def paired_p(differences: pd.Series) -> float:
    """sign_flip, or for many pairs its estimate from 2**16 random choices of signs."""
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
    """Each variant's mean of `metric` and, seed by seed, its difference to `baseline`.

    Columns: mean and difference, each with half its 95 % interval ("± ..."); p of the
    sign-flip test; wins, the seeds with a lower loss; the verdict: "lower" or "higher"
    where p is below `alpha`, "not distinguishable at n seeds" otherwise.
    ValueError for an unknown baseline, a variant that has no seed of it, and for a run
    whose loss is nan.
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
    """What `compare` says of a variant, from its losses minus the baseline's."""
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
    """How many pairs it takes to find a difference of this mean with this power.

    The normal approximation for a paired comparison.
    """
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    pairs = (z * differences.std() / differences.mean()) ** 2
    return max(6, math.ceil(pairs))  # five cannot get below p = 2 / 2**5 = 0.0625


@checked(alpha=share)
def judge_claims(
    results: pd.DataFrame,
    claims: dict[str, tuple[str, str]],
    *,
    metric: str = "val",
    alpha: float = 0.05,
) -> pd.DataFrame:
    """A row for each claim {name: (old variant, new variant)}, judged by their seeds.

    The columns are those of `compare`, without the means, and "seeds needed".
    ValueError for a variant that is not in the results, and as in `compare`.
    """
    check_kind("claims", claims, kind=dict, cure="give {name: (old, new)}")
    check_results(results, metric)
    variants = list(results["variant"].unique())
    judged = {}
    for claim, (old, new) in claims.items():
        for variant in (old, new):
            if variant not in variants:
                raise ValueError(f"unknown {variant!r} in {claim!r}: choose {variants}")
        both = results[results["variant"].isin([old, new])]
        row = compare(both, baseline=old, metric=metric, alpha=alpha).loc[new]
        losses = both.pivot(index="seed", columns="variant", values=metric)
        row["seeds needed"] = seeds_needed((losses[new] - losses[old]).dropna())
        judged[claim] = row
    return pd.DataFrame(judged).T.drop(columns=["mean", "± mean"])


def plot_runs(
    results: pd.DataFrame, *, metric: str = "val", ax: plt.Axes | None = None
) -> plt.Axes:
    """A row for each variant: a dot for each seed, and the mean's 95 % interval."""
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
    """{context: counts (V,) of each character after it}, contexts of `order` down to 0.

    The longest contexts count how often a character followed. The shorter ones count
    after how many different characters the whole n-gram stood.
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

    Interpolated Kneser-Ney (Chen and Goodman 1999). `context` are the last `order`
    characters; a shorter one is answered from fewer.
    """
    tables = count_ngrams(names, vocab, order=order)

    @cache
    @checked(context=check_text)
    def p(context: str) -> np.ndarray:
        if context:
            lower = p(context[1:])  # from one character less
        else:
            lower = np.full(len(vocab), 1 / len(vocab))
        if context not in tables:
            return lower
        counts = tables[context]
        kept = np.maximum(counts - discount, 0)
        given_up = (counts - kept).sum()  # goes to characters by the shorter context
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

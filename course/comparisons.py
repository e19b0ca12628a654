"""Judging stored runs: confidence intervals, paired comparisons, and a baseline that
counts characters instead of training. Notebook 05 teaches what stands here.

Results are a table with one row for each run, as `course.studies.run_study` gives it:
the columns variant and seed, and a loss (nats per character) for each metric.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from course.drawings import LOOKS
from helpers import END, NAMES, Vocab

RESULTS = NAMES.parent / "results"
MOST_PAIRS = 16  # up to 2**16 flips of signs are all tried, of more a random sample


def load_results(name: str) -> pd.DataFrame:
    """The stored results of a study: a row for each line of data/results/NAME.jsonl."""
    path = RESULTS / f"{name}.jsonl"
    if not path.is_file():
        names = sorted(file.stem for file in RESULTS.glob("*.jsonl"))
        raise ValueError(f"no stored results {name!r}: choose from {names}")
    return pd.read_json(path, lines=True, precise_float=True)


# ---- Intervals and paired comparisons ------------------------------------------------
def interval(values: pd.Series, level: float = 0.95) -> tuple[float, float]:
    """The mean and half the width of its confidence interval, by Student's t.

    Half the width is nan for a single value.
    """
    t = stats.t.ppf((1 + level) / 2, df=len(values) - 1)
    return values.mean(), t * values.sem()


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


def compare(
    results: pd.DataFrame, baseline: str, *, metric: str = "val", alpha: float = 0.05
) -> pd.DataFrame:
    """Each variant's mean of `metric` and, seed by seed, its difference to `baseline`.

    Columns: mean and difference, each with half its 95 % interval ("± ..."); p of the
    sign-flip test; wins, the seeds with a lower loss; the verdict: "lower" or "higher"
    where p is below `alpha`, "not distinguishable at n seeds" otherwise.
    ValueError for an unknown baseline, and for a variant that has no seed of it.
    """
    table = results.pivot(index="seed", columns="variant", values=metric)
    if baseline not in table:
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


def seeds_needed(
    differences: pd.Series, *, power: float = 0.8, alpha: float = 0.05
) -> int:
    """How many pairs it takes to find a difference of this mean with this power.

    The normal approximation for a paired comparison.
    """
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    pairs = (z * differences.std() / differences.mean()) ** 2
    return max(6, math.ceil(pairs))  # five cannot get below p = 2 / 2**5 = 0.0625


def plot_runs(
    results: pd.DataFrame, *, metric: str = "val", ax: plt.Axes | None = None
) -> plt.Axes:
    """A row for each variant: a dot for each seed, and the mean's 95 % interval."""
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


def kneser_ney(
    names: Iterable[str], vocab: Vocab, *, order: int = 5, discount: float = 0.85
) -> Callable[[str], np.ndarray]:
    """p(context): the probabilities (V,) of the next character, from counts alone.

    Interpolated Kneser-Ney (Chen and Goodman 1999). `context` are the last `order`
    characters; a shorter one is answered from fewer.
    """
    tables = count_ngrams(names, vocab, order=order)

    @cache
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

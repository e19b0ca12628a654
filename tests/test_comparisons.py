"""course.comparisons: what a comparison may say, and a baseline checked by hand."""

import math
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from course import comparisons
from course.comparisons import (
    compare,
    count_ngrams,
    counted_loss,
    interval,
    kneser_ney,
    load_results,
    paired_p,
    plot_runs,
    seeds_needed,
    sign_flip,
)
from helpers import Vocab

matplotlib.use("Agg")  # no window, whatever the machine

ROOT = Path(__file__).parents[1]
BASE = [2.03, 2.01, 2.02, 2.04, 2.00, 2.05, 2.02, 2.03]


def table(**losses):
    """Results as of run_study: {variant: the loss of each seed}."""
    rows = []
    for variant, values in losses.items():
        for seed, value in enumerate(values):
            rows.append({"variant": variant, "seed": seed, "val": value})
    return pd.DataFrame(rows)


def shifted(by):
    return [value + by for value in BASE]


def test_comparisons_load_no_library_of_studies():
    unwanted = {"optuna", "sqlalchemy", "joblib", "psutil", "course.studies"}
    code = f"import sys, course.comparisons\nprint({unwanted} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.stdout == "set()\n", run.stderr


# ---- Intervals and paired comparisons ------------------------------------------------
def test_interval_is_students():
    mean, half = interval(pd.Series(BASE))
    low, high = stats.t.interval(0.95, 7, loc=np.mean(BASE), scale=stats.sem(BASE))
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert np.isnan(interval(pd.Series([2.0]))[1])


def test_the_level_of_an_interval_changes_its_width_alone():
    mean, half = interval(pd.Series(BASE), 0.99)
    low, high = stats.t.interval(0.99, 7, loc=np.mean(BASE), scale=stats.sem(BASE))
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert mean == interval(pd.Series(BASE))[0] and half > interval(pd.Series(BASE))[1]


def scipys_p(differences):
    test = stats.permutation_test(
        [differences], np.mean, permutation_type="samples", n_resamples=np.inf
    )
    return test.pvalue


@pytest.mark.parametrize("seed", range(5))
def test_sign_flip_is_scipys_exact_permutation_test(seed):
    differences = np.random.default_rng(seed).normal(0.5, 1, size=6 + seed)
    assert sign_flip(differences) == pytest.approx(scipys_p(differences))
    rounded = differences.round(1)  # many flips have equal means
    assert sign_flip(rounded) == pytest.approx(scipys_p(rounded))


def test_sign_flip_by_hand():
    # The sums of the eight flips are 6, 4, 2, 0, 0, -2, -4, -6: two are as far as 6.
    assert sign_flip([1, 2, 3]) == 2 / 8
    assert sign_flip([1, 2, -3]) == 1  # the mean is 0
    assert sign_flip([-1, -1]) == 2 / 4


def test_many_pairs_are_sampled_near_the_exact_p_and_repeat():
    differences = pd.Series(np.random.default_rng(0).normal(0.3, 1, size=17))
    state = np.random.get_state()[1].copy()
    sampled = paired_p(differences)
    assert sampled == pytest.approx(sign_flip(differences), abs=0.01)
    assert sampled == paired_p(differences) != sign_flip(differences)
    assert (np.random.get_state()[1] == state).all()
    sixteen = differences[:16]
    assert paired_p(sixteen) == sign_flip(sixteen)


@pytest.mark.parametrize(
    "shift, verdict, wins", [(-0.01, "lower", "8/8"), (0.01, "higher", "0/8")]
)
def test_eight_equal_differences_are_told_apart(shift, verdict, wins):
    row = compare(table(base=BASE, other=shifted(shift)), "base").loc["other"]
    assert row["difference"] == pytest.approx(shift)
    assert row["p"] == pytest.approx(2 / 2**8)
    assert (row["verdict"], row["wins"]) == (verdict, wins)


def test_five_seeds_are_never_enough():
    row = compare(table(base=BASE[:5], other=shifted(-1)[:5]), "base").loc["other"]
    assert row["p"] == pytest.approx(2 / 2**5)
    assert row["verdict"] == "not distinguishable at 5 seeds"


def test_seeds_are_compared_in_pairs():
    two_lost = [*shifted(-0.01)[:6], 3, 3]
    row = compare(table(base=BASE, other=two_lost), "base").loc["other"]
    assert row["wins"] == "6/8" and row["verdict"] == "not distinguishable at 8 seeds"
    backwards = table(other=shifted(-0.01)).iloc[::-1]
    mixed = pd.concat([backwards, table(base=BASE[:7])])
    row = compare(mixed, "base").loc["other"]  # seed 7 has no partner
    assert row["wins"] == "7/7" and row["p"] == pytest.approx(2 / 2**7)


def test_alpha_changes_the_verdict_alone():
    results = table(base=BASE, other=shifted(-0.01))
    usual = compare(results, "base").loc["other"]
    strict = compare(results, "base", alpha=0.005).loc["other"]  # p is 0.0078
    assert usual["verdict"] == "lower"
    assert strict["verdict"] == "not distinguishable at 8 seeds"
    pd.testing.assert_series_equal(usual.drop("verdict"), strict.drop("verdict"))


def test_p_equal_to_alpha_is_not_below_it():
    results = table(base=BASE, other=shifted(-0.01))
    row = compare(results, "base", alpha=2 / 2**8).loc["other"]
    assert row["verdict"] == "not distinguishable at 8 seeds"


def test_the_metric_and_the_baseline_decide_what_is_compared():
    results = table(base=BASE, other=shifted(-0.01))
    results["unseen"] = -results["val"]
    by_val = compare(results, "base").loc["other"]
    by_unseen = compare(results, "base", metric="unseen").loc["other"]
    turned = compare(results, "other").loc["base"]
    assert by_val["verdict"] == "lower"
    assert by_unseen["verdict"] == turned["verdict"] == "higher"
    assert by_unseen["mean"] == pytest.approx(-by_val["mean"])
    assert turned["difference"] == pytest.approx(-by_val["difference"])


def test_the_baseline_is_not_compared_with_itself():
    row = compare(table(base=BASE, other=BASE), "base").loc["base"]
    assert row["mean"] == pytest.approx(np.mean(BASE))
    assert row[["difference", "p", "wins", "verdict"]].isna().all()


def test_an_unknown_baseline_is_refused():
    message = r"unknown baseline 'tree': choose one of \['base', 'other'\]"
    with pytest.raises(ValueError, match=message):
        compare(table(base=BASE, other=BASE), "tree")


def test_variants_without_a_common_seed_are_refused():
    later = table(other=BASE).assign(seed=range(8, 16))
    with pytest.raises(ValueError, match="'other' and 'base' share no seed: run both"):
        compare(pd.concat([table(base=BASE), later]), "base")


def test_seeds_needed_grow_with_power_and_strictness():
    differences = pd.Series([0.0, 2.0])  # mean 1, standard deviation sqrt(2)
    # (1.9600 + 0.8416)**2 = 7.849; twice that is 15.7
    assert seeds_needed(differences) == seeds_needed(-differences) == 16
    # (1.9600 + 1.2816)**2 = 10.507; (2.5758 + 0.8416)**2 = 11.679
    assert seeds_needed(differences, power=0.9) == 22
    assert seeds_needed(differences, alpha=0.01) == 24
    assert seeds_needed(pd.Series([0.99, 1.01])) == 6


def drawn(ax):
    """What plot_runs drew: each variant's dots, and the ends of each interval."""
    dots = [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "o"]
    ends = []
    for box in ax.containers:
        (bar,) = box.lines[2]
        ends.append(tuple(bar.get_segments()[0][:, 0]))
    return dots, ends


def test_runs_figure_has_a_dot_for_each_seed_and_the_interval():
    ax = plot_runs(table(tree=BASE, flat8=BASE[:3]))
    dots, ends = drawn(ax)
    assert dots == [BASE, BASE[:3]]
    mean, half = interval(pd.Series(BASE))
    assert ends[0] == pytest.approx((mean - half, mean + half))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["tree", "flat8"]
    plt.close(ax.figure)


def test_runs_are_drawn_where_and_by_what_is_asked():
    results = table(tree=BASE).assign(unseen=shifted(1))
    figure, axes = plt.subplots(1, 2)
    before = plt.get_fignums()
    assert plot_runs(results, metric="unseen", ax=axes[1]) is axes[1]
    assert drawn(axes[1])[0] == [shifted(1)] and not axes[0].lines
    assert axes[1].get_xlabel() == "unseen loss, nats per character"
    assert plt.get_fignums() == before
    plt.close(figure)


# ---- n-gram counts ------------------------------------------------------------------
NAMES = ["ab", "ab", "b"]
VOCAB = Vocab(NAMES)  # . a b


def test_kneser_ney_by_hand():
    # Pairs: ".a" 2, "ab" 2, "b." 3, ".b" 1. So after different characters stand
    # "." 1 time, a 1 time, b 2 times, and 4 in all.
    tables = count_ngrams(NAMES, VOCAB, order=1)
    assert {context: list(counts) for context, counts in tables.items()} == {
        ".": [0, 2, 1],
        "a": [0, 0, 2],
        "b": [3, 0, 0],
        "": [1, 1, 2],
    }
    p = kneser_ney(NAMES, VOCAB, order=1, discount=0.5)
    # 3 discounts of 0.5 are given up; each of 3 characters gets a third of them.
    assert p("") == pytest.approx(np.array([0.5 + 0.5, 0.5 + 0.5, 1.5 + 0.5]) / 4)
    lower = np.array([0.25, 0.25, 0.5])
    assert p(".") == pytest.approx((np.array([0, 1.5, 0.5]) + 1.0 * lower) / 3)
    assert p("a") == pytest.approx((np.array([0, 0, 1.5]) + 0.5 * lower) / 2)
    assert counted_loss(p, ["a"], VOCAB, order=1) == pytest.approx(
        -(math.log(1.75 / 3) + math.log(0.125 / 2)) / 2
    )


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("discount", [0.1, 0.85])
def test_counted_probabilities_add_up_to_one(order, discount):
    p = kneser_ney(NAMES, VOCAB, order=order, discount=discount)
    for context in ("." * order, ("." * order + "ab")[-order:], "b" * order, "a", ""):
        assert p(context).sum() == pytest.approx(1, abs=1e-12) and p(context).min() > 0


def test_an_unseen_context_is_answered_from_a_shorter_one():
    p = kneser_ney(NAMES, VOCAB, order=2)
    assert "ba" not in count_ngrams(NAMES, VOCAB, order=2)
    assert (p("ba") == p("a")).all()


def test_order_and_discount_change_what_is_counted():
    def loss(order, discount):
        p = kneser_ney(NAMES, VOCAB, order=order, discount=discount)
        return counted_loss(p, NAMES, VOCAB, order=order)

    # On the counted names themselves more context is better, and a discount worse.
    assert loss(2, 0.5) < loss(1, 0.5) < loss(1, 0.85)
    defaults = kneser_ney(NAMES, VOCAB)
    assert counted_loss(defaults, NAMES, VOCAB) == loss(5, 0.85)


def test_each_character_of_all_names_counts_alike():
    p = kneser_ney(NAMES, VOCAB)
    ab = counted_loss(p, ["ab"], VOCAB)  # 3 characters with the end
    b = counted_loss(p, ["b"], VOCAB)  # 2
    assert counted_loss(p, ["ab", "b"], VOCAB) == pytest.approx((3 * ab + 2 * b) / 5)


# ---- The stored results --------------------------------------------------------------
def test_stored_results_are_read_to_the_last_digit(tmp_path, monkeypatch):
    monkeypatch.setattr(comparisons, "RESULTS", tmp_path)
    value = 2.0035667001171853  # which pandas reads a little off, if not told
    (tmp_path / "one.jsonl").write_text(f'{{"variant": "a", "val": {value}}}\n')
    assert load_results("one")["val"].tolist() == [value]


def test_results_that_are_not_stored_are_refused():
    with pytest.raises(
        ValueError, match="no stored results 'rose': choose from .*'rows'"
    ):
        load_results("rose")


CLAIMS = {
    "context 3 → 8": ("flat3", "flat8"),
    "flat → tree": ("flat8", "tree"),
    "BatchNorm fixed": ("tree", "tree_fixed"),
    "scaled up": ("tree_fixed", "tree_large"),
    "flat → tree, both with 76 K parameters": ("flat_large", "tree_large"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_page_of_results_says_of_each_claim_what_the_stored_seeds_say(claim):
    old, new = CLAIMS[claim]
    rows = load_results("rows")
    row = compare(rows[rows["variant"].isin([old, new])], old).loc[new]
    difference = f"{row['difference']:+.4f} ± {row['± difference']:.4f}"
    difference = difference.replace("-", "−")
    wins, n = row["wins"].split("/")
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^\| {re.escape(claim)} \|.*$", page, re.MULTILINE)
    assert f"| {difference} | {wins} of {n} " in line
    assert ("real" in line) == (row["verdict"] == "lower")

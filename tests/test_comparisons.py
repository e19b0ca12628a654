"""course.comparisons: what a comparison may say, and a baseline checked by hand."""

import json
import math
import re
import subprocess
import sys
from functools import partial
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
    """Results as run_study returns them, from {variant: the loss of each seed}."""
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
        encoding="utf-8",
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


# ---- Bad input -----------------------------------------------------------------------
TWICE = pd.concat([table(base=BASE), table(base=BASE)])
DIVERGED = table(base=BASE, other=[math.nan, *BASE[1:]])
PROBABILITIES = kneser_ney(NAMES, VOCAB)


@pytest.mark.parametrize(
    "function, given, message",
    [
        (interval, ([],), "values is empty: give a list or a column of numbers"),
        (interval, ("2.0",), "values is '2.0': give a list or a column of numbers"),
        (interval, (2.0,), "values is 2.0: give a list"),
        (interval, (None,), "values is None: give a list"),
        (interval, (["a", "b"],), "values is of type .*: give a list"),
        (interval, ([True, False],), "values is of type bool: give a list"),
        (interval, ([[1.0, 2.0]],), "values has 2 dimensions: give a list"),
        (interval, ([1.0, math.nan],), "values contains nan or inf: leave these ru"),
        (interval, ([1.0, math.inf],), "values contains nan or inf"),
        (interval, (BASE, 95), "level is 95: give a number above 0 and below 1"),
        (interval, (BASE, 1), "level is 1: give a number above 0 and below 1"),
        (interval, (BASE, "0.95"), "level is '0.95': give a number"),
        (interval, (BASE, math.nan), "level is nan: give a number"),
        (interval, (BASE, True), "level is True: give a number"),
        (sign_flip, ([],), "differences is empty"),
        (sign_flip, ([math.nan, 1.0],), "differences contains nan or inf"),
        (sign_flip, ([0.1] * 21,), "differences has 21 numbers: give 20 at most, or"),
        (paired_p, ("abc",), "differences is 'abc': give a list"),
        (paired_p, ([],), "differences is empty"),
        (
            seeds_needed,
            ([0.1],),
            "differences has length 1 and mean 0.1: give two or more",
        ),
        (seeds_needed, ([-0.1, 0.1],), "differences has length 2 and mean 0: .* not 0"),
        (
            partial(seeds_needed, [0.1, 0.2]),
            {"power": 1},
            "power is 1: give a number a",
        ),
        (
            partial(seeds_needed, [0.1, 0.2]),
            {"alpha": 0},
            "alpha is 0: give a number a",
        ),
        (compare, (None, "base"), "results is None: give a table from run_stud"),
        (compare, ({"a": 1}, "base"), "results is {'a': 1}: give a table"),
        (compare, (pd.DataFrame(), "base"), "results has no column .'variant', 'seed'"),
        (compare, (table(base=[]), "base"), "results has no column"),
        (compare, (table(base=BASE)[:0], "base"), "results has no row: give a table"),
        (compare, (table(base=BASE), "bush"), "unknown baseline 'bush': choose one of"),
        (compare, (table(base=BASE), ["base"]), r"unknown baseline \['base'\]: choose"),
        (compare, (table(base=BASE), None), "unknown baseline None: choose one of"),
        (compare, (TWICE, "base"), "has the run {.*base.*} twice: call drop_dupl"),
        (
            compare,
            (DIVERGED, "base"),
            "val of the run {.*other.*} is nan or inf: leave",
        ),
        (
            partial(compare, table(base=BASE), "base"),
            {"metric": "vall"},
            r"unknown metric 'vall': choose one of \['val'\]",
        ),
        (
            partial(compare, table(base=BASE), "base"),
            {"metric": "variant"},
            "unknown metric 'variant': choose one of",
        ),
        (
            partial(compare, table(base=BASE), "base"),
            {"alpha": 5},
            "alpha is 5: give a number above 0 and below 1",
        ),
        (plot_runs, (None,), "results is None: give a table"),
        (plot_runs, (DIVERGED,), "val of the run {.*other.*} is nan or inf"),
        (
            partial(plot_runs, table(base=BASE)),
            {"metric": 3},
            "unknown metric 3: choose",
        ),
        (partial(plot_runs, table(base=BASE)), {"ax": 3}, "ax is 3: give the axes"),
        (count_ngrams, ("ava", VOCAB), "names is the text 'ava': give a list of names"),
        (count_ngrams, ([], VOCAB), "names is empty: give one name or more"),
        (count_ngrams, ([3], VOCAB), r"names\[0\] is 3"),
        (count_ngrams, (["zoë"], VOCAB), "'z'"),
        (count_ngrams, (NAMES, "ab"), "vocab is 'ab': give a Vocab"),
        (
            partial(count_ngrams, NAMES, VOCAB),
            {"order": -1},
            "order is -1: give a whole",
        ),
        (
            partial(kneser_ney, NAMES, VOCAB),
            {"order": 2.5},
            "order is 2.5: give a whole",
        ),
        (
            partial(kneser_ney, NAMES, VOCAB),
            {"order": "3"},
            "order is '3': give a whole",
        ),
        (
            partial(kneser_ney, NAMES, VOCAB),
            {"order": 10**9},
            "order is 1000000000: give",
        ),
        (
            partial(kneser_ney, NAMES, VOCAB),
            {"discount": 0},
            "discount is 0: give a numb",
        ),
        (
            partial(kneser_ney, NAMES, VOCAB),
            {"discount": 2},
            "discount is 2: give a numb",
        ),
        (
            partial(kneser_ney, NAMES, VOCAB),
            {"discount": math.nan},
            "discount is nan: give a number",
        ),
        (kneser_ney, (["zoë"], VOCAB), "'z'"),
        (PROBABILITIES, (3,), "context is 3: give a text"),
        (PROBABILITIES, (None,), "context is None: give a text"),
        (counted_loss, (3, NAMES, VOCAB), "p is 3: give a function"),
        (counted_loss, (PROBABILITIES, [], VOCAB), "names is empty"),
        (counted_loss, (PROBABILITIES, ["zoë"], VOCAB), "'z'"),
        (counted_loss, (PROBABILITIES, "ava", VOCAB), "names is the text 'ava'"),
    ],
)
def test_what_cannot_be_judged_is_refused(function, given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        function(**given) if isinstance(given, dict) else function(*given)


def test_lists_and_arrays_are_judged_like_columns():
    column = pd.Series(BASE)
    for values in (BASE, np.array(BASE), tuple(BASE)):
        assert interval(values) == interval(column)
        assert paired_p(values) == paired_p(column)
    assert seeds_needed([0.1, 0.2]) == seeds_needed(pd.Series([0.1, 0.2]))


# ---- The stored results --------------------------------------------------------------
def test_stored_results_are_read_to_the_last_digit(tmp_path, monkeypatch):
    monkeypatch.setattr(comparisons, "RESULTS", tmp_path)
    value = 2.0035667001171853  # which pandas reads a little off, if not told
    line = json.dumps({"variant": "a", "seed": 0, "val": value})
    (tmp_path / "one.jsonl").write_text(f"{line}\n", encoding="utf-8")
    assert load_results("one")["val"].tolist() == [value]


WHOLE = b'{"variant": "a", "seed": 0, "val": 2.0}\n'


@pytest.mark.parametrize(
    "content, message",
    [
        (WHOLE + WHOLE[:20], "line 2 of .*one.jsonl is damaged: restore the repo"),
        (WHOLE + b"<<<<<<< HEAD\n", "line 2 of .*one.jsonl is damaged"),
        (WHOLE + b"3\n", "line 2 of .*one.jsonl is damaged"),
        (WHOLE + b"\xff\xfe\n", "line 2 of .*one.jsonl is damaged"),
        (b"", "one.jsonl is empty: restore the repository's file"),
        (WHOLE.replace(b"val", b"vol"), r"line 1 of .*one.jsonl has no \['val'\]"),
        (WHOLE + b'{"val": 2.0}\n', r"line 2 of .* has no \['variant', 'seed'\]"),
    ],
)
def test_damaged_results_are_named(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(comparisons, "RESULTS", tmp_path)
    (tmp_path / "one.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_results("one")


@pytest.mark.parametrize("name", [3, None, "", "../rows", Path("rows"), "rows.jsonl"])
def test_no_name_of_results_is_one(name):
    if name == Path("rows"):
        assert len(load_results(name)) == len(load_results("rows"))
        return
    with pytest.raises(ValueError, match="no stored results .*: choose from"):
        load_results(name)


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


def judged(study, claim):
    """What the stored seeds of a study say about a claim; its difference in words."""
    old, new = CLAIMS[claim]
    results = load_results(study)
    row = compare(results[results["variant"].isin([old, new])], old).loc[new]
    difference = f"{row['difference']:+.4f} ± {row['± difference']:.4f}"
    return row, difference.replace("-", "−")


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_page_of_results_says_of_each_claim_what_the_stored_seeds_say(claim):
    row, difference = judged("rows", claim)
    _, by_muon = judged("recipe_muon", claim)
    wins, n = row["wins"].split("/")
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    lines = re.findall(rf"^\| {re.escape(claim)} \|.*$", page, re.MULTILINE)
    verdict, recipes = lines  # of the table of seeds, and of that of recipes
    assert f"| {difference} | {wins} of {n} " in verdict
    assert ("real" in verdict) == (row["verdict"] == "lower")
    assert recipes.endswith(f"| {difference} | {by_muon} |")

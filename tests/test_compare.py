"""What a sweep may conclude: simulated records, no training."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import sem, ttest_ind, ttest_rel

from helpers.errors import ParameterError
from helpers.runs.conclude import _compare_pairs, compare
from helpers.runs.objective import Objective, choose_objective, objective_of


def records(means, seeds=8, sigma=1.0, luck=0.0, seed=0):
    """Simulate runs of settings: their own luck, and luck that a seed brings to all of them."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, luck, seeds)
    return pd.DataFrame(
        {"rate": rate, "seed": number, "val_accuracy": mean + common[number] + rng.normal(0, sigma)}
        for rate, mean in enumerate(means)
        for number in range(seeds)
    )


def compared(table, smaller=False):
    return compare(table, ["rate"], Objective("val_accuracy", smaller))


@pytest.mark.parametrize("count", [2, 5, 12])
@pytest.mark.parametrize("seeds", [3, 8])
def test_noise_is_not_distinguishable(count, seeds):
    found = [compared(records([0.0] * count, seeds, seed=s)) for s in range(100)]
    assert sum((c.results["verdict"] != "worse").all() for c in found) >= 95
    assert sum("Not distinguishable" in c.conclusion for c in found) >= 95


def test_two_standard_deviations_are_found_with_eight_seeds():
    found = [compared(records([0.0, 2.0], seed=s)) for s in range(100)]
    assert sum(list(c.results["verdict"]) == ["best", "worse"] for c in found) >= 80
    assert all(c.settings[0]["rate"] == 1 for c in found if c.rivals == 0)


def test_shared_seeds_make_a_small_difference_visible():
    table = records([0.0, 2.0], luck=10.0, seed=1)
    assert compared(table).rivals == 0
    apart = table.assign(seed=range(len(table)))  # no seed is shared
    assert compared(apart).rivals == 1


def test_the_smallest_difference_is_what_is_found_in_four_of_five():
    smallest = np.mean(
        [compared(records([0.0, 0.0], seed=s)).smallest_difference for s in range(200)]
    )
    found = [compared(records([0.0, smallest], seed=500 + s)).rivals == 0 for s in range(400)]
    assert 0.7 < np.mean(found) < 0.9


def test_intervals_hold_the_true_mean():
    rows = [compared(records([0.0], seeds=5, seed=s)).results.iloc[0] for s in range(400)]
    assert 0.92 < np.mean([row["low"] < 0 < row["high"] for row in rows]) < 0.98


def test_one_run_tells_nothing():
    one = compared(records([0.0, 5.0], seeds=1))
    assert "--repeat" in one.conclusion
    assert list(one.results["verdict"]) == ["best", "not distinguishable"]
    assert "nothing to compare" in compared(records([0.0])).conclusion


def table_of(**values):
    rows = [(rate, seed, v) for rate, of in values.items() for seed, v in enumerate(of)]
    return pd.DataFrame(rows, columns=["rate", "seed", "val_accuracy"])


def test_equal_steps_are_no_proof():
    """An accuracy on few images often differs by the same step in each seed."""
    few = [0.90, 0.91, 0.93, 0.92]
    assert compared(table_of(a=few, b=[v + 0.01 for v in few])).rivals == 1
    more = few * 2
    assert compared(table_of(a=more, b=[v + 0.01 for v in more])).rivals == 0


def test_results_that_never_vary_are_told_apart_and_it_is_said():
    found = compared(table_of(a=[0.5] * 5, b=[0.9] * 5))
    assert found.rivals == 0
    assert "No setting's val_accuracy varies with the seed" in found.conclusion
    assert compared(table_of(a=[0.5] * 5, b=[0.5] * 5)).rivals == 1
    assert compared(table_of(a=[0.5] * 2, b=[0.9] * 2)).rivals == 1  # it may be luck
    varied = table_of(a=[0.9] * 3, b=[0.8] * 3, c=[0.7, 0.9, 0.8])
    assert compared(varied).rivals == 2  # as it may be where other settings vary


def test_a_difference_that_never_varies_is_a_difference():
    values = np.random.default_rng(0).normal(0, 20, 5)
    found = compared(table_of(a=values, b=values + 100))
    assert found.rivals == 0
    assert "varies with the seed" not in found.conclusion


def test_a_setting_without_any_number_is_named():
    found = compared(table_of(a=[0.5, 0.6], b=[0.7, 0.8], c=[np.nan] * 2))
    assert len(found.settings) == 2
    assert "No run has a number as val_accuracy with rate=c." in found.conclusion


def test_a_loss_is_best_when_small():
    table = records([3.0, 0.0, 6.0], sigma=0.1)
    assert [s["rate"] for s in compared(table, smaller=True).settings] == [1, 0, 2]


@pytest.mark.parametrize(
    ("metric", "smaller"),
    [("val_accuracy", False), ("test_loss", True), ("mae", True), ("rmse", True), ("f1", False),
     ("r2", False), ("perplexity", True), ("val_auc", False)],
)  # fmt: skip
def test_the_direction_of_a_metric_is_known_or_said(metric, smaller):
    assert objective_of(metric).smaller == smaller
    assert not objective_of(metric, "maximize").smaller
    with pytest.raises(ParameterError, match="--maximize speed or --minimize speed"):
        objective_of("speed")
    with pytest.raises(ParameterError, match="expected 'maximize' or 'minimize'"):
        objective_of("loss", "down")
    assert objective_of("speed", "minimize").smaller


@pytest.mark.parametrize(
    ("names", "chosen"),
    [(["loss", "n", "test_accuracy"], "loss"), (["n", "val_loss"], "val_loss"), (["n"], None),
     (["test_accuracy", "val_loss", "val_accuracy", "accuracy"], "val_accuracy"), ([], None),
     (["test_loss", "test_accuracy"], "test_accuracy"), (["loss", "accuracy"], "accuracy"),
     (["val_mae", "val_score"], "val_mae")],
)  # fmt: skip
def test_settings_are_chosen_by_the_validation_set(names, chosen):
    found = choose_objective(names)
    assert (found and found.metric) == chosen


def test_the_metric_that_is_asked_for():
    assert choose_objective(["n", "loss"], "n", "minimize") == Objective("n", smaller=True)
    with pytest.raises(ParameterError, match=r"'loss' is not .* recorded are none"):
        choose_objective([], "loss")
    with pytest.raises(ParameterError, match=r"'los' is not.*Did you mean 'loss'"):
        choose_objective(["n", "loss"], "los")
    assert Objective("val_mae", smaller=True).test == "test_mae"


def test_pairs_are_compared_as_scipy_compares_them():
    table = records([0.0, 1.0, 0.5], seeds=6, luck=2.0, seed=3)
    table.loc[(table["rate"] == 2) & (table["seed"] > 2), "val_accuracy"] = np.nan  # three seeds
    rows = [runs.set_index("seed")["val_accuracy"] for _, runs in table.groupby("rate")]
    values = np.stack([row.to_numpy() for row in rows])
    p, error, freedom = _compare_pairs(values)
    assert p[0] == pytest.approx(ttest_rel(values[0], values[1]).pvalue)
    assert p[1] == pytest.approx(ttest_rel(values[0, :3], values[2, :3]).pvalue)
    assert error == pytest.approx(sem(values[0] - values[1]))
    assert freedom == 5
    apart = np.full((2, 9), np.nan)  # no seed in common
    apart[0, :5], apart[1, 5:] = values[0, :5], values[1, :4]
    p, _, _ = _compare_pairs(apart)
    assert p[0] == pytest.approx(ttest_ind(apart[0, :5], apart[1, 5:], equal_var=False).pvalue)


def test_names_of_parameters_are_free():
    """A parameter may be called as a column of the results."""
    table = records([0.0, 3.0]).rename(columns={"rate": "n"}).assign(p="x")
    found = compare(table, ["n", "p"], Objective("val_accuracy", smaller=False))
    assert found.settings[0] == {"n": 1, "p": "x"}
    assert list(found.results["n"]) == [8, 8]


def test_shared_seeds_that_contradict_the_means_show_nothing():
    """A setting that is worse on every shared seed has the better mean by seeds of its own."""
    rows = [(0, seed, value) for seed, value in enumerate([0.5, 0.51, 0.49, 0.5] + [0.9] * 4)]
    rows += [(1, seed, value) for seed, value in enumerate([0.6, 0.612, 0.588, 0.601])]
    found = compared(pd.DataFrame(rows, columns=["rate", "seed", "val_accuracy"]))
    assert list(found.results["verdict"]) == ["best", "not distinguishable"]


def test_no_spread_promises_no_smallest_difference():
    assert compared(records([0.0, 1.0], sigma=0.0)).smallest_difference is None


def test_a_thousand_settings_are_compared_at_once():
    """Half a million pairs."""
    found = compared(records([0.0] * 1000, seeds=3))
    assert len(found.settings) == 1000
    assert (found.results["verdict"] != "worse").all()


def test_one_run_is_never_the_best_beside_settings_with_several():
    table = records([0.0, 0.0])
    lucky = pd.DataFrame([{"rate": 9, "seed": 0, "val_accuracy": 99.0}])
    result = compared(pd.concat([table, lucky]))
    assert result.settings[-1] == {"rate": 9}
    assert "1 with one run only cannot be judged" in result.conclusion
    assert "Not distinguishable" in result.conclusion


def test_equal_differences_do_not_depend_on_rounding():
    rng = np.random.default_rng(0)
    for base in (0.1, 0.3, 0.7):
        luck = np.round(rng.normal(0, 0.02, 5), 3)
        table = pd.DataFrame(
            {"rate": rate, "seed": seed, "val_accuracy": base + rate * 0.1 + luck[seed]}
            for rate in range(3)
            for seed in range(5)
        )
        result = compared(table)
        assert list(result.results["verdict"]) == ["best", "worse", "worse"]
        assert result.smallest_difference is None


def test_a_choice_by_the_test_set_is_told():
    table = records([0.0, 3.0]).rename(columns={"val_accuracy": "test_accuracy"})
    result = compare(table, ["rate"], Objective("test_accuracy", smaller=False))
    assert "chosen by the test set" in result.conclusion


@pytest.mark.parametrize(
    "metric",
    ["val_neg_mean_squared_error", "neg_log_loss", "val_brier_score", "accuracy_std", "loss_drop"],
)
def test_what_turns_a_direction_round_is_asked_for(metric):
    with pytest.raises(ParameterError, match="say whether it is to be large or small"):
        objective_of(metric)

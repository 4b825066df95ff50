"""Measures agree with scikit-learn and scipy; intervals cover."""

import math

import numpy as np
import pytest

from mlx_cc import metrics
from mlx_cc.evaluate.compare import log_loss

RNG = np.random.default_rng(7)


def test_measures_equal_those_of_scikit_learn_and_scipy():
    from scipy.stats import spearmanr
    from sklearn.metrics import cohen_kappa_score, f1_score, mean_absolute_error

    for _ in range(10):
        gold, said = RNG.integers(1, 6, 60), RNG.integers(1, 6, 60)
        assert metrics.spearman(gold, said) == pytest.approx(spearmanr(gold, said).statistic)
        assert metrics.quadratic_kappa(gold, said) == pytest.approx(cohen_kappa_score(gold, said, weights="quadratic"))
        assert metrics.macro_f1(list(gold), list(said)) == pytest.approx(f1_score(gold, said, average="macro"))
        assert metrics.mean_absolute_error(gold, said) == pytest.approx(mean_absolute_error(gold, said))


def test_a_constant_answer_has_no_rank_correlation():
    assert math.isnan(metrics.spearman([1, 2, 3], [5, 5, 5]))


def test_wilson_equals_scipy():
    from scipy.stats import binomtest

    found = binomtest(7, 20).proportion_ci(method="wilson")
    assert metrics.wilson(7, 20) == pytest.approx((found.low, found.high), abs=1e-6)


def test_a_95_percent_interval_covers_the_truth_about_as_often():
    covered = 0
    for trial in range(200):
        gold = np.zeros(40)
        said = RNG.normal(0, 1, 40)
        found = metrics.interval(metrics.bias, gold, said, resamples=200, seed=trial)
        covered += found.low <= 0 <= found.high
    assert 0.87 < covered / 200 < 0.99


def test_a_paired_difference_sees_what_two_intervals_do_not():
    gold = RNG.normal(0, 10, 50)
    theirs = gold + RNG.normal(0, 5, 50)
    ours = gold + (theirs - gold) * 0.8
    found = metrics.difference(metrics.mean_absolute_error, list(gold), list(ours), list(theirs))
    assert found.high < 0
    assert found.n == 50


def test_log_loss_of_certainty_is_zero_and_of_a_coin_ln_2():
    assert log_loss([], [1.0, 1.0]) == 0
    assert log_loss([], [0.5, 0.5]) == pytest.approx(math.log(2))


def test_three_classes_are_cut_by_rank_in_the_train_split_s_shares():
    seen = [2.0] * 2 + [3.0] * 5 + [4.0] * 3
    gold = [2.0, 2.5, 3.0, 3.0, 3.0, 3.0, 3.0, 3.5, 4.0, 5.0]
    measure = metrics.macro_f1_of_bands(3, seen)
    assert measure(gold, [2.91, 2.92, 3.01, 3.02, 3.03, 3.04, 3.05, 3.07, 3.08, 3.09]) == 1.0
    assert measure(gold, [3.09, 2.92, 3.01, 3.02, 3.03, 3.04, 3.05, 3.07, 3.08, 2.91]) == pytest.approx(
        (1 / 2 + 1 + 2 / 3) / 3
    )


def test_one_same_answer_is_all_middle_and_shares_may_leave_no_middle():
    gold = [2.0, 2.0, 4.0, 4.0]
    assert metrics.macro_f1_of_bands(3, [1.0, 3.0, 5.0])([2.0, 3.0, 4.0], [3.3, 3.3, 3.3]) == pytest.approx(0.5 / 3)
    assert metrics.macro_f1_of_bands(3, [1.0, 5.0])(gold, [2.1, 2.2, 2.3, 2.4]) == 1.0
    assert metrics.macro_f1_of_bands(3, [5.0, 5.0])(gold, [2.1, 2.2, 2.3, 2.4]) == pytest.approx(2 / 3 / 2)

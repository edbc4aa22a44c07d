"""The bootstrap intervals that benchmarks/studies/coverage.py compares with those of fauds."""

from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from fauds.metrics import occurrence
from fauds.metrics.resampling import draw, estimates
from tests.metrics.scripts import script
from tests.metrics.test_intervals import ESTIMANDS, counts_of, some_frames


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return script("studies/coverage.py")


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_percentile_intervals_equal_numpy_quantiles_of_the_resamples(study, estimand):
    counts, folds = counts_of(some_frames(1))
    result = study.percentile(counts, folds, occurrence.f1, estimand, 300, seed=5, level=0.9)
    values = estimates(draw(folds, 300, 5), counts, folds, occurrence.f1, estimand)
    assert result.low == pytest.approx(np.quantile(values, 0.05, axis=0))
    assert result.high == pytest.approx(np.quantile(values, 0.95, axis=0))


def test_bca_intervals_equal_those_of_scipy_for_one_fold(study):
    counts, _ = counts_of(some_frames(3, subjects=20, aus=1))
    parts = [part[:, 0].astype(float) for part in (counts.tp, counts.fp, counts.fn)]

    def plain_statistic(tp, fp, fn, axis=-1):
        tp, fp, fn = (part.sum(axis=axis) for part in (tp, fp, fn))
        return 2 * tp / (2 * tp + fp + fn)

    expected = stats.bootstrap(parts, plain_statistic, paired=True, method="BCa",
                             n_resamples=20000, rng=np.random.default_rng(0))  # fmt: skip
    result = study.bca(counts, np.ones(20, int), occurrence.f1, "pooled", resamples=20000)
    assert result.low[0] == pytest.approx(expected.confidence_interval.low, abs=0.004)
    assert result.high[0] == pytest.approx(expected.confidence_interval.high, abs=0.004)


@pytest.mark.parametrize("method", ["jackknife_t", "percentile", "bca"])
def test_every_method_is_repeatable_with_its_seed(study, method):
    counts, folds = counts_of(some_frames(4))
    arguments = (counts, folds, occurrence.accuracy, "mean_of_folds", 200)
    once, again = (study.METHODS[method](*arguments, seed=7) for _ in range(2))
    assert (once.low < once.value).all() and (once.value < once.high).all()
    for first, second in zip(once, again, strict=True):
        assert first.tolist() == second.tolist()


@pytest.mark.slow
def test_a_shift_of_the_sensitivity_gives_the_difference_that_it_is_asked_for(study):
    """On DISFA a shift that is twice as large changes mean F1 by less than twice as much."""
    subjects = study.population("disfa")
    changes = np.array([-4.0, 0.0, 2.0, 8.0])
    shifts = study.Response(subjects, seed=0).shifts(changes)
    rng, once = np.random.default_rng(9), np.ones((1, 27))
    means = []
    for shift in shifts.tolist():
        (counts,) = subjects.draw(rng, 600, shifts=np.full((1, 600), shift))
        figures = [
            estimates(once, study._one(counts, i), subjects.folds, occurrence.f1, "mean_of_folds")
            for i in range(600)
        ]
        means.append(100 * np.mean([figure[0, -1] for figure in figures]))
    assert np.array(means) - means[1] == pytest.approx(changes, abs=0.6)
    assert shifts[3] > 4.2 * shifts[2]


def test_verdicts_say_what_the_interval_excludes(study):
    verdicts = study.Verdicts(
        difference=np.array([3.0, -1.0, 1.0]),
        half=np.array([2.0, 2.0, 2.0]),
        of_methods=0.0,
        of_runs=np.array([0.5, 0.5, 0.5]),
    )
    assert verdicts.told_apart.tolist() == verdicts.a_is_better.tolist() == [True, False, False]
    assert verdicts.missed(verdicts.of_methods) == verdicts.missed(verdicts.of_runs)
    assert verdicts.missed(0.0) == pytest.approx(100 / 3)
    assert verdicts.missed(5.5) == 100


def test_runs_of_one_method_are_more_alike_than_those_of_two(study):
    subjects = study.population("bp4d")
    rng = np.random.default_rng(1)
    runs = subjects.draw(rng, 200, methods=(0, 0, 1))
    first, second, other = (occurrence.recall(run) for run in runs)
    known = ~np.isnan(first)
    same, different = (np.corrcoef(first[known], x[known])[0, 1] for x in (second, other))
    assert same > different + 0.1 > 0.3

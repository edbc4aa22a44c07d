"""Intervals, compared with resampling the frames of subjects one statistic at a time."""

import numpy as np
import pytest
from scipy import special, stats
from sklearn.metrics import f1_score

from fauds.errors import UsageError
from fauds.metrics import multiclass, occurrence
from fauds.metrics.intervals import intervals
from fauds.metrics.occurrence import Counts
from fauds.metrics.resampling import (
    WithOverall,
    alike,
    degrees_of_freedom,
    draw,
    estimates,
    leave_one_out,
)

ESTIMANDS = ("mean_of_folds", "pooled")


def some_frames(seed, subjects=9, frames=40, aus=3):
    """Return labels, decisions and subject of random frames, and the fold of every subject."""
    rng = np.random.default_rng(seed)
    subject_of_frame = np.repeat(np.arange(subjects), frames)
    rate = rng.beta(1, 2, (subjects, aus))[subject_of_frame]
    labels = np.where(rng.random(rate.shape) < 0.1, -1, rng.random(rate.shape) < rate)
    right = rng.random(rate.shape) < rng.beta(6, 2, (subjects, aus))[subject_of_frame]
    decisions = np.where(right, labels == 1, labels != 1)
    return labels.astype(np.int8), decisions, subject_of_frame, np.arange(subjects) % 3


def counts_of(frames):
    labels, decisions, subject_of_frame, folds = frames
    return occurrence.count_by(labels, decisions, subject_of_frame, len(folds)), folds


def plain_f1(labels, decisions):
    """Return F1 per AU by scikit-learn, and last the mean of the defined values."""
    scores = []
    for au in range(labels.shape[1]):
        coded = labels[:, au] >= 0
        true = labels[coded, au]
        scores.append(f1_score(true, decisions[coded, au]) if true.sum() else np.nan)
    return np.array([*scores, np.nanmean(scores)])


def plain(frames, drawn, estimand):
    """Return F1 of the frames of the drawn subjects, which may occur several times."""
    labels, decisions, subject_of_frame, folds = frames
    chosen = [
        np.concatenate([np.flatnonzero(subject_of_frame == s) for s in drawn if folds[s] in part])
        for part in ((0,), (1,), (2,), (0, 1, 2))
    ]
    scores = [plain_f1(labels[rows], decisions[rows]) for rows in chosen]
    return scores[3] if estimand == "pooled" else np.nanmean(scores[:3], axis=0)


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_a_resample_equals_the_statistic_of_the_sampled_subjects_frames(estimand):
    frames = some_frames(0)
    counts, folds = counts_of(frames)
    weights = draw(folds, 5, seed=3)
    results = estimates(weights, counts, folds, occurrence.f1, estimand)
    for row, times in zip(results, weights.astype(int), strict=True):
        drawn = np.repeat(np.arange(len(folds)), times)
        assert row == pytest.approx(plain(frames, drawn, estimand))


def test_every_fold_keeps_its_number_of_subjects():
    folds = np.array([1, 1, 1, 2, 2, 3, 3, 3, 3])
    weights = draw(folds, 200, seed=0)
    for fold, size in ((1, 3), (2, 2), (3, 4)):
        assert (weights[:, folds == fold].sum(axis=1) == size).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(9), abs=0.25)


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_the_jackknife_equals_leaving_out_each_subjects_frames(estimand):
    frames = some_frames(2)
    counts, folds = counts_of(frames)
    results = intervals(counts, folds, occurrence.f1, estimand=estimand)
    everyone = np.arange(len(folds))
    variance = np.zeros(4)
    for fold in range(3):
        # The other two of the fold stand for all three: twice the frames of all others, and three
        # times theirs.
        left_out = np.array([plain(frames, _without(s, folds), estimand)
                         for s in everyone[folds == fold]])  # fmt: skip
        variance += 2 / 3 * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)
    value = plain(frames, everyone, estimand)
    assert results.value == pytest.approx(value)
    logit, half = np.log(value / (1 - value)), stats.t.ppf(0.975, 2) * np.sqrt(variance)
    for end, sign in ((results.low, -1), (results.high, 1)):
        expected = 1 / (1 + np.exp(-(logit + sign * half / (value * (1 - value)))))
        assert end == pytest.approx(expected)


def _without(subject, folds):
    """Return the subjects that stand for all if one of a fold of three is left out."""
    times = np.where(folds == folds[subject], 3, 2)
    times[subject] = 0
    return np.repeat(np.arange(len(folds)), times)


def test_the_pooled_accuracy_of_several_folds_has_the_variance_of_a_stratified_mean():
    """With as many frames of each subject, accuracy is a mean of subjects, also over 5 folds."""
    rng = np.random.default_rng(2)
    right = rng.integers(30, 70, (20, 1))
    zeros = np.zeros_like(right)
    counts = Counts(tp=right, fp=100 - right, fn=zeros, tn=zeros)
    folds = np.arange(20) % 5
    result = intervals(counts, folds, occurrence.accuracy, estimand="pooled")
    mean = right.mean() / 100
    variance = sum(right[folds == fold].var(ddof=1) / 4 for fold in range(5)) / 25 / 100**2
    half = stats.t.ppf(0.975, 20 / 3 - 1) * np.sqrt(variance) / (mean * (1 - mean))
    assert result.high[0] == pytest.approx(special.expit(special.logit(mean) + half))


def test_the_value_lies_within_its_interval():
    counts, folds = counts_of(some_frames(4))
    results = intervals(counts, folds, occurrence.accuracy, estimand="mean_of_folds")
    assert (results.low > 0).all() and (results.high < 1).all()
    assert (results.low < results.value).all() and (results.value < results.high).all()


def test_a_fold_without_an_active_frame_is_left_out_of_that_aus_mean():
    tp, fn = np.array([[4, 0], [2, 0], [3, 5], [1, 3]]), np.array([[1, 0], [2, 0], [1, 5], [1, 1]])
    counts = Counts(tp=tp, fp=np.ones((4, 2), int), fn=fn, tn=np.full((4, 2), 9))
    folds = np.array([1, 1, 2, 2])
    results = intervals(counts, folds, occurrence.f1, estimand="mean_of_folds")
    first, second = 2 * 6 / (2 * 6 + 2 + 3), 2 * 4 / (2 * 4 + 2 + 2)
    only = 2 * 8 / (2 * 8 + 2 + 6)
    assert results.value[:2] == pytest.approx([(first + second) / 2, only])
    assert results.value[2] == pytest.approx((first + (second + only) / 2) / 2)


def test_the_interval_is_undefined_if_subjects_show_no_spread():
    """AU 0 is never detected, AU 1 is never active, AU 2 is always decided correctly."""
    zero, some = np.zeros((6, 1), int), np.full((6, 1), 5)
    counts = Counts(tp=np.hstack([zero, zero, some]), fp=np.hstack([some, some, zero]),
                    fn=np.hstack([some, zero, zero]), tn=np.hstack([some, some, some]))  # fmt: skip
    results = intervals(counts, np.arange(6) % 2, occurrence.f1, estimand="pooled")
    assert results.value == pytest.approx([0, np.nan, 1, 0.5], nan_ok=True)
    assert np.isnan(results.low).all() and np.isnan(results.high).all()


def test_a_fold_of_one_subject_makes_the_interval_of_mean_of_folds_undefined():
    counts, _ = counts_of(some_frames(5))
    folds = np.array([1, 2, 2, 2, 2, 3, 3, 3, 3])
    by_fold = intervals(counts, folds, occurrence.f1, estimand="mean_of_folds")
    assert np.isnan(by_fold.low).all() and not np.isnan(by_fold.value).any()
    together = intervals(counts, folds, occurrence.f1, estimand="pooled")
    one_fold = intervals(counts, np.ones(9, int), occurrence.f1, estimand="pooled")
    assert together.low.tolist() == one_fold.low.tolist()


def test_leaving_one_subject_out_gives_the_interval_of_a_mean_of_subjects():
    counts, _ = counts_of(some_frames(7))
    counts.tp[:] += 1  # every subject shows every AU
    results = intervals(counts, np.arange(9), occurrence.f1, estimand="mean_of_folds")
    values = occurrence.f1(counts)
    mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / 3
    half = stats.t.ppf(0.975, 2) * error / (mean * (1 - mean))
    assert results.value[:3] == pytest.approx(mean)
    assert results.low[:3] == pytest.approx(1 / (1 + np.exp(half - np.log(mean / (1 - mean)))))


def test_an_au_that_one_subject_of_a_fold_shows_has_no_interval_by_fold():
    """Leaving that subject out would leave out the fold, which says nothing about subjects."""
    counts, folds = counts_of(some_frames(8))
    counts.tp[[3, 6], 1] = counts.fn[[3, 6], 1] = 0  # of fold 0, only subject 0 shows AU 1
    by_fold = intervals(counts, folds, occurrence.f1, estimand="mean_of_folds")
    assert np.isnan(by_fold.low).tolist() == [False, True, False, False]
    assert not np.isnan(by_fold.value).any()
    pooled = intervals(counts, folds, occurrence.f1, estimand="pooled")
    assert not np.isnan(pooled.low).any()


def test_degrees_of_freedom_are_a_third_of_the_subjects_minus_one_whatever_the_folds():
    for subjects, freedom in ((41, 41 / 3 - 1), (27, 8), (12, 3), (4, 1), (2, 1)):
        assert degrees_of_freedom(subjects) == pytest.approx(freedom)
    counts, _ = counts_of(some_frames(7, subjects=12))
    counts.tp[:] += 1
    for folds in (np.zeros(12, int), np.arange(12) % 2, np.arange(12)):
        result = intervals(counts, folds, occurrence.accuracy, estimand="mean_of_folds")
        wider = intervals(counts, folds, occurrence.accuracy, estimand="mean_of_folds", level=0.99)
        logits = [special.logit(end) - special.logit(result.value) for end in (result.high,
                  wider.high)]  # fmt: skip
        ratio = stats.t.ppf(0.995, 3) / stats.t.ppf(0.975, 3)
        assert logits[1] / logits[0] == pytest.approx(np.full(4, ratio))


def test_an_unknown_estimand_is_an_error_that_names_it():
    counts, folds = counts_of(some_frames(6))
    with pytest.raises(UsageError, match="median"):
        intervals(counts, folds, occurrence.f1, estimand="median")


def test_thousands_of_images_give_the_interval_of_leaving_out_one_after_the_other():
    """Images have few different outcomes, and each different one is computed only once."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 300)
    decisions = np.where(rng.random(300) < 0.7, labels, rng.integers(0, 3, 300))
    chosen = decisions[:, None] == np.arange(3)
    counts = multiclass.count_by(labels, chosen, np.arange(300), 300)
    statistic = WithOverall(multiclass.recall, multiclass.accuracy)
    result = intervals(counts, np.ones(300, int), statistic, estimand="mean_of_folds")
    right = labels == decisions
    without = np.array([np.delete(right, image).mean() for image in range(300)])
    variance = 299 / 300 * ((without.mean() - without) ** 2).sum()
    value = right.mean()
    half = stats.t.ppf(0.975, 99) * np.sqrt(variance) / (value * (1 - value))
    ends = special.expit(special.logit(value) + np.array([-half, half]))
    assert (result.low[-1], result.high[-1]) == pytest.approx(tuple(ends))


def test_subjects_that_are_alike_share_a_group_and_others_do_not():
    counts = Counts(
        *(np.array(part)[:, None] for part in ([1, 2, 1, 1], [0] * 4, [0] * 4, [5] * 4))
    )
    first, like = alike([counts], np.array([1, 1, 1, 2]))
    assert (first.tolist(), like.tolist()) == ([0, 1, 3], [0, 1, 0, 2])
    third = 4 / 3
    of_first = [[0, third, third, third], [third, 0, third, third], [third, third, third, 0]]
    assert leave_one_out(np.zeros(4), first) == pytest.approx(np.array(of_first))
    by_fold = [[0, 1.5, 1.5, 1], [1.5, 0, 1.5, 1], [1, 1, 1, 0]]
    assert leave_one_out(np.array([1, 1, 1, 2]), first).tolist() == by_fold

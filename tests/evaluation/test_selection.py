"""Other ways of choosing the epoch and the threshold, and the figures that they report."""

import numpy as np
import pytest

from fauds.evaluation.selection import THRESHOLDS, EpochScores, select, threshold_scores
from fauds.targets.occurrence import Occurrence

AUS = ("AU01", "AU12")
TARGET = Occurrence(aus=AUS)


def plain_f1(labels, probabilities, threshold):
    """Return the mean F1 over AUs with an active frame, without frames that are not coded."""
    values = []
    for au in range(labels.shape[1]):
        coded = labels[:, au] >= 0
        truth, decided = labels[coded, au], probabilities[coded, au] >= threshold
        if truth.any():
            hits = (truth == 1) & decided
            values.append(2 * hits.sum() / (truth.sum() + decided.sum()))
    return np.mean(values)


def random_scores(seed, frames=60):
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], (frames, len(AUS)), p=[0.1, 0.5, 0.4]).astype(np.int8)
    epochs = {n: rng.random((frames, len(AUS))).astype(np.float32) for n in range(1, 6)}
    return labels, epochs


def evaluated(seed, validation=True):
    labels, epochs = random_scores(seed)
    others, validated = random_scores(seed + 100)
    return EpochScores(TARGET, labels, epochs[5], epochs, others, validated if validation else {})


def test_the_f1_at_all_thresholds_equals_that_of_deciding_at_each():
    labels, epochs = random_scores(0)
    probabilities = epochs[1]
    # Probabilities that equal a threshold, at which the decision is "active".
    probabilities[:9, 0] = [0.01, 0.07, 0.3, 0.5, 0.57, 0.7, 0.9, 0.99, 1.0]
    expected = [plain_f1(labels, probabilities, float(t)) for t in THRESHOLDS.astype(np.float32)]
    assert threshold_scores(labels, probabilities) == pytest.approx(expected)


def test_every_fold_chooses_by_itself_and_is_scored_on_its_test_part():
    folds = {1: evaluated(1), 2: evaluated(2)}
    headline = np.mean([plain_f1(f.labels, f.last, 0.5) for f in folds.values()])
    selections = select(folds, TARGET, 0.5, float(headline))
    reported = {line.selection: line.f1 for line in selections.optimism}
    expected = {name: [] for name in reported}
    for fold, fold_scores in folds.items():
        by_epoch = {
            n: plain_f1(fold_scores.labels, fold_scores.epochs[n], 0.5) for n in fold_scores.epochs
        }
        validated = {
            n: plain_f1(fold_scores.validation_labels, fold_scores.validation[n], 0.5)
            for n in fold_scores.validation
        }
        at = {
            (n, t): plain_f1(fold_scores.labels, fold_scores.epochs[n], t)
            for n in fold_scores.epochs
            for t in THRESHOLDS
        }
        best = max(validated, key=validated.get)
        assert selections.chosen[fold]["validation"] == {"epoch": best}
        expected["validation"].append(by_epoch[best])
        expected["best_test_epoch"].append(max(by_epoch.values()))
        expected["best_test_threshold"].append(max(v for (n, _), v in at.items() if n == 5))
        expected["best_test_epoch_and_threshold"].append(max(at.values()))
        both = selections.chosen[fold]["best_test_epoch_and_threshold"]
        assert at[both["epoch"], both["threshold"]] == pytest.approx(max(at.values()))
    for name, values in expected.items():
        assert reported[name] == pytest.approx(np.mean(values))
    for line in selections.optimism:
        assert line.difference == pytest.approx(line.f1 - headline)
    rows = {(r.metric, r.scope, r.selection, r.au, r.fold): r.value for r in selections.rows}
    key = ("f1", "fold", "best_test_epoch", None, 2)
    assert rows[key] == pytest.approx(expected["best_test_epoch"][1])
    assert ("accuracy", "mean_of_folds", "validation", "AU12", None) in rows


def test_a_selection_needs_scores_after_each_epoch_of_every_fold():
    not_evaluated = EpochScores(
        TARGET, *random_scores(3)[:1], random_scores(3)[1][5], {}, np.zeros((0, 2), np.int8), {}
    )
    assert select({1: not_evaluated}, TARGET, 0.5, 0.5).rows == []
    names = {line.selection for line in select({1: evaluated(3, False)}, TARGET, 0.5, 0.5).optimism}
    assert names == {"best_test_epoch", "best_test_threshold", "best_test_epoch_and_threshold"}
    # A figure of half of the folds could not be compared with the headline.
    assert select({1: evaluated(3), 2: not_evaluated}, TARGET, 0.5, 0.5).optimism == []


def test_the_earliest_of_equal_epochs_is_chosen():
    labels, epochs = random_scores(4)
    same = EpochScores(
        TARGET, labels, epochs[1], dict.fromkeys((3, 1, 2), epochs[1]), labels[:0], {}
    )
    assert select({1: same}, TARGET, 0.5, 0.5).chosen[1]["best_test_epoch"] == {"epoch": 1}

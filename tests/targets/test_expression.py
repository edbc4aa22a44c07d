"""The target of expression recognition, as protocols declare it, and its two baselines."""

import numpy as np
import pyarrow as pa
import pytest

from fauds.errors import DataError
from fauds.protocols.benchmark import Benchmark
from fauds.targets import TARGETS
from fauds.targets.expression import Expression

CLASSES = ("neutral", "happiness", "fear")
TARGET = Expression(classes=CLASSES)


def protocol(target: dict) -> Benchmark:
    return Benchmark.model_validate(
        {
            "name": "mine",
            "version": 1,
            "title": "mine",
            "dataset": "rafdb",
            "target": target,
            "metric": {"name": "accuracy"},
            "alignment": {"name": "none", "version": 1},
            "access": "ask",
        }
    )


def test_a_protocol_names_the_classes_and_their_order():
    target = protocol({"kind": "expression", "classes": list(CLASSES)}).target
    assert TARGETS["expression"] is Expression and target == TARGET
    assert (target.names, target.columns, target.form) == (CLASSES, ("expression",), "multiclass")
    assert target.reader_options() == {"classes": CLASSES}
    assert target.described_aus == ()
    assert target.protocol_keys() == {"target": {"kind": "expression", "classes": list(CLASSES)}}


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        (["fear", "anger", "fear"], "fear is listed more than once"),
        (["fear"], "at least 2 items"),
        (["fear", " anger"], "begins or ends with a blank"),
    ],
)
def test_wrong_classes_are_an_error_that_says_why(classes, problem):
    with pytest.raises(ValueError, match=problem):
        protocol({"kind": "expression", "classes": classes})


def test_labels_are_the_positions_of_classes_and_null_is_not_labelled():
    frames = pa.table({"expression": pa.array([2, None, 0], pa.int8())})
    assert TARGET.labels(frames).tolist() == [2, -1, 0]
    with pytest.raises(DataError, match="expression has 3"):
        TARGET.labels(pa.table({"expression": pa.array([3], pa.int8())}))


def test_baselines_are_those_of_giving_one_class_or_random_classes():
    rng = np.random.default_rng(0)
    labels = rng.choice([-1, 0, 1, 2], 400, p=[0.1, 0.2, 0.6, 0.1]).astype(np.int16)
    rates = np.array([0.5, 0.3, 0.2])
    results = TARGET.metrics(labels, rng.random((400, 3)), 0.5, graded=True, rates=rates)
    labelled = labels[labels >= 0]
    assert results["majority_accuracy"].overall == pytest.approx((labelled == 0).mean())
    # Draw a class for every frame, many times.
    drawn = rng.choice(3, (4000, len(labelled)), p=rates)
    assert results["prior_accuracy"].overall == pytest.approx((drawn == labelled).mean(), abs=2e-3)
    unlabelled = TARGET.metrics(labels[:0], np.empty((0, 3)), 0.5, graded=True, rates=rates)
    assert np.isnan(unlabelled["majority_accuracy"].overall)
    assert np.isnan(unlabelled["prior_accuracy"].overall)

"""Finished runs made by hand: labels and decisions to a run's folder, without any model."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from fauds.evaluation import results as results_file
from fauds.evaluation.results import MetricRow, Protocol, Results, SubjectCounts, by_subject
from fauds.tables import predictions, store
from fauds.tables.frames import frame_set_fingerprint
from fauds.tables.paths import PREDICTIONS, SETTINGS
from fauds.targets.occurrence import Occurrence

AUS = ("AU01", "AU12", "AU24")
TARGET = Occurrence(aus=AUS)


@dataclass(frozen=True)
class Labels:
    """Labels int8 [N, A] (-1 not coded) of the frames of subjects, and the fold of each frame."""

    labels: np.ndarray
    subjects: np.ndarray
    folds: np.ndarray

    @property
    def sexes(self) -> dict[str, str]:
        return {name: name[0] for name in self.subjects.tolist()}

    def frames(self) -> pa.Table:
        """frames.parquet's columns."""
        n = len(self.labels)
        columns = {
            "frame_id": np.arange(n),
            "subject": pa.array(self.subjects).dictionary_encode(),
            "task": pa.array(["T1"] * n).dictionary_encode(),
            "frame": np.arange(n) + 1,
            "sex": pa.array([name[0] for name in self.subjects.tolist()]),
        }
        for au, values in zip(AUS, self.labels.T, strict=True):
            columns[au] = pa.array(values, pa.int8(), mask=values < 0)
        return pa.table(columns)


def made_labels(per_fold: int = 6, frames: int = 60) -> Labels:
    """Return labels of women and men in three folds; a tenth of the cells is not coded."""
    rng = np.random.default_rng(7)
    names = [f"{'FM'[i % 2]}{i + 1:03d}" for i in range(3 * per_fold)]
    rates = np.clip(rng.normal((0.3, 0.5, 0.2), 0.08, (len(names), len(AUS))), 0.05, 0.9)
    active = rng.random((len(names), frames, len(AUS))) < rates[:, None]
    labels = np.where(rng.random(active.shape) < 0.1, -1, active).reshape(-1, len(AUS))
    whose = np.repeat(np.arange(len(names)), frames)
    return Labels(labels.astype(np.int8), np.array(names)[whose], whose % 3 + 1)


def decided(truth: Labels, wrong: float, seed: int) -> np.ndarray:
    """Return decisions bool [N, A] that are wrong about a share of the frames."""
    rng = np.random.default_rng(seed)
    return (truth.labels == 1) ^ (rng.random(truth.labels.shape) < wrong)


def results_of(truth: Labels, decisions: np.ndarray, seed: int = 0, **changed: object) -> Results:
    """Return results of decisions; `changed` replaces fields, those of the protocol too."""
    protocol = Protocol(
        folds="published-3fold",
        test_subjects={
            fold: sorted(set(truth.subjects[truth.folds == fold].tolist())) for fold in (1, 2, 3)
        },
        aus=list(AUS),
        occurrence="coded",
        threshold=0.5,
        selection="last",
        alignment="none 1: the frames as they are",
        frame_set="every coded frame with an image",
    )
    of_protocol = {name: changed.pop(name) for name in [*changed] if name in Protocol.model_fields}
    rows = [_f1_row(truth, decisions, fold) for fold in (1, 2, 3)]
    mean = float(np.mean([row.value for row in rows]))
    headline = rows[0].model_copy(update={"scope": "mean_of_folds", "fold": None, "value": mean})
    counts = by_subject(TARGET, truth.labels, decisions, truth.folds, truth.subjects, truth.sexes)
    results = Results(
        benchmark="synthetic",
        benchmark_version=1,
        protocol=protocol.model_copy(update=of_protocol),
        protocol_hash="0",
        synthetic=True,
        model="vlfau",
        preset="tiny",
        settings={"model": {"dim": 16}, "training": {"seed": seed, "epochs": 2}},
        seeds=[seed],
        pretraining="from scratch",
        versions={},
        command="fauds bench vlfau",
        frames_fingerprint=frame_set_fingerprint(truth.frames(), AUS),
        frames_offered=len(truth.labels),
        frames_scored=len(truth.labels),
        frames_without_image={},
        undefined=[],
        seconds=1.0,
        computed_on=[],
        provenance={
            "reading": {},
            "differences": [],
            "captions": {"language": "en", "degrees": False, "variants": 1, "templates": "0"},
            "faces": None,
            "lost": None,
        },
        metrics=[*rows, headline],
        summary={"f1": mean, "accuracy": None, "always_active_f1": None},
        subject_counts=SubjectCounts.of(counts, TARGET),
    )
    return results.model_copy(update=changed)


def plain_f1(labels: np.ndarray, decisions: np.ndarray) -> float:
    """F1 of one AU, counted frame by frame."""
    tp = fp = fn = 0
    for label, decision in zip(labels.tolist(), decisions.tolist(), strict=True):
        tp += label == 1 and decision
        fp += label == 0 and decision
        fn += label == 1 and not decision
    return 2 * tp / (2 * tp + fp + fn)


def _f1_row(truth: Labels, decisions: np.ndarray, fold: int) -> MetricRow:
    here = truth.folds == fold
    labels, decisions = truth.labels[here], decisions[here]
    value = np.mean([plain_f1(labels[:, i], decisions[:, i]) for i in range(len(AUS))])
    return MetricRow(
        metric="f1",
        scope="fold",
        au=None,
        fold=fold,
        selection="last",
        value=float(value),
        n=len(labels),
    )


def write_run(
    folder: Path, truth: Labels, decisions: np.ndarray, seed: int = 0, **changed: object
) -> Path:
    """Write a finished run of decisions into a folder, and its frames.parquet."""
    results = results_of(truth, decisions, seed, **changed)
    folder.mkdir(parents=True)
    saved = {
        "benchmark": results.benchmark,
        "model": results.model,
        "preset": results.preset,
        "changes": [f"training.seed={seed}"],
        "folds": [],
        "settings": results.settings,
    }
    store.write_text(folder / SETTINGS, yaml.safe_dump(saved))
    subjects, first = np.unique(truth.subjects, return_index=True)
    folds = pa.table({"subject": subjects, "fold": truth.folds[first]})
    meta = {"inputs": "made by hand", "settings": {}}
    store.write_table(folder / "folds.parquet", folds, meta)
    frames = truth.frames()
    for fold in (1, 2, 3):
        here = truth.folds == fold
        tested, scores = frames.filter(pa.array(here)), decisions[here].astype(np.float32)
        path = folder / f"fold{fold}" / PREDICTIONS
        predictions.write(path, tested, fold, AUS, scores, meta)
    tables = folder.parent.parent
    store.write_table(tables / "frames.parquet", frames, meta)
    results_file.write(folder, results)
    return folder


def relabelled(truth: Labels, cells: int) -> Labels:
    """Return labels of which the first cells of the first AU are turned round."""
    labels = truth.labels.copy()
    coded = np.flatnonzero(labels[:, 0] >= 0)[:cells]
    labels[coded, 0] = 1 - labels[coded, 0]
    return replace(truth, labels=labels)

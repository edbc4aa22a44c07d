"""Finished runs, written by hand: nothing is trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import yaml

from fauds.evaluation import results as results_file
from fauds.evaluation import score
from fauds.evaluation.results import MetricRow, Protocol, Results
from fauds.evaluation.score import MetricRows
from fauds.tables import store
from fauds.tables.frames import frame_set_fingerprint
from fauds.targets.occurrence import Occurrence

AUS = ("AU01", "AU06", "AU12", "AU25")
SUBJECTS = {1: ["F001", "M001"], 2: ["F002", "M002"]}


def write_run(
    folder: Path,
    *,
    synthetic: bool = True,
    switches: Sequence[bool] = (True, True, True),
    extra: Sequence[MetricRow] = (),
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a finished run of eight frames a subject, with its tables beside it.

    Args:
        folder: the run's, in ``WORKDIR/DATASET/runs``.
        switches: MARL, LLGA and GLGA.
        extra: further figures, or others in the place of the run's own.
        changes: fields of `Results`.
    """
    frames = frames_table(synthetic, folder.parent.parent)
    folds, predictions = {}, []
    for fold, subjects in SUBJECTS.items():
        rows = [at for at, who in enumerate(frames["subject"].to_pylist()) if who in subjects]
        part = frames.take(pa.array(rows))
        labels = np.stack([part[au].to_numpy() for au in AUS], axis=1)
        scores = probabilities(labels, fold)
        folds[fold] = score.FoldScores(labels, scores, np.full(len(AUS), 0.4), {})
        predictions.append(_predictions(folder, part, fold, scores))
    own = {tuple(row.model_dump(exclude={"value", "low", "high", "n"}).values()) for row in extra}
    rows = [
        row
        for row in score.metric_rows(folds, 0.5, MetricRows(Occurrence(aus=AUS), "last"))
        if tuple(row.model_dump(exclude={"value", "low", "high", "n"}).values()) not in own
    ]
    rows.extend(extra)
    results_file.write(folder, _results(frames, rows, synthetic, switches, changes or {}))
    settings = {"faces": None, "preset": "tiny"}
    store.write_text(folder / "settings.yaml", yaml.safe_dump(settings))
    _write_log(folder)
    return folder


def frames_table(synthetic: bool, tables: Path) -> pa.Table:
    """Write frames.parquet and return it: 32 frames with labels drawn at random."""
    rng = np.random.default_rng(5)
    who = [name for names in SUBJECTS.values() for name in names for _ in range(8)]
    frames = pa.table(
        {
            "frame_id": pa.array(range(len(who)), pa.int64()),
            "subject": pa.array(who).dictionary_encode(),
            "task": pa.array(["T1"] * len(who)).dictionary_encode(),
            "frame": pa.array(range(len(who)), pa.int32()),
            "sex": pa.array([name[0] for name in who]).dictionary_encode(),
            "image": pa.array([f"{at}.jpg" for at in range(len(who))]),
            **{au: pa.array(rng.integers(0, 2, len(who)), pa.int8()) for au in AUS},
        }
    )
    meta = {
        "inputs": "x",
        "settings": {"image_base": None},
        "reader": "bp4d",
        "synthetic": synthetic,
        "image_root": str(tables),
    }
    store.write_table(tables / "frames.parquet", frames, meta)
    return frames


def probabilities(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return predictions that are right four times of five, float32 [N, A]."""
    rng = np.random.default_rng(seed)
    right = rng.random(labels.shape) < 0.8
    return np.where((labels == 1) == right, 0.9, 0.2).astype(np.float32)


def _predictions(folder: Path, part: pa.Table, fold: int, scores: np.ndarray) -> pa.Table:
    table = part.select(["subject", "task", "frame", "frame_id"])
    table = table.append_column("fold", pa.array([fold] * len(part), pa.int16()))
    for place, au in enumerate(AUS):
        table = table.append_column(au, pa.array(scores[:, place]))
    store.write_table(folder / f"fold{fold}" / "predictions.parquet", table, _meta())
    return table


def write_gallery(folder: Path, texts: Mapping[int, tuple[str, str]], side: int = 64) -> None:
    """Write the gallery: every frame, described where `texts` has AU12's and the face's text."""
    parts = [store.read_table(path) for path in sorted(folder.glob("fold*/predictions.parquet"))]
    shown = pa.concat_tables([part.replace_schema_metadata(None) for part in parts])
    frames = store.read_table(folder.parent.parent / "frames.parquet")
    ids = shown["frame_id"].to_pylist()
    for au in AUS:
        labels = frames[au].to_pylist()
        shown = shown.append_column(f"{au}_label", pa.array([labels[at] for at in ids], pa.int8()))
        attention = [np.eye(4, dtype=np.float32).ravel().tolist() for _ in ids]
        shown = shown.append_column(f"{au}_attention", pa.array(attention, pa.list_(pa.float32())))
    local, face = (pa.array([texts.get(at, (None, None))[n] for at in ids]) for n in (0, 1))
    shown = shown.append_column("AU12_text", local).append_column("face_text", face)
    shown = shown.append_column("true_face", pa.array(["A woman smiles."] * len(ids)))
    (folder / "faces").mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for at in ids:
        image = rng.integers(0, 256, (side, side, 3), np.uint8)
        cv2.imwrite(str(folder / "faces" / f"{at}.jpg"), image)
    shown = shown.append_column("image", pa.array([f"faces/{at}.jpg" for at in ids]))
    store.write_table(
        folder / "gallery.parquet", shown, {"inputs": "x", "settings": {"height": 4, "width": 4}}
    )


def _results(
    frames: pa.Table,
    rows: list[MetricRow],
    synthetic: bool,
    switches: Sequence[bool],
    changes: Mapping[str, Any],
) -> Results:
    protocol = Protocol(
        folds="by-hand",
        test_subjects=SUBJECTS,
        aus=list(AUS),
        occurrence="coded",
        threshold=0.5,
        selection="last",
        alignment="none",
        frame_set="every frame",
    )
    names = ("multi_level", "local_language", "global_language")
    fields: dict[str, Any] = {
        "benchmark": "synthetic" if synthetic else "bp4d",
        "benchmark_version": 1,
        "protocol": protocol,
        "protocol_hash": "p" * 64,
        "synthetic": synthetic,
        "model": "vlfau",
        "preset": "tiny",
        "settings": {"model": dict(zip(names, switches, strict=True))},
        "seeds": [0],
        "pretraining": "from scratch",
        "versions": {"fauds": "1"},
        "command": "fauds bench vlfau --set 'a<b=1'",
        "frames_fingerprint": frame_set_fingerprint(frames, list(AUS)),
        "frames_offered": len(frames),
        "frames_scored": len(frames),
        "frames_without_image": {},
        "undefined": [],
        "seconds": 1.0,
        "computed_on": ["cpu"],
        "provenance": {"captions": {"language": "en", "templates": "t" * 64}},
        "metrics": rows,
        "summary": score.summary(rows, Occurrence(aus=AUS)),
    }
    return Results(**{**fields, **changes})


def _write_log(folder: Path) -> None:
    for fold in SUBJECTS:
        store.write_text(
            folder / f"fold{fold}" / "log.jsonl",
            '{"step": 1, "epoch": 1, "total": 9}\n'
            '{"epoch": 1, "total": 2.5}\n{"epoch": 2, "total": 1.25}\n',
        )


def _meta() -> dict[str, Any]:
    return {"inputs": "x", "settings": {}}


def row(metric: str, value: float, **fields: Any) -> MetricRow:
    """Return one figure: by default the mean over AUs and folds, of the last epoch."""
    defaults = {"scope": "mean_of_folds", "au": None, "fold": None, "selection": "last", "n": 32}
    return MetricRow(metric=metric, value=value, **{**defaults, **fields})

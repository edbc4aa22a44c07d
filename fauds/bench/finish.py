"""A run's folds to results.json and the faces that its report shows."""

import json
import platform
import shutil
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds import __version__, resources, store
from fauds.bench import results as results_file
from fauds.bench import score
from fauds.bench.inputs import Inputs
from fauds.bench.plan import Plan
from fauds.bench.results import GALLERY
from fauds.errors import DataError
from fauds.training import checkpoint

PREDICTIONS = "predictions.parquet"
MEASURED = "measured.json"
_SHOWN = 6
_PACKAGES = ("torch", "timm", "numpy", "pyarrow", "spacy")


def write(plan: Plan, inputs: Inputs, folds: Sequence[int]) -> None:
    """Write results.json and gallery.parquet of a run whose folds are all predicted.

    Raises:
        DataError: predictions are not of the frames that their fold tests.
    """
    aus, metric = plan.benchmark.aus, plan.benchmark.metric
    predictions = {fold: _predictions(plan, inputs, fold) for fold in folds}
    scores = {fold: _scores(plan, inputs, fold, table) for fold, table in predictions.items()}
    rows = score.metric_rows(scores, aus, metric.threshold, metric.selection)
    scored = np.any([inputs.tested_by(fold) for fold in folds], axis=0)
    protocol = _protocol(plan, inputs, folds)
    results = results_file.Results(
        benchmark=plan.benchmark.name,
        benchmark_version=plan.benchmark.version,
        protocol=protocol,
        protocol_hash=store.fingerprint(protocol.model_dump(mode="json")),
        synthetic=inputs.synthetic,
        model=plan.model,
        preset=plan.preset,
        settings=plan.settings.model_dump(mode="json"),
        seeds=[plan.settings.training.seed],
        pretraining=_pretraining(plan),
        versions=_versions(),
        command=plan.command,
        frames_fingerprint=score.frame_set_fingerprint(inputs.frames.filter(pa.array(scored)), aus),
        frames_offered=inputs.offered,
        frames_scored=int(scored.sum()),
        frames_without_image=dict(inputs.found.without),
        undefined=score.undefined(rows),
        computed_on=sorted({_measured(plan, fold)["computed_on"] for fold in folds}),
        seconds=sum(_measured(plan, fold)["seconds"] for fold in folds),
        provenance=inputs.provenance,
        metrics=rows,
        summary=score.summary(rows),
    )
    _write_gallery(plan, inputs, pa.concat_tables(list(predictions.values())))
    results_file.write(plan.folder, results)


def _predictions(plan: Plan, inputs: Inputs, fold: int) -> pa.Table:
    path = plan.folder / f"fold{fold}" / PREDICTIONS
    table = store.read_table(path).replace_schema_metadata(None)
    if not np.array_equal(
        table["frame_id"].to_numpy(), inputs.faces.frame_ids[inputs.tested_by(fold)]
    ):
        raise DataError(
            "The predictions are not of the frames that this fold tests.",
            where=path,
            hint="the frames have changed since: start a new run",
        )
    return table


def _scores(plan: Plan, inputs: Inputs, fold: int, predicted: pa.Table) -> score.FoldScores:
    statistics = inputs.training_statistics(fold)
    frames = np.maximum(statistics["train_frames"].to_numpy(), 1)
    words = {
        name: (float("nan") if value is None else value, count)
        for name, (value, count) in _measured(plan, fold)["words"].items()
    }
    agreement = score.text_agreement(
        predicted,
        inputs.phrases,
        plan.benchmark.aus,
        plan.benchmark.metric.threshold,
        plan.benchmark.occurrence_at,
    )
    if agreement:
        words["local_text_agreement"] = agreement
    return score.FoldScores(
        labels=inputs.faces.labels[inputs.tested_by(fold)],
        probabilities=np.stack([predicted[au].to_numpy() for au in plan.benchmark.aus], axis=1),
        prevalence=statistics["train_positives"].to_numpy() / frames,
        words=words,
    )


def _measured(plan: Plan, fold: int) -> dict[str, Any]:
    return json.loads((plan.folder / f"fold{fold}" / MEASURED).read_text(encoding="utf-8"))


def _protocol(plan: Plan, inputs: Inputs, folds: Sequence[int]) -> results_file.Protocol:
    benchmark = plan.benchmark
    return results_file.Protocol(
        folds=inputs.folds["protocol"][0].as_py(),
        test_subjects={fold: inputs.subjects(fold) for fold in folds},
        aus=list(benchmark.aus),
        occurrence=benchmark.occurrence,
        threshold=benchmark.metric.threshold,
        selection=benchmark.metric.selection,
        alignment=inputs.found.described,
        frame_set=inputs.found.frame_set,
    )


def _pretraining(plan: Plan) -> str:
    stem = plan.settings.model.backbone
    if stem.weights:
        _, meta = checkpoint.load(resources.path("models", plan.model) / stem.weights)
        return meta.get("pretraining", f"weights from {stem.weights}")
    return f"timm's weights of {stem.name}" if stem.pretrained else "from scratch"


def _versions() -> dict[str, str]:
    packages = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[package] = version(package)
    return {"fauds": __version__, "python": platform.python_version(), **packages}


def _write_gallery(plan: Plan, inputs: Inputs, predictions: pa.Table) -> None:
    shown = _chosen(predictions)
    place = pc.index_in(shown["frame_id"], inputs.frames["frame_id"])
    truth = inputs.frames.take(place)
    for au in plan.benchmark.aus:
        shown = shown.append_column(f"{au}_label", truth[au])
    face = inputs.captions.take(place)["face"].cast(pa.string())
    shown = shown.append_column("true_face", face)
    images = [_picture(plan, inputs, row) for row in place.to_pylist()]
    shown = shown.append_column("image", pa.array(images, pa.string()))
    meta = {"inputs": inputs.offered, "settings": {"faces": _SHOWN}}
    store.write_table(plan.folder / GALLERY, shown, meta)


def _chosen(predictions: pa.Table) -> pa.Table:
    """Return described frames spread evenly over the folds, each of another subject."""
    texts = [name for name in predictions.schema.names if name.endswith("_text")]
    if not texts:
        return predictions.slice(0, 0)
    written = pc.is_valid(predictions[texts[0]])
    for name in texts[1:]:
        written = pc.or_(written, pc.is_valid(predictions[name]))
    described = predictions.filter(written)
    subjects = described["subject"].cast(pa.string()).to_numpy(zero_copy_only=False)
    _, first = np.unique(subjects.astype(str), return_index=True)
    spread = np.linspace(0, len(first) - 1, min(_SHOWN, len(first))).astype(int)
    return described.take(pa.array(np.sort(first)[spread]))


def _picture(plan: Plan, inputs: Inputs, row: int) -> str | None:
    """Copy a drawn face into the run; faces of licensed datasets stay where they are."""
    if not inputs.synthetic:
        return None
    source = Path(str(inputs.faces.images[row]))
    name = f"faces/{inputs.faces.frame_ids[row]}{source.suffix}"
    (plan.folder / "faces").mkdir(exist_ok=True)
    shutil.copyfile(source, plan.folder / name)
    return name

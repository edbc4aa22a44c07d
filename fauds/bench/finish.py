"""A run's folds to results.json and the faces that its report shows."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fauds import resources, store
from fauds.bench import results as results_file
from fauds.bench import score
from fauds.bench.environment import versions
from fauds.bench.figures import figures
from fauds.bench.gallery import is_described, write_gallery
from fauds.bench.inputs import Inputs
from fauds.bench.plan import Plan
from fauds.bench.selection import Watched, select
from fauds.bench.texts import TextFigures, text_figures
from fauds.bench.watch import TEST, VALIDATION
from fauds.captions.templates import languages, template_hash
from fauds.errors import DataError
from fauds.training import checkpoint

PREDICTIONS = "predictions.parquet"
MEASURED = "measured.json"


def write(plan: Plan, inputs: Inputs, folds: Sequence[int]) -> None:
    """Write results.json and gallery.parquet of a run whose folds are all predicted.

    Raises:
        DataError: predictions are not of the frames that their fold tests.
    """
    aus, metric = plan.benchmark.aus, plan.benchmark.metric
    predictions = {fold: _predictions(plan, inputs, fold) for fold in folds}
    scores = {fold: _scores(plan, inputs, fold, table) for fold, table in predictions.items()}
    subjects = {fold: inputs.faces.subjects[inputs.tested_by(fold)] for fold in folds}
    found = figures(scores, subjects, _sexes(inputs), aus, metric.threshold, metric.selection)
    watched = {fold: _watched(plan, inputs, fold, scores[fold]) for fold in folds}
    others = select(watched, aus, metric.threshold, found.summary.f1)
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
        versions=versions(),
        command=plan.command,
        frames_fingerprint=score.frame_set_fingerprint(inputs.frames.filter(pa.array(scored)), aus),
        frames_offered=inputs.offered,
        frames_scored=int(scored.sum()),
        frames_without_image=dict(inputs.found.without),
        undefined=[*found.undefined, *_unread(inputs, predictions.values())],
        computed_on=sorted({_measured(plan, fold)["computed_on"] for fold in folds}),
        seconds=sum(_measured(plan, fold)["seconds"] for fold in folds),
        provenance=inputs.provenance,
        metrics=[*found.metrics, *others.rows],
        summary=found.summary,
        uncertainty=found.uncertainty,
        chosen=others.chosen,
        optimism=others.optimism,
        subject_counts=found.subject_counts,
    )
    write_gallery(plan, inputs, pa.concat_tables(list(predictions.values())))
    results_file.write(plan.folder, results)


def _predictions(plan: Plan, inputs: Inputs, fold: int) -> pa.Table:
    path = plan.folder / f"fold{fold}" / PREDICTIONS
    table = store.read_table(path).replace_schema_metadata(None)
    _check_frames(table, inputs.faces.frame_ids[inputs.tested_by(fold)], path)
    return table


def _check_frames(table: pa.Table, frame_ids: np.ndarray, path: Path) -> None:
    if not np.array_equal(table["frame_id"].to_numpy(), frame_ids):
        raise DataError(
            "The predictions are not of the frames that this fold tests.",
            where=path,
            hint="the frames have changed since: start a new run",
        )


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
        probabilities=probabilities(predicted, plan.benchmark.aus),
        prevalence=statistics["train_positives"].to_numpy() / frames,
        words=words,
        texts=_texts(plan, inputs, fold, predicted),
    )


def probabilities(table: pa.Table, aus: Sequence[str]) -> np.ndarray:
    """Return the columns of probabilities, float [N, A]."""
    return np.stack([table[au].to_numpy() for au in aus], axis=1)


def _texts(plan: Plan, inputs: Inputs, fold: int, predicted: pa.Table) -> TextFigures | None:
    """Measure the fold's descriptions, where there are any and the templates are at hand."""
    if not _is_described(predicted) or not _shipped(inputs):
        return None
    aus, written = plan.benchmark.aus, is_described(predicted).combine_chunks()
    rows = pa.array(np.flatnonzero(inputs.tested_by(fold))).filter(written)
    truth = inputs.frames.select(aus).take(rows)
    captions = inputs.captions.take(rows)
    for name in (*aus, "face"):
        truth = truth.append_column(f"{name}_caption", captions[name])
    return text_figures(
        predicted.filter(written),
        truth,
        aus,
        threshold=plan.benchmark.metric.threshold,
        occurrence_at=plan.benchmark.occurrence_at,
        language=inputs.provenance["captions"]["language"],
    )


def _is_described(predicted: pa.Table) -> bool:
    return any(name.endswith("_text") for name in predicted.schema.names)


def _shipped(inputs: Inputs) -> bool:
    """Whether the captions are of the templates that fauds ships, which alone can be read back."""
    made = inputs.provenance["captions"]
    language = made["language"]
    return language in languages() and made["templates"] == template_hash(language)


def _unread(inputs: Inputs, predictions: Iterable[pa.Table]) -> list[str]:
    if _shipped(inputs) or not any(map(_is_described, predictions)):
        return []
    return [
        "what generated descriptions assert: they follow templates that fauds does not ship, and "
        "are compared word for word alone"
    ]


def _sexes(inputs: Inputs) -> dict[str, str | None]:
    columns = (inputs.frames[name].cast(pa.string()).to_pylist() for name in ("subject", "sex"))
    return dict(zip(*columns, strict=True))


def _watched(plan: Plan, inputs: Inputs, fold: int, scores: score.FoldScores) -> Watched:
    """Return what the fold predicted after every epoch; empty where nothing was watched."""
    settings = plan.settings.training
    validates = inputs.validates(fold, settings.validation_subjects, settings.seed)
    folder = plan.folder / f"fold{fold}"
    aus, ids = plan.benchmark.aus, inputs.faces.frame_ids
    return Watched(
        labels=scores.labels,
        last=scores.probabilities,
        epochs=_epochs(folder / TEST, ids[inputs.tested_by(fold)], aus),
        validation_labels=inputs.faces.labels[validates],
        validation=_epochs(folder / VALIDATION, ids[validates], aus),
    )


def _epochs(folder: Path, frame_ids: np.ndarray, aus: Sequence[str]) -> dict[int, np.ndarray]:
    found = {}
    for path in folder.glob("epoch*.parquet"):
        table = store.read_table(path)
        _check_frames(table, frame_ids, path)
        found[int(path.stem.removeprefix("epoch"))] = probabilities(table, aus)
    return found


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

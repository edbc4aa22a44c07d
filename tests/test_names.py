"""Names in files that users rely on: columns of tables, metrics, and files of a run."""

import json
from pathlib import Path
from shutil import copytree

import pyarrow.parquet as pq
import pytest

from fauds.evaluation import results as results_file
from fauds.tables import schemas, store

AUS = ("AU01", "AU12")


def run_of(work: Path) -> Path:
    (run,) = (work / "bp4d" / "runs").iterdir()
    return run


def test_columns_of_tables_keep_their_names():
    frames = ["frame_id", "key", "subject", "task", "frame", "sex", "image", *AUS, "AU12_intensity"]
    assert schemas.frames_schema(AUS, ("AU12",)).names == frames
    assert schemas.captions_schema(AUS).names == ["frame_id", *AUS, "face"]
    assert schemas.PHRASES_SCHEMA.names == [
        *("phrase_id", "scope", "au", "state", "variant", "text", "tokens", "beside", "decides")
    ]
    assert schemas.VOCABULARY_SCHEMA.names == ["scope", "id", "token", "space", "count"]
    assert schemas.FOLDS_SCHEMA.names == ["subject", "fold", "protocol"]
    assert schemas.FOLD_STATISTICS_SCHEMA.names == [
        *("fold", "au", "train_frames", "train_positives", "test_frames", "test_positives"),
        "weight",
    ]
    keys = ["key", "subject", "task", "frame", "frame_id", "fold"]
    texts = ["AU01_text", "AU12_text", "face_text"]
    assert schemas.predictions_schema(AUS, texts).names == [*keys, *AUS, *texts]


@pytest.mark.slow
def test_files_of_a_run_and_metrics_keep_their_names(six_run):
    run = run_of(six_run)
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert {file for file in files if not file.startswith(("faces/", "."))} == {
        *("settings.yaml", "folds.parquet", "results.json", "gallery.parquet"),
        *("report.html", "report.md"),
        *(
            f"fold{fold}/{name}"
            for fold in (1, 2)
            for name in (
                *("weights.safetensors", "predictions.parquet", "log.jsonl", "measured.json"),
                *("features.parquet", "attention.parquet"),
            )
        ),
    }
    metrics = {row.metric for row in results_file.read(run).metrics}
    assert metrics >= {
        *("f1", "accuracy", "precision", "recall", "balanced_f1", "skew_f1", "f1_variance"),
        *("always_active_f1", "prevalence_f1", "auc", "average_precision", "calibration_error"),
        *("local_word_top5", "global_word_top5", "local_word_top5_no_image"),
        *("global_word_top5_no_image", "local_text_agreement", "local_text_f1", "local_bleu4"),
        *("local_rouge_l", "local_text_agreement_with_head", "local_unparsed"),
        *("global_text_f1", "global_unparsed", "text_contradictions"),
    }
    log = [json.loads(line) for line in (run / "fold1" / "log.jsonl").open()]
    assert {"epoch", "fau", "lgen", "ggen", "gau", "total", "learning_rate"} <= set(log[-1])


@pytest.mark.slow
def test_a_run_of_an_older_version_is_finished_with_the_same_figures(six_run, tmp_path, cli):
    """Older predictions have no key, and older measurements do not list what the model lacks."""
    work = Path(copytree(six_run, tmp_path / "work"))
    run = run_of(work)
    before = results_file.read(run)
    for fold in (1, 2):
        path = run / f"fold{fold}" / "predictions.parquet"
        meta = store.read_meta(path)
        store.write_table(path, pq.read_table(path).drop_columns("key"), meta)
        measured = json.loads((run / f"fold{fold}" / "measured.json").read_text())
        del measured["without"]
        (run / f"fold{fold}" / "measured.json").write_text(json.dumps(measured))
    for name in ("results.json", "gallery.parquet"):
        (run / name).unlink()
    cli.ok("bench", "--dataset", "bp4d", "--workdir", work, "--resume", run.name)
    after = results_file.read(run)
    assert after.metrics == before.metrics
    assert after.protocol_hash == before.protocol_hash
    plain = json.loads((run / "results.json").read_text())
    plain["summary"] |= {"local_word_top5": None, "global_word_top5": None}
    del plain["without"]
    (run / "results.json").write_text(json.dumps(plain))
    assert results_file.read(run).metrics == before.metrics
    cli.ok("report", run)

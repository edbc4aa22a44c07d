"""The names of all files in a workdir: a dataset's tables, a run's files and a fold's.

fauds-work/bp4d/            a dataset's folder: tables, crops and runs
fauds-work/bp4d/runs/NAME/  a run's folder
fauds-work/bp4d/runs/NAME/fold1/
"""

from pathlib import Path

FRAMES = "frames.parquet"
PHRASES = "phrases.parquet"
CAPTIONS = "captions.parquet"
VOCABULARY = "vocabulary.parquet"
FOLDS = "folds.parquet"
"""In a dataset's folder; a run keeps a copy."""
FACES = "faces.parquet"
PROTOCOL = "protocol.yaml"
"""A copy of the protocol's file, where the protocol is a user's own."""
RUNS = "runs"

SYNTHETIC_MARKER = "fauds-synthetic.json"
"""In the root of a release: marks it as synthetic, written by fauds."""

SETTINGS = "settings.yaml"
RESULTS = "results.json"
GALLERY = "gallery.parquet"
REPORT_MD = "report.md"
REPORT_HTML = "report.html"

WEIGHTS = "weights.safetensors"
LOG = "log.jsonl"
TENSORBOARD = "tensorboard"
MEASURED = "measured.json"
FEATURES = "features.parquet"
ATTENTION = "attention.parquet"
PREDICTIONS = "predictions.parquet"


def fold_folder(run: Path, fold: int) -> Path:
    """Return the folder of a fold in a run's folder."""
    return run / f"fold{fold}"


def dataset_folder(run: Path) -> Path:
    """Return the dataset's folder in whose ``runs`` a run lies."""
    return run.resolve().parent.parent

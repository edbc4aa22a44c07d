"""The names of the files in a workdir, by the folder that they are in::

fauds-work/bp4d/                    the folder of a dataset: tables, crops and runs
fauds-work/bp4d/runs/NAME/          the folder of a run
fauds-work/bp4d/runs/NAME/fold1/    the folder of a fold
"""

from pathlib import Path

FRAMES = "frames.parquet"
PHRASES = "phrases.parquet"
CAPTIONS = "captions.parquet"
VOCABULARY = "vocabulary.parquet"
FOLDS = "folds.parquet"
"""The folds in the folder of a dataset; the folder of a run has a copy."""
FACES = "faces.parquet"
PROTOCOL = "protocol.yaml"
"""A copy of the protocol's file, if the protocol is a user's."""
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
    """Return the path of a fold's folder in the folder of a run."""
    return run / f"fold{fold}"


def dataset_folder(run: Path) -> Path:
    """Return the path of the dataset's folder that a run belongs to."""
    return run.resolve().parent.parent

"""The names of the files in a workdir, the folder in which fauds keeps its results::

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
"""The table of folds in the folder of a dataset; the folder of each run has a copy of it."""
FACES = "faces.parquet"
PROTOCOL = "protocol.yaml"
"""A copy of the file of a user's own benchmark protocol, in the folder of the protocol's tables."""
RUNS = "runs"

SYNTHETIC_MARKER = "fauds-synthetic.json"
"""The name of a file that marks the folder it is in as a synthetic dataset, made by fauds."""

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
    """Return the path of a fold's folder in the folder of a run: ``RUN/fold1`` for fold 1."""
    return run / f"fold{fold}"


def dataset_folder(run: Path) -> Path:
    """Return the path of the folder of the dataset that a run belongs to.

    For the run ``fauds-work/bp4d/runs/NAME``, for example, this is ``fauds-work/bp4d``.
    """
    return run.resolve().parent.parent

"""results.json: one typed schema for its writer and its readers."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fauds import store
from fauds.errors import DataError

FILE = "results.json"
GALLERY = "gallery.parquet"
SETTINGS = "settings.yaml"
Unit = float | None
"""A figure from 0 to 1, None where it is undefined."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricRow(_Model):
    """One figure.

    Attributes:
        metric: f1, accuracy, always_active_f1, prevalence_f1, local_word_top5 ...
        scope: "fold" (one test part), "mean_of_folds" or "pooled" (all test frames at once).
        au: null for the mean over AUs, or where a metric has no AU.
        fold: of scope "fold".
        selection: how the epoch was chosen; "none" for figures that no training made.
        value, low, high: 0 to 1; low and high are null until intervals are computed.
        n: coded frames (over AUs: frames; for word metrics: words) that the figure rests on.
    """

    metric: str
    scope: Literal["fold", "mean_of_folds", "pooled"]
    au: str | None
    fold: int | None
    selection: str
    value: Unit
    low: Unit = None
    high: Unit = None
    n: int


class Summary(_Model):
    """The headline figures, means over folds, each 0 to 1."""

    f1: Unit
    accuracy: Unit
    always_active_f1: Unit
    local_word_top5: Unit
    global_word_top5: Unit


class Protocol(_Model):
    """What was tested on what."""

    folds: str
    test_subjects: dict[int, list[str]]
    aus: list[str]
    occurrence: str
    threshold: float
    selection: str
    alignment: str
    frame_set: str


class Results(_Model):
    """A finished run.

    Attributes:
        protocol_hash: SHA-256 of `protocol`.
        settings: the resolved settings, whole.
        pretraining: what the backbone had learnt before, in words.
        command: what repeats the run, once the tables are there.
        frames_fingerprint: see `fauds.bench.score.frame_set_fingerprint`.
        frames_offered: coded frames; frames_without_image: by subject, those left out.
        undefined: figures that are left out of means, in words.
        seconds: training and testing of all folds, as far as not repeated after a stop.
        computed_on: device, precision and processes of each fold's testing, each once.
        provenance: reading options, differences from published counts, caption settings.
    """

    benchmark: str
    benchmark_version: int
    protocol: Protocol
    protocol_hash: str
    synthetic: bool
    model: str
    preset: str
    settings: dict[str, Any]
    seeds: list[int]
    pretraining: str
    versions: dict[str, str]
    command: str
    frames_fingerprint: str
    frames_offered: int
    frames_scored: int
    frames_without_image: dict[str, int]
    undefined: list[str]
    seconds: float
    computed_on: list[str]
    provenance: dict[str, Any]
    metrics: list[MetricRow]
    summary: Summary

    def value(
        self, metric: str, scope: str, au: str | None = None, fold: int | None = None
    ) -> Unit:
        """Return one figure; None where it is undefined or not there."""
        wanted = (metric, scope, au, fold)
        for row in self.metrics:
            if (row.metric, row.scope, row.au, row.fold) == wanted:
                return row.value
        return None

    @property
    def folds(self) -> list[int]:
        """The folds that were run."""
        return sorted({row.fold for row in self.metrics if row.fold is not None})


def write(folder: Path, results: Results) -> None:
    """Write results.json into a run's folder."""
    store.write_json(folder / FILE, results.model_dump(mode="json"))


def read(folder: Path) -> Results:
    """Read results.json of a run.

    Raises:
        DataError: it is not there, or not of this schema.
    """
    path = folder / FILE
    try:
        return Results.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        if not (folder / SETTINGS).exists():
            raise DataError(
                "This folder holds no run.",
                where=folder,
                hint="name one of WORKDIR/DATASET/runs/",
            ) from error
        raise DataError(
            "This run has no results yet.",
            where=path,
            hint=f"finish it: fauds bench --resume {folder.name}, with its --dataset and --workdir",
        ) from error
    except (ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"The file is not results of this fauds: {first}.", where=path) from error

"""results.json: one typed schema for its writer and its readers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from fauds.errors import DataError, UsageError
from fauds.metrics.resampling import Additive
from fauds.tables import store
from fauds.tables.paths import RESULTS, SETTINGS
from fauds.targets import TARGETS
from fauds.targets.base import Target
from fauds.targets.occurrence import Occurrence

Outcomes = tuple[NonNegativeInt, ...]
"""Of one subject and name: how many frames had each outcome, as the target lists them."""


@dataclass(frozen=True)
class BySubject:
    """Counts of G subjects.

    Attributes:
        counts: [G, ...], as the target counts.
        folds: the fold that tested each subject, int64 [G].
        subjects: their ids, in the order of fold and id.
        sexes: "F" or "M" of each; "" where it is not known.
    """

    counts: Additive
    folds: np.ndarray
    subjects: tuple[str, ...]
    sexes: tuple[str, ...]


def by_subject(
    target: Target,
    labels: np.ndarray,
    decisions: np.ndarray,
    folds: np.ndarray,
    subjects: np.ndarray,
    sexes: Mapping[str, str | None],
) -> BySubject:
    """Count the decisions about every subject's frames.

    Args:
        labels: of the target, [N, ...]; decisions: bool [N, A].
        folds: the fold that tested each frame, int [N]; subjects: whose it is, str [N].
        sexes: "F" or "M" of the subjects of whom it is known.
    """
    whose = np.rec.fromarrays([np.asarray(folds, np.int64), np.asarray(subjects, np.str_)])
    groups, of = np.unique(whose, return_inverse=True)
    names = tuple(groups["f1"].tolist())
    return BySubject(
        counts=target.count_by(labels, decisions, of, len(groups)),
        folds=groups["f0"],
        subjects=names,
        sexes=tuple(sexes.get(name) or "" for name in names),
    )


class SubjectCounts(BaseModel):
    """The same as it stands in results.json.

    Attributes:
        folds: fold, subject, name (AU or class) to its outcomes; of AU occurrence tp, fp, fn, tn.
        sexes: "F" or "M" of the subjects of whom it is known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folds: dict[int, dict[str, dict[str, Outcomes]]]
    sexes: dict[str, str] = {}

    @classmethod
    def of(cls, counted: BySubject, target: Target) -> "SubjectCounts":
        """Return counts as results.json holds them."""
        outcomes = target.outcomes(counted.counts).tolist()
        folds: dict[int, dict[str, dict[str, Outcomes]]] = {}
        for fold, name, row in zip(counted.folds.tolist(), counted.subjects, outcomes, strict=True):
            by_name = dict(zip(target.names, map(tuple, row), strict=True))
            folds.setdefault(fold, {})[name] = by_name
        known = zip(counted.subjects, counted.sexes, strict=True)
        return cls(folds=folds, sexes={name: sex for name, sex in known if sex})

    def grouped(self, target: Target) -> BySubject:
        """Return the counts as arrays.

        Raises:
            ValueError: they are not of this target's outcomes.
        """
        rows = [
            (fold, name, [outcomes[name_] for name_ in target.names])
            for fold, subjects in sorted(self.folds.items())
            for name, outcomes in sorted(subjects.items())
        ]
        names = tuple(name for _, name, _ in rows)
        return BySubject(
            counts=target.counts_from(np.array([row for _, _, row in rows], np.int64)),
            folds=np.array([fold for fold, _, _ in rows], np.int64),
            subjects=names,
            sexes=tuple(self.sexes.get(name, "") for name in names),
        )


_AGAIN = "copy it again from where it was written, or run or score again"
ELSEWHERE = "elsewhere"
"""Preset and selection of predictions that this fauds did not make."""
Fraction = float | None
"""A figure from 0 to 1, None where it is undefined."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricRow(_Schema):
    """One figure.

    Attributes:
        metric: f1, accuracy, always_active_f1, auc ..., and the model's own measures.
        scope: "fold" (one test part), "mean_of_folds", "pooled" (all test frames at once), "sex"
            (all test frames of one sex) or "subject" (those of one subject).
        au: the name (AU or class); null over all of them, or where a metric has no name.
        fold: of scope "fold".
        group: "F" or "M", or the subject's id.
        selection: how the epoch was chosen: "last", "validation", "best_test_epoch",
            "best_test_threshold", "best_test_epoch_and_threshold"; "none" for figures that no
            training made; "elsewhere" for predictions made elsewhere.
        value: 0 to 1; intensity_icc and intensity_pcc -1 to 1, intensity_mae in intensity levels.
        low, high: the interval of `Results.uncertainty`; null where none is computed.
        n: coded frames (over AUs: frames; of words: words; of texts: texts) that it rests on.
    """

    metric: str
    scope: Literal["fold", "mean_of_folds", "pooled", "sex", "subject"]
    au: str | None
    fold: int | None
    group: str | None = None
    selection: str
    value: Fraction
    low: Fraction = None
    high: Fraction = None
    n: int


class Uncertainty(_Schema):
    """How the intervals of the rows were made; `note` says in words what they are of."""

    method: str
    resamples: int
    level: float
    seed: int
    unit: Literal["subject"] = "subject"
    note: str


class Optimism(_Schema):
    """The headline's figure under another selection, and how much higher that is.

    `f1`: the mean F1 over AUs, or the first of the statistics of another target.
    """

    selection: str
    f1: Fraction
    headline: Fraction
    difference: float | None


class MissingFrames(_Schema):
    """Frames of the protocol that predictions made elsewhere lack.

    Attributes:
        rule: what was done with them: they are not scored, or are scored as inactive.
        frames: how many, by subject.
    """

    rule: Literal["refuse", "drop", "inactive"]
    frames: dict[str, int]


class Protocol(_Schema):
    """What was tested on what.

    Attributes:
        aus: the names that scores were given for: action units, or classes.
        occurrence: the rule by which action units occur; "" of other targets.
        target: the target as a protocol declares it; None of AU occurrence, which `aus` and
            `occurrence` declare.
    """

    folds: str
    test_subjects: dict[int, list[str]]
    aus: list[str]
    occurrence: str
    threshold: float
    selection: str
    alignment: str
    frame_set: str
    target: dict[str, Any] | None = None

    @model_serializer(mode="wrap")
    def _without_empty_target(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if self.target is None:
            # The hash of a protocol of AU occurrence stays what it was before there were others.
            values.pop("target", None)
        return values

    @cached_property
    def predicts(self) -> Target:
        """The target.

        Raises:
            UsageError: it is of a kind that is not installed here.
        """
        if self.target is None:
            return Occurrence(aus=tuple(self.aus), rule=self.occurrence)
        return TARGETS[str(self.target.get("kind"))].model_validate(self.target)


class Results(_Schema):
    """A finished run.

    Attributes:
        protocol_hash: SHA-256 of `protocol`.
        settings: the resolved settings, whole.
        pretraining: what the backbone had learnt before, in words.
        command: what repeats the run, once the tables are there.
        frames_fingerprint: see `fauds.evaluation.frame_set_fingerprint`.
        frames_offered: coded frames of all subjects that folds test.
        frames_without_image: by subject, those left out.
        undefined: figures that are left out of means, in words.
        seconds: training and testing of all folds, as far as not repeated after a stop.
        computed_on: device, precision and processes of each fold's testing, each once.
        provenance: reading options, differences from published counts, caption settings.
        uncertainty: of the rows' intervals.
        chosen: fold, selection to the epoch and the threshold that it chose.
        optimism: what choosing the epoch or the threshold otherwise would have claimed.
        subject_counts: of the headline's decisions, for paired tests and other intervals.
        missing: of predictions made elsewhere.
        without: what the model does not give (descriptions, attention maps, ...) to the reason.

    What an older fauds did not write is null or empty.
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
    computed_on: list[str] = []
    provenance: dict[str, Any]
    metrics: list[MetricRow]
    summary: dict[str, Fraction]
    uncertainty: Uncertainty | None = None
    chosen: dict[int, dict[str, dict[str, float]]] = {}
    optimism: list[Optimism] = []
    subject_counts: SubjectCounts | None = None
    missing: MissingFrames | None = None
    without: dict[str, str] = {}

    def row(
        self,
        metric: str,
        scope: str,
        au: str | None = None,
        fold: int | None = None,
        *,
        group: str | None = None,
        selection: str | None = None,
    ) -> MetricRow | None:
        """Return one figure's row; None where it is not there.

        Args:
            selection: None for the headline's, or "none" of figures that no training made.
        """
        wanted = (metric, scope, au, fold, group)
        chosen = (self.protocol.selection, "none") if selection is None else (selection,)
        for row in self.metrics:
            if row.metric != metric or row.selection not in chosen:
                continue
            if (row.metric, row.scope, row.au, row.fold, row.group) == wanted:
                return row
        return None

    def value(
        self, metric: str, scope: str, au: str | None = None, fold: int | None = None
    ) -> Fraction:
        """Return one figure of the headline's selection; None where undefined or not there."""
        found = self.row(metric, scope, au, fold)
        return found.value if found else None

    @property
    def folds(self) -> list[int]:
        """The folds that were run."""
        return sorted({row.fold for row in self.metrics if row.fold is not None})


def write(folder: Path, results: Results) -> None:
    """Write results.json into a run's folder."""
    store.write_json(folder / RESULTS, results.model_dump(mode="json"))


def read(folder: Path) -> Results:
    """Read results.json of a run.

    Raises:
        DataError: it is not there, or not of this schema.
    """
    path = folder / RESULTS
    if path.exists():
        return read_file(path)
    if not (folder / SETTINGS).exists():
        raise DataError(
            "This folder holds no run.",
            where=folder,
            hint="name one of WORKDIR/DATASET/runs/",
        )
    raise DataError(
        "This run has no results yet.",
        where=path,
        hint="finish it: fauds results, with its --workdir, says by which command",
    )


def read_file(path: Path) -> Results:
    """Read a results file, wherever it lies.

    Raises:
        DataError: it cannot be read, is not of this schema, or its counts are not its protocol's.
    """
    try:
        results = Results.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror}.", where=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or "the whole"
        raise DataError(
            f"The file is not results of this fauds: {at}: {first['msg']}.", where=path, hint=_AGAIN
        ) from error
    except ValueError as error:
        first_line = str(error).splitlines()[0]
        raise DataError(
            f"The file is not results of this fauds: {first_line}.", where=path, hint=_AGAIN
        ) from error
    try:
        # A kind of target that is not installed is told before anything asks for it.
        _ = results.protocol.predicts
    except (UsageError, ValidationError) as error:
        what = error.what if isinstance(error, UsageError) else str(error).splitlines()[0]
        raise DataError(
            f"What these results predict is not known here: {what}",
            where=path,
            hint="install the package that adds this kind of target",
        ) from error
    if results.subject_counts is not None and not _fit(results.subject_counts, results.protocol):
        raise DataError(
            "The counts by subject are not of the file's own protocol.", where=path, hint=_AGAIN
        )
    return results


def _fit(counts: SubjectCounts, protocol: Protocol) -> bool:
    """Whether every fold has counts, of its own subjects alone, all of them of its names."""
    names = set(protocol.aus)
    fits = counts.folds.keys() == protocol.test_subjects.keys() and all(
        subjects
        and subjects.keys() <= set(protocol.test_subjects[fold])
        and all(outcomes.keys() == names for outcomes in subjects.values())
        for fold, subjects in counts.folds.items()
    )
    if not fits:
        return False
    try:
        counts.grouped(protocol.predicts)
    except ValueError:
        return False
    return True

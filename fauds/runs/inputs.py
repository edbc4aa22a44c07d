"""The tables of a dataset's folder as the arrays that all folds of a run share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.caption_tables import NO_CAPTIONS
from fauds.captions.templates import languages, template_hash
from fauds.captions.vocabulary import Words
from fauds.errors import DataError, UsageError
from fauds.faces.frame_images import FaceImages, find_face_images
from fauds.protocols import folds as folding
from fauds.runs.plan import Plan
from fauds.tables import store
from fauds.tables.frames import frame_set_fingerprint, read_keyed
from fauds.tables.paths import CAPTIONS, FOLDS, FRAMES, PHRASES, VOCABULARY
from fauds.targets.base import Target
from fauds.training.face_set import FaceSet, FrameCaptions, captions_of, face_set


@dataclass(frozen=True)
class CaptionTables:
    """The tables of captions that a run reads.

    Attributes:
        captions: captions.parquet's rows of the run's frames.
        phrases, vocabulary: the tables beside it.
        settings: what they were made with.
    """

    captions: pa.Table
    phrases: pa.Table
    vocabulary: pa.Table
    settings: dict[str, Any]

    @property
    def readable(self) -> bool:
        """Whether they follow templates that fauds ships, which alone can be read back."""
        language = self.settings["language"]
        shipped = language in languages()
        return shipped and self.settings["templates"] == template_hash(language)

    def tokens(self, names: Sequence[str]) -> FrameCaptions:
        """Return the captions as tokens; `names`: the columns of local ones."""
        return captions_of(self.captions, self.phrases, self.vocabulary, names)

    def words(self) -> dict[str, Words]:
        """Return the vocabulary of each scope."""
        return {scope: Words.from_table(self.vocabulary, scope) for scope in ("local", "global")}


@dataclass(frozen=True)
class Inputs:
    """What a run reads.

    Attributes:
        target: what the protocol predicts.
        made_from: fingerprints of the content that decides what is learnt and scored.
        provenance: what frames and captions were made with, for results.json.
        synthetic: whether the dataset is.
        found: the frames that have a face image, in the order of `faces`, and how it was made.
        offered: how many coded frames the tested subjects have, with an image or without.
        captions: None where the model needs none.
    """

    target: Target
    made_from: dict[str, str]
    provenance: dict[str, Any]
    synthetic: bool
    found: FaceImages
    offered: int
    folds: pa.Table
    statistics: pa.Table
    faces: FaceSet
    captions: CaptionTables | None

    @property
    def frames(self) -> pa.Table:
        """The frames that have a face image, in the order of `faces`."""
        return self.found.frames

    def tested_by(self, fold: int) -> np.ndarray:
        """Return which frames a fold tests, bool [N]."""
        return np.isin(self.faces.subjects, self.subjects(fold))

    def subjects(self, fold: int) -> list[str]:
        """Return the subjects that a fold tests, sorted."""
        mine = self.folds.filter(pc.equal(self.folds["fold"], fold))
        return sorted(mine["subject"].to_pylist())

    def training_statistics(self, fold: int) -> pa.Table:
        """Return the fold's rows of the fold statistics, in the order of the AUs."""
        return self.statistics.filter(pc.equal(self.statistics["fold"], fold))

    def validates(self, fold: int, count: int, seed: int) -> np.ndarray:
        """Return the frames of `count` training subjects that are not trained on, bool [N].

        They are drawn from (seed, fold).

        Raises:
            UsageError: that would leave no subject to train on.
        """
        subjects = np.unique(self.faces.subjects[~self.tested_by(fold)])
        if count >= len(subjects) > 0:
            raise UsageError(
                f"{count} validation subjects leave none of the {len(subjects)} training subjects "
                f"of fold {fold}.",
                where="training.validation_subjects",
            )
        drawn = np.random.default_rng([seed, fold]).permutation(subjects)[:count]
        return np.isin(self.faces.subjects, drawn)

    def class_weights(self, fold: int, learns: np.ndarray, rule: str) -> np.ndarray:
        """Return the class weights, float64 [A], scaled to mean 1 or (``sum1``) to sum 1.

        Args:
            learns: the frames that are trained on, bool [N].

        Raises:
            DataError: an AU is never active in them, or a class has no frame.
        """
        labels = self.target.indicators(self.faces.labels[learns])
        positives = (labels == 1).sum(axis=0)
        weights = self.target.class_weights((labels >= 0).sum(axis=0), positives)
        names = zip(self.target.names, weights, strict=True)
        missing = [name for name, weight in names if np.isnan(weight)]
        if missing:
            raise DataError(
                f"The training part of fold {fold} has no frame with {', '.join(missing)} "
                f"{'active' if self.target.form == 'multilabel' else 'as its label'}: the class "
                "weight is undefined.",
                where=FOLDS,
                hint="use more subjects or frames, or other folds",
            )
        return weights / weights.sum() if rule == "sum1" else weights


def load(tables: Path, plan: Plan) -> Inputs:
    """Read a dataset's folder for a run.

    Raises:
        DataError: frames without images, captions of other frames, folds that are not whole, or a
            model that needs what the tables do not hold.
    """
    target, needs = plan.benchmark.target, plan.family.needs
    path = tables / FRAMES
    meta = store.read_meta(path)
    keys = ["frame_id", "subject", "task", "frame", "sex", "image"]
    frames = read_keyed(path, [*keys, *target.columns])
    counts = folding.count_subjects(frames, target)
    folds = _folds(tables, plan)
    folding.check(folds, counts.subjects, where=plan.folder / FOLDS)
    found = find_face_images(tables, frames, meta, plan.faces, plan.benchmark.alignment)
    if "landmarks" in needs:
        raise DataError(
            f"{plan.model} needs landmarks, which no table of {plan.benchmark.name} keeps.",
            where=tables,
            hint="name a model that needs none: fauds bench --list",
        )
    captions = caption_tables(tables, found.frames) if "captions" in needs else None
    made_from = {
        "frames and labels": frame_set_fingerprint(found.frames, target.columns),
        "faces": store.fingerprint(dict(found.alignment), found.made_with, found.crops),
    }
    tokens = None
    if captions is not None:
        made_from["captions"] = store.fingerprint(
            captions.phrases.to_pydict(), captions.vocabulary.to_pydict()
        )
        tokens = captions.tokens(target.described)
    return Inputs(
        target=target,
        made_from=made_from,
        provenance={
            "reading": meta["settings"],
            "differences": meta["differences"],
            "captions": NO_CAPTIONS if captions is None else captions.settings,
            "faces": found.made_with,
            "lost": found.lost,
        },
        synthetic=meta["synthetic"],
        found=found,
        offered=folding.offered(counts, folds),
        folds=folds,
        statistics=_statistics(found.frames, folds, target),
        faces=face_set(found.frames, found.root, target.labels(found.frames), tokens),
        captions=captions,
    )


def caption_tables(tables: Path, frames: pa.Table) -> CaptionTables:
    """Read the tables of captions of a dataset's folder, for some of its frames.

    Raises:
        DataError: a table is missing, or lacks some of the frames.
    """
    path = tables / CAPTIONS
    return CaptionTables(
        captions=_of_frames(store.read_table(path), frames),
        phrases=store.read_table(tables / PHRASES),
        vocabulary=store.read_table(tables / VOCABULARY),
        settings=store.read_meta(path)["settings"],
    )


def _folds(tables: Path, plan: Plan) -> pa.Table:
    """Return the run's own folds; a new run's are the dataset's."""
    path = (plan.folder if plan.begun else tables) / FOLDS
    return store.read_table(path).replace_schema_metadata(None)


def copy_folds(tables: Path, plan: Plan) -> None:
    """Copy the dataset's folds into a run that is about to begin."""
    if not plan.begun:
        source = tables / FOLDS
        store.write_table(plan.folder / FOLDS, store.read_table(source), store.read_meta(source))


def _statistics(frames: pa.Table, folds: pa.Table, target: Target) -> pa.Table:
    return folding.statistics(folding.count_subjects(frames, target), folds, target)


def _of_frames(captions: pa.Table, frames: pa.Table) -> pa.Table:
    place = pc.index_in(frames["frame_id"], captions["frame_id"])
    if place.null_count:
        raise DataError(
            "captions.parquet has not all frames of frames.parquet.",
            hint="run fauds build-captions again",
        )
    return captions.take(place)


def wanted_folds(plan: Plan, inputs: Inputs) -> list[int]:
    """Return the folds to run, after checking that each can be.

    Raises:
        UsageError: a fold was asked for that does not exist.
        DataError: a fold has nothing to test, or an AU that is never active in training.
    """
    there = folding.tested(inputs.folds)
    wrong = sorted(set(plan.folds) - set(there))
    if wrong:
        raise UsageError(f"There is no fold {wrong[0]}.", where="--fold", hint=f"there is: {there}")
    wanted = sorted(set(plan.folds)) or there
    for fold in wanted:
        test = inputs.tested_by(fold)
        if not test.any() or test.all():
            part = "training part" if test.all() else "test part"
            raise DataError(
                f"No frame of fold {fold}'s {part} has a face image "
                f"(it tests {', '.join(inputs.subjects(fold))}).",
                where=plan.faces or inputs.provenance["reading"]["root"],
                hint="add their images, or make folds of the subjects that have some",
            )
        training = plan.settings.training
        validates = inputs.validates(fold, training.validation_subjects, training.seed)
        inputs.class_weights(fold, ~test & ~validates, training.class_weights)
    return wanted

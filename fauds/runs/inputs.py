"""Reads the frames, folds and captions of a run from the tables of a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.candidates import WORDING
from fauds.captions.caption_tables import NO_CAPTIONS
from fauds.captions.templates import languages, template_hash
from fauds.captions.vocabulary import Words
from fauds.errors import DataError, UsageError
from fauds.faces.frame_images import FaceImages, face_landmarks, find_face_images
from fauds.protocols import folds as folding
from fauds.runs.plan import Plan
from fauds.tables import store
from fauds.tables.frames import (
    frame_set_fingerprint,
    read_keyed,
    split_groups,
)
from fauds.tables.paths import CAPTIONS, FOLDS, FRAMES, PHRASES, VOCABULARY
from fauds.targets.base import Target
from fauds.training.face_set import FaceSet, FrameCaptions, captions_of, face_set


@dataclass(frozen=True)
class CaptionTables:
    """The tables of captions that a run reads.

    Attributes:
        captions: the rows of captions.parquet for the frames of the run.
        phrases: the table phrases.parquet, which has one row for each distinct caption.
        vocabulary: the table vocabulary.parquet, which has one row for each word.
        settings: the settings that the captions were built with.
    """

    captions: pa.Table
    phrases: pa.Table
    vocabulary: pa.Table
    settings: dict[str, Any]

    @property
    def can_be_read_back(self) -> bool:
        """Whether the AU labels can be read from the captions.

        They can if the captions were made with the templates that are shipped with fauds. A
        template is the text of a caption with placeholders for words that depend on the labels.
        """
        language = self.settings["language"]
        shipped = language in languages()
        return shipped and self.settings["templates"] == template_hash(language)

    def tokens(self, names: Sequence[str]) -> FrameCaptions:
        """Return the captions of the frames as tokens.

        Args:
            names: the AUs that have captions of their own, which are columns of `captions`.
        """
        return captions_of(self.captions, self.phrases, self.vocabulary, names)

    @property
    def wording(self) -> dict[str, Any]:
        """The settings on which the wording of the captions depends, see `WORDING`."""
        older = {"style": "plain", "occurrence_at": None}
        return {name: (older | self.settings)[name] for name in WORDING}

    def words(self) -> dict[str, Words]:
        """Return the vocabularies of "local" (of one AU) and "global" (of the face) captions."""
        return {scope: Words.from_table(self.vocabulary, scope) for scope in ("local", "global")}


@dataclass(frozen=True)
class Inputs:
    """The N frames of a run, each of which has a face image, with their folds and captions.

    Attributes:
        target: what models predict: the AUs, or classes such as expressions, and their labels.
        made_from: the fingerprints (hashes) of the frames, faces and captions that training and
            scores depend on, by name.
        provenance: the settings with which the frames, faces and captions were prepared, for
            results.json.
        synthetic: whether the dataset is synthetic.
        face_images: the table of the frames that have a face image, in the order of `faces`, and
            how the images were made.
        coded_frames: the number of coded frames of the tested subjects, with or without an image.
        folds: the table of folds: the subjects that each fold tests.
        statistics: a table with one row for each fold and AU: the number of coded and of active
            frames for training and for testing, and the class weight.
        faces: the frames that have a face image, as arrays.
        captions: the tables of captions; None if the model needs no captions.
    """

    target: Target
    made_from: dict[str, str]
    provenance: dict[str, Any]
    synthetic: bool
    face_images: FaceImages
    coded_frames: int
    folds: pa.Table
    statistics: pa.Table
    faces: FaceSet
    captions: CaptionTables | None

    @property
    def frames(self) -> pa.Table:
        """The table of the frames that have a face image, in the order of `faces`."""
        return self.face_images.frames

    def test_frames(self, fold: int) -> np.ndarray:
        """Return, for each of the N frames, whether a fold tests the model on it, bool [N]."""
        return np.isin(split_groups(self.frames), self.subjects(fold))

    def subjects(self, fold: int) -> list[str]:
        """Return the names of the subjects (persons) that a fold tests, sorted.

        If the subjects are unknown, this is the part of the release's own split, "test".
        """
        rows = self.folds.filter(pc.equal(self.folds["fold"], fold))
        return sorted(rows["subject"].to_pylist())

    def training_statistics(self, fold: int) -> pa.Table:
        """Return the label statistics of a fold, a table with one row for each AU or class.

        The columns are the number of coded and of active frames, for training and for testing, and
        the class weight.
        """
        return self.statistics.filter(pc.equal(self.statistics["fold"], fold))

    def validation_frames(self, fold: int, count: int, seed: int) -> np.ndarray:
        """Return, for each of the N frames, whether it shows a validation subject, bool [N].

        The validation subjects of a fold are chosen at random among the subjects that the fold does
        not test. The model is not trained on their frames. If the subjects are unknown,
        single images are chosen.

        Args:
            fold: the number of the fold.
            count: the number of validation subjects, or of images if the subjects are unknown.
            seed: the seed of the random choice, used together with the fold.

        Raises:
            UsageError: no subject would be left to train on.
        """
        subjects = np.unique(self.faces.subjects[~self.test_frames(fold)])
        if count >= len(subjects) > 0:
            raise UsageError(
                f"With {count} validation subjects, none of the {len(subjects)} training subjects "
                f"of fold {fold} are left to train on.",
                where="training.validation_subjects",
                hint=f"set training.validation_subjects to at most {len(subjects) - 1}",
            )
        chosen = np.random.default_rng([seed, fold]).permutation(subjects)[:count]
        return np.isin(self.faces.subjects, chosen)

    def class_weights(self, fold: int, training_frames: np.ndarray, rule: str) -> np.ndarray:
        """Return the weight of each AU or class in the loss of a fold, float64 [A].

        Args:
            fold: the number of the fold.
            training_frames: bool [N], whether the fold trains on each frame.
            rule: the scale of the weights: "mean1" for a mean of 1, "sum1" for a sum of 1; "none"
                for equal weights of 1.

        Raises:
            DataError: an AU is never active in the frames that the fold trains on, or a class has
                no frame among them, so that its weight is not defined.
        """
        if rule == "none":
            return np.ones(len(self.target.names))
        labels = self.target.indicators(self.faces.labels[training_frames])
        positives = (labels == 1).sum(axis=0)
        weights = self.target.class_weights((labels >= 0).sum(axis=0), positives)
        names = zip(self.target.names, weights, strict=True)
        missing = [name for name, weight in names if np.isnan(weight)]
        if missing:
            raise DataError(
                f"The training part of fold {fold} has no frame with {', '.join(missing)} "
                f"{'active' if self.target.form == 'multilabel' else 'as its label'}, so that the "
                "class weight is undefined.",
                where=FOLDS,
                hint="use more subjects or frames, or other folds",
            )
        return weights / weights.sum() if rule == "sum1" else weights


def load(tables: Path, plan: Plan) -> Inputs:
    """Return the frames, folds and captions of a run, read from the tables of a dataset.

    Args:
        tables: the folder of the dataset's tables.
        plan: the plan of the run.

    Raises:
        DataError: images are missing, captions belong to other frames, folds are incomplete, or
            the tables lack something that the model needs.
    """
    target, needs = plan.benchmark.target, plan.needs
    path = tables / FRAMES
    meta = store.read_meta(path)
    keys = ["frame_id", "subject", "task", "frame", "sex", "image"]
    frames = read_keyed(path, [*keys, *target.columns])
    counts = folding.count_subjects(frames, target)
    folds = read_folds(tables, plan)
    folding.check_folds(folds, counts.subjects, where=plan.folder / FOLDS)
    images = find_face_images(tables, frames, meta, plan.faces, plan.benchmark.alignment)
    landmarks = None
    if "landmarks" in needs | plan.family.uses:
        landmarks = _landmarks(plan, images)
    captions = caption_tables(tables, images.frames) if "captions" in needs else None
    made_from = {
        "frames and labels": frame_set_fingerprint(images.frames, target.columns),
        "faces": store.fingerprint(dict(images.alignment), images.made_with, images.crops),
    }
    tokens = None
    if captions is not None:
        made_from["captions"] = store.fingerprint(
            captions.phrases.to_pydict(), captions.vocabulary.to_pydict()
        )
        tokens = captions.tokens(target.described_aus)
    return Inputs(
        target=target,
        made_from=made_from,
        provenance={
            "reading": meta["settings"],
            "differences": meta["differences"],
            "captions": NO_CAPTIONS if captions is None else captions.settings,
            "faces": images.made_with,
            "lost": images.lost,
        },
        synthetic=meta["synthetic"],
        face_images=images,
        coded_frames=folding.count_tested_frames(counts, folds),
        folds=folds,
        statistics=_statistics(images.frames, folds, target),
        faces=face_set(images.frames, images.root, target.labels(images.frames), tokens, landmarks),
        captions=captions,
    )


def _landmarks(plan: Plan, images: FaceImages) -> np.ndarray | None:
    """Return the landmarks of all frames that have a face image, float32 [N, 68, 2].

    The result is None if no landmarks are known and the model can do without them.

    Raises:
        DataError: no landmarks are known, but the model needs them.
    """
    landmarks = face_landmarks(images, images.frames)
    if landmarks is not None or "landmarks" not in plan.needs:
        return landmarks
    if plan.faces is not None:
        hint = "use the crops of fauds prepare, without --faces: they have landmarks"
    else:
        benchmark = plan.benchmark
        datasets = (benchmark.train, benchmark.test) if benchmark.is_joined else (benchmark.name,)
        commands = (f"fauds prepare --dataset {name} --detector dlib" for name in datasets)
        hint = f"run {' and '.join(commands)}"
    raise DataError(
        f"{plan.model} needs landmarks, but none are known of the faces of {plan.benchmark.name}.",
        where=images.root,
        hint=hint,
    )


def caption_tables(tables: Path, frames: pa.Table) -> CaptionTables:
    """Return the captions of frames, with their vocabulary, read from the tables of a dataset.

    Args:
        tables: the folder of the dataset's tables.
        frames: the table of the frames whose captions are read.

    Raises:
        DataError: a table is missing, or the table of captions lacks some of the frames.
    """
    path = tables / CAPTIONS
    return CaptionTables(
        captions=_captions_of_frames(store.read_table(path), frames),
        phrases=store.read_table(tables / PHRASES),
        vocabulary=store.read_table(tables / VOCABULARY),
        settings=store.read_meta(path)["settings"],
    )


def read_folds(tables: Path, plan: Plan) -> pa.Table:
    """Return the table of folds: for a resumed run its own copy, for a new run the dataset's.

    Args:
        tables: the folder of the dataset's tables.
        plan: the plan of the run.

    Raises:
        DataError: there is no table of folds, or it cannot be read.
    """
    path = (plan.folder if plan.exists else tables) / FOLDS
    return store.read_table(path).replace_schema_metadata(None)


def copy_folds(tables: Path, plan: Plan) -> None:
    """Copy the dataset's table of folds into the folder of a new run.

    For a run that is resumed, nothing is done.
    """
    if not plan.exists:
        source = tables / FOLDS
        store.write_table(plan.folder / FOLDS, store.read_table(source), store.read_meta(source))


def _statistics(frames: pa.Table, folds: pa.Table, target: Target) -> pa.Table:
    return folding.fold_statistics(folding.count_subjects(frames, target), folds, target)


def _captions_of_frames(captions: pa.Table, frames: pa.Table) -> pa.Table:
    positions = pc.index_in(frames["frame_id"], captions["frame_id"])
    if positions.null_count:
        raise DataError(
            f"captions.parquet has no captions for {positions.null_count:,} of the "
            f"{len(positions):,} frames with a face image.",
            where=CAPTIONS,
            hint="run fauds build-captions again",
        )
    return captions.take(positions)


def planned_folds(plan: Plan, folds: pa.Table) -> list[int]:
    """Return the numbers of all folds of a run, in ascending order.

    Args:
        plan: the plan of the run.
        folds: the table of folds: the subjects that each fold tests.

    Raises:
        UsageError: a fold that the user asked for does not exist, or is not one of the run that the
            user resumes.
    """
    existing = folding.fold_numbers(folds)
    if unknown := sorted(set(plan.folds) - set(existing)):
        raise UsageError(
            f"There is no fold {unknown[0]}.",
            where="--fold",
            hint=f"choose from: {', '.join(map(str, existing))}",
        )
    planned = sorted(set(plan.folds)) or existing
    if unknown := sorted(set(plan.only) - set(planned)):
        raise UsageError(
            f"Fold {unknown[0]} is not one of the run {plan.folder.name}.",
            where="--fold",
            hint=f"choose from: {', '.join(map(str, planned))}",
        )
    return planned


def check_folds(plan: Plan, inputs: Inputs, folds: Sequence[int]) -> None:
    """Check that each of these folds can be trained and tested.

    Raises:
        UsageError: no subject of a fold would be left to train on.
        DataError: a fold has no frames to train on or none to test, or an AU is never active in the
            frames that the fold trains on.
    """
    for fold in folds:
        test = inputs.test_frames(fold)
        if not test.any() or test.all():
            part = "training part" if test.all() else "test part"
            raise DataError(
                f"No frame of fold {fold}'s {part} has a face image "
                f"(the fold tests {', '.join(inputs.subjects(fold))}).",
                where=plan.faces or inputs.provenance["reading"]["root"],
                hint="add the images of these subjects, or make folds of subjects with images",
            )
        training = plan.settings.training
        validation = inputs.validation_frames(fold, training.validation_subjects, training.seed)
        inputs.class_weights(fold, ~test & ~validation, training.class_weights)

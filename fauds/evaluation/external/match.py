"""Matches predictions of other programs to the frames of a protocol."""

import re
import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.caption_tables import NO_CAPTIONS
from fauds.datasets import DATASETS
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError, UsageError
from fauds.evaluation.evaluate import GroundTruth, Predictions, RunDescription
from fauds.evaluation.external.frame_names import Sequences
from fauds.evaluation.external.read import ExternalPredictions, read
from fauds.evaluation.external.shift import label_shift
from fauds.evaluation.results import EXTERNAL, MissingFrames
from fauds.facs import intensity_column
from fauds.protocols import folds as folding
from fauds.protocols.benchmark import Benchmark
from fauds.tables import store
from fauds.tables.frames import UNKNOWN_SUBJECT, read_keyed, split_groups
from fauds.tables.paths import FOLDS, FRAMES
from fauds.targets.base import Target

Rule = Literal["refuse", "drop", "inactive"]
_LISTED = 5


@dataclass(frozen=True)
class FrameMatch:
    """Which prediction belongs to which frame of a protocol.

    Attributes:
        rows: the row numbers of the S scored frames in the table of all coded frames, ascending,
            int64 [S].
        trainable: the row numbers, in the same table, of the L frames that a fold may train on,
            int64 [L]: the scored frames, and the frames that no fold tests.
        source: for each scored frame, the row number of its prediction, int64 [S]; -1 for a frame
            without a prediction, which is scored as if no AU were active.
        missing: by subject, the number of the protocol's frames without a prediction.
        left_out: the number of predicted frames that are left out because they are not coded. Only
            programs that process whole sequences may predict such frames.
    """

    rows: np.ndarray
    trainable: np.ndarray
    source: np.ndarray
    missing: dict[str, int]
    left_out: int


def match_frames(
    external: ExternalPredictions, frames: pa.Table, folds: pa.Table, rule: Rule, where: object
) -> FrameMatch:
    """Find the prediction of every frame of the protocol.

    Args:
        external: the predictions as they were read.
        frames: a table of all coded frames, with the columns key, subject, task and frame, and
            split if the dataset has one.
        folds: the table of folds, already checked; frames of subjects in fold 0 are not tested.
        rule: how frames without a prediction are handled: "refuse" raises an error, "drop" leaves
            them out, "inactive" scores them as if no AU were active.
        where: the file or folder of the predictions, for the error message.

    Raises:
        DataError: a predicted frame is not part of the protocol, a frame is predicted twice, a
            model predicts a subject that it was trained on, a fold has no predictions, or a frame
            has no prediction and the rule is "refuse".
    """
    frame_keys, predicted_keys = _both_keys(external, frames)
    fold_of = dict(zip(folds["subject"].to_pylist(), folds["fold"].to_pylist(), strict=True))
    groups = split_groups(frames)
    fold = np.array([fold_of[name] for name in groups.tolist()])
    order = np.argsort(frame_keys)
    at = order[np.searchsorted(frame_keys[order], predicted_keys).clip(max=len(order) - 1)]
    belongs = (frame_keys[at] == predicted_keys) & (fold[at] > 0)
    left_out = _refuse_others(external, belongs, predicted_keys, frame_keys, where)
    _refuse_duplicates(external, predicted_keys, where)
    if external.folds is not None:
        own = external.folds[belongs], fold[at[belongs]], groups[at[belongs]]
        _refuse_trained_folds(*own, where)
    source = np.full(len(frame_keys), -1)
    source[at[belongs]] = np.flatnonzero(belongs)
    _refuse_empty_folds(fold[source >= 0], folds, where)
    tested = fold > 0
    subjects = pc.fill_null(frames["subject"].cast(pa.string()), UNKNOWN_SUBJECT)
    without = np.array(subjects.to_pylist(), np.str_)[tested & (source < 0)]
    missing = dict(sorted(Counter(without.tolist()).items()))
    if missing and rule == "refuse":
        raise _missing_error(missing, int(tested.sum()), where)
    scored = tested if rule == "inactive" else tested & (source >= 0)
    rows = np.flatnonzero(scored)
    return FrameMatch(rows, np.flatnonzero(scored | ~tested), source[rows], missing, left_out)


def _both_keys(external: ExternalPredictions, frames: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers that identify the frames of the dataset and those of the predictions, int64.

    Args:
        external: the predictions of M frames.
        frames: the table of the N frames of the dataset.

    Returns:
        The number of each frame of the dataset, [N], and of each predicted frame, [M], which is -1
        for a frame that the dataset cannot have.
    """
    if external.keys is not None:
        place = {key: row for row, key in enumerate(frames["key"].to_pylist())}
        predicted = [place.get(key, -1) for key in external.keys.tolist()]
        return np.arange(len(frames)), np.array(predicted, np.int64)
    ids, tasks = (_text(frames[name]) for name in ("subject", "task"))
    pairs = sorted(set(zip(ids.tolist(), tasks.tolist(), strict=True)))
    codes = {pair: code for code, pair in enumerate(pairs)}
    return (
        _keys(ids, tasks, frames["frame"].to_numpy().astype(np.int64), codes),
        _keys(external.subjects, external.tasks, external.frames, codes),
    )


def _text(column: pa.ChunkedArray) -> np.ndarray:
    return np.array(column.cast(pa.string()).to_pylist(), np.str_)


def _keys(
    subjects: np.ndarray, tasks: np.ndarray, frames: np.ndarray, codes: dict[tuple[str, str], int]
) -> np.ndarray:
    """Return an identifying number for each frame, int64.

    Args:
        subjects: the subject of each frame.
        tasks: the task of each frame.
        frames: the frame numbers.
        codes: by subject and task, the number of the sequence.

    Returns:
        The numbers; -1 for frames of unknown sequences and for impossible frame numbers.
    """
    pairs = zip(subjects.tolist(), tasks.tolist(), strict=True)
    code = np.array([codes.get(pair, -1) for pair in pairs], np.int64)
    outside = (code < 0) | (frames < 0) | (frames >= 2**31)
    return np.where(outside, -1, code * 2**31 + frames)


def _refuse_others(
    external: ExternalPredictions,
    belongs: np.ndarray,
    predicted_keys: np.ndarray,
    frame_keys: np.ndarray,
    where: object,
) -> int:
    """Raise an error if a predicted frame is not part of the protocol.

    Programs that process whole sequences may also predict frames that are not coded.

    Returns:
        The number of predicted frames that are left out because they are not coded.
    """
    others = ~belongs
    # A program that processes whole videos also predicts frames that are not coded.
    left_out = others & (predicted_keys >= 0) if external.tracked else np.zeros_like(others)
    wrong = others & ~left_out
    if wrong.any():
        rows = np.flatnonzero(wrong)
        hint = (
            "use the dataset's names of subjects and tasks, and its frame numbers (see fauds "
            "captions show); leave out frames that are not coded"
        )
        for shift, doing in ((1, "added to"), (-1, "subtracted from")):
            moved = np.where(predicted_keys < 0, -1, predicted_keys + shift)
            if external.keys is None and np.isin(moved, frame_keys).all():
                hint = f"all frames fit if 1 is {doing} every frame number"
        raise DataError(
            f"Predicted frames are not part of the protocol ({len(rows):,}): "
            f"{_key_list(external, rows)}.",
            where=where,
            hint=hint,
        )
    return int(left_out.sum())


def _refuse_duplicates(
    external: ExternalPredictions, predicted_keys: np.ndarray, where: object
) -> None:
    order = np.argsort(predicted_keys, kind="stable")
    repeated = predicted_keys[order[1:]] == predicted_keys[order[:-1]]
    duplicates = np.sort(order[1:][repeated & (predicted_keys[order[1:]] >= 0)])
    if len(duplicates):
        raise DataError(
            f"Frames are predicted more than once ({len(duplicates):,}): "
            f"{_key_list(external, duplicates)}.",
            where=where,
            hint="keep one prediction for each frame; if an image has several faces, keep that of "
            "the subject's face",
        )


def _refuse_trained_folds(
    predicting: np.ndarray, testing: np.ndarray, groups: np.ndarray, where: object
) -> None:
    """Raise an error if the model of a fold predicts frames that it was trained on.

    Args:
        predicting: the number of the fold whose model predicted each of M frames, int64 [M].
        testing: the number of the fold that tests each frame, int [M].
        groups: what folds assign as a whole, str [M]: the subject of each frame, or the release's
            part where the subject is unknown.
        where: the file or folder of the predictions, for the error message.
    """
    wrong = predicting != testing
    if not wrong.any():
        return
    group, fold, own = min(
        zip(*(part[wrong].tolist() for part in (groups, predicting, testing)), strict=True)
    )
    others = len(set(groups[wrong].tolist())) - 1
    more = f" ({others} more with wrong folds)" if others else ""
    raise DataError(
        f"{group} is predicted by the model of fold {fold} but tested by fold {own}: the model of "
        f"fold {fold} was trained on {group}{more}.",
        where=where,
        hint="in the column fold, write the number of the fold that tests the frame in the "
        "protocol; renumber your folds if they are the same in another order",
    )


def _refuse_empty_folds(predicted: np.ndarray, folds: pa.Table, where: object) -> None:
    """Raise an error if a fold has no predictions.

    Args:
        predicted: the number of the fold that tests each predicted frame, int.
        folds: the table of folds.
        where: the file or folder of the predictions, for the error message.
    """
    for number in sorted(set(folding.fold_numbers(folds)) - set(predicted.tolist())):
        names = folds.filter(pc.equal(folds["fold"], number))["subject"].to_pylist()
        raise DataError(
            f"There are no predictions for fold {number}, which tests "
            f"{abbreviated(sorted(names))}.",
            where=where,
            hint="add predictions of these subjects: every fold must be scored",
        )


def _key_list(external: ExternalPredictions, rows: np.ndarray) -> str:
    keys = [external.name(row) for row in rows[:_LISTED].tolist()]
    return ", ".join(keys) + (f" and {len(rows) - _LISTED:,} more" if len(rows) > _LISTED else "")


def _missing_error(missing: dict[str, int], total: int, where: object) -> DataError:
    by_subject = abbreviated([f"{name} {count:,}" for name, count in missing.items()])
    return DataError(
        f"{sum(missing.values()):,} of the protocol's {total:,} frames have no prediction: "
        f"{by_subject}.",
        where=where,
        hint="predict these frames; or leave them out, which makes the results those of another "
        "frame set (--missing drop); or score them as inactive (--missing inactive)",
    )


_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class ScoreRequest:
    """The options of the command ``fauds score``, which scores predictions of other programs.

    Attributes:
        path: a file of predictions, a folder of such files, or the folder of a run.
        name: the name of the model; None to use the name of the file.
        missing: how the protocol's frames without a prediction are handled: "refuse" raises an
            error, "drop" leaves them out, "inactive" scores them as if no AU were active. None for
            the benchmark's own rule.
    """

    path: Path
    name: str | None = None
    missing: Rule | None = None

    @property
    def model(self) -> str:
        """The name of the model in the results.

        Raises:
            UsageError: the name cannot be part of a folder's name.
        """
        if self.name is None:
            stem = re.sub(r"[^\w.+-]", "-", self.path.resolve().stem, flags=re.ASCII)
            return stem.strip("-._")[:64] or "predictions"
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} cannot be the name of a model.",
                where="--name",
                hint="use up to 64 of the characters A-Z, a-z, 0-9 and . _ + -, beginning with a "
                "letter or digit",
            )
        return self.name


def _check_rule(rule: str, benchmark: Benchmark) -> None:
    if rule not in get_args(Rule):
        raise UsageError(
            f"Unknown rule for frames without a prediction: {rule!r}.",
            where="--missing",
            hint=f"choose from: {', '.join(get_args(Rule))}",
        )
    if rule == "inactive" and benchmark.target.form != "multilabel":
        raise UsageError(
            f"Frames without a prediction cannot count as inactive: {benchmark.name} predicts one "
            f"{benchmark.target.noun} for each frame.",
            where="--missing",
            hint="predict these frames, or leave them out: --missing drop",
        )


def match(
    tables: Path, benchmark: Benchmark, request: ScoreRequest, say: Callable[[str], None]
) -> tuple[Predictions, GroundTruth]:
    """Read predictions of another program and match them to the frames of the protocol.

    Args:
        tables: the dataset's folder, with the tables of frames and folds.
        benchmark: the protocol.
        request: the options of ``fauds score``.
        say: called with each line of text that tells the user what was read and what was left out.

    Returns:
        The predictions and the labels of the scored frames, in the same order.

    Raises:
        UsageError: the model's name or the rule for frames without a prediction is invalid, or
            there is no file to read.
        DataError: the predictions do not fit the protocol; the message says where they differ.
    """
    model = request.model
    _check_rule(request.missing or benchmark.missing_predictions, benchmark)
    target, frames_path = benchmark.target, tables / FRAMES
    rule = request.missing or benchmark.missing_predictions
    meta = store.read_meta(frames_path)
    coded_intensities = [
        name
        for name in map(intensity_column, target.described_aus)
        if name in store.column_names(frames_path)
    ]
    keys = ["frame_id", "subject", "task", "frame", "sex"]
    frames = read_keyed(frames_path, [*keys, *target.columns, *coded_intensities])
    folds = store.read_table(tables / FOLDS).replace_schema_metadata(None)
    counts = folding.count_subjects(frames, target)
    folding.check_folds(folds, counts.subjects, tables / FOLDS)
    sequences = Sequences(
        frames, meta["reader"] and DATASETS[meta["reader"]], meta["settings"].get("image_base")
    )
    external = read(request.path, target.names, (benchmark.name, benchmark.version), sequences)
    for line in external.notes:
        say(line)
    matched = match_frames(external, frames, folds, rule, request.path)
    _report_match(matched, rule, say)
    fold_of = dict(zip(folds["subject"].to_pylist(), folds["fold"].to_pylist(), strict=True))
    scored = frames.take(pa.array(matched.rows))
    trainable = frames.take(pa.array(matched.trainable))
    intensities = {
        au: values
        for au, values in external.intensities.items()
        if intensity_column(au) in coded_intensities
    }
    not_coded = [au for au in external.intensities if au not in intensities]
    if not_coded:
        say(f"intensities not scored, as the dataset does not code them: {', '.join(not_coded)}")
    scores = {name: _values_of_frames(external.occurrence[name], matched) for name in target.names}
    _say_shift(scored, matched, target, scores, say)
    command = ["fauds", "score", str(request.path), "--dataset", benchmark.name]
    command += ["--name", model, "--missing", rule]
    dropped = rule == "drop" and matched.missing
    run = RunDescription(
        model=model,
        preset=EXTERNAL,
        settings={
            "predictions": str(request.path.resolve()),
            "files": external.sources,
            "missing": rule,
        },
        command=shlex.join(command),
        selection=EXTERNAL,
        alignment="not known: predictions made elsewhere",
        frame_set="every coded frame with a prediction" if dropped else "every coded frame",
        pretraining="not known: predictions made elsewhere",
        computed_on=[EXTERNAL],
    )
    predictions = Predictions(
        table=pa.table({name: values.astype(np.float32) for name, values in scores.items()}),
        run=run,
        intensities={au: _values_of_frames(values, matched) for au, values in intensities.items()},
    )
    labels = GroundTruth(
        frames=scored,
        fold=np.array([fold_of[name] for name in split_groups(scored).tolist()]),
        folds=folds,
        tested=folding.fold_numbers(folds),
        statistics=folding.fold_statistics(
            folding.count_subjects(trainable, target), folds, target
        ),
        synthetic=meta["synthetic"],
        coded_frames=folding.count_tested_frames(counts, folds),
        without_image={},
        provenance={
            "reading": meta["settings"],
            "differences": meta["differences"],
            "captions": NO_CAPTIONS,
        },
        missing=MissingFrames(rule=rule, frames=matched.missing),
    )
    return predictions, labels


def _say_shift(
    scored: pa.Table,
    matched: FrameMatch,
    target: Target,
    scores: dict[str, np.ndarray],
    say: Callable[[str], None],
) -> None:
    """Tell the user if the predictions fit the labels of other frames better, some frames away."""
    if target.form != "multilabel" or scored["frame"].null_count:
        return
    predicted = np.flatnonzero(matched.source >= 0)
    rows = scored.take(pa.array(predicted))
    names = [
        f"{subject}/{task}"
        for subject, task in zip(_text(rows["subject"]), _text(rows["task"]), strict=True)
    ]
    sequences = np.unique(names, return_inverse=True)[1]
    labels = target.indicators(target.labels(rows))
    columns = np.stack([scores[name][predicted] for name in target.names], axis=1)
    shift = label_shift(labels, columns, sequences, rows["frame"].to_numpy())
    if shift is not None:
        doing = "subtracted from" if shift > 0 else "added to"
        say(
            f"the predictions agree better with the labels if {abs(shift)} is {doing} their frame "
            "numbers: check from which number the program counts frames; they are scored as they "
            "are"
        )


def _values_of_frames(values: np.ndarray, matched: FrameMatch) -> np.ndarray:
    """Return the predicted value of each scored frame; 0 for frames without a prediction.

    Args:
        values: one predicted value for each row of the prediction files.
        matched: which row of the prediction files belongs to which frame.
    """
    return np.where(matched.source >= 0, values[matched.source], 0.0)


def _report_match(matched: FrameMatch, rule: Rule, say: Callable[[str], None]) -> None:
    """Tell the user how many frames are left out or have no prediction.

    Args:
        matched: which prediction belongs to which frame.
        rule: how frames without a prediction are handled: "drop" or "inactive".
        say: called with each line of text for the user.
    """
    if matched.left_out:
        say(f"left out: {matched.left_out:,} predicted frames that are not coded")
    if matched.missing:
        outcome = "are not scored" if rule == "drop" else "are scored as inactive"
        say(f"{sum(matched.missing.values()):,} frames without a prediction {outcome}")

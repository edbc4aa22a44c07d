"""Why not one frame could be cropped, for the error that says so."""

from fauds.datasets.footage import Source
from fauds.errors import DataError
from fauds.faces.notes import Tally
from fauds.faces.plan import CropPlan, SequenceJob
from fauds.faces.rows import CROPPED


def no_crops(plan: CropPlan, tally: Tally, dataset: str) -> DataError:
    """Return the error: the most frequent reason, with an example of it, and what to do.

    Args:
        plan: what was to be cropped.
        tally: of all sequences; no frame has a crop.
        dataset: its name, for the command that says more.
    """
    lost = {s: n for s, n in tally.totals.items() if s not in (*CROPPED, "excluded")}
    status = max(lost, key=lambda name: (lost[name], name))
    job = tally.first[status]
    example, where, to_do = _EXPLAINED[status](job, tally)
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(lost.items()))
    return DataError(
        f"Not one frame could be cropped ({counts}): {example}.",
        where=where,
        hint=f"{to_do}; what the distribution holds and lacks says: "
        f"fauds check --dataset {dataset} --root {job.image_root}",
    )


def _no_picture(job: SequenceJob, tally: Tally) -> tuple[str, object, str]:
    source = job.source or Source(None, None, None, "")
    found = (source.archive and source.archive.path) or source.video
    if found is None:
        what = f"{job.name} has neither images nor an archive or a video in this folder"
        return what, job.image_root, "copy or unpack the pictures there"
    return (
        f"{found.name} holds no picture of the frames of {job.name} that could be cropped",
        found,
        "copy it again, if it is not whole",
    )


def _unreadable(job: SequenceJob, tally: Tally) -> tuple[str, object, str]:
    return f"the first is {tally.unreadable[0]}", job.image_root, "copy the pictures again"


def _no_landmarks(job: SequenceJob, tally: Tally) -> tuple[str, object, str]:
    how = job.how.name
    if job.request.detector is not None:
        what = f"in {job.name} the detector {job.request.detector} finds faces without what {how}"
        return f"{what} needs", job.image_root, "try another detector"
    to_do = "copy the landmarks again, or use a detector (--detector)"
    files = job.source.landmarks if job.source else None
    if files is None:
        return f"{job.name} has no landmarks, which {how} needs", job.image_root, to_do
    return f"{files.path.name} holds no landmarks of {job.name} that can be used", files.path, to_do


def _no_face(job: SequenceJob, tally: Tally) -> tuple[str, object, str]:
    what = f"in {job.name} the detector {job.request.detector} finds no face"
    return what, job.image_root, "try another detector, and look at the pictures"


_EXPLAINED = {
    "no picture": _no_picture,
    "unreadable": _unreadable,
    "no landmarks": _no_landmarks,
    "no face": _no_face,
}

"""The steps that join two datasets (the members), to train on the first and test on the second.

The members keep their own tables and cropped faces. The joined tables contain the paths of these
crops.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError
from fauds.pipeline.workspace import Step, Workspace, unchanged
from fauds.tables import schemas, store
from fauds.tables.columns import from_numpy
from fauds.tables.frames import with_keys

Members = tuple[Workspace, Workspace]
"""The workspaces of the training dataset and of the test dataset."""

_SHARED_SETTINGS = ("name", "version", "size")


def check_member(workspace: Workspace, role: str, member: Workspace) -> None:
    """Check that a dataset can be a member of a joined protocol.

    A joined protocol trains on one dataset and tests on another; these two are its members.

    Args:
        workspace: the folder and the protocol that joins the members.
        role: the use of the dataset, "train" or "test".
        member: the folder and the protocol of the dataset.

    Raises:
        DataError: the dataset lacks an AU of the joined protocol, or itself joins two datasets.
    """
    protocol = workspace.protocol
    if member.protocol.is_joined:
        raise DataError(
            f"{role}: {member.dataset} cannot be joined, because it joins two datasets itself.",
            where=protocol.name,
            hint=f"give a protocol of a single dataset under {role}",
        )
    absent = [au for au in protocol.aus if au not in member.protocol.aus]
    if absent:
        raise DataError(
            f"aus: the protocol {member.dataset} lacks {', '.join(absent)}.",
            where=protocol.name,
            hint=f"choose from: {', '.join(member.protocol.aus)}",
        )


def join_frames(workspace: Workspace, members: Members, member_frames: Sequence[Step]) -> Step:
    """Write frames.parquet with the frames of two datasets, labelled with the AUs of a protocol.

    The frames of the dataset that is trained on come first, those of the tested dataset last.

    Args:
        workspace: the folder and the protocol that joins the datasets.
        members: the folder and the protocol of each dataset, checked by `check_member`.
        member_frames: for each dataset, the finished step that read its frames.

    Raises:
        DataError: a subject id occurs in both datasets, or only one dataset is synthetic.
    """
    _refuse_synthetic_beside_real(members, member_frames)
    path = workspace.path("frames")
    meta = {
        "dataset": workspace.dataset,
        "reader": None,
        "synthetic": member_frames[0].meta["synthetic"],
        "image_root": str(workspace.workdir.resolve()),
        "inputs": store.fingerprint([step.fingerprint for step in member_frames]),
        "settings": {
            "root": str(workspace.workdir.resolve()),
            "aus": list(workspace.protocol.aus),
            "image_base": None,
            "train": _description(members[0], member_frames[0]),
            "test": _description(members[1], member_frames[1]),
        },
        "differences": [
            f"{member.dataset}: {line}"
            for member, step in zip(members, member_frames, strict=True)
            for line in step.meta["differences"]
        ],
    }
    if unchanged([path], meta):
        return Step(path, False, store.read_meta(path))
    tables = [_shared_columns(step, workspace.protocol.aus) for step in member_frames]
    meta["notes"] = _notes(members, tables)
    joined = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    joined = joined.set_column(0, "frame_id", from_numpy(np.arange(len(joined)), pa.int64()))
    with store.lock(workspace.folder):
        store.write_table(path, joined, meta, store.sequence_starts(joined))
    return Step(path, True, meta)


def _refuse_synthetic_beside_real(members: Members, steps: Sequence[Step]) -> None:
    """Raise an error if one of two joined datasets is synthetic and the other is real.

    Unless the user asks for it, reports show synthetic faces only: they must not be mixed with real
    faces.
    """
    if steps[0].meta["synthetic"] == steps[1].meta["synthetic"]:
        return
    synthetic, real = members if steps[0].meta["synthetic"] else members[::-1]
    raise DataError(
        f"{synthetic.dataset} is synthetic and {real.dataset} is real: they cannot be joined.",
        where=synthetic.path("frames"),
        hint="read either two real or two synthetic datasets into the workdir",
    )


def _description(member: Workspace, frames: Step) -> dict[str, Any]:
    """Return a description of one of the joined datasets, for the metadata and the results."""
    return {
        "name": member.dataset,
        "version": member.protocol.version,
        "occurrence": member.protocol.occurrence,
        "frame_set": frames.meta.get("frame_set", member.protocol.frames.described),
        "reading": frames.meta["settings"],
    }


def _shared_columns(frames: Step, aus: tuple[str, ...]) -> pa.Table:
    schema = schemas.frames_schema(aus)
    # Frames tables of an older fauds have no column key.
    absent = {"key"} - set(store.column_names(frames.path))
    table = store.read_table(frames.path, [name for name in schema.names if name not in absent])
    table = with_keys(table)
    # The images of the members have different roots; faces.parquet has the paths of the crops.
    place = table.schema.get_field_index("image")
    table = table.set_column(place, "image", pa.nulls(len(table), pa.string()))
    return table.cast(schema)


def _notes(members: Members, tables: list[pa.Table]) -> list[str]:
    subjects = [set(table["subject"].unique().to_pylist()) for table in tables]
    shared = sorted(subjects[0] & subjects[1])
    if shared:
        raise DataError(
            f"{members[0].dataset} and {members[1].dataset} have subject ids in common "
            f"({abbreviated(shared, 4)}): a subject that is trained on must not be tested.",
            where=members[1].path("frames"),
            hint="if these are different people, change their ids in one dataset; if they are the "
            "same people, leave them out of one dataset (--subjects)",
        )
    return [
        f"{verb} {member.dataset} v{member.protocol.version}: {len(table):,} frames of "
        f"{len(names)} subjects"
        for verb, member, table, names in zip(
            ("trained on", "tested on"), members, tables, subjects, strict=True
        )
    ]


def join_faces(
    workspace: Workspace, members: Members, frames: Step, member_faces: Sequence[Step]
) -> Step:
    """Write faces.parquet with the paths of the cropped faces of two joined datasets (members).

    Args:
        workspace: the folder and the protocol that joins the datasets.
        members: the folder and the protocol of each member.
        frames: the finished step that joined the frames.
        member_faces: for each member, the finished step that cropped its faces, checked by
            `checked_faces`.
    """
    metas = [step.meta for step in member_faces]
    path = workspace.path("faces")
    settings = {key: metas[0]["settings"][key] for key in _SHARED_SETTINGS}
    meta = {
        "dataset": workspace.dataset,
        "synthetic": frames.meta["synthetic"],
        "inputs": frames.fingerprint,
        "settings": {**settings, "train": metas[0]["settings"], "test": metas[1]["settings"]},
        "crops": store.fingerprint([faces["crops"] for faces in metas]),
        "described": _by_member(members, [faces["described"] for faces in metas]),
        "frame_set": _by_member(members, [faces["frame_set"] for faces in metas]),
        "request": None,
        "frames": _sums([faces["frames"] for faces in metas]),
        "lost": {**metas[0]["lost"], **metas[1]["lost"]},
        "notes": [
            f"{member.dataset}: {line}"
            for member, faces in zip(members, metas, strict=True)
            for line in faces["notes"]
        ],
    }
    if unchanged([path], meta):
        return Step(path, False, meta)
    tables = [_crops(member, step) for member, step in zip(members, member_faces, strict=True)]
    joined = pa.concat_tables(tables).unify_dictionaries()
    joined = joined.set_column(0, "frame_id", from_numpy(np.arange(len(joined)), pa.int64()))
    with store.lock(workspace.folder):
        store.write_table(path, joined, meta)
    return Step(path, True, meta)


def checked_faces(workspace: Workspace, member: Workspace, faces: Step | None) -> Step:
    """Check that the faces of a dataset have the alignment that a joined protocol requires.

    Args:
        workspace: the folder and the protocol that joins two datasets.
        member: the folder and the protocol of the dataset whose faces are checked.
        faces: the finished step that cropped the dataset's faces; None if its frames are used
            without cropping.

    Returns:
        The step `faces`.

    Raises:
        DataError: the dataset has no crops, or crops with another alignment.
    """
    if faces is None:
        raise DataError(
            f"{member.dataset} has no crops, which {workspace.dataset} needs: its frames are used "
            "without cropping.",
            where=member.folder,
            hint=f"run fauds prepare --dataset {member.dataset} --alignment none",
        )
    required, actual = workspace.protocol.alignment, faces.meta["settings"]
    if (required.name, required.version) != (actual["name"], actual["version"]):
        raise DataError(
            f"alignment: {workspace.dataset} requires {required.name} {required.version}, but the "
            f"crops of {member.dataset} have {actual['name']} {actual['version']}.",
            where=faces.path,
            hint=f"run fauds prepare --dataset {member.dataset} --alignment {required.name}",
        )
    return faces


def _crops(member: Workspace, faces: Step) -> pa.Table:
    schema = schemas.faces_schema()
    # Faces tables of an older fauds have no column points.
    present = {*store.column_names(faces.path)}
    table = store.read_table(faces.path, [name for name in schema.names if name in present])
    for name in schema.names:
        if name not in present:
            table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
    table = table.select(schema.names)
    paths = pc.binary_join_element_wise(f"../{member.dataset}", table["path"], "/")
    column = table.schema.get_field_index("path")
    return table.set_column(column, "path", paths).cast(schema)


def _by_member(members: Members, lines: Sequence[str]) -> str:
    return "; ".join(
        f"{member.dataset} v{member.protocol.version}: {line.rstrip('.')}"
        for member, line in zip(members, lines, strict=True)
    )


def _sums(counts: list[dict[str, int]]) -> dict[str, int]:
    names = sorted({name for count in counts for name in count})
    return {name: sum(count.get(name, 0) for count in counts) for name in names}

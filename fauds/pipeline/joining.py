"""Training on one dataset and testing on another: the tables of two protocols, joined.

Both keep their own tables and crops; the joined ones name the crops where they lie.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.datasets.subjects import shortened
from fauds.errors import DataError
from fauds.pipeline.workspace import Step, Workspace, unchanged
from fauds.tables import schemas, store
from fauds.tables.columns import from_numpy
from fauds.tables.frames import with_keys

Members = tuple[Workspace, Workspace]
"""The dataset that is trained on and the one that is tested."""

_SAME = ("name", "version", "size")


def check_member(workspace: Workspace, role: str, member: Workspace) -> None:
    """Check that a dataset can be one of the two that a protocol joins.

    Args:
        workspace: of the joined protocol.
        role: the protocol's key that names the member: "train" or "test".

    Raises:
        DataError: the member lacks one of the AUs, or is itself joined.
    """
    protocol = workspace.protocol
    if member.protocol.joins:
        raise DataError(
            f"{role}: {member.dataset} is itself trained and tested on two datasets.",
            where=protocol.name,
        )
    absent = [au for au in protocol.aus if au not in member.protocol.aus]
    if absent:
        raise DataError(
            f"aus: {member.dataset} has no {', '.join(absent)}.",
            where=protocol.name,
            hint=f"it has: {', '.join(member.protocol.aus)}",
        )


def join_frames(workspace: Workspace, members: Members, member_frames: Sequence[Step]) -> Step:
    """Write the frames of both members over the shared AUs: first those that are trained on.

    Args:
        workspace: of the joined protocol.
        members: checked by `check_member`.
        member_frames: the finished frames of each.

    Raises:
        DataError: a subject id is in both, or only one of both is synthetic.
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
            "train": _named(members[0], member_frames[0]),
            "test": _named(members[1], member_frames[1]),
        },
        "differences": [
            f"{member.dataset}: {line}"
            for member, step in zip(members, member_frames, strict=True)
            for line in step.meta["differences"]
        ],
    }
    if unchanged([path], meta):
        return Step(path, False, store.read_meta(path))
    tables = [_rows(step, workspace.protocol.aus) for step in member_frames]
    meta["notes"] = _notes(members, tables)
    joined = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    joined = joined.set_column(0, "frame_id", from_numpy(np.arange(len(joined)), pa.int64()))
    with store.lock(workspace.folder):
        store.write_table(path, joined, meta, store.sequence_starts(joined))
    return Step(path, True, meta)


def _refuse_synthetic_beside_real(members: Members, steps: Sequence[Step]) -> None:
    """Raise where one dataset is synthetic: results may show its faces, and never real ones."""
    if steps[0].meta["synthetic"] == steps[1].meta["synthetic"]:
        return
    synthetic, real = members if steps[0].meta["synthetic"] else members[::-1]
    raise DataError(
        f"{synthetic.dataset} is made up and {real.dataset} is real: they cannot be joined.",
        where=synthetic.path("frames"),
        hint="read two real distributions into one workdir, or two made-up ones",
    )


def _named(member: Workspace, frames: Step) -> dict[str, Any]:
    """Return what results say of a member."""
    return {
        "name": member.dataset,
        "version": member.protocol.version,
        "occurrence": member.protocol.occurrence,
        "frame_set": frames.meta.get("frame_set", member.protocol.frames.described),
        "reading": frames.meta["settings"],
    }


def _rows(frames: Step, aus: tuple[str, ...]) -> pa.Table:
    schema = schemas.frames_schema(aus)
    # Frames that an older fauds has read have no keys.
    absent = {"key"} - set(store.column_names(frames.path))
    table = store.read_table(frames.path, [name for name in schema.names if name not in absent])
    table = with_keys(table)
    # Images lie in two roots; the crops are named by faces.parquet.
    place = table.schema.get_field_index("image")
    table = table.set_column(place, "image", pa.nulls(len(table), pa.string()))
    return table.cast(schema)


def _notes(members: Members, tables: list[pa.Table]) -> list[str]:
    subjects = [set(table["subject"].unique().to_pylist()) for table in tables]
    shared = sorted(subjects[0] & subjects[1])
    if shared:
        raise DataError(
            f"{members[0].dataset} and {members[1].dataset} both have a subject "
            f"{shortened(shared, 4)}: who is trained on may not be tested.",
            where=members[1].path("frames"),
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
    """Write faces.parquet, which names the crops of both members.

    Args:
        workspace: of the joined protocol.
        frames: the finished joined frames.
        member_faces: the finished faces of each member, checked by `checked_faces`.
    """
    metas = [step.meta for step in member_faces]
    path = workspace.path("faces")
    settings = {key: metas[0]["settings"][key] for key in _SAME}
    meta = {
        "dataset": workspace.dataset,
        "synthetic": frames.meta["synthetic"],
        "inputs": frames.fingerprint,
        "settings": {**settings, "train": metas[0]["settings"], "test": metas[1]["settings"]},
        "crops": store.fingerprint([made["crops"] for made in metas]),
        "described": _each(members, [made["described"] for made in metas]),
        "frame_set": _each(members, [made["frame_set"] for made in metas]),
        "request": None,
        "frames": _sums([made["frames"] for made in metas]),
        "lost": {**metas[0]["lost"], **metas[1]["lost"]},
        "notes": [
            f"{member.dataset}: {line}"
            for member, made in zip(members, metas, strict=True)
            for line in made["notes"]
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
    """Return a member's faces, which are crops of the kind that a joined protocol asks for.

    Args:
        workspace: of the joined protocol.
        faces: finished; None where the member's frames are taken as they are.

    Raises:
        DataError: there are no crops, or they are aligned in another way than the protocol says.
    """
    if faces is None:
        raise DataError(
            f"{member.dataset} has no crops: its frames are taken as they are.",
            where=member.folder,
            hint=f"fauds prepare --dataset {member.dataset} --alignment none",
        )
    wanted, made = workspace.protocol.alignment, faces.meta["settings"]
    if (wanted.name, wanted.version) != (made["name"], made["version"]):
        raise DataError(
            f"alignment: {workspace.dataset} asks for {wanted.name} {wanted.version}, and the "
            f"crops of {member.dataset} are {made['name']} {made['version']}.",
            where=faces.path,
            hint=f"fauds prepare --dataset {member.dataset} --alignment {wanted.name}",
        )
    return faces


def _crops(member: Workspace, faces: Step) -> pa.Table:
    schema = schemas.faces_schema()
    table = store.read_table(faces.path, schema.names)
    beside = pc.binary_join_element_wise(f"../{member.dataset}", table["path"], "/")
    place = table.schema.get_field_index("path")
    return table.set_column(place, "path", beside).cast(schema)


def _each(members: Members, lines: Sequence[str]) -> str:
    return "; ".join(
        f"{member.dataset} v{member.protocol.version}: {line.rstrip('.')}"
        for member, line in zip(members, lines, strict=True)
    )


def _sums(counts: list[dict[str, int]]) -> dict[str, int]:
    names = sorted({name for count in counts for name in count})
    return {name: sum(count.get(name, 0) for count in counts) for name in names}

"""Training on one dataset and testing on another: the tables of two protocols, joined.

Both keep their own tables and crops; the joined ones name the crops where they lie.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds import schemas, store
from fauds.columns import from_numpy
from fauds.datasets.subjects import shortened
from fauds.errors import DataError
from fauds.step import Step, unchanged

if TYPE_CHECKING:
    from fauds.bench.runs import Progress
    from fauds.pipeline.project import Workspace

_SAME = ("name", "version", "size")


def members(space: "Workspace") -> "tuple[Workspace, Workspace]":
    """Return the dataset that is trained on and the one that is tested.

    Raises:
        UsageError: there is no protocol of such a name.
        DataError: an AU is not in both, or a member is itself joined.
    """
    both = space.of(str(space.benchmark.train)), space.of(str(space.benchmark.test))
    for role, member in zip(("train", "test"), both, strict=True):
        if member.benchmark.joins:
            raise DataError(
                f"{role}: {member.dataset} is itself trained and tested on two datasets.",
                where=space.benchmark.name,
            )
        absent = [au for au in space.benchmark.aus if au not in member.benchmark.aus]
        if absent:
            raise DataError(
                f"aus: {member.dataset} has no {', '.join(absent)}.",
                where=space.benchmark.name,
                hint=f"it has: {', '.join(member.benchmark.aus)}",
            )
    return both


def join_frames(space: "Workspace", given: Mapping[str, Any]) -> Step:
    """Write the frames of both members over the shared AUs: first those that are trained on.

    Args:
        given: options for reading, which a joined protocol takes none of.

    Raises:
        UsageError: a member has not been read yet, or reading options were given.
        DataError: a subject id is in both, or only one of both is made up.
    """
    if given:
        # Raises: the protocol reads no distribution.
        space.benchmark.reading()
    both = members(space)
    steps = [member.frames() for member in both]
    _refuse_made_up_beside_real(both, steps)
    path = space.path("frames")
    meta = {
        "dataset": space.dataset,
        "reader": None,
        "synthetic": steps[0].meta["synthetic"],
        "image_root": str(space.workdir.resolve()),
        "inputs": store.fingerprint([step.fingerprint for step in steps]),
        "settings": {
            "root": str(space.workdir.resolve()),
            "aus": list(space.benchmark.aus),
            "image_base": None,
            "train": _named(both[0], steps[0]),
            "test": _named(both[1], steps[1]),
        },
        "differences": [
            f"{member.dataset}: {line}"
            for member, step in zip(both, steps, strict=True)
            for line in step.meta["differences"]
        ],
    }
    if unchanged([path], meta):
        return Step(path, False, store.read_meta(path))
    tables = [_rows(step, space.benchmark.aus) for step in steps]
    meta["notes"] = _notes(both, tables)
    joined = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    joined = joined.set_column(0, "frame_id", from_numpy(np.arange(len(joined)), pa.int64()))
    with store.lock(space.folder):
        store.write_table(path, joined, meta, store.sequence_starts(joined))
    return Step(path, True, meta)


def _refuse_made_up_beside_real(both: "tuple[Workspace, Workspace]", steps: list[Step]) -> None:
    """Raise where one dataset is made up: results may show made-up faces, and never real ones."""
    if steps[0].meta["synthetic"] == steps[1].meta["synthetic"]:
        return
    made_up, real = both if steps[0].meta["synthetic"] else both[::-1]
    raise DataError(
        f"{made_up.dataset} is made up and {real.dataset} is real: they cannot be joined.",
        where=made_up.path("frames"),
        hint="read two real distributions into one workdir, or two made-up ones",
    )


def _named(member: "Workspace", frames: Step) -> dict[str, Any]:
    """Return what results say of a member."""
    return {
        "name": member.dataset,
        "version": member.benchmark.version,
        "occurrence": member.benchmark.occurrence,
        "frame_set": frames.meta.get("frame_set", member.benchmark.frames.described),
        "reading": frames.meta["settings"],
    }


def _rows(frames: Step, aus: tuple[str, ...]) -> pa.Table:
    schema = schemas.frames_schema(aus)
    table = store.read_table(frames.path, schema.names)
    # Images lie in two roots; the crops are named by faces.parquet.
    place = table.schema.get_field_index("image")
    table = table.set_column(place, "image", pa.nulls(len(table), pa.string()))
    return table.cast(schema)


def _notes(both: "tuple[Workspace, Workspace]", tables: list[pa.Table]) -> list[str]:
    subjects = [set(table["subject"].unique().to_pylist()) for table in tables]
    shared = sorted(subjects[0] & subjects[1])
    if shared:
        raise DataError(
            f"{both[0].dataset} and {both[1].dataset} both have a subject "
            f"{shortened(shared, 4)}: who is trained on may not be tested.",
            where=both[1].path("frames"),
        )
    return [
        f"{verb} {member.dataset} v{member.benchmark.version}: {len(table):,} frames of "
        f"{len(names)} subjects"
        for verb, member, table, names in zip(
            ("trained on", "tested on"), both, tables, subjects, strict=True
        )
    ]


def join_faces(space: "Workspace", frames: Step, progress: "Progress | None") -> Step:
    """Write faces.parquet, which names the crops of both members.

    Raises:
        DataError: a member has no crops, or they are aligned in another way than the protocol
            says.
    """
    both = members(space)
    steps = [_cropped(space, member, progress) for member in both]
    metas = [step.meta for step in steps]
    path = space.path("faces")
    settings = {key: metas[0]["settings"][key] for key in _SAME}
    meta = {
        "dataset": space.dataset,
        "synthetic": frames.meta["synthetic"],
        "inputs": frames.fingerprint,
        "settings": {**settings, "train": metas[0]["settings"], "test": metas[1]["settings"]},
        "crops": store.fingerprint([made["crops"] for made in metas]),
        "described": _each(both, [made["described"] for made in metas]),
        "frame_set": _each(both, [made["frame_set"] for made in metas]),
        "request": None,
        "frames": _sums([made["frames"] for made in metas]),
        "lost": {**metas[0]["lost"], **metas[1]["lost"]},
        "notes": [
            f"{member.dataset}: {line}"
            for member, made in zip(both, metas, strict=True)
            for line in made["notes"]
        ],
    }
    if unchanged([path], meta):
        return Step(path, False, meta)
    tables = [_crops(member, step) for member, step in zip(both, steps, strict=True)]
    joined = pa.concat_tables(tables).unify_dictionaries()
    joined = joined.set_column(0, "frame_id", from_numpy(np.arange(len(joined)), pa.int64()))
    with store.lock(space.folder):
        store.write_table(path, joined, meta)
    return Step(path, True, meta)


def _cropped(space: "Workspace", member: "Workspace", progress: "Progress | None") -> Step:
    step = member.faces_as_prepared(member.frames(), progress)
    if step is None:
        raise DataError(
            f"{member.dataset} has no crops: its frames are taken as they are.",
            where=member.folder,
            hint=f"fauds prepare --dataset {member.dataset} --alignment none",
        )
    wanted, made = space.benchmark.alignment, step.meta["settings"]
    if (wanted.name, wanted.version) != (made["name"], made["version"]):
        raise DataError(
            f"alignment: {space.dataset} asks for {wanted.name} {wanted.version}, and the crops "
            f"of {member.dataset} are {made['name']} {made['version']}.",
            where=step.path,
            hint=f"fauds prepare --dataset {member.dataset} --alignment {wanted.name}",
        )
    return step


def _crops(member: "Workspace", step: Step) -> pa.Table:
    schema = schemas.faces_schema()
    table = store.read_table(step.path, schema.names)
    beside = pc.binary_join_element_wise(f"../{member.dataset}", table["path"], "/")
    place = table.schema.get_field_index("path")
    return table.set_column(place, "path", beside).cast(schema)


def _each(both: "tuple[Workspace, Workspace]", said: list[str]) -> str:
    return "; ".join(
        f"{member.dataset} v{member.benchmark.version}: {words.rstrip('.')}"
        for member, words in zip(both, said, strict=True)
    )


def _sums(counts: list[dict[str, int]]) -> dict[str, int]:
    names = sorted({name for count in counts for name in count})
    return {name: sum(count.get(name, 0) for count in counts) for name in names}

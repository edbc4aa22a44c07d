"""Protocols of one's own: files with the keys of the shipped ones.

The folder of a protocol's tables keeps a copy of its file, so that its name alone is enough
afterwards, and so that tables of two protocols never pass for each other's.
"""

import shutil
from pathlib import Path

import yaml

from fauds.errors import DataError
from fauds.protocols import benchmark as protocols
from fauds.protocols.benchmark import Benchmark
from fauds.registry import unknown
from fauds.tables.atomic import atomic
from fauds.tables.paths import PROTOCOL

"""The copy of a protocol's file beside its tables."""


def read(path: Path) -> Benchmark:
    """Read a protocol from a file of one's own.

    Raises:
        DataError: it cannot be read, has a wrong or unknown key, says of its dataset what is not
            so, or has a shipped benchmark's name and other content; file and key are named.
    """
    found = protocols.parsed(path)
    if found.name not in protocols.names():
        if found.published:
            raise DataError("published: only shipped benchmarks have published rows.", where=path)
        _refuse_untrue(found, path)
        return found
    shipped = protocols.benchmark(found.name)
    if (shipped.version, shipped.fingerprint()) != (found.version, found.fingerprint()):
        raise DataError(
            f"name: {found.name} is the name of a benchmark that fauds ships, and this file holds "
            "another protocol.",
            where=path,
            hint="give it a name of its own",
        )
    return shipped


def _refuse_untrue(found: Benchmark, path: Path) -> None:
    """Raise where a file says of a dataset's labels what its reader would not do."""
    if found.dataset not in protocols.names():
        return
    shipped = protocols.benchmark(found.dataset)
    for key in ("missing_code", "sexes"):
        true = getattr(shipped, key)
        if getattr(found, key) != true:
            raise DataError(
                f"{key}: of {found.dataset} it is not {getattr(found, key)!r}.",
                where=path,
                hint=f"it is a fact of the dataset: {key}: {'null' if true is None else true}",
            )
    if (found.occurrence_at is None) != (shipped.occurrence_at is None):
        raise DataError(
            f"occurrence: {found.dataset} does not have it as {found.occurrence!r}.",
            where=path,
            hint="occurrence: coded"
            if shipped.occurrence_at is None
            else f"its labels are intensities: occurrence: {shipped.occurrence}",
        )


def names(workdir: Path) -> list[str]:
    """Return the names of the shipped protocols, and of those whose file a workdir has kept."""
    kept = (path.parent.name for path in workdir.glob(f"*/{PROTOCOL}"))
    return sorted({*protocols.names(), *kept})


def find(name: str, workdir: Path) -> Benchmark:
    """Return a shipped protocol, or one whose file a workdir has kept.

    Raises:
        UsageError: there is neither.
        DataError: the file that was kept is broken.
    """
    if name in protocols.names():
        return protocols.benchmark(name)
    if name not in names(workdir):
        raise unknown("benchmark", name, names(workdir))
    return protocols.parsed(workdir / name / PROTOCOL)


def refuse_other(found: Benchmark, path: Path, folder: Path) -> None:
    """Raise where a folder's tables are of another protocol of this name and version, or a later.

    Args:
        path: the protocol's file.
        folder: where the tables of its name lie.

    Raises:
        DataError: that is so, or the file that was kept is broken.
    """
    if found.name in protocols.names() or not (folder / PROTOCOL).exists():
        return
    kept = protocols.parsed(folder / PROTOCOL)
    if kept.version < found.version or kept.fingerprint() == found.fingerprint():
        return
    other = f"version {found.version} too" if kept.version == found.version else "a later version"
    raise DataError(
        f"version: the tables of {found.name} in this workdir are of another protocol that has "
        f"{other}.",
        where=path,
        hint=f"raise the version in the file above {kept.version}, or name another --workdir",
    )


def keep(found: Benchmark, folder: Path) -> None:
    """Keep a protocol's file, and its list of frames, beside its tables; not a shipped one."""
    if found.name in protocols.names():
        return
    values = found.model_dump(mode="json", exclude_none=True)
    if found.frames.file is not None:
        values["frames"]["file"] = copied = f"protocol-frames{found.frames.file.suffix}"
        if found.frames.file != folder / copied:
            with atomic(folder / copied) as temporary:
                shutil.copyfile(found.frames.file, temporary)
    with atomic(folder / PROTOCOL) as temporary:
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        temporary.write_text(text, encoding="utf-8")

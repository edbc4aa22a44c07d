"""Benchmark protocols that users write: YAML files with the same keys as those that fauds ships.

A copy of the file is stored with the protocol's tables in the workdir, the folder in which fauds
keeps its results. Later commands then need only the name of the protocol, and tables of two
protocols with the same name cannot be confused.
"""

import shutil
from pathlib import Path

import yaml

from fauds.errors import DataError
from fauds.protocols import benchmark as protocols
from fauds.protocols.benchmark import Benchmark
from fauds.registry import unknown_name_error
from fauds.tables.atomic import atomic
from fauds.tables.paths import PROTOCOL


def read(path: Path) -> Benchmark:
    """Read a benchmark protocol from a user's YAML file.

    If the protocol equals one that fauds ships, the shipped protocol is returned.

    Raises:
        DataError: the file cannot be read, has an unknown key or an invalid value, contradicts
            the labels of its dataset, or has the name of a shipped protocol with other content.
            The message names the file and the key.
    """
    protocol = protocols.read_benchmark(path)
    if protocol.name not in protocols.names():
        if protocol.published:
            raise DataError(
                "published: only protocols that fauds ships can have this key.",
                where=path,
                hint="remove the key published",
            )
        _check_facts(protocol, path)
        return protocol
    shipped = protocols.benchmark(protocol.name)
    if (shipped.version, shipped.fingerprint()) != (protocol.version, protocol.fingerprint()):
        raise DataError(
            f"name: {protocol.name} is the name of a benchmark that fauds ships, but this file "
            "holds another protocol.",
            where=path,
            hint="choose another name for this protocol",
        )
    return shipped


def _check_facts(protocol: Benchmark, path: Path) -> None:
    """Raise DataError if a user's protocol contradicts the labels of its dataset.

    For example, the labels code intensity, but the protocol states that they code occurrence; or
    the labels are action units, but the protocol predicts classes. The facts about the labels are
    those in the protocol that fauds ships for the dataset.
    """
    if protocol.dataset not in protocols.names():
        return
    shipped = protocols.benchmark(protocol.dataset)
    if ("classes" in protocol.reader_options()) != ("classes" in shipped.reader_options()):
        declared = (
            f"{key}: {_one_line(value)}" for key, value in shipped.target.protocol_keys().items()
        )
        labels = f"{protocol.dataset} labels {shipped.target.plural}"
        hint = f"{labels}, for example {', '.join(declared)}"
        raise _contradiction("target", protocol.target.kind, protocol, path, hint)
    if protocol.missing_code != shipped.missing_code:
        if shipped.missing_code is None:
            hint = f"{protocol.dataset} has no code for 'not coded': set missing_code: null"
        else:
            code = shipped.missing_code
            hint = f"{protocol.dataset} writes {code} for 'not coded': set missing_code: {code}"
        raise _contradiction("missing_code", protocol.missing_code, protocol, path, hint)
    if protocol.sexes != shipped.sexes:
        hint = f"set sexes: {shipped.sexes}"
        raise _contradiction("sexes", protocol.sexes, protocol, path, hint)
    if (protocol.occurrence_at is None) != (shipped.occurrence_at is None):
        coding = "occurrence" if shipped.occurrence_at is None else "intensity"
        hint = f"the labels code {coding}: set occurrence: {shipped.occurrence}"
        raise _contradiction("occurrence", protocol.occurrence, protocol, path, hint)


def _one_line(value: object) -> str:
    """Return a value as YAML in one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return text.splitlines()[0]


def _contradiction(
    key: str, value: object, protocol: Benchmark, path: Path, hint: str
) -> DataError:
    return DataError(
        f"{key}: {'null' if value is None else repr(value)} contradicts the labels of "
        f"{protocol.dataset}.",
        where=path,
        hint=hint,
    )


def names(workdir: Path) -> list[str]:
    """Return the sorted names of all protocols: those that fauds ships, and the user's.

    Args:
        workdir: the folder in which fauds stored the user's protocols, each in a folder of its own.
    """
    stored = (path.parent.name for path in workdir.glob(f"*/{PROTOCOL}"))
    return sorted({*protocols.names(), *stored})


def find(name: str, workdir: Path) -> Benchmark:
    """Return the protocol with a name: one that fauds ships, or a stored protocol of the user.

    Args:
        name: the name of the protocol, such as "bp4d".
        workdir: the folder in which fauds stored the user's protocols, each in a folder of its own.

    Raises:
        UsageError: no protocol has this name.
        DataError: the stored file is damaged.
    """
    if name in protocols.names():
        return protocols.benchmark(name)
    if name not in names(workdir):
        raise unknown_name_error("benchmark", name, names(workdir))
    return protocols.read_benchmark(workdir / name / PROTOCOL)


def check_same_protocol(protocol: Benchmark, path: Path, folder: Path) -> None:
    """Check that the tables in a folder do not belong to another protocol with the same name.

    The file protocol.yaml in the folder is the protocol to which the tables belong. Tables of an
    earlier version of the protocol are accepted, because they will be replaced.

    Args:
        protocol: the protocol that the user wants to use.
        path: the path of the user's file with this protocol, for the error message.
        folder: the folder of the tables.

    Raises:
        DataError: the tables belong to another protocol with the same name and the same or a
            later version, or the file that is stored with the tables is damaged.
    """
    if protocol.name in protocols.names() or not (folder / PROTOCOL).exists():
        return
    stored = protocols.read_benchmark(folder / PROTOCOL)
    if stored.version < protocol.version or stored.fingerprint() == protocol.fingerprint():
        return
    version = "the same version" if stored.version == protocol.version else "a later version"
    raise DataError(
        f"version: the tables of {protocol.name} in this workdir belong to another protocol of "
        f"this name, with {version}.",
        where=path,
        hint=f"raise the version in this file above {stored.version}, or use another --workdir",
    )


def store_protocol(protocol: Benchmark, folder: Path) -> None:
    """Store a user's protocol in a folder, and the list of frames that the protocol names, if any.

    A protocol that fauds ships is not stored.

    Args:
        protocol: the protocol.
        folder: the folder of the tables that fauds makes for this protocol.

    Raises:
        DataError: the files cannot be written.
    """
    if protocol.name in protocols.names():
        return
    values = protocol.model_dump(mode="json", exclude_none=True)
    if protocol.frames.file is not None:
        values["frames"]["file"] = name = f"protocol-frames{protocol.frames.file.suffix}"
        if protocol.frames.file != folder / name:
            with atomic(folder / name) as temporary:
                shutil.copyfile(protocol.frames.file, temporary)
    with atomic(folder / PROTOCOL) as temporary:
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        temporary.write_text(text, encoding="utf-8")

"""Benchmarks, the versioned protocols, read from YAML with unknown keys forbidden."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from fauds import resources
from fauds.errors import UsageError
from fauds.facs import au_name
from fauds.registry import unknown
from fauds.settings import Settings, complaint, read_yaml


def _au(spelling: int | str) -> str:
    try:
        return au_name(spelling)
    except UsageError as error:
        raise ValueError(error.what) from error


AU = Annotated[str, BeforeValidator(_au)]


class Folds(Settings):
    """A fold list by explicit subject ids: fold k tests part k."""

    name: str
    source: str
    note: str = ""
    parts: dict[int, tuple[str, ...]]


class Metric(Settings):
    """The headline metric, its threshold (a probability) and how the epoch is chosen."""

    name: str
    threshold: float = Field(0.5, ge=0, le=1)
    selection: Literal["last"] = "last"


class Expected(Settings):
    """What a complete release holds, by published counts."""

    source: str
    subjects: int
    sequences: int
    frames: int
    frames_per_subject: dict[str, int]


class Synthesis(Settings):
    """The made-up distribution that stands in where a benchmark has no real one."""

    like: Literal["bp4d", "disfa"]
    frames: int = Field(ge=1)
    seed: int


class AlignmentSettings(Settings):
    """Which crop of a frame is the face, see `fauds.faces.alignment`, and what happens without one.

    `without_landmarks`: a frame that the distribution has no landmarks for is left out ("drop"),
    gets those of the frames around it ("neighbours"), or is given to a detector ("detect").
    """

    name: str
    version: int
    without_landmarks: Literal["drop", "neighbours", "detect"] = "drop"


class Raw(Settings):
    """What to copy from the distribution, said where pictures or landmarks are missing."""

    pictures: str = "copy them to any folder under the root"
    landmarks: str = "copy them to any folder under the root"


class Benchmark(Settings):
    """One versioned protocol: a dataset, its AUs, the rule of occurrence, folds and metric."""

    name: str
    version: int
    title: str
    dataset: str
    aus: tuple[AU, ...]
    occurrence: str = Field(pattern=r"^(coded|intensity >= [1-5])$")
    folds: Folds | None = None
    metric: Metric
    alignment: AlignmentSettings
    published: str | None = None
    expected: Expected | None = None
    access: str
    raw: Raw = Raw()
    synthesis: Synthesis | None = None

    @property
    def occurrence_at(self) -> int | None:
        """The lowest intensity that counts as occurring; None where occurrence is coded."""
        found = re.search(r"\d", self.occurrence)
        return int(found.group()) if found else None

    def reading(self) -> dict[str, Any]:
        """Return what the protocol asks of reading: fields of `fauds.datasets.base.ReadOptions`."""
        threshold = {} if self.occurrence_at is None else {"occurrence_at": self.occurrence_at}
        return {"aus": self.aus, **threshold}


def benchmark(name: str) -> Benchmark:
    """Read one of the shipped protocols.

    Raises:
        UsageError: there is no benchmark of that name.
        DataError: the file has a wrong or unknown key; file and key are named.
    """
    folder = resources.root("benchmarks")
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise unknown("benchmark", name, known)
    path = folder / f"{name}.yaml"
    try:
        return Benchmark.model_validate(read_yaml(path))
    except ValidationError as error:
        raise complaint(Benchmark, error, path, usage=False) from error

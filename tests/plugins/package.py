"""A third-party package that adds a dataset, a target, a detector and a model by entry points.

`write` writes the package and a release for its reader; `install` installs the package into a
folder that is then put on PYTHONPATH.
"""

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

PEOPLE = ("ana", "bo", "陈", "dev", "eva", "fay")
FRAMES = 16
MOODS = ("calm", "glad", "cross")

_PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "its"
version = "1"

[project.entry-points."fauds.datasets"]
itsdata = "its.data:READER"
[project.entry-points."fauds.targets"]
mood = "its.target:Mood"
[project.entry-points."fauds.detectors"]
itsdetector = "its.detector:open_detector"
[project.entry-points."fauds.models"]
itsmodel = "its.model:ItsModel"

[tool.setuptools]
packages = ["its"]
[tool.setuptools.package-data]
its = ["*.yaml"]
"""

_DATA = '''
"""Reads faces.csv with columns person, picture, AU12, AU25 (a dash is not coded) and mood."""

import csv
import hashlib

import pyarrow as pa

from fauds.datasets.base import Reading
from fauds.datasets.media_files import Footage, Source
from fauds.tables.schemas import frames_schema


class Reader:
    def label_files(self, root, options=None):
        return [root / "faces.csv"]

    def fingerprint(self, root, options=None):
        return hashlib.sha256((root / "faces.csv").read_bytes()).hexdigest()

    def image_base(self, folders, last, declared):
        return None, "images are named in the table"

    def footage(self, root, last, **options):
        return Footage({subject: Source(None, None, None, "its") for subject in last}, ())

    def read(self, root, expected=None, options=None, *, sink):
        with (root / "faces.csv").open(encoding="utf-8") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["person"])
        count = {}
        numbers = [count.setdefault(row["person"], []) for row in rows]
        frames = []
        for row, earlier in zip(rows, numbers):
            earlier.append(row)
            frames.append(len(earlier))
        category = pa.dictionary(pa.int32(), pa.string())
        columns = {
            "frame_id": pa.array(range(len(rows)), pa.int64()),
            "key": pa.array([row["picture"].removesuffix(".png") for row in rows]),
            "subject": pa.array([row["person"] for row in rows]).cast(category),
            "task": pa.array([""] * len(rows)).cast(category),
            "frame": pa.array(frames, pa.int32()),
            "sex": pa.nulls(len(rows), category),
            "image": pa.array([row["picture"] for row in rows]),
        }
        for name in options.aus:
            values = [None if row[name] == "-" else int(row[name]) for row in rows]
            columns[name] = pa.array(values, pa.int8())
        schema = frames_schema(options.aus)
        sink(pa.table({name: columns[name] for name in schema.names}).cast(schema))
        return Reading(root, self.fingerprint(root), False)


READER = Reader()
'''

_TARGET = '''
"""Three moods that exclude each other."""

from typing import Literal

from fauds.targets.multiclass import Multiclass


class Mood(Multiclass):
    kind: Literal["mood"] = "mood"
    classes: tuple[str, ...]

    @property
    def names(self):
        return self.classes

    @property
    def column(self):
        return "mood"
'''

_DETECTOR = '''
"""Finds one face in the middle of every image."""

import numpy as np

from fauds.faces.base import Face


class Detector:
    identity = "itsdetector 1"
    gives = frozenset(("box", "eyes"))

    def find(self, image, at):
        height, width = image.shape[:2]
        box = (width * 0.1, height * 0.1, width * 0.9, height * 0.9)
        eyes = np.array([[width * 0.3, height * 0.4], [width * 0.7, height * 0.4]], np.float32)
        return [Face(box, None, eyes)]


def open_detector(path):
    return Detector()
'''

_MODEL = '''
"""The mean colours of a grid of patches and one linear layer, trained in two stages."""

from pathlib import Path

import torch
from torch import nn

from fauds.nn.base import Embeds, Model, Stage
from fauds.settings import ModelSettings


class Settings(ModelSettings):
    grid: int = 4


class ItsModel(Model, Embeds):
    Settings = Settings
    terms = ("square",)
    preset = "tiny"
    folder = Path(__file__).parent

    def __init__(self, grid, spec):
        super().__init__()
        self.exclusive = spec.form == "multiclass"
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.scale = nn.Parameter(torch.ones(3 * grid * grid))
        self.linear = nn.Linear(3 * grid * grid, len(spec.names))

    @classmethod
    def build(cls, settings, spec):
        return cls(settings.grid, spec)

    def stages(self, epochs):
        first = epochs // 2
        return (Stage("linear layer", first), Stage("everything", epochs - first))

    def begin(self, stage):
        self.scale.requires_grad = stage.name == "everything"

    def features(self, images):
        return self.pool(images).flatten(1) * self.scale

    def embed(self, images):
        return self.features(images)[:, None].expand(-1, self.linear.out_features, -1)

    def scores(self, images):
        logits = self.linear(self.features(images))
        return logits.softmax(1) if self.exclusive else logits.sigmoid()

    def targets(self, labels):
        if not self.exclusive:
            return labels
        known = torch.nn.functional.one_hot(labels.clamp(min=0), self.linear.out_features)
        return torch.where(labels[:, None] < 0, -1, known)

    def counts(self, batch):
        return {"square": (self.targets(batch.labels) >= 0).sum().float()}

    def forward(self, batch):
        return self.scores(batch.images)

    def loss(self, output, batch, weights):
        targets = self.targets(batch.labels)
        return {"square": (((output - targets) ** 2) * weights * (targets >= 0)).sum()}
'''

_PRESET = """
description: mean colours and one linear layer
model: {image_size: 28, grid: 4}
training: {epochs: 4, batch_size: 8, learning_rate: 0.05, device: cpu}
"""

_PROTOCOL = """
name: {name}
version: 1
title: faces of a third-party package
dataset: itsdata
{target}
metric: {{name: the headline of the target}}
alignment: {{name: none, version: 1, without_landmarks: detect}}
access: made by a test
"""


def write(folder: Path) -> None:
    """Write the package, a release of its dataset and two protocols into a folder."""
    source = folder / "source" / "its"
    source.mkdir(parents=True)
    (folder / "source" / "pyproject.toml").write_text(_PROJECT)
    parts = {"__init__": "", "data": _DATA, "target": _TARGET, "detector": _DETECTOR}
    for name, text in {**parts, "model": _MODEL}.items():
        (source / f"{name}.py").write_text(text, encoding="utf-8")
    (source / "tiny.yaml").write_text(_PRESET)
    _release(folder / "raw")
    aus = "target: {kind: occurrence, aus: [12, AU25], rule: coded}"
    moods = f"target: {{kind: mood, classes: [{', '.join(MOODS)}]}}"
    for name, target in (("its-aus", aus), ("its-moods", moods)):
        text = _PROTOCOL.format(name=name, target=target)
        (folder / f"{name}.yaml").write_text(text)


def _release(raw: Path) -> None:
    """Write images of noise whose colours depend on the labels, and the table of labels."""
    raw.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for subject, person in enumerate(PEOPLE):
        for number in range(FRAMES):
            au12, au25, mood = (int(rng.integers(n)) for n in (2, 2, len(MOODS)))
            image = rng.integers(0, 120, (32, 32, 3)).astype(np.uint8)
            image[:16, :, 0] += np.uint8(90 * au12)
            image[16:, :, 1] += np.uint8(90 * au25)
            image[:, :16, 2] += np.uint8(60 * mood)
            name = f"{subject}-{number}.png"
            cv2.imwrite(str(raw / name), image)
            coded = [au12, "-" if number == 3 else au25, "-" if number == 5 else mood]
            rows.append([person, name, *coded])
    with (raw / "faces.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["person", "picture", "AU12", "AU25", "mood"], *rows])


def install(folder: Path) -> Path:
    """Install the package without its dependencies; return the folder it is installed in."""
    site = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(site), str(folder / "source")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return site

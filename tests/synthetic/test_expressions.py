"""Synthetic releases of single images: what they show, at which rates, and in which files."""

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from fauds.datasets.affectnet import AFFECTNET
from fauds.datasets.base import ReadOptions
from fauds.datasets.rafdb import RAFDB, RAFDB_CLASSES
from fauds.errors import DataError, UsageError
from fauds.facs import expression_aus
from fauds.synthetic import release
from fauds.synthetic.expressions import (
    EXPRESSION_LAYOUTS,
    LEFT_OUT,
    SHOWN_LEVELS,
    UNRELATED,
    UNRELATED_LEVELS,
    draw_expression,
    lay_out_portraits,
)
from fauds.synthetic.face import FACE_AUS, draw_identity, face_landmarks
from fauds.synthetic.population import generator
from fauds.synthetic.view import draw_views
from fauds.tables.paths import SYNTHETIC_MARKER
from tests.datasets.helpers import read
from tests.synthetic.helpers import digests

SEED, SIZE = 3, 64
"""Those of the fixture `portrait_roots`."""


def shown_aus(expression: str) -> set[str]:
    """Return the codebook's AUs that faces can show; AU27 is drawn as AU25 and AU26."""
    aus = {*expression_aus().get(expression, ("AU14",) if expression == "contempt" else ())}
    if "AU27" in aus:
        aus |= {"AU25", "AU26"}
    return aus & {*FACE_AUS}


@pytest.mark.parametrize("expression", [*expression_aus(), "contempt", "neutral"])
def test_aus_are_left_out_and_added_at_the_stated_rates(expression):
    rng, own = np.random.default_rng(0), shown_aus(expression)
    faces = np.stack([draw_expression(rng, expression) for _ in range(4000)])
    is_own = np.array([au in own for au in FACE_AUS])
    unrelated = (faces[:, ~is_own] > 0).sum(axis=1)
    assert set(unrelated.tolist()) <= {0, 1}
    assert unrelated.mean() == pytest.approx(UNRELATED, abs=0.02)
    levels = Counter(faces[:, ~is_own][faces[:, ~is_own] > 0].tolist())
    assert set(levels) == set(UNRELATED_LEVELS)
    if not own:
        return
    shown = faces[:, is_own] > 0
    assert shown.any(axis=1).all()
    # Where all would be left out, one is shown: an AU alone is never left out.
    none = LEFT_OUT ** len(own)
    assert shown.mean() == pytest.approx(1 - LEFT_OUT + none / len(own), abs=0.02)
    levels = Counter(faces[:, is_own][shown].tolist())
    for level, share in SHOWN_LEVELS.items():
        assert levels[level] / shown.sum() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("like", EXPRESSION_LAYOUTS)
def test_nobody_is_in_both_parts_and_everybody_has_the_same_number_of_images(like):
    portraits = lay_out_portraits(like, people=9, images=5, seed=2)
    people = {
        split: Counter(p.subject for p in portraits if p.split == split)
        for split in ("train", "test")
    }
    assert not people["train"].keys() & people["test"].keys()
    assert sorted(people["train"].values()) == [5] * 6
    assert sorted(people["test"].values()) == [4] * 3
    for split, count in (("train", 30), ("test", 12)):
        numbers = [p.number for p in portraits if p.split == split]
        assert numbers == list(range(1, count + 1))
    assert {p.sex for p in portraits} == {"F", "M"}


def test_the_default_size_is_that_of_the_benchmark():
    portraits = lay_out_portraits("rafdb", seed=1)
    assert Counter(p.split for p in portraits) == {"train": 1440, "test": 480}
    people = {
        split: len({p.subject for p in portraits if p.split == split})
        for split in ("train", "test")
    }
    assert people == {"train": 60, "test": 30}
    for split in ("train", "test"):
        shown = Counter(p.expression for p in portraits if p.split == split)
        assert set(shown) == set(RAFDB_CLASSES.values())
        assert shown.most_common(1)[0][0] == "happiness"


def test_expressions_are_shown_as_often_as_the_layout_says():
    portraits = lay_out_portraits("affectnet", people=120, images=30, seed=0)
    for split, shares in (
        ("train", EXPRESSION_LAYOUTS["affectnet"].shares),
        ("test", EXPRESSION_LAYOUTS["affectnet"].test_shares),
    ):
        shown = Counter(p.expression for p in portraits if p.split == split)
        for name, share in shares.items():
            expected = share / sum(shares.values())
            assert shown[name] / shown.total() == pytest.approx(expected, abs=0.04)


def test_the_files_are_those_of_the_releases(portrait_roots):
    names = {like: set(digests(root)) for like, root in portrait_roots.items()}
    assert {
        "basic/EmoLabel/list_patition_label.txt",
        "basic/EmoLabel/subjects.csv",
        "basic/Image/aligned/train_00001_aligned.jpg",
        "basic/Image/aligned/landmarks.csv",
        "basic/Image/original/test_0008.jpg",
        "basic/Annotation/boundingbox/train_00024_boundingbox.txt",
        "basic/Annotation/manual/test_0001_manu_attri.txt",
    } < names["rafdb"]
    for word in ("exp", "val", "aro", "lnd"):
        assert f"val_set/annotations/8_{word}.npy" in names["affectnet"]
    assert "train_set/images/24.jpg" in names["affectnet"]
    lists = portrait_roots["affectnet-csv"] / "Manually_Annotated_file_lists"
    head, first = (lists / "training.csv").read_text().splitlines()[:2]
    assert head == (
        "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
        "valence,arousal"
    )
    assert f"Manually_Annotated_Images/{first.split(',')[0]}" in names["affectnet-csv"]


def test_landmarks_are_exactly_those_of_the_faces(portrait_roots):
    portraits = lay_out_portraits("affectnet", people=6, images=6, seed=SEED)
    for portrait in portraits[:4] + portraits[-2:]:
        identity = draw_identity(generator(SEED, "identity", portrait.subject), portrait.sex)
        (view,) = draw_views(generator(SEED, "view", f"{portrait.split} {portrait.number}"), 1)
        levels = np.array(portrait.intensities, np.float32)
        expected = face_landmarks(identity, levels, view, SIZE)
        folder = {"train": "train_set", "test": "val_set"}[portrait.split]
        path = portrait_roots["affectnet"] / folder / f"annotations/{portrait.number}_lnd.npy"
        assert np.load(path).reshape(68, 2) == pytest.approx(expected, abs=1e-5)


def test_an_original_image_is_the_aligned_one_with_surroundings(portrait_roots):
    folder = portrait_roots["rafdb"] / "basic"
    tables = {}
    for name in ("aligned", "original"):
        table = np.genfromtxt(
            folder / "Image" / name / "landmarks.csv", delimiter=",", skip_header=1, dtype=str
        )
        tables[name] = {row[0]: row[2:].astype(float).reshape(68, 2) for row in table}
    for key in ("train_00003", "test_0005"):
        shift = tables["original"][key] - tables["aligned"][key]
        left, top = np.round(shift[0]).astype(int)
        assert shift == pytest.approx(np.broadcast_to([left, top], (68, 2)), abs=1e-3)
        aligned = cv2.imread(str(folder / f"Image/aligned/{key}_aligned.jpg")).astype(int)
        original = cv2.imread(str(folder / f"Image/original/{key}.jpg")).astype(int)
        part = original[top : top + SIZE, left : left + SIZE]
        assert np.abs(part - aligned).mean() < 3
        box = (folder / f"Annotation/boundingbox/{key}_boundingbox.txt").read_text().split()
        x0, y0, x1, y1 = map(float, box)
        points = tables["original"][key]
        assert x0 <= points[:, 0].min() and points[:, 0].max() <= x1 + 1e-3
        assert y0 <= points[:, 1].min() and points[:, 1].max() <= y1 + 1e-3


@pytest.mark.parametrize("like", EXPRESSION_LAYOUTS)
def test_the_same_arguments_write_the_same_bytes(tmp_path, like):
    for name in ("first", "second"):
        release.write(tmp_path / name, like, subjects=3, frames=2, seed=5, size=SIZE)
    assert digests(tmp_path / "first") == digests(tmp_path / "second")
    release.write(tmp_path / "other", like, subjects=3, frames=2, seed=6, size=SIZE)
    assert digests(tmp_path / "other") != digests(tmp_path / "first")


@pytest.mark.slow
def test_several_processes_write_the_same_bytes(tmp_path):
    for processes in (1, 2):
        root = tmp_path / str(processes)
        release.write(root, "rafdb", subjects=3, frames=2, size=SIZE, processes=processes)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def test_a_release_of_labels_alone_has_neither_images_nor_landmarks(tmp_path):
    for like, reader in (("rafdb", RAFDB), ("affectnet", AFFECTNET), ("affectnet-csv", AFFECTNET)):
        root = tmp_path / like
        release.write(root, like, subjects=3, frames=3, labels_only=True)
        assert not list(root.rglob("*.jpg")) and not list(root.rglob("*_lnd.npy"))
        table = read(reader, root, None, ReadOptions(classes=("happiness", "sadness"))).table
        assert table["image"].null_count == len(table)
        # Labels of an earlier release are replaced by others.
        release.write(root, like, subjects=4, frames=3, labels_only=True)


def test_images_are_not_removed_without_being_replaced(tmp_path):
    release.write(tmp_path, "rafdb", subjects=3, frames=1, size=SIZE)
    with pytest.raises(UsageError, match="removed but not replaced: basic"):
        release.write(tmp_path, "rafdb", subjects=3, frames=1, labels_only=True)
    with pytest.raises(UsageError, match="removed but not replaced: basic"):
        release.write(tmp_path, "affectnet", subjects=3, frames=1)
    with pytest.raises(UsageError, match="removed but not replaced: basic"):
        release.write(tmp_path, "bp4d", subjects=1, frames=8, size=SIZE)
    release.write(tmp_path, "rafdb", subjects=4, frames=1, size=SIZE)
    assert len(list(tmp_path.rglob("*_aligned.jpg"))) == 4


def test_a_release_whose_writing_was_stopped_is_an_error_for_readers(portrait_roots, tmp_path):
    for like, reader in (("rafdb", RAFDB), ("affectnet", AFFECTNET)):
        root = tmp_path / like
        release.write(root, like, subjects=3, frames=1, labels_only=True)
        marker = json.loads((root / SYNTHETIC_MARKER).read_text())
        (root / SYNTHETIC_MARKER).write_text(json.dumps(marker | {"complete": False}))
        with pytest.raises(DataError, match="not completely written"):
            read(reader, root, None, ReadOptions(classes=("happiness", "sadness")))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"subjects": 2}, "The number of subjects is 2"),
        ({"subjects": 0}, "The number of subjects is 0"),
        ({"frames": 0}, "The number of images per person is 0"),
        ({"size": 0}, "The size of the images must be 64 pixels or more, not 0"),
        ({"pictures": "videos"}, "has single images, no videos"),
        ({"landmarks": "text"}, "landmarks in a form of its own"),
        ({"size": 32}, "The size of the images must be 64 pixels or more, not 32"),
        ({"seed": -1}, "The seed must be 0 or more, not -1"),
    ],
)
def test_arguments_that_single_images_cannot_have_are_an_error(tmp_path: Path, arguments, problem):
    with pytest.raises(UsageError, match=problem):
        release.write(tmp_path / "new", "rafdb", **arguments)
    assert not (tmp_path / "new").exists()


def test_an_unknown_expression_or_layout_is_an_error_that_names_those_that_exist():
    with pytest.raises(UsageError, match="no expression named 'hapiness'") as caught:
        draw_expression(np.random.default_rng(0), "hapiness")
    assert "did you mean 'happiness'" in caught.value.hint
    with pytest.raises(UsageError, match="no layout of single images named 'bp4d'"):
        lay_out_portraits("bp4d")


def test_sizes_of_zero_are_an_error_for_sequences_too(tmp_path: Path):
    with pytest.raises(UsageError, match="64 pixels or more, not 0"):
        release.write(tmp_path / "new", "bp4d", size=0)


def test_the_help_states_the_default_sizes(cli, tmp_path):
    for like, size in (("bp4d", 128), ("rafdb", 112)):
        release.write(tmp_path / like, like, subjects=3, frames=1)
        image = next((tmp_path / like).rglob("*aligned/*.jpg" if like == "rafdb" else "*.jpg"))
        assert cv2.imread(str(image)).shape == (size, size, 3)
    help_text = " ".join(cli.ok("synth", "--help").split())
    assert "Height of the images in pixels. [default: 128; single images: 112]" in help_text

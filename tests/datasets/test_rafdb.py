"""The reader of RAF-DB: labels, sexes, images and landmarks, and errors that name their place."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from fauds.datasets.base import ReadOptions
from fauds.datasets.rafdb import RAFDB
from fauds.errors import UsageError
from fauds.faces import landmark_files
from tests.datasets.helpers import ReadingWithFrames, fails, read

# In another order than the codes, and without a class.
CLASSES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust")
OPTIONS = ReadOptions(classes=CLASSES)
NAMES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
LIST = "basic/EmoLabel/list_patition_label.txt"


@pytest.fixture
def root(portrait_roots: dict[str, Path], tmp_path: Path) -> Path:
    """Return a copy of a release that a test may change."""
    return Path(shutil.copytree(portrait_roots["rafdb"], tmp_path / "rafdb"))


def read_all(root: Path, **options: object) -> ReadingWithFrames:
    return read(RAFDB, root, None, ReadOptions(**{"classes": CLASSES, **options}))


def plain_labels(root: Path) -> dict[str, str]:
    """Read the name of each image's class line by line."""
    lines = (root / LIST).read_text().splitlines()
    return {line.split(".")[0]: NAMES[int(line.split()[1]) - 1] for line in lines}


def plain_subjects(root: Path) -> dict[str, str]:
    with (root / "basic/EmoLabel/subjects.csv").open(newline="") as file:
        return {row["image"].split(".")[0]: row["subject"] for row in csv.DictReader(file)}


def test_labels_sexes_splits_and_subjects_equal_those_of_a_loop_over_files(portrait_roots):
    root = portrait_roots["rafdb"]
    reading, labels, subjects = read_all(root), plain_labels(root), plain_subjects(root)
    rows = reading.table.to_pylist()
    assert {row["key"] for row in rows} == {key for key, name in labels.items() if name in CLASSES}
    for row in rows:
        key = row["key"]
        attributes = root / "basic/Annotation/manual" / f"{key}_manu_attri.txt"
        assert CLASSES[row["expression"]] == labels[key]
        assert row["sex"] == {"0": "M", "1": "F"}[attributes.read_text().splitlines()[5]]
        assert row["split"] == key.split("_")[0]
        assert row["subject"] == subjects[key]
        assert row["image"] == f"Image/aligned/{key}_aligned.jpg"
        assert (reading.root / row["image"]).is_file()
        assert (row["task"], row["frame"]) == (None, None)
    assert [row["frame_id"] for row in rows] == list(range(len(rows)))
    assert [row["subject"] for row in rows] == sorted(row["subject"] for row in rows)
    others = sum(name not in CLASSES for name in labels.values())
    assert others and f"left out, no class of this benchmark: anger {others}" in reading.notes
    assert reading.synthetic


def test_a_release_that_does_not_say_who_is_on_its_images_has_no_subjects(root):
    (root / "basic/EmoLabel/subjects.csv").unlink()
    reading = read_all(root)
    assert reading.table["subject"].null_count == len(reading.table)
    keys = reading.table["key"].to_pylist()
    assert keys == [key for key, name in plain_labels(root).items() if name in CLASSES]
    assert "subjects: not known, so the same person may be on several images" in reading.notes
    with pytest.raises(UsageError, match="does not say who is on its images"):
        read_all(root, subjects=("P1",))


@pytest.mark.parametrize(
    ("option", "flag"),
    [
        ({"sex_table": Path("sexes.csv")}, "--sexes"),
        ({"image_base": 0}, "--image-base"),
        ({"missing_aus": "null"}, "--missing-aus"),
    ],
)
def test_an_option_that_the_release_cannot_be_read_with_is_an_error(portrait_roots, option, flag):
    with pytest.raises(UsageError, match=f"cannot be read with {flag}: ") as refused:
        read_all(portrait_roots["rafdb"], **option)
    assert refused.value.hint == f"leave out {flag}"


def test_a_folder_of_images_that_does_not_exist_is_an_error(portrait_roots):
    root = portrait_roots["rafdb"]
    images = Path("basic/Image/cropped")
    problem = "The folder of images does not exist"
    fails(lambda: read_all(root, images=images), problem, where=root / images)


@pytest.mark.parametrize("ending", ["", "_aligned.jpg"])
def test_the_table_of_subjects_may_name_images_in_several_ways(root, ending):
    path = root / "basic/EmoLabel/subjects.csv"
    before = read_all(root).table["subject"].to_pylist()
    path.write_text(path.read_text().replace(".jpg", ending))
    assert read_all(root).table["subject"].to_pylist() == before


def test_some_subjects_alone_can_be_read(portrait_roots):
    table = read_all(portrait_roots["rafdb"], subjects=("P2", "P6")).table
    assert set(table["subject"].to_pylist()) == {"P2", "P6"}


@pytest.mark.parametrize("at", ["", "basic", "basic/EmoLabel"])
def test_the_root_may_be_the_release_or_a_folder_in_it(portrait_roots, at):
    reading = read_all(portrait_roots["rafdb"] / at)
    assert reading.table.equals(read_all(portrait_roots["rafdb"]).table)


def test_original_images_are_used_if_they_are_asked_for_or_are_the_only_ones(root):
    asked = read_all(root, images=Path("basic/Image/original"))
    assert all(name.startswith("Image/original/t") for name in asked.table["image"].to_pylist())
    notes = read_all(root).notes
    assert any(line.endswith("--images basic/Image/original") for line in notes)
    shutil.rmtree(root / "basic/Image/aligned")
    assert read_all(root).table.equals(asked.table)


def test_a_missing_image_has_no_path_and_is_named(root):
    (root / "basic/Image/aligned/test_0002_aligned.jpg").unlink()
    reading = read_all(root)
    images = dict(zip(*(reading.table[c].to_pylist() for c in ("key", "image")), strict=True))
    assert [key for key, image in images.items() if image is None] == ["test_0002"]
    assert "images that are missing: 1 (test_0002)" in reading.notes


def test_images_may_have_any_suffix_but_one_file_each(root):
    folder = root / "basic/Image/aligned"
    for key, name in (("test_0002", "test_0002_aligned.JPG"), ("test_0003", "test_0003.jpeg")):
        (folder / f"{key}_aligned.jpg").rename(folder / name)
    rows = {row["key"]: row["image"] for row in read_all(root).table.to_pylist()}
    assert rows["test_0002"] == "Image/aligned/test_0002_aligned.JPG"
    assert rows["test_0003"] == "Image/aligned/test_0003.jpeg"
    shutil.copyfile(folder / "test_0003.jpeg", folder / "test_0003.png")
    fails(lambda: read_all(root), "test_0003.jpeg and test_0003.png are both image test_0003")


def test_images_of_a_workdir_in_the_folder_of_images_are_not_those_of_the_release(root):
    work = root / "basic/Image/aligned/fauds-work/rafdb"
    before = RAFDB.fingerprint(root, OPTIONS)
    work.mkdir(parents=True)
    (work / "frames.parquet").touch()
    shutil.copyfile(root / "basic/Image/original/test_0001.jpg", work / "test_0001.jpg")
    assert RAFDB.fingerprint(root, OPTIONS) == before


def test_a_sex_that_is_unsure_or_not_annotated_is_null(root):
    folder = root / "basic/Annotation/manual"
    path = folder / "train_00001_manu_attri.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], "2", *lines[6:]]))
    (folder / "train_00002_manu_attri.txt").unlink()
    table = read(RAFDB, root, None, ReadOptions(classes=NAMES)).table
    sexes = dict(zip(table["key"].to_pylist(), table["sex"].to_pylist(), strict=True))
    assert {key for key, sex in sexes.items() if sex is None} == {"train_00001", "train_00002"}


def test_differences_from_the_published_numbers_are_counted_by_part(portrait_roots):
    expected = {"frames": 15339, "frames_per_split": {"train": 24, "test": 3068}}
    options = ReadOptions(classes=NAMES)
    reading = read(RAFDB, portrait_roots["rafdb"], expected, options)
    assert reading.differences == ("8 test images where 3,068 are published",)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("train_00099.jpg 8", "The class code is '8'"),
        ("train_00099.jpg 0", "The class code is '0'"),
        ("train_00099.jpg happy", "The class code is 'happy'"),
        ("train_00099.jpg", "does not label an image"),
        ("valid_00099.jpg 3", "does not label an image"),
        ("train_00001.jpg 5", "train_00001 is listed twice: in lines 1 and 33"),
    ],
)
def test_a_wrong_line_of_the_list_is_an_error_that_names_it(root, line, problem):
    path = root / LIST
    path.write_text(f"{path.read_text()}{line}\n")
    fails(lambda: read_all(root), problem, where=f"{path}:33")


def test_an_empty_or_missing_list_is_an_error(root):
    (root / LIST).write_text("\n")
    fails(lambda: read_all(root), "The list of labels is empty")
    (root / LIST).unlink()
    fails(lambda: read_all(root), "The list of labels cannot be read")
    shutil.rmtree(root / "basic/EmoLabel")
    fails(lambda: read_all(root), "expected EmoLabel/list_patition_label.txt")


def test_a_wrong_gender_is_an_error_that_names_the_line(root):
    path = root / "basic/Annotation/manual/train_00003_manu_attri.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], "7", *lines[6:]]))
    options = ReadOptions(classes=NAMES)
    fails(lambda: read(RAFDB, root, None, options), "The gender is '7'", where=f"{path}:6")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("image,person\ntrain_00001.jpg,P1\n", "There is no column subject"),
        ("image,subject\ntrain_00001.jpg,P1\n", "These images have no subject: train_00002, "),
        ("image,subject\na.jpg,P1\na.jpg,P2\n", "a is listed twice"),
    ],
)
def test_a_wrong_table_of_subjects_is_an_error(root, content, problem):
    (root / "basic/EmoLabel/subjects.csv").write_text(content)
    fails(lambda: read_all(root), problem)


@pytest.mark.parametrize(
    ("classes", "problem"), [(("joy", "fear"), "no class named 'joy'"), ((), "names none")]
)
def test_classes_that_the_release_does_not_label_are_an_error(portrait_roots, classes, problem):
    with pytest.raises(UsageError, match=problem):
        read(RAFDB, portrait_roots["rafdb"], None, ReadOptions(classes=classes))


def test_the_fingerprint_changes_with_labels_sexes_subjects_and_images(root):
    changes = [RAFDB.fingerprint(root, OPTIONS)]
    assert RAFDB.fingerprint(root, OPTIONS) == changes[0] == read_all(root).fingerprint
    for name in (
        LIST,
        "basic/EmoLabel/subjects.csv",
        "basic/Annotation/manual/test_0001_manu_attri.txt",
        "basic/Image/aligned/test_0001_aligned.jpg",
    ):
        path = root / name
        path.write_bytes(path.read_bytes() + b"\n")
        changes.append(RAFDB.fingerprint(root, OPTIONS))
    assert len(set(changes)) == len(changes)


def test_landmarks_beside_the_images_are_used_for_either_folder_of_images(portrait_roots):
    root = portrait_roots["rafdb"]
    for folder in ("aligned", "original"):
        media = RAFDB.footage(root, {("", ""): 0}, images=Path(f"basic/Image/{folder}"))
        files = media.sources["", ""].landmarks
        assert (files.form, files.points, len(files.places)) == ("csv", 68, 32)
        points = landmark_files.read(files, np.array(["test_0001", "nobody", "train_00004"]))
        assert np.isnan(points[1]).all()
        with files.path.open(newline="") as file:
            lines = {row["source"]: row for row in csv.DictReader(file)}
        for place, key in ((0, "test_0001"), (2, "train_00004")):
            plain = [[float(lines[key][f"{axis}{k}"]) for axis in "xy"] for k in range(68)]
            assert points[place] == pytest.approx(np.array(plain))


def test_without_a_table_original_images_have_the_eyes_and_the_box_of_the_release(root):
    for name in ("aligned", "original"):
        (root / "basic/Image" / name / "landmarks.csv").unlink()
    assert RAFDB.footage(root, {("", ""): 0}).notes == ("landmarks: none found",)
    media = RAFDB.footage(root, {("", ""): 0}, images=Path("basic/Image/original"))
    files = media.sources["", ""].landmarks
    assert (files.form, files.points) == ("rafdb-text", 5)
    known = landmark_files.read_marks(files, np.array(["train_00002", "nobody"]))
    folder = root / "basic/Annotation"
    lines = (folder / "manual/train_00002_manu_attri.txt").read_text().splitlines()
    eyes = [[float(number) for number in line.split()] for line in lines[:2]]
    assert known.eyes[0] == pytest.approx(np.array(sorted(eyes)))
    box = (folder / "boundingbox/train_00002_boundingbox.txt").read_text().split()
    assert known.boxes[0].tolist() == [float(number) for number in box]
    assert np.isnan(known.eyes[1]).all() and np.isnan(known.boxes[1]).all()
    assert np.isnan(known.points).all()


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("boundingbox/train_00002_boundingbox.txt", "5 5 4 9", "must hold a box"),
        ("boundingbox/train_00002_boundingbox.txt", "5 5 x 9", "'x' is not a number"),
        ("manual/train_00002_manu_attri.txt", "1 2\n3\n", "x and y of a point each"),
    ],
)
def test_a_broken_annotation_is_an_error_that_names_the_file(root, file, content, problem):
    for name in ("aligned", "original"):
        (root / "basic/Image" / name / "landmarks.csv").unlink()
    (root / "basic/Annotation" / file).write_text(content)
    media = RAFDB.footage(root, {("", ""): 0}, images=Path("basic/Image/original"))
    files = media.sources["", ""].landmarks
    message = fails(lambda: landmark_files.read_marks(files, np.array(["train_00002"])), problem)
    assert file in message


def test_a_table_of_landmarks_that_lists_an_image_twice_or_lacks_a_column_is_an_error(root):
    path = root / "basic/Image/aligned/landmarks.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]) + "\n")
    fails(lambda: RAFDB.footage(root, {("", ""): 0}), "is listed twice")
    path.write_text("source,x0,y0\ntest_0001,1,2\n")
    fails(lambda: RAFDB.footage(root, {("", ""): 0}), "Columns are missing")


@pytest.mark.parametrize("ending", ["_aligned.jpg", ".jpg", ".PNG", "_aligned"])
def test_a_table_of_landmarks_may_name_the_files_of_images(root, ending):
    path = root / "basic/Image/aligned/landmarks.csv"
    keys = np.array(["train_00004", "test_0001"])
    (media,) = RAFDB.footage(root, {("", ""): 0}).sources.values()
    expected = landmark_files.read(media.landmarks, keys)
    head, *lines = path.read_text().splitlines()
    named = [line.replace(",1,", f"{ending},1,", 1) for line in lines]
    path.write_text("\n".join([head, *named]) + "\n")
    (media,) = RAFDB.footage(root, {("", ""): 0}).sources.values()
    assert len(media.landmarks.places) == 32
    assert np.array_equal(landmark_files.read(media.landmarks, keys), expected)
    path.write_text("\n".join([head, *named, lines[0]]) + "\n")
    fails(lambda: RAFDB.footage(root, {("", ""): 0}), "train_00001 is listed twice")


def test_a_table_of_landmarks_of_other_images_is_an_error(root):
    path = root / "basic/Image/aligned/landmarks.csv"
    path.write_text(path.read_text().replace("train_", "a_").replace("test_", "b_"))
    message = fails(
        lambda: RAFDB.footage(root, {("", ""): 0}),
        "None of the lines is of an image of this dataset",
        "they are of a_00001, a_00002 and 30 more",
        where=path,
    )
    assert "such as train_00001" in message


def test_landmarks_of_the_release_are_those_that_exist(root):
    (root / "basic/Image/original/landmarks.csv").unlink()
    folder = root / "basic/Annotation"
    for key in ("train_00002", "train_00003", "test_0001"):
        (folder / f"manual/{key}_manu_attri.txt").unlink()
    (folder / "boundingbox/test_0001_boundingbox.txt").unlink()
    media = RAFDB.footage(root, {("", ""): 0}, images=Path("basic/Image/original"))
    files = media.sources["", ""].landmarks
    assert media.notes == ("landmarks: 5 points of 29 images",)
    keys = np.array(["train_00001", "train_00002", "test_0001"])
    known = landmark_files.read_marks(files, keys)
    assert np.isfinite(known.eyes).all((1, 2)).tolist() == [True, False, False]
    assert np.isfinite(known.boxes).all(1).tolist() == [True, True, False]
    shutil.rmtree(folder / "manual")
    media = RAFDB.footage(root, {("", ""): 0}, images=Path("basic/Image/original"))
    assert media.notes == ("landmarks: none found",)


def test_annotations_that_are_not_used_do_not_change_the_digest_of_landmarks(root):
    (before,) = RAFDB.footage(root, {("", ""): 0}).sources.values()
    (root / "basic/Annotation/boundingbox/train_00001_boundingbox.txt").write_text("1 2 3 4")
    (after,) = RAFDB.footage(root, {("", ""): 0}).sources.values()
    assert after == before
    (root / "basic/Image/original/landmarks.csv").unlink()
    images = Path("basic/Image/original")
    (before,) = RAFDB.footage(root, {("", ""): 0}, images=images).sources.values()
    (root / "basic/Annotation/boundingbox/train_00001_boundingbox.txt").write_text("1 2 3 40")
    (after,) = RAFDB.footage(root, {("", ""): 0}, images=images).sources.values()
    assert after.digest != before.digest


def test_images_of_the_list_are_decoded_as_they_are(portrait_roots):
    reading = read_all(portrait_roots["rafdb"])
    sizes = {
        cv2.imread(str(reading.root / name)).shape for name in reading.table["image"].to_pylist()
    }
    assert sizes == {(64, 64, 3)}
    assert reading.table.schema.field("expression").type == pa.int8()

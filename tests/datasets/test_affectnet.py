"""The reader of AffectNet in both circulating forms, and errors that name their place."""

import csv
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from fauds.datasets.affectnet import AFFECTNET
from fauds.datasets.base import ReadOptions
from fauds.errors import UsageError
from fauds.faces import landmark_files
from tests.datasets.helpers import ReadingWithFrames, fails, read

NAMES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
SEVEN, EIGHT = NAMES[:7], NAMES
FORMS = ("affectnet", "affectnet-csv")
LISTS = "Manually_Annotated_file_lists"
ONE = {("", ""): 0}


@pytest.fixture
def roots(portrait_roots: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Return copies of releases that a test may change."""
    return {like: Path(shutil.copytree(portrait_roots[like], tmp_path / like)) for like in FORMS}


def read_all(root: Path, classes: tuple[str, ...] = SEVEN, **options: object) -> ReadingWithFrames:
    return read(AFFECTNET, root, None, ReadOptions(classes=classes, **options))


def plain_codes(root: Path) -> dict[str, int]:
    """Read each image's class code file by file, or line by line."""
    codes = {}
    for path in root.glob("*_set/annotations/*_exp.npy"):
        part = path.parts[-3].removesuffix("_set")
        codes[f"{part}/{path.name.removesuffix('_exp.npy')}"] = int(np.load(path).item())
    for path in root.glob(f"{LISTS}/*.csv"):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                codes[row["subDirectory_filePath"].removesuffix(".jpg")] = int(row["expression"])
    return codes


def change_line(path: Path, line: int, column: int, cell: str) -> None:
    """Replace a cell of a list; lines and columns count from 0."""
    lines = path.read_text().splitlines()
    cells = lines[line].split(",")
    cells[column] = cell
    lines[line] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("suffix", [".JPG", ".bmp", ".tif", ".png"])
def test_images_of_the_lists_may_have_the_formats_of_the_web(roots, suffix):
    root = roots["affectnet-csv"]
    path = root / LISTS / "training.csv"
    old = path.read_text().splitlines()[1].split(",")[0]
    new = old.removesuffix(".jpg") + suffix
    change_line(path, 1, 0, new)
    images = root / "Manually_Annotated_Images"
    (images / old).rename(images / new)
    reading = read_all(root, EIGHT)
    paths = {row["key"]: row["image"] for row in reading.table.to_pylist()}
    assert paths[old.removesuffix(".jpg")] == f"Manually_Annotated_Images/{new}"
    assert not [line for line in reading.notes if "missing" in line]


@pytest.mark.parametrize("like", FORMS)
@pytest.mark.parametrize("classes", [SEVEN, EIGHT, ("fear", "happiness")])
def test_labels_equal_those_of_a_loop_over_files_and_other_classes_are_counted(
    portrait_roots, like, classes
):
    root = portrait_roots[like]
    reading, codes = read_all(root, classes), plain_codes(root)
    rows = reading.table.to_pylist()
    expected = {key: NAMES[code] for key, code in codes.items() if NAMES[code] in classes}
    assert {row["key"]: classes[row["expression"]] for row in rows} == expected
    for row in rows:
        assert (reading.root / row["image"]).is_file()
        assert [row[name] for name in ("subject", "task", "frame", "sex")] == [None] * 4
    assert [row["split"] for row in rows] == sorted((row["split"] for row in rows), reverse=True)
    left_out = len(codes) - len(expected)
    counted = [line for line in reading.notes if line.startswith("left out, no class")]
    assert (
        sum(
            int(word)
            for line in counted
            for word in line.replace(",", "").split()
            if word.isdigit()
        )
        == left_out
    )


def test_both_forms_of_a_release_have_the_same_labels_in_the_same_order(portrait_roots):
    tables = [read_all(portrait_roots[like], EIGHT).table for like in FORMS]
    for column in ("expression", "split"):
        assert tables[0][column].to_pylist() == tables[1][column].to_pylist()


def test_codes_without_a_class_are_left_out_and_counted(roots):
    for number, code in ((1, 8), (2, 9), (3, 10), (4, 10)):
        np.save(roots["affectnet"] / f"train_set/annotations/{number}_exp.npy", np.array(str(code)))
        change_line(roots["affectnet-csv"] / LISTS / "training.csv", number, 6, str(code))
    for like in FORMS:
        reading = read_all(roots[like], EIGHT)
        assert len(reading.table) == 32 - 4
        assert (
            "left out, no class of this benchmark: none 1, uncertain 1, no face 2" in reading.notes
        )


@pytest.mark.parametrize("value", [np.int64(3), np.array([3]), np.array("3"), np.array(3.0)])
def test_a_class_code_may_be_stored_as_a_number_or_a_text(roots, value):
    np.save(roots["affectnet"] / "val_set/annotations/2_exp.npy", value)
    rows = {row["key"]: row for row in read_all(roots["affectnet"]).table.to_pylist()}
    assert SEVEN[rows["val/2"]["expression"]] == "surprise"


@pytest.mark.parametrize("code", ["11", "-1", "happy"])
def test_a_wrong_class_code_is_an_error_that_names_the_file_or_line(roots, code):
    path = roots["affectnet"] / "train_set/annotations/7_exp.npy"
    np.save(path, np.array(code))
    fails(lambda: read_all(roots["affectnet"]), f"The class code is '{code}'", where=path)
    path = roots["affectnet-csv"] / LISTS / "validation.csv"
    change_line(path, 3, 6, code)
    fails(lambda: read_all(roots["affectnet-csv"]), code, where=f"{path}:4")


def test_a_pickle_is_never_loaded_and_is_an_error_that_names_the_file(roots, tmp_path):
    class Marker:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    path = roots["affectnet"] / "train_set/annotations/5_exp.npy"
    np.save(path, np.array(Marker(), object), allow_pickle=True)
    fails(lambda: read_all(roots["affectnet"]), "holds a pickle", where=path)
    path.write_bytes(pickle.dumps(Marker()))
    fails(lambda: read_all(roots["affectnet"]), "not a NumPy file", where=path)
    assert not (tmp_path / "ran").exists()


def test_a_cut_off_file_is_an_error_that_names_it(roots):
    path = roots["affectnet"] / "train_set/annotations/5_exp.npy"
    path.write_bytes(path.read_bytes()[:-2])
    fails(lambda: read_all(roots["affectnet"]), "cut off or damaged", where=path)


def test_an_image_that_is_listed_twice_is_an_error_that_names_the_line(roots):
    path = roots["affectnet-csv"] / LISTS / "training.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[4]]) + "\n")
    fails(lambda: read_all(roots["affectnet-csv"]), "is listed twice", where=f"{path}:26")


@pytest.mark.parametrize("column", ["expression", "subDirectory_filePath", "facial_landmarks"])
def test_a_missing_column_is_an_error_that_names_it(roots, column):
    path = roots["affectnet-csv"] / LISTS / "training.csv"
    path.write_text(path.read_text().replace(column, "other", 1))
    fails(
        lambda: read_all(roots["affectnet-csv"]),
        f"Columns are missing: {column}",
        where=f"{path}:1",
    )


def test_a_list_without_a_first_line_of_names_is_an_error(roots):
    path = roots["affectnet-csv"] / LISTS / "validation.csv"
    path.write_text(path.read_text().partition("\n")[2])
    message = fails(
        lambda: read_all(roots["affectnet-csv"]), "Columns are missing", where=f"{path}:1"
    )
    assert "the first line names the columns" in message


@pytest.mark.parametrize("like", FORMS)
def test_a_missing_image_has_no_path_and_is_named(roots, like):
    reading = read_all(roots[like], EIGHT)
    lost = reading.table["key"].to_pylist()[5]
    (reading.root / reading.table["image"].to_pylist()[5]).unlink()
    reading = read_all(roots[like], EIGHT)
    assert reading.table["image"].to_pylist()[5] is None
    assert reading.table["image"].null_count == 1
    assert f"images that are missing: 1 ({lost})" in reading.notes


def test_a_folder_with_both_forms_or_with_none_is_an_error(roots, tmp_path):
    shutil.copytree(roots["affectnet-csv"] / LISTS, roots["affectnet"] / LISTS)
    fails(lambda: read_all(roots["affectnet"]), "both forms of it")
    fails(lambda: read_all(tmp_path), "more than one release")
    (tmp_path / "empty").mkdir()
    fails(lambda: read_all(tmp_path / "empty"), "No labels found: expected train_set/annotations")
    fails(lambda: read_all(tmp_path / "nowhere"), "The folder does not exist")
    (tmp_path / "file").write_text("")
    fails(lambda: read_all(tmp_path / "file"), "This is a file, not a folder")
    root = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(roots["affectnet-csv"], root)
    fails(lambda: read_all(root), "The path of this folder is not valid UTF-8")


def test_the_images_of_the_lists_may_be_in_a_folder_that_is_named(roots):
    root = roots["affectnet-csv"]
    before = read_all(root).table["image"].to_pylist()
    (root / "Manually_Annotated_Images").rename(root / "cropped")
    images = read_all(root, images=Path("cropped")).table["image"].to_pylist()
    assert images == [path.replace("Manually_Annotated_Images", "cropped") for path in before]
    problem = "The folder of images does not exist"
    fails(lambda: read_all(root, images=Path("croped")), problem, where=root / "croped")
    fails(lambda: AFFECTNET.footage(root, ONE, images=Path("croped")), problem)


@pytest.mark.parametrize(
    ("like", "option", "flag"),
    [
        ("affectnet", {"images": Path("train_set/images")}, "--images"),
        ("affectnet", {"sex_table": Path("sexes.csv")}, "--sexes"),
        ("affectnet-csv", {"image_base": 1}, "--image-base"),
        ("affectnet-csv", {"missing_aus": "null"}, "--missing-aus"),
    ],
)
def test_an_option_that_the_release_cannot_be_read_with_is_an_error(
    portrait_roots, like, option, flag
):
    with pytest.raises(UsageError, match=f"cannot be read with {flag}: ") as refused:
        read_all(portrait_roots[like], **option)
    assert refused.value.hint == f"leave out {flag}"


@pytest.mark.parametrize("like", FORMS)
def test_the_root_may_be_the_folder_above_the_release(portrait_roots, tmp_path, like):
    shutil.copytree(portrait_roots[like], tmp_path / "AffectNet")
    assert read_all(tmp_path).table.equals(read_all(portrait_roots[like]).table)


def test_nobody_knows_who_is_on_an_image_of_affectnet(portrait_roots):
    with pytest.raises(UsageError, match="does not say who is on its images"):
        read_all(portrait_roots["affectnet"], subjects=("P1",))


@pytest.mark.parametrize("like", FORMS)
def test_the_fingerprint_changes_with_labels_and_images(roots, like):
    root, options = roots[like], ReadOptions(classes=SEVEN)
    before = AFFECTNET.fingerprint(root, options)
    assert before == AFFECTNET.fingerprint(root, options) == read_all(root).fingerprint
    image = next(root.rglob("*.jpg"))
    image.write_bytes(image.read_bytes() + b"\n")
    changed = AFFECTNET.fingerprint(root, options)
    label = next(root.rglob("*_exp.npy"), root / LISTS / "training.csv")
    label.write_bytes(label.read_bytes() + b"\n")
    assert len({before, changed, AFFECTNET.fingerprint(root, options)}) == 3


def test_the_points_of_both_forms_are_those_of_the_files(portrait_roots):
    tables = {like: read_all(portrait_roots[like], EIGHT).table for like in FORMS}
    points = {}
    for like in FORMS:
        media = AFFECTNET.footage(portrait_roots[like], ONE)
        files = media.sources["", ""].landmarks
        assert (files.form, files.points) == (
            {"affectnet": "affectnet-npy", "affectnet-csv": "affectnet-csv"}[like],
            68,
        )
        keys = np.array(tables[like]["key"].to_pylist())
        points[like] = landmark_files.read(files, keys)
    plain = np.load(portrait_roots["affectnet"] / "train_set/annotations/1_lnd.npy")
    assert points["affectnet"][0] == pytest.approx(plain.reshape(68, 2), abs=1e-4)
    # The lists have two decimals.
    assert points["affectnet-csv"] == pytest.approx(points["affectnet"], abs=0.006)


def test_points_that_are_missing_or_broken_are_unknown_or_an_error(roots):
    path = roots["affectnet-csv"] / LISTS / "training.csv"
    key = path.read_text().splitlines()[2].split(".jpg")[0]
    files = AFFECTNET.footage(roots["affectnet-csv"], ONE).sources["", ""].landmarks
    change_line(path, 2, 5, "")
    assert np.isnan(landmark_files.read(files, np.array([key]))).all()
    change_line(path, 2, 5, "1;2;3")
    fails(lambda: landmark_files.read(files, np.array([key])), "3 coordinates", where=f"{path}:3")
    change_line(path, 2, 5, "1;2;x")
    fails(lambda: landmark_files.read(files, np.array([key])), "'x' is not a number")
    change_line(path, 2, 0, "9/other.jpg")
    fails(lambda: landmark_files.read(files, np.array([key])), "was here before")
    path = roots["affectnet"] / "val_set/annotations/1_lnd.npy"
    np.save(path, np.array(["a"] * 136))
    files = AFFECTNET.footage(roots["affectnet"], ONE).sources["", ""].landmarks
    fails(lambda: landmark_files.read(files, np.array(["val/1"])), "no numbers", where=path)


def test_landmarks_are_those_that_exist_of_labelled_images(roots):
    path = roots["affectnet-csv"] / LISTS / "training.csv"
    lines = path.read_text().splitlines()
    keys = {line.split(".jpg")[0] for line in lines[1:]}
    keys |= {
        line.split(".jpg")[0]
        for line in (roots["affectnet-csv"] / LISTS / "validation.csv").read_text().splitlines()[1:]
    }
    for line in (2, 5):
        change_line(path, line, 5, " ")
        keys -= {lines[line].split(".jpg")[0]}
    media = AFFECTNET.footage(roots["affectnet-csv"], ONE)
    assert set(media.sources["", ""].landmarks.places) == keys
    assert media.notes == ("landmarks: 68 points of 30 images",)
    folder = roots["affectnet"] / "train_set/annotations"
    (folder / "3_lnd.npy").unlink()
    (folder / "4_exp.npy").unlink()
    media = AFFECTNET.footage(roots["affectnet"], ONE)
    keys = set(plain_codes(roots["affectnet"])) - {"train/3"}
    assert set(media.sources["", ""].landmarks.places) == keys
    assert media.notes == ("landmarks: 68 points of 30 images",)


def test_other_files_beside_the_labels_do_not_change_the_fingerprint(roots):
    root, options = roots["affectnet"], ReadOptions(classes=SEVEN)
    before = AFFECTNET.fingerprint(root, options)
    (root / "train_set/annotations/1_val.npy").write_bytes(b"valence is not read")
    assert AFFECTNET.fingerprint(root, options) == before
    (root / "train_set/annotations/1_lnd.npy").write_bytes(b"landmarks are")
    assert AFFECTNET.fingerprint(root, options) != before


def test_images_of_codes_may_have_any_suffix_but_one_file_each(roots):
    images = roots["affectnet"] / "train_set/images"
    (images / "3.jpg").rename(images / "3.PNG")
    (images / "4.jpg").rename(images / "4.jpeg")
    rows = {
        row["key"]: row["image"] for row in read_all(roots["affectnet"], EIGHT).table.to_pylist()
    }
    assert rows["train/3"] == "train_set/images/3.PNG"
    assert rows["train/4"] == "train_set/images/4.jpeg"
    shutil.copyfile(images / "5.jpg", images / "5.png")
    fails(lambda: read_all(roots["affectnet"]), "5.jpg and 5.png are both image 5")


def test_a_release_without_points_says_so(roots):
    for path in roots["affectnet"].rglob("*_lnd.npy"):
        path.unlink()
    media = AFFECTNET.footage(roots["affectnet"], ONE)
    assert media.sources["", ""].landmarks is None
    assert media.notes == ("landmarks: none found",)

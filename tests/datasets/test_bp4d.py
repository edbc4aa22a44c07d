"""BP4D's reader on a synthetic release, compared with a loop over rows."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fauds.datasets import DATASETS
from fauds.datasets.base import ReadOptions
from fauds.datasets.bp4d import BP4D
from fauds.errors import UsageError
from fauds.tables import schemas
from fauds.tables.paths import SYNTHETIC_MARKER

from .helpers import BP4D_AUS, as_labels, fails, plain_bp4d, read

OPTIONS = ReadOptions(aus=BP4D_AUS)

Copy = Callable[[Path], Path]


def occurrence(root: Path, name: str = "F001_T1") -> Path:
    return root / "AUCoding" / "AU_OCC" / f"{name}.csv"


def intensity(root: Path, au: str = "AU06", name: str = "F001_T1") -> Path:
    return root / "AUCoding" / "AU_INT" / au / f"{name}_{au}.csv"


def change(path: Path, line: int, edit: Callable[[list[str]], list[str]]) -> None:
    """Change the cells of a line, counted from 1."""
    lines = path.read_text().splitlines()
    lines[line - 1] = ",".join(edit(lines[line - 1].split(",")))
    path.write_text("\n".join(lines) + "\n")


def put(column: int, value: str) -> Callable[[list[str]], list[str]]:
    return lambda cells: [*cells[:column], value, *cells[column + 1 :]]


def test_labels_equal_those_of_a_loop_over_rows(bp4d_root: Path) -> None:
    reading = read(BP4D, bp4d_root, None, OPTIONS)
    assert as_labels(reading.table) == plain_bp4d(bp4d_root)
    assert reading.table.schema == schemas.frames_schema(
        BP4D_AUS, ("AU06", "AU10", "AU12", "AU14", "AU17")
    )
    assert reading.synthetic


def test_rows_are_in_natural_order_with_sex_and_image(bp4d_root: Path) -> None:
    table = read(BP4D, bp4d_root, None, OPTIONS).table
    table.validate(full=True)
    rows = table.to_pylist()
    keys = [(row["subject"], int(row["task"][1:]), row["frame"]) for row in rows]
    assert keys == sorted(keys) and len(keys) == 3 * 48
    assert [row["frame_id"] for row in rows] == list(range(len(rows)))
    for row in rows:
        assert row["sex"] == row["subject"][0]
        assert row["image"] == f"2D+3D/{row['subject']}/{row['task']}/{row['frame']}.jpg"


def test_the_synthetic_dataset_is_read_by_the_same_reader() -> None:
    assert DATASETS["synthetic"] is DATASETS["bp4d"] is BP4D
    assert DATASETS["synthetic-rafdb"] is DATASETS["rafdb"]
    shipped = ["affectnet", "bp4d", "disfa", "rafdb", "synthetic", "synthetic-rafdb", "table"]
    assert list(DATASETS) == shipped


def test_reading_and_writing_load_neither_pandas_nor_torch(bp4d_root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fauds.pipeline import Project;"
        f"Project(Path({str(tmp_path)!r}), 'bp4d').frames(Path({str(bp4d_root)!r}));"
        "print({'pandas', 'torch', 'spacy', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("inside", ["", "AUCoding", "AUCoding/AU_OCC", ".."])
def test_the_root_may_be_the_release_its_label_folder_or_the_folder_above(
    bp4d_root: Path, copy: Copy, inside: str
) -> None:
    root = copy(bp4d_root)
    reading = read(BP4D, root / inside, None, OPTIONS)
    image = reading.root / reading.table["image"][0].as_py()
    assert image.is_file()
    assert reading.table.num_rows == 144 and reading.synthetic


def test_the_root_may_be_the_current_folder(
    bp4d_root: Path, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = BP4D.fingerprint(bp4d_root)
    monkeypatch.chdir(copy(bp4d_root) / "AUCoding")
    assert read(BP4D, Path("."), None, OPTIONS).table["image"].null_count == 0
    monkeypatch.chdir("..")
    reading = read(BP4D, Path("."), None, OPTIONS)
    assert reading.table["image"][0].as_py().startswith("2D+3D/F001/T1/")
    assert reading.fingerprint == digest  # a copy keeps times


def test_two_releases_in_the_root_are_an_error(bp4d_root: Path, copy: Copy) -> None:
    root = copy(bp4d_root)
    shutil.copytree(root / "AUCoding", root.parent / "other" / "AUCoding")
    fails(lambda: read(BP4D, root.parent), "more than one release", "bp4d", "other")


def test_the_fera_2015_layout_is_read(bp4d_root: Path, copy: Copy) -> None:
    root = copy(bp4d_root)
    before = plain_bp4d(root)
    for path in (root / "AUCoding" / "AU_OCC").iterdir():
        path.rename(root / "AUCoding" / path.name)
    (root / "AUCoding" / "AU_OCC").rmdir()
    (root / "AUCoding" / "AU_INT").rename(root / "AU Intensity Codes3.0")
    assert as_labels(read(BP4D, root, None, OPTIONS).table) == before


def test_columns_are_identified_by_the_header_and_not_by_position(
    bp4d_root: Path, copy: Copy
) -> None:
    root = copy(bp4d_root)
    before = plain_bp4d(root)
    order = [12, 0, *(n for n in range(40) if n not in (0, 12))]
    for path in (root / "AUCoding" / "AU_OCC").glob("M002_*.csv"):
        rows = [line.split(",") for line in path.read_text().splitlines()]
        path.write_text("".join(",".join(row[n] for n in order) + "\n" for row in rows))
    assert as_labels(read(BP4D, root, None, OPTIONS).table) == before


def test_code_9_becomes_null_and_other_coded_aus_are_kept(bp4d_root: Path, copy: Copy) -> None:
    root = copy(bp4d_root)
    change(occurrence(root), 2, put(1, "9"))
    change(occurrence(root), 2, put(5, "1"))
    change(occurrence(root), 3, put(50, "1"))
    change(intensity(root), 1, lambda cells: [cells[0], "9"])
    table = read(BP4D, root, None, OPTIONS).table
    assert table["AU01"][0].as_py() is None and table["AU06_intensity"][0].as_py() is None
    assert table["AU05"].to_pylist()[:2] == [1, None]
    assert table["AU05"].null_count == 143
    assert "AU50" not in table.column_names and "AU09" not in table.column_names


def test_an_uncoded_au_of_the_benchmark_keeps_its_column(bp4d_root: Path) -> None:
    table = read(BP4D, bp4d_root, None, ReadOptions(aus=("AU01", "AU09"))).table
    assert table["AU09"].null_count == 144


def test_frames_without_intensity_rows_are_null(bp4d_root: Path, copy: Copy) -> None:
    root = copy(bp4d_root)
    lines = intensity(root).read_text().splitlines()
    intensity(root).write_text("\n".join(["1,5", *lines[2:], "2990,5"]))
    intensity(root, "AU12", "F001_T2").unlink()
    reading = read(BP4D, root, None, OPTIONS)
    assert as_labels(reading.table) == {
        key: {f"{au}_intensity": None for au in ("AU06", "AU12")} | labels
        for key, labels in plain_bp4d(root).items()
    }
    assert reading.table["AU06_intensity"].null_count == 2


def test_without_intensities_there_are_no_intensity_columns(bp4d_root: Path, copy: Copy) -> None:
    root = copy(bp4d_root)
    shutil.rmtree(root / "AUCoding" / "AU_INT")
    assert read(BP4D, root, None, OPTIONS).table.column_names[7:] == list(BP4D_AUS)


def test_subjects_can_be_chosen(bp4d_root: Path) -> None:
    options = ReadOptions(aus=BP4D_AUS, subjects=("M002",))
    reading = read(BP4D, bp4d_root, None, options)
    assert set(reading.table["subject"].to_pylist()) == {"M002"}
    assert reading.fingerprint != read(BP4D, bp4d_root, None, OPTIONS).fingerprint
    assert {path.name[:4] for path in BP4D.label_files(bp4d_root, options)} == {"M002"}
    fails(lambda: read(BP4D, bp4d_root, None, ReadOptions(subjects=("F099",))), "F099", "F001")


def test_label_files_are_all_and_in_natural_order(bp4d_root: Path) -> None:
    files = BP4D.label_files(bp4d_root)
    assert len(files) == 24 * 6 and set(files) == set(bp4d_root.rglob("*.csv"))
    assert [path.stem for path in files[7:9]] == ["F001_T8", "F004_T1"]


def test_differences_from_published_counts_are_listed_by_subject(bp4d_root: Path) -> None:
    expected = {
        "subjects": 5,
        "sequences": 40,
        "frames": 4000,
        "frames_per_subject": {"F001": 48, "F002": 47, "F003": 12, "M002": 50},
    }
    assert read(BP4D, bp4d_root, expected, OPTIONS).differences == (
        "F004: 48 frames in 8 sequences, not a published subject",
        "M002: 48 frames in 8 sequences, but 50 frames are published",
        "2 of 4 subjects are missing: F002, F003",
    )
    equal = {"subjects": 3, "frames": 144, "frames_per_subject": dict.fromkeys(("F001",), 48)}
    equal["frames_per_subject"] |= {"F004": 48, "M002": 48}
    assert read(BP4D, bp4d_root, equal, OPTIONS).differences == ()
    assert read(BP4D, bp4d_root, equal | {"sequences": 25}, OPTIONS).differences == (
        "24 sequences were read, but 25 are published",
    )


def test_the_fingerprint_depends_on_labels_and_images_only(bp4d_root: Path, copy: Copy) -> None:
    root = copy(bp4d_root)
    digests = [read(BP4D, root).fingerprint, BP4D.fingerprint(root)]
    assert digests[0] == digests[1]
    change(occurrence(root), 2, put(1, "9"))
    digests.append(BP4D.fingerprint(root))
    next((root / "2D+3D" / "F001" / "T1").iterdir()).write_bytes(b"another image")
    digests.append(BP4D.fingerprint(root))
    (root / "notes.txt").write_text("not part of it")
    assert BP4D.fingerprint(root) == digests[-1]
    assert len(set(digests)) == 3


def test_hidden_files_and_unrecognised_names_are_ignored(bp4d_root: Path, copy: Copy) -> None:
    root = copy(bp4d_root)
    folder = occurrence(root).parent
    (folder / "._F001_T1.csv").write_bytes(b"\x00\x05\x16\x07")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf")
    (folder / "F001_T1 (copy).csv").write_text("0,1\n")
    reading = read(BP4D, root, None, OPTIONS)
    assert reading.table.num_rows == 144
    assert any("F001_T1 (copy).csv" in note for note in reading.notes)


def test_a_real_release_has_no_marker(bp4d_root: Path, copy: Copy) -> None:
    root = copy(bp4d_root)
    (root / SYNTHETIC_MARKER).unlink()
    assert not read(BP4D, root).synthetic


@pytest.mark.parametrize("marker", ['{"complete": false}', "{", "[]"])
def test_an_incompletely_written_synthetic_release_is_an_error(
    bp4d_root: Path, copy: Copy, marker: str
) -> None:
    root = copy(bp4d_root)
    (root / SYNTHETIC_MARKER).write_text(marker)
    for folder in (root, root / "AUCoding"):
        fails(lambda folder=folder: read(BP4D, folder), "fauds synth")


def test_bp4d_needs_no_table_of_sexes(bp4d_root: Path) -> None:
    with pytest.raises(UsageError, match="begin with F or M"):
        read(BP4D, bp4d_root, None, ReadOptions(sex_table=Path("sexes.csv")))


@pytest.mark.parametrize(
    "wrong", [{"missing_aus": "zero"}, {"image_base": 2}, {"occurrence_at": 6}]
)
def test_invalid_options_are_errors(wrong: dict) -> None:
    with pytest.raises(UsageError):
        ReadOptions(**wrong)

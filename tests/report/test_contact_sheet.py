"""The contact sheet of face crops: one row per subject, lost frames, crosses at the eyes."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from fauds.errors import DataError, UsageError
from fauds.explanation.drawing import FACE_COLOURS, Board
from fauds.report.contact_sheet import draw_face_sheet
from fauds.synthetic.face import FACE_AUS, View, draw_face, draw_identity
from fauds.tables import schemas, store

SIZE = 96
WHERE = 2.0  # raw pixels to one crop pixel
SUBJECTS = ("F001", "F002", "M001")
PER_SUBJECT = 30


@pytest.fixture(scope="module")
def people() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each subject's face and the centres of its eyes in the crop, [2, 2]."""
    faces = {}
    for seed, subject in enumerate(SUBJECTS):
        identity = draw_identity(np.random.default_rng([3, seed]))
        image, marks = draw_face(identity, np.zeros(len(FACE_AUS), np.float32), View(), SIZE)
        faces[subject] = image, np.stack([marks[36:42].mean(0), marks[42:48].mean(0)])
    return faces


def write_dataset(folder: Path, people: dict, **changes: dict[int, Any]) -> Path:
    """A prepared dataset: 30 frames a subject; `changes` are by column and row."""
    rows = []
    for at in range(len(SUBJECTS) * PER_SUBJECT):
        subject, frame = SUBJECTS[at // PER_SUBJECT], at % PER_SUBJECT + 1
        image, eyes = people[subject]
        path = f"faces/eyes-1/{subject}/T1/{frame}.jpg"
        row = {
            "frame_id": at,
            "path": path,
            "status": "aligned",
            "transform": [1 / WHERE, 0, -5, 0, 1 / WHERE, -7],
            "inter_ocular": 40.0,
            "eyes": ((eyes + np.array([5, 7])) * WHERE).ravel().tolist(),
            "landmarks": "bp4d-mat",
            **dict.fromkeys(("outside", "eyes_crossed", "jump"), False),
            **{column: values[at] for column, values in changes.items() if at in values},
        }
        if row["status"] in ("no landmarks", "excluded"):
            row |= {"path": None, "transform": None, "eyes": None, "landmarks": None}
        elif row["path"]:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        rows.append(row)
    meta = {"dataset": "bp4d", "settings": {"name": "eyes-similarity", "version": 1}}
    store.write_table(
        folder / "faces.parquet", pa.Table.from_pylist(rows, schemas.faces_schema()), meta
    )
    keys = [
        {
            "frame_id": row["frame_id"],
            "subject": SUBJECTS[row["frame_id"] // PER_SUBJECT],
            "task": "T1",
            "frame": row["frame_id"] % PER_SUBJECT + 1,
            "image": None,
        }
        for row in rows
    ]
    frames = pa.Table.from_pylist(keys, schemas.frames_schema(["AU12"]))
    store.write_table(folder / "frames.parquet", frames, {})
    return folder


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Every text that is written, with its place."""
    texts: list[tuple[str, int, int]] = []
    write = Board.write

    def recorded(self: Board, text: str, x: float, y: float, *rest: Any, **more: Any) -> None:
        texts.append((text, round(x), round(y)))
        write(self, text, x, y, *rest, **more)

    monkeypatch.setattr(Board, "write", recorded)
    return texts


def test_the_sheet_shows_counts_lost_frames_and_flags_by_subject(
    tmp_path: Path, people: dict, written: list
) -> None:
    folder = write_dataset(
        tmp_path,
        people,
        status={3: "no landmarks", 4: "no landmarks", 5: "excluded"},
        jump={40: True, 41: True, 43: True},
        outside={44: True},
    )
    draw_face_sheet(folder, tmp_path / "sheet.jpg")
    texts = [text for text, _, _ in written]
    assert texts[0] == "bp4d: faces aligned by eyes-similarity, version 1"
    assert "3 subjects  ·  90 frames  ·  87 with a face  ·  no landmarks 2" in texts[1]
    assert [text for text in texts if text in SUBJECTS] == list(SUBJECTS)
    assert "27 of 30 frames" in texts and "no landmarks: 2" in texts and "excluded: 1" in texts
    assert texts.count("outside · T1 15") == 1 and texts.count("jump · T1 11") == 1
    assert sum("jump" in text for text in texts) == 1
    assert texts.count("T1 1") == 3 and texts.count("T1 30") == 3
    sheet = cv2.imread(str(tmp_path / "sheet.jpg"))
    assert sheet.shape[1] == 2000
    assert (sheet[:, :16] > 245).all() and (sheet[:, -16:] > 245).all()
    assert (sheet[:8] > 245).all() and (sheet[-8:] > 245).all()


def test_crosses_lie_on_the_eyes(tmp_path: Path, people: dict, written: list) -> None:
    draw_face_sheet(write_dataset(tmp_path, people), tmp_path / "sheet.png", per_subject=1)
    sheet = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_COLOR_RGB)
    centres = np.argwhere((sheet == FACE_COLOURS[0]).all(2))[:, ::-1]
    # Of each subject the crop of its first frame, whose name stands at the crop's lower left.
    places = [(x, y) for text, x, y in written if text == "T1 1"]
    line = sheet[places[0][1] - 50, places[0][0] :]
    cell = int(np.flatnonzero((line > 250).all(1))[0])
    for (x, y), subject in zip(places, SUBJECTS, strict=True):
        top = y - 1 - cell
        for eye in people[subject][1]:
            wanted = np.array([x, top]) + (eye + 0.5) * cell / SIZE - 0.5
            assert np.linalg.norm(centres - wanted, axis=1).min() < 1.5
    assert len(centres) < 3 * 2 * 80


def test_a_sheet_without_any_crop_says_so(tmp_path: Path, people: dict, written: list) -> None:
    nothing = dict.fromkeys(range(len(SUBJECTS) * PER_SUBJECT), "no landmarks")
    draw_face_sheet(write_dataset(tmp_path, people, status=nothing), tmp_path / "sheet.png")
    assert [text for text, _, _ in written].count("0 of 30 frames") == 3


def test_broken_and_missing_files_are_named(tmp_path: Path, people: dict) -> None:
    folder = write_dataset(tmp_path, people)
    with pytest.raises(UsageError, match=r"sheet\.pdf"):
        draw_face_sheet(folder, tmp_path / "sheet.pdf")
    with pytest.raises(UsageError, match="not 0"):
        draw_face_sheet(folder, tmp_path / "sheet.png", per_subject=0)
    crop = folder / "faces/eyes-1/F001/T1/1.jpg"
    crop.write_bytes(crop.read_bytes()[:900])
    with pytest.raises(DataError) as error:
        draw_face_sheet(folder, tmp_path / "sheet.png")
    assert error.value.where == str(crop)
    crop.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        draw_face_sheet(folder, tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
    frames = store.read_table(folder / "frames.parquet")
    store.write_table(folder / "frames.parquet", frames.slice(1), {})
    with pytest.raises(DataError, match="list different frames"):
        draw_face_sheet(folder, tmp_path / "sheet.png")

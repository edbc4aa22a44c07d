"""Tables divided into clips: subjects, videos, faces, times, and rows that are out of order."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fauds.annotation.clips import ReadingOptions, read_clips
from fauds.errors import DataError, UsageError
from tests.annotation.helpers import openface, parts_of, ramp


def written(folder: Path, text: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def clips(path: Path, **options: object) -> list[tuple[str, list]]:
    """Return the name of every clip, and the frame numbers of its parts."""
    result: list[tuple[str, list]] = []
    for part in parts_of(path, **options)[0]:
        if part.starts:
            result.append((part.clip.name, []))
        frames = part.images.to_pylist() if part.frames is None else part.frames.tolist()
        result[-1][1].extend(frames)
    return result


def test_a_file_is_a_clip_and_a_folder_holds_many(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv"):
        openface(tmp_path / name, {"AU12": ramp((0, 3))})
    (tmp_path / "a_of_details.txt").write_text("Input:a.mp4\n")
    (tmp_path / ".hidden.csv").write_text("")
    notes: list[str] = []
    parts = list(read_clips([tmp_path], say=notes.append).parts())
    assert [part.clip.name for part in parts] == ["a", "b"]
    assert notes == [
        f"{tmp_path / 'a.csv'} and 1 more: OpenFace: frame in 'frame', time in 'timestamp', "
        "intensities of 1 AU, decisions of 1 AU"
    ]


def test_subjects_and_clips_are_free_text(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "subject,clip,frame,AU12\n李雷,一 二,1,0\n李雷,一 二,2,1\n李雷,x,1,1\nanna,x,7,0\n",
    )
    assert clips(path) == [("李雷, 一 二", [1, 2]), ("李雷, x", [1]), ("anna, x", [7])]


def test_videos_of_a_pyfeat_table_are_clips_and_images_are_not(tmp_path: Path) -> None:
    head = "frame,FaceRectX,AU12,input\n"
    rows = "0,1,0.1,/d/b.mp4\n1,1,0.2,/d/b.mp4\n0,1,0.3,/d/c.mov\n"
    assert clips(written(tmp_path, head + rows)) == [("b", [0, 1]), ("c", [0])]
    images = "0,1,0.1,/d/b.jpg\n0,1,0.2,/d/c.jpg\n"
    assert clips(written(tmp_path, head + images)) == [("a", ["/d/b.jpg", "/d/c.jpg"])]
    assert clips(written(tmp_path, head + "0,1,0.1,\n2,1,0.2,\n")) == [("a", [0, 2])]
    old = "FaceRectX,AU12,input\n1,0.1,/d/b.mp4\n1,0.2,/d/b.mp4\n"
    assert clips(written(tmp_path, old)) == [("b", [0, 1])]


def test_times_come_from_the_table_or_from_the_frame_rate(tmp_path: Path) -> None:
    path = openface(tmp_path / "a.csv", {"AU12": ramp((0, 3))}, fps=10)
    assert parts_of(path)[0][0].times.tolist() == [0, 0.1, 0.2]
    assert parts_of(path, fps=20)[0][0].times.tolist() == [0, 0.05, 0.1]
    path = written(tmp_path, "frame_idx,AU12_prob,AU12_act\n0,0,0\n3,0,0\n")
    assert parts_of(path)[0][0].times is None
    assert parts_of(path, fps=30)[0][0].times == pytest.approx([0, 0.1])
    path = written(tmp_path, "time,AU12\n0:01.5,0\n1:00:02,1\n")
    parts, notes = parts_of(path)
    assert parts[0].times.tolist() == [1.5, 3602] and parts[0].frames.tolist() == [1, 2]
    assert "rows are counted as frames" in notes[-1]
    with pytest.raises(UsageError, match="frames per second are not possible"):
        ReadingOptions(fps=0)


def faces_table(folder: Path, landmarks: bool) -> Path:
    """Write a table of OpenFace with two faces, the larger of which has id 1."""
    rows = []
    for frame in (1, 2, 3):
        for face, side in ((0, 10), (1, 30)):
            if (frame, face) == (2, 0):
                continue
            points = {}
            if landmarks:
                for point in range(68):
                    points[f"x_{point}"] = side * (point % 2)
                    points[f"y_{point}"] = side * (point % 3)
            rows.append(
                {
                    "frame": frame,
                    "face_id": face,
                    "timestamp": frame / 10,
                    "confidence": 0.9,
                    "success": 1,
                    **points,
                    "AU12_r": face + 0.25,
                    "AU12_c": face,
                }
            )
    path = folder / "dyad.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_one_face_of_several_is_chosen_by_size_or_id_or_all_are_read(tmp_path: Path) -> None:
    path = faces_table(tmp_path, landmarks=True)
    with pytest.raises(DataError, match=r"Frame 1 of dyad has 2 faces \(0, 1\)") as caught:
        parts_of(path)
    assert "--face largest, --face 0 for one of them, or --face all" in caught.value.hint
    assert caught.value.where == f"{path}:2"
    for face, frames, value in (("largest", [1, 2, 3], 1), ("0", [1, 3], 0), ("1", [1, 2, 3], 1)):
        (part,) = parts_of(path, face=face)[0]
        assert part.frames.tolist() == frames
        assert set(part.codes.decisions["AU12"].tolist()) == {value}
    assert clips(path, face="all") == [("dyad, face 0", [1, 3]), ("dyad, face 1", [1, 2, 3])]
    with pytest.raises(UsageError, match="does not say how large"):
        parts_of(faces_table(tmp_path, landmarks=False), face="largest")


def test_the_largest_face_of_faudss_own_table_is_face_0(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "source,frame,face_id,timestamp,confidence,success,AU12_c,AU12_p\n"
        "a.mp4,1,0,0,1,1,1,0.9\na.mp4,1,1,0,1,1,0,0.1\n",
    )
    (part,) = parts_of(path, face="largest")[0]
    assert part.codes.decisions["AU12"].tolist() == [1] and part.clip.clip == "a"


def test_identical_rows_of_a_frame_are_counted_once_and_said(tmp_path: Path) -> None:
    head = "frame,FaceRectX,AU12,input\n"
    path = written(tmp_path, head + "0,1,0.1,\n0,1,0.1,\n1,1,0.2,\n")
    parts, notes = parts_of(path)
    assert [part.frames.tolist() for part in parts] == [[0, 1]]
    assert f"{path}: identical rows repeated for a frame: 1" in notes
    with pytest.raises(DataError, match="Frame 0 of a has 2 faces"):
        parts_of(written(tmp_path, head + "0,1,0.1,\n0,1,0.3,\n"))


def test_values_that_stay_exactly_the_same_are_said(tmp_path: Path) -> None:
    values = [0.5 + frame / 100 for frame in range(20)] + [1.23] * 40 + [0.7] * 5
    parts, notes = parts_of(openface(tmp_path / "a.csv", {"AU12": values}))
    assert sum(len(part) for part in parts) == 65
    assert any("40 successive frames of a are identical, from frame 21 on" in n for n in notes)
    _, notes = parts_of(openface(tmp_path / "b.csv", {"AU12": ramp((0, 90))}))
    assert not any("identical" in note for note in notes)


@pytest.mark.parametrize(
    ("text", "message", "hint", "line"),
    [
        ("frame,AU12\n1,0\n3,0\n2,0\n", "frame 2 comes after a later one", "sort the table", 4),
        (
            "frame,time,AU12\n1,0,0\n2,0.2,0\n3,0.1,0\n",
            "the time 0.1 s comes after",
            "sort the table",
            4,
        ),
        ("subject,frame,AU12\nA,1,0\nB,1,0\nA,2,0\n", "rows of A do not stand together", "sort", 4),
        ("frame,AU12\n1,0\n,1\n", "frame number is empty", "--column frame=NAME", 3),
        ("frame,AU12\n1.5,0\n", "frame number is 1.5", "--column frame=NAME", 2),
        ("frame,time,AU12\n1,0,0\n2,,0\n", "time of a row is empty", "--fps", 3),
    ],
)
def test_rows_out_of_order_and_wrong_frames_are_refused(
    tmp_path: Path, text: str, message: str, hint: str, line: int
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        parts_of(path)
    assert caught.value.where == f"{path}:{line}" and hint in caught.value.hint


def test_inputs_that_do_not_exist_or_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_clips([tmp_path / "gone.csv"])
    with pytest.raises(UsageError, match="holds no table"):
        read_clips([tmp_path])
    path = openface(tmp_path / "a.csv", {"AU12": [0]})
    with pytest.raises(UsageError, match="No table holds AU06") as caught:
        read_clips([path], ReadingOptions(aus=("AU06",)))
    assert "AU12" in caught.value.hint


def test_a_long_table_is_read_in_parts_that_join_without_a_seam(tmp_path: Path) -> None:
    frames = np.arange(200_000)
    table = pd.DataFrame({"frame": frames, "time": frames / 25, "AU12_prob": frames % 7 / 7})
    table.to_parquet(tmp_path / "a.parquet")
    parts, _ = parts_of(tmp_path / "a.parquet")
    assert len(parts) > 1 and [part.starts for part in parts] == [True] + [False] * (len(parts) - 1)
    assert np.array_equal(np.concatenate([part.frames for part in parts]), frames)

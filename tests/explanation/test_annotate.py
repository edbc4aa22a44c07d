"""Annotated images and videos: complete, without overlapping or clipped text, and playable."""

import resource
import signal
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fauds import fonts
from fauds.errors import DataError, UsageError
from fauds.explanation import drawing
from fauds.explanation.annotate import AnnotatedMedia
from fauds.explanation.annotated_image import attention_tile, compose, lay_out
from fauds.explanation.drawing import TEXT_COLOUR, Board, text_width
from fauds.explanation.explained import Explanation, MediaFrame
from fauds.faces.video import Video
from tests.clips import steps

from .faces import AUS, FACE, LOCAL, explanation, image_with_faces

SIZES = [(128, 128), (480, 640), (1080, 1920), (1920, 1080), (100, 2000), (700, 90)]


def still(image: np.ndarray, source: str = "face.png") -> MediaFrame:
    return MediaFrame(source, 1, None, None, image)


def moving(
    image: np.ndarray, number: int, source: str = "talk.mov", rate: float = 25.0
) -> MediaFrame:
    return MediaFrame(source, number, (number - 1) / 25, rate, image)


def frames_of(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        read, image = capture.read()
        if not read:
            return frames
        frames.append(image)


class Texts(list):
    """The texts on an image, each with its box: text, left, top, right, bottom."""

    def joined(self) -> str:
        return " ".join(text for text, *_ in self)


@pytest.fixture
def written_texts(monkeypatch: pytest.MonkeyPatch) -> Texts:
    texts = Texts()
    write = Board.write

    def recording_write(
        self: Board,
        text: str,
        x: float,
        y: float,
        size: int,
        colour: drawing.RGB = TEXT_COLOUR,
        bold: bool = False,
    ) -> None:
        wide = text_width(text, size, bold)
        texts.append((text, x, y, x + wide, y + drawing.line_height(size)))
        write(self, text, x, y, size, colour, bold)

    monkeypatch.setattr(Board, "write", recording_write)
    return texts


def explanations_of(boxes: list[Any], active: int) -> list[Explanation]:
    return [explanation(active, at, box=box) for at, box in enumerate(boxes)]


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("faces", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_texts_neither_overlap_nor_leave_the_image(
    size: tuple[int, int], faces: int, fixed: bool, written_texts: Texts
) -> None:
    image, boxes = image_with_faces(*size, faces if size[1] > 200 else 1)
    annotated = compose(
        lay_out(*size), still(image), explanations_of(boxes, 8), fixed=fixed, weights="vlfau, mine"
    )
    height, width = annotated.shape[:2]
    assert width % 2 == 0 and height % 2 == 0
    for text, left, top, right, bottom in written_texts:
        assert left >= 0 and top >= 0 and right <= width and bottom <= height, text
    for (one, *a), (other, *b) in combinations(written_texts, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (one, other)
    # Outside the image, a margin of the background is left.
    layout = lay_out(*size)
    background = np.array(drawing.PANEL)
    assert (annotated[layout.body :, -3:] == background).all() and (
        annotated[-3:] == background
    ).all()
    assert (annotated[layout.body :, :3] == background).all() and (
        annotated[:, -3:] == background
    ).all()


@pytest.mark.parametrize("size", SIZES)
def test_images_keep_their_size_but_small_ones_are_enlarged(size: tuple[int, int]) -> None:
    image, _ = image_with_faces(*size)
    layout = lay_out(*size)
    annotated = compose(layout, still(image), [], fixed=False)
    if min(size) >= 480:
        np.testing.assert_array_equal(annotated[: size[0], : size[1]], image)
    else:
        assert layout.factor > 1 or max(size) > 1920
        assert max(layout.width, layout.height) <= max(1920, *size)
    assert lay_out(128, 128).height == 480


def test_action_units_and_descriptions_of_a_face_are_written(written_texts: Texts) -> None:
    image, boxes = image_with_faces(480, 480)
    explained = explanations_of(boxes, 8)
    compose(lay_out(480, 480), still(image), explained, fixed=False, weights="vlfau, mine")
    text = written_texts.joined()
    assert FACE in text and "face.png" in text and "weights: vlfau, mine" in text
    for au in AUS[:6]:
        assert LOCAL[au] in text and f"{au}  " in text
    assert "and AU12, AU14" in text and LOCAL["AU12"] not in text
    assert "attention map of each AU branch, scaled to its own maximum" in text
    for at, au in enumerate(AUS[:8]):
        assert f"{au} {0.9 - 0.01 * at:.2f}" in text
    assert "AU15" not in text


def test_without_descriptions_and_attention_only_probabilities_are_written(
    written_texts: Texts,
) -> None:
    image, _ = image_with_faces(480, 480)
    bare = explanation(2, box=None, local={}, face="", attention=None)
    compose(lay_out(480, 480), still(image), [bare], fixed=False)
    assert [text for text, *_ in written_texts] == [
        *("AU01 0.90", "AU02 0.89", "AU01  0.90", "AU02  0.89", "face.png"),
    ]


def test_a_face_without_active_action_units_and_an_image_without_a_face_are_labelled(
    written_texts: Texts,
) -> None:
    image, boxes = image_with_faces(480, 480)
    compose(lay_out(480, 480), still(image), explanations_of(boxes, 0), fixed=False)
    assert "no action unit is active" in written_texts.joined()
    written_texts.clear()
    annotated = compose(lay_out(480, 480), moving(image, 12), [], fixed=True)
    assert written_texts.joined() == "no face talk.mov · frame 12 · 0.44 s · no face"
    np.testing.assert_array_equal(annotated[:480, :480], image)


def test_boxes_are_drawn_around_the_faces() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    box = (40.0, 30.0, 99.0, 89.0)
    annotated = compose(lay_out(120, 160), still(image), [explanation(0, box=box)], fixed=False)
    yellow = np.argwhere((annotated[:480, :640] == drawing.FACE_COLOURS[0]).all(2))
    # Enlarged four times, the centre of pixel x is at 4 x + 1.5. The line is 2 pixels wide.
    top, left = yellow.min(0)
    bottom, right = yellow.max(0)
    expected = [at * 4 + 1.5 for at in box]
    assert np.abs(np.subtract((left, top, right, bottom), expected)).max() <= 2


@pytest.mark.parametrize(
    "box", [(-30.0, -20.0, 700.0, 530.0), (600.0, 400.0, 900.0, 700.0), (800.0, 10.0, 900.0, 90.0)]
)
def test_the_box_of_a_face_beyond_the_edge_stays_on_the_image(
    box: tuple[float, float, float, float],
) -> None:
    image, _ = image_with_faces(480, 640)
    annotated = compose(lay_out(480, 640), still(image), [explanation(0, box=box)], fixed=False)
    marked = (annotated == drawing.FACE_COLOURS[0]).all(2)
    assert marked[:480, :640].any() and not marked[480:].any() and not marked[:, 640:].any()


def test_labels_do_not_cover_other_faces() -> None:
    image, boxes = image_with_faces(600, 1800, 3)
    explanations = explanations_of(boxes, 4)
    annotated = compose(lay_out(600, 1800), still(image), explanations, fixed=False)
    without_labels = compose(
        lay_out(600, 1800), still(image), explanations_of(boxes, 0), fixed=False
    )
    changed = (annotated[:600, :1800] != without_labels[:600, :1800]).any(2)
    assert changed.any()
    for left, top, right, bottom in boxes:
        middle = changed[int(top) + 30 : int(bottom) - 30, int(left) + 5 : int(right) - 5]
        assert not middle.any()


def test_each_attention_map_is_shown_in_place_and_scaled_to_its_own_range() -> None:
    face = explanation(3, crop=np.full((90, 90, 3), 128, np.uint8), seen=(0, 0, 89, 89))
    for at, au in enumerate(AUS[:3]):
        tile = attention_tile(face, au, 70).astype(int)
        assert tile.shape == (70, 70, 3)
        row, column = np.unravel_index(tile.sum(2).argmax(), (70, 70))
        assert abs(row - (at * 10 + 4.5)) <= 6 and abs(column - 34.5) <= 6
    rescaled = explanation(3, crop=face.crop, seen=face.seen, attention=face.attention * 7 + 3)
    np.testing.assert_array_equal(
        attention_tile(rescaled, "AU02", 70), attention_tile(face, "AU02", 70)
    )
    flat = explanation(3, crop=face.crop, seen=face.seen, attention=np.ones((10, 7, 7), np.float32))
    np.testing.assert_array_equal(attention_tile(flat, "AU02", 70), np.full((70, 70, 3), 128))


def test_attention_covers_the_part_of_the_crop_that_the_model_sees() -> None:
    crop = np.zeros((80, 80, 3), np.uint8)
    crop[10:70, 10:70] = 200
    face = explanation(1, crop=crop, seen=(10, 10, 69, 69), attention=np.ones((10, 7, 7)))
    assert (attention_tile(face, "AU01", 60) == 200).all()


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_an_annotated_video_has_all_frames_and_the_original_rate(
    tmp_path: Path, suffix: str
) -> None:
    image, boxes = image_with_faces(121, 163)
    path = tmp_path / "new" / f"drawn{suffix}"
    with AnnotatedMedia(path, [Path("talk.mov")]) as painter:
        for number in range(1, 13):
            faces = explanations_of(boxes, number % 9) if number != 5 else []
            painter.draw(moving(image, number), faces)
    frames = frames_of(path)
    layout = lay_out(121, 163)
    wide = layout.width + layout.side
    assert len(frames) == 12 and {frame.shape[1] for frame in frames} == {wide}
    assert len({frame.shape for frame in frames}) == 1
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == 25
    shown = cv2.resize(image, (layout.width, layout.height), interpolation=cv2.INTER_CUBIC)
    decoded = cv2.cvtColor(frames[4], cv2.COLOR_BGR2RGB)[: layout.height, : layout.width]
    assert np.abs(decoded.astype(int) - shown).mean() < 6
    assert not [*path.parent.glob(".*")]


def test_long_descriptions_do_not_change_the_size_of_a_video(written_texts: Texts) -> None:
    image, boxes = image_with_faces(480, 640)
    layout = lay_out(480, 640)
    shapes = set()
    for face in ("", FACE, FACE * 9):
        explanations = [explanation(1, box=boxes[0], face=face)]
        shapes.add(compose(layout, moving(image, 1), explanations, fixed=True).shape)
    assert len(shapes) == 1
    assert written_texts[-1][0].endswith("…") and not written_texts[-2][0].endswith("…")


def test_frames_annotated_before_ctrl_c_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    image, boxes = image_with_faces(120, 160)
    with (
        pytest.raises(KeyboardInterrupt),
        AnnotatedMedia(tmp_path / "drawn.mp4", [Path("talk.mov")]) as painter,
    ):
        for number in range(1, 8):
            painter.draw(moving(image, number), explanations_of(boxes, 3))
        raise KeyboardInterrupt
    assert len(frames_of(tmp_path / "drawn.part.mp4")) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["drawn.part.mp4"]
    assert "drawn.part.mp4" in capsys.readouterr().err


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Let no file grow beyond 100 kB."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_an_incomplete_video_does_not_replace_an_older_one(
    tmp_path: Path, full_disk: None, suffix: str
) -> None:
    image, boxes = image_with_faces(480, 640)
    path = tmp_path / f"drawn{suffix}"
    path.write_bytes(b"an older video")
    with (
        pytest.raises(DataError, match=r"cannot be written: .* too large|could not be written"),
        AnnotatedMedia(path, [Path("talk.mov")]) as painter,
    ):
        for number in range(1, 80):
            painter.draw(moving(image, number), explanations_of(boxes, 3))
    assert path.read_bytes() == b"an older video"
    assert {*tmp_path.iterdir()} <= {path, tmp_path / f"drawn.part{suffix}"}


@pytest.mark.parametrize(
    "times", [steps((4, 1 / 3), (20, 1 / 30)), [2 + at / 25 for at in range(9)]]
)
def test_an_annotated_video_has_the_times_of_the_original(
    tmp_path: Path, times: list[float]
) -> None:
    image, _ = image_with_faces(96, 96)
    with AnnotatedMedia(tmp_path / "drawn.mp4", [Path("talk.mov")]) as painter:
        for number, time in enumerate(times, start=1):
            painter.draw(MediaFrame("talk.mov", number, time, 8.0, image, even=False), [])
    assert [frame.time for frame in Video(tmp_path / "drawn.mp4").stream()] == pytest.approx(
        times, abs=0.001
    )


def test_frames_at_uneven_times_are_not_put_into_an_avi(tmp_path: Path) -> None:
    image, _ = image_with_faces(96, 96)
    with (
        pytest.raises(DataError, match="unevenly spaced in time, which an AVI file cannot hold"),
        AnnotatedMedia(tmp_path / "drawn.avi", [Path("talk.mov")]) as painter,
    ):
        painter.draw(MediaFrame("talk.mov", 1, 0.0, 8.0, image, even=False), [])
    assert not [*tmp_path.iterdir()]


def test_a_video_that_changes_its_size_is_annotated_at_its_first_size(tmp_path: Path) -> None:
    large, small = image_with_faces(480, 640)[0], image_with_faces(240, 320)[0]
    with AnnotatedMedia(tmp_path / "drawn.mp4", [Path("talk.mov")]) as painter:
        for number, image in enumerate((large, small, large), start=1):
            painter.draw(moving(image, number), [])
    assert len({frame.shape for frame in frames_of(tmp_path / "drawn.mp4")}) == 1


def test_a_folder_receives_a_file_for_every_input_with_its_name(tmp_path: Path) -> None:
    image, boxes = image_with_faces(96, 96)
    photos = tmp_path / "photos"
    (photos / "old").mkdir(parents=True)
    out = tmp_path / "out"
    names = ["a.jpg", "a.png", "old/a.png", "b.bmp"]
    with AnnotatedMedia(out, [photos]) as painter:
        for name in names:
            painter.draw(still(image, str(photos / name)), explanations_of(boxes, 2))
        for number in (1, 2):
            painter.draw(moving(image, number, str(photos / "c.mov")), [])
        for number in (1, 2, 3):
            painter.draw(moving(image, number, str(photos / "d.mp4")), [])
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == {"a.jpg", "a.png", "old/a.png", "b.bmp.png", "c.mov.mp4", "d.mp4"}
    assert len(frames_of(out / "c.mov.mp4")) == 2 and len(frames_of(out / "d.mp4")) == 3
    shape = cv2.imread(str(out / "a.jpg")).shape
    assert cv2.imread(str(out / "b.bmp.png")).shape == shape
    several = tmp_path / "several"
    with AnnotatedMedia(several, [photos, tmp_path / "e.png"]) as painter:
        painter.draw(still(image, str(photos / "old/a.png")), [])
        painter.draw(still(image, str(tmp_path / "e.png")), [])
    written = {str(path.relative_to(several)) for path in several.rglob("*.png")}
    assert written == {"photos/old/a.png", "e.png"}


def test_outputs_that_do_not_fit_the_inputs_are_refused(tmp_path: Path) -> None:
    image, _ = image_with_faces(96, 96)
    with pytest.raises(UsageError, match="is one file"):
        AnnotatedMedia(tmp_path / "out.png", [Path("a.png"), Path("b.png")])
    with pytest.raises(UsageError, match="is one file"):
        AnnotatedMedia(tmp_path / "out.png", [tmp_path])
    with pytest.raises(UsageError, match=r"Two inputs are named a\.png"):
        AnnotatedMedia(tmp_path / "out", [Path("x/a.png"), Path("y/a.png")])
    with pytest.raises(UsageError, match=r"is a video, but out\.png"):
        AnnotatedMedia(tmp_path / "out.png", [Path("talk.mov")])
    with pytest.raises(UsageError, match=r"is an image, but out\.mp4"):
        AnnotatedMedia(tmp_path / "out.mp4", [Path("a.png")])
    with pytest.raises(UsageError, match=r"cannot be written as \.gif"):
        AnnotatedMedia(tmp_path / "out.gif", [Path("talk.mov")])
    own = tmp_path / "a.png"
    with pytest.raises(UsageError, match="itself"):
        AnnotatedMedia(own, [own])
    with pytest.raises(UsageError, match="itself"):
        AnnotatedMedia(tmp_path, [tmp_path]).draw(still(image, str(own)), [])
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="could not be written"):
        AnnotatedMedia(tmp_path / "file" / "out.mp4", [Path("talk.mov")]).draw(moving(image, 1), [])


def test_a_missing_font_is_an_error_for_descriptions_but_not_for_file_names(
    monkeypatch: pytest.MonkeyPatch, written_texts: Texts
) -> None:
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: [])
    image, boxes = image_with_faces(96, 96)
    named = still(image, "脸 1.png")
    compose(lay_out(96, 96), named, explanations_of(boxes, 1), fixed=False)
    assert "? 1.png" in written_texts.joined()
    chinese = [explanation(1, box=boxes[0], face="嘴角")]
    with pytest.raises(DataError, match="No installed font"):
        compose(lay_out(96, 96), named, chinese, fixed=False)

"""Annotated pictures: all that is said is there, nothing overlaps or is cut off; videos play."""

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

from .faces import AUS, FACE, LOCAL, explanation, picture

SIZES = [(128, 128), (480, 640), (1080, 1920), (1920, 1080), (100, 2000), (700, 90)]


def still(image: np.ndarray, source: str = "face.png") -> MediaFrame:
    return MediaFrame(source, 1, None, None, image)


def moving(
    image: np.ndarray, number: int, source: str = "talk.mov", rate: float = 25.0
) -> MediaFrame:
    return MediaFrame(source, number, (number - 1) / 25, rate, image)


def frames_of(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    found = []
    while True:
        read, image = capture.read()
        if not read:
            return found
        found.append(image)


class Texts(list):
    """The texts that were written, each with its box: text, left, top, right, bottom."""

    def said(self) -> str:
        return " ".join(text for text, *_ in self)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Texts:
    texts = Texts()
    write = Board.write

    def watched(
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

    monkeypatch.setattr(Board, "write", watched)
    return texts


def said_of(boxes: list[Any], active: int) -> list[Explanation]:
    return [explanation(active, at, box=box) for at, box in enumerate(boxes)]


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("faces", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_no_text_overlaps_another_or_leaves_the_picture(
    size: tuple[int, int], faces: int, fixed: bool, written: Texts
) -> None:
    image, boxes = picture(*size, faces if size[1] > 200 else 1)
    drawn = compose(lay_out(*size), still(image), said_of(boxes, 8), fixed=fixed)
    height, width = drawn.shape[:2]
    assert width % 2 == 0 and height % 2 == 0
    for text, left, top, right, bottom in written:
        assert left >= 0 and top >= 0 and right <= width and bottom <= height, text
    for (one, *a), (other, *b) in combinations(written, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (one, other)
    # A margin of the ground is left all around what is not the picture.
    layout = lay_out(*size)
    ground = np.array(drawing.PANEL)
    assert (drawn[layout.body :, -3:] == ground).all() and (drawn[-3:] == ground).all()
    assert (drawn[layout.body :, :3] == ground).all() and (drawn[:, -3:] == ground).all()


@pytest.mark.parametrize("size", SIZES)
def test_the_picture_keeps_its_size_and_small_ones_are_enlarged(size: tuple[int, int]) -> None:
    image, _ = picture(*size)
    layout = lay_out(*size)
    drawn = compose(layout, still(image), [], fixed=False)
    if min(size) >= 480:
        np.testing.assert_array_equal(drawn[: size[0], : size[1]], image)
    else:
        assert layout.factor > 1 or max(size) > 1920
        assert max(layout.width, layout.height) <= max(1920, *size)
    assert lay_out(128, 128).height == 480


def test_everything_said_of_a_face_is_written(written: Texts) -> None:
    image, boxes = picture(480, 480)
    compose(lay_out(480, 480), still(image), said_of(boxes, 8), fixed=False)
    said = written.said()
    assert FACE in said and "face.png" in said
    for au in AUS[:6]:
        assert LOCAL[au] in said and f"{au}  " in said
    assert "and AU12, AU14" in said and LOCAL["AU12"] not in said
    assert "attention of each AU branch, each to its own maximum" in said
    for at, au in enumerate(AUS[:8]):
        assert f"{au} {0.9 - 0.01 * at:.2f}" in said
    assert "AU15" not in said


def test_without_texts_or_attention_probabilities_are_left(written: Texts) -> None:
    image, _ = picture(480, 480)
    bare = explanation(2, box=None, local={}, face="", attention=None)
    compose(lay_out(480, 480), still(image), [bare], fixed=False)
    assert [text for text, *_ in written] == [
        *("AU01 0.90", "AU02 0.89", "AU01  0.90", "AU02  0.89", "face.png"),
    ]


def test_a_face_without_action_units_and_a_picture_without_face_say_so(written: Texts) -> None:
    image, boxes = picture(480, 480)
    compose(lay_out(480, 480), still(image), said_of(boxes, 0), fixed=False)
    assert "no action unit is active" in written.said()
    written.clear()
    drawn = compose(lay_out(480, 480), moving(image, 12), [], fixed=True)
    assert written.said() == "no face talk.mov · frame 12 · 0.44 s · no face"
    np.testing.assert_array_equal(drawn[:480, :480], image)


def test_boxes_lie_where_the_faces_are() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    box = (40.0, 30.0, 99.0, 89.0)
    drawn = compose(lay_out(120, 160), still(image), [explanation(0, box=box)], fixed=False)
    yellow = np.argwhere((drawn[:480, :640] == drawing.MARKS[0]).all(2))
    # Enlarged four times; the middle of pixel x is then at 4 x + 1.5. The line is 2 wide.
    top, left = yellow.min(0)
    bottom, right = yellow.max(0)
    wanted = [at * 4 + 1.5 for at in box]
    assert np.abs(np.subtract((left, top, right, bottom), wanted)).max() <= 2


@pytest.mark.parametrize(
    "box", [(-30.0, -20.0, 700.0, 530.0), (600.0, 400.0, 900.0, 700.0), (800.0, 10.0, 900.0, 90.0)]
)
def test_a_face_that_reaches_beyond_the_picture_is_marked_on_it_only(
    box: tuple[float, float, float, float],
) -> None:
    image, _ = picture(480, 640)
    drawn = compose(lay_out(480, 640), still(image), [explanation(0, box=box)], fixed=False)
    marked = (drawn == drawing.MARKS[0]).all(2)
    assert marked[:480, :640].any() and not marked[480:].any() and not marked[:, 640:].any()


def test_labels_cover_no_other_face() -> None:
    image, boxes = picture(600, 1800, 3)
    explanations = said_of(boxes, 4)
    drawn = compose(lay_out(600, 1800), still(image), explanations, fixed=False)
    bare = compose(lay_out(600, 1800), still(image), said_of(boxes, 0), fixed=False)
    changed = (drawn[:600, :1800] != bare[:600, :1800]).any(2)
    assert changed.any()
    for left, top, right, bottom in boxes:
        middle = changed[int(top) + 30 : int(bottom) - 30, int(left) + 5 : int(right) - 5]
        assert not middle.any()


def test_attention_is_shown_where_it_is_each_to_its_own_range() -> None:
    face = explanation(3, crop=np.full((90, 90, 3), 128, np.uint8), seen=(0, 0, 89, 89))
    for at, au in enumerate(AUS[:3]):
        tile = attention_tile(face, au, 70).astype(int)
        assert tile.shape == (70, 70, 3)
        row, column = np.unravel_index(tile.sum(2).argmax(), (70, 70))
        assert abs(row - (at * 10 + 4.5)) <= 6 and abs(column - 34.5) <= 6
    louder = explanation(3, crop=face.crop, seen=face.seen, attention=face.attention * 7 + 3)
    np.testing.assert_array_equal(
        attention_tile(louder, "AU02", 70), attention_tile(face, "AU02", 70)
    )
    flat = explanation(3, crop=face.crop, seen=face.seen, attention=np.ones((10, 7, 7), np.float32))
    np.testing.assert_array_equal(attention_tile(flat, "AU02", 70), np.full((70, 70, 3), 128))


def test_attention_lies_over_the_part_that_the_model_saw() -> None:
    crop = np.zeros((80, 80, 3), np.uint8)
    crop[10:70, 10:70] = 200
    face = explanation(1, crop=crop, seen=(10, 10, 69, 69), attention=np.ones((10, 7, 7)))
    assert (attention_tile(face, "AU01", 60) == 200).all()


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_plays_back_with_all_its_frames(tmp_path: Path, suffix: str) -> None:
    image, boxes = picture(121, 163)
    path = tmp_path / "new" / f"drawn{suffix}"
    with AnnotatedMedia(path, [Path("talk.mov")]) as painter:
        for number in range(1, 13):
            faces = said_of(boxes, number % 9) if number != 5 else []
            painter.draw(moving(image, number), faces)
    found = frames_of(path)
    layout = lay_out(121, 163)
    wide = layout.width + layout.side
    assert len(found) == 12 and {frame.shape[1] for frame in found} == {wide}
    assert len({frame.shape for frame in found}) == 1
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == 25
    shown = cv2.resize(image, (layout.width, layout.height), interpolation=cv2.INTER_CUBIC)
    seen = cv2.cvtColor(found[4], cv2.COLOR_BGR2RGB)[: layout.height, : layout.width]
    assert np.abs(seen.astype(int) - shown).mean() < 6
    assert not [*path.parent.glob(".*")]


def test_long_descriptions_do_not_change_a_video_s_size(written: Texts) -> None:
    image, boxes = picture(480, 640)
    layout = lay_out(480, 640)
    shapes = set()
    for face in ("", FACE, FACE * 9):
        said = [explanation(1, box=boxes[0], face=face)]
        shapes.add(compose(layout, moving(image, 1), said, fixed=True).shape)
    assert len(shapes) == 1
    assert written[-1][0].endswith("…") and not written[-2][0].endswith("…")


def test_what_was_drawn_before_ctrl_c_plays(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    image, boxes = picture(120, 160)
    with (
        pytest.raises(KeyboardInterrupt),
        AnnotatedMedia(tmp_path / "drawn.mp4", [Path("talk.mov")]) as painter,
    ):
        for number in range(1, 8):
            painter.draw(moving(image, number), said_of(boxes, 3))
        raise KeyboardInterrupt
    assert len(frames_of(tmp_path / "drawn.part.mp4")) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["drawn.part.mp4"]
    assert "drawn.part.mp4" in capsys.readouterr().err


@pytest.mark.parametrize(("suffix", "kept"), [(".mp4", False), (".avi", True)])
def test_a_film_that_lost_frames_does_not_take_the_place_of_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, kept: bool
) -> None:
    image, boxes = picture(120, 160)
    writer = cv2.VideoWriter

    class Full:
        """Loses the frames after the fourth, and all of an MP4 file, as on a full disk."""

        fourcc = staticmethod(writer.fourcc)

        def __init__(self, path: str, *rest: object) -> None:
            self.path, self.left, self.real = Path(path), 4, writer(path, *rest)
            self.isOpened = self.real.isOpened

        def write(self, frame: np.ndarray) -> None:
            self.left -= 1
            if self.left >= 0:
                self.real.write(frame)

        def release(self) -> None:
            self.real.release()
            if self.path.suffix == ".mp4":
                self.path.write_bytes(self.path.read_bytes()[:100])

    monkeypatch.setattr(cv2, "VideoWriter", Full)
    path = tmp_path / f"drawn{suffix}"
    path.write_bytes(b"an older film")
    count = "4" if kept else "0"
    with (
        pytest.raises(DataError, match=f"{count} of 7 frames arrived. The disk is probably full"),
        AnnotatedMedia(path, [Path("talk.mov")]) as painter,
    ):
        for number in range(1, 8):
            painter.draw(moving(image, number), said_of(boxes, 3))
    assert path.read_bytes() == b"an older film"
    part = tmp_path / f"drawn.part{suffix}"
    assert {*tmp_path.iterdir()} == ({path, part} if kept else {path})
    assert not kept or len(frames_of(part)) == 4


def test_a_folder_gets_a_file_an_input_named_after_it(tmp_path: Path) -> None:
    image, boxes = picture(96, 96)
    photos = tmp_path / "photos"
    (photos / "old").mkdir(parents=True)
    out = tmp_path / "out"
    names = ["a.jpg", "a.png", "old/a.png", "b.bmp"]
    with AnnotatedMedia(out, [photos]) as painter:
        for name in names:
            painter.draw(still(image, str(photos / name)), said_of(boxes, 2))
        for number in (1, 2):
            painter.draw(moving(image, number, str(photos / "c.mov")), [])
        for number in (1, 2, 3):
            painter.draw(moving(image, number, str(photos / "d.mp4")), [])
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {"a.jpg", "a.png", "old/a.png", "b.bmp.png", "c.mov.mp4", "d.mp4"}
    assert len(frames_of(out / "c.mov.mp4")) == 2 and len(frames_of(out / "d.mp4")) == 3
    shape = cv2.imread(str(out / "a.jpg")).shape
    assert cv2.imread(str(out / "b.bmp.png")).shape == shape
    several = tmp_path / "several"
    with AnnotatedMedia(several, [photos, tmp_path / "e.png"]) as painter:
        painter.draw(still(image, str(photos / "old/a.png")), [])
        painter.draw(still(image, str(tmp_path / "e.png")), [])
    found = {str(path.relative_to(several)) for path in several.rglob("*.png")}
    assert found == {"photos/old/a.png", "e.png"}


def test_what_cannot_be_drawn_as_asked_is_refused(tmp_path: Path) -> None:
    image, _ = picture(96, 96)
    with pytest.raises(UsageError, match="is one file"):
        AnnotatedMedia(tmp_path / "out.png", [Path("a.png"), Path("b.png")])
    with pytest.raises(UsageError, match="is one file"):
        AnnotatedMedia(tmp_path / "out.png", [tmp_path])
    with pytest.raises(UsageError, match=r"Two inputs are named a\.png"):
        AnnotatedMedia(tmp_path / "out", [Path("x/a.png"), Path("y/a.png")])
    with pytest.raises(UsageError, match=r"is a video, and out\.png"):
        AnnotatedMedia(tmp_path / "out.png", [Path("talk.mov")])
    with pytest.raises(UsageError, match=r"is a picture, and out\.mp4"):
        AnnotatedMedia(tmp_path / "out.mp4", [Path("a.png")])
    with pytest.raises(UsageError, match=r"not written as \.gif"):
        AnnotatedMedia(tmp_path / "out.gif", [Path("talk.mov")])
    own = tmp_path / "a.png"
    with pytest.raises(UsageError, match="itself"):
        AnnotatedMedia(own, [own])
    with pytest.raises(UsageError, match="itself"):
        AnnotatedMedia(tmp_path, [tmp_path]).draw(still(image, str(own)), [])
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="could not be written"):
        AnnotatedMedia(tmp_path / "file" / "out.mp4", [Path("talk.mov")]).draw(moving(image, 1), [])


def test_a_video_without_a_rate_is_shown_at_25_and_this_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    image, _ = picture(96, 96)
    with AnnotatedMedia(tmp_path / "out.mp4", [Path("talk.mov")]) as painter:
        painter.draw(moving(image, 1, rate=0.0), [])
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FPS) == 25
    assert "does not say its rate" in capsys.readouterr().err


def test_descriptions_without_a_font_are_an_error_and_names_are_not(
    monkeypatch: pytest.MonkeyPatch, written: Texts
) -> None:
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: [])
    image, boxes = picture(96, 96)
    named = still(image, "脸 1.png")
    compose(lay_out(96, 96), named, said_of(boxes, 1), fixed=False)
    assert "? 1.png" in written.said()
    chinese = [explanation(1, box=boxes[0], face="嘴角")]
    with pytest.raises(DataError, match="No installed font"):
        compose(lay_out(96, 96), named, chinese, fixed=False)

"""Detectors: the cascade, landmarks from files, MediaPipe's model, and plug-ins."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skimage.data import astronaut

from fauds.errors import DataError, FaudsError, UsageError
from fauds.faces.base import Face, Position
from fauds.faces.detectors import open_detector
from fauds.synthetic.face import FACE_AUS, draw_face, draw_identity, draw_views

BLANK = np.zeros((8, 8, 3), np.uint8)
POINTS = [f"{axis}{index}" for index in range(68) for axis in "xy"]


def fails(call: Callable[[], object], *words: str, kind: type[FaudsError] = DataError) -> None:
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def write_rows(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def synthetic_face(seed: int, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([11, seed])
    return draw_face(draw_identity(rng), np.zeros(len(FACE_AUS)), draw_views(rng, 1)[0], size)


def eyes_of(landmarks: np.ndarray) -> np.ndarray:
    return np.array([landmarks[36:42].mean(0), landmarks[42:48].mean(0)])


def eye_error(face: Face, eyes: np.ndarray) -> float:
    """Return the mean error of a face's eyes, as a share of the distance between the true ones."""
    distances = np.linalg.norm(face.eyes - eyes, axis=1)
    return float(distances.mean() / np.linalg.norm(eyes[1] - eyes[0]))


def test_the_cascade_finds_the_face_in_a_photograph() -> None:
    (face,) = open_detector("cascade").find(astronaut(), Position("astronaut.png", 1))
    # The pupils, measured in the image.
    assert eye_error(face, np.array([[202.0, 100.5], [247.0, 102.6]])) < 0.12
    assert face.landmarks is None and face.estimated
    left, top, right, bottom = face.box
    assert left < 200 < 250 < right and top < 100 < 145 < bottom < 190


@pytest.mark.parametrize("seed", [0, 2, 3, 4])
def test_the_cascade_finds_a_synthetic_face_anywhere_in_the_image(seed: int) -> None:
    image, landmarks = synthetic_face(seed)
    detector = open_detector("cascade")
    (whole,) = detector.find(image, Position("a.png", 1))
    assert eye_error(whole, eyes_of(landmarks)) < 0.15
    # The canvas is reduced to a quarter before it is searched.
    canvas = np.full((960, 1280, 3), 110, np.uint8)
    canvas[500:820, 100:420] = cv2.resize(image, (320, 320))
    (small,) = detector.find(canvas, Position("b.png", 1))
    assert eye_error(small, eyes_of((landmarks + 0.5) * 1.25 - 0.5 + [100, 500])) < 0.15


def test_the_cascade_returns_the_largest_face_first() -> None:
    canvas = np.full((300, 640, 3), 110, np.uint8)
    canvas[80:240, 20:180] = cv2.resize(
        synthetic_face(3)[0], (160, 160), interpolation=cv2.INTER_AREA
    )
    canvas[20:276, 300:556] = synthetic_face(2)[0]
    first, second = open_detector("cascade").find(canvas, Position("two.png", 1))
    assert first.box[0] > 300 and second.box[2] < 180


def test_the_cascade_finds_no_face_in_noise() -> None:
    detector = open_detector("cascade")
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    for image in (BLANK, noise, np.zeros((2, 3000, 3), np.uint8)):
        assert detector.find(image, Position("x", 1)) == []


def test_a_missing_or_superfluous_path_is_an_error() -> None:
    fails(lambda: open_detector("cascade:a.xml"), "takes no file", kind=UsageError)
    fails(lambda: open_detector("csv"), "csv:landmarks.csv", kind=UsageError)
    fails(lambda: open_detector("openface"), "openface:", kind=UsageError)
    fails(lambda: open_detector("mediapipe"), "face_landmarker.task", kind=UsageError)
    fails(lambda: open_detector("cascad"), "did you mean 'cascade'", kind=UsageError)


coordinates = st.floats(-1000, 4000, width=32)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.sampled_from([49, 66, 68]),
    frames=st.lists(st.integers(1, 10**6), min_size=1, max_size=4, unique=True),
    task=st.sampled_from(["T1", "", None]),
    data=st.data(),
)
def test_points_of_a_csv_file_are_returned_exactly(
    tmp_path: Path, count: int, frames: list[int], task: str | None, data: st.DataObject
) -> None:
    numbers = st.lists(coordinates, min_size=2 * count, max_size=2 * count)
    rows = {frame: data.draw(numbers) for frame in frames}
    key = ["subject", "frame"] if task is None else ["subject", "task", "frame"]
    lines = [
        ["F001", *([] if task is None else [task]), frame, *map(repr, xy)]
        for frame, xy in rows.items()
    ]
    path = write_rows(tmp_path / "points.csv", [*key, *POINTS[: 2 * count]], lines)
    detector = open_detector(f"csv:{path}")
    for frame, xy in rows.items():
        (face,) = detector.find(BLANK, Position("F001/T1" if task else "F001", frame))
        expected = np.array(xy, np.float32).reshape(-1, 2)
        assert face.landmarks.dtype == np.float32 and np.array_equal(face.landmarks, expected)
        first = {68: 36, 66: 36, 49: 19}[count]
        eyes = [expected[n : n + 6].astype(float).mean(0) for n in (first, first + 6)]
        assert np.allclose(face.eyes, eyes, rtol=1e-5, atol=1e-3)
        if count == 49:
            assert np.isnan(face.box).all()
        else:
            assert np.allclose(face.box, [*expected.min(0), *expected.max(0)])
    assert detector.find(BLANK, Position("F001/T2", frames[0])) == []
    assert detector.find(BLANK, Position("F001", 2 * 10**6)) == []


def test_boxes_alone_have_no_eyes(tmp_path: Path) -> None:
    header = ["source", "frame", "left", "top", "right", "bottom"]
    path = write_rows(
        tmp_path / "b.csv", header, [["a.mp4", 1, 1, 2, 30, 40], ["a.mp4", 2] + 4 * [""]]
    )
    detector = open_detector(f"csv:{path}")
    (face,) = detector.find(BLANK, Position("a.mp4", 1))
    assert face.box == (1, 2, 30, 40) and face.landmarks is None
    assert np.isnan(face.eyes).all() and not face.estimated
    assert detector.find(BLANK, Position("a.mp4", 2)) == []


def test_every_face_has_the_parts_that_the_detector_declares(tmp_path: Path) -> None:
    box = ["left", "top", "right", "bottom"]
    wanted = {
        (): {"box"},
        (49,): {"eyes", "points"},
        (49, "box"): {"eyes", "points", "box"},
        (66,): {"eyes", "points", "box"},
        (68,): {"eyes", "points", "box"},
    }
    for columns, gives in wanted.items():
        count = columns[0] if columns else 0
        boxed = box if "box" in columns or not columns else []
        numbers = np.random.default_rng(count).uniform(1, 90, 2 * count).round(1)
        header = ["source", "frame", *POINTS[: 2 * count], *boxed]
        row = ["a.mp4", 1, *numbers, *((1, 2, 30, 40) if boxed else ())]
        detector = open_detector(f"csv:{write_rows(tmp_path / 'a.csv', header, [row])}")
        assert detector.gives == gives
        (face,) = detector.find(BLANK, Position("a.mp4", 1))
        parts = {"eyes": face.eyes, "box": face.box}
        known = {name for name, numbers in parts.items() if np.isfinite(numbers).all()}
        assert known | ({"points"} if face.landmarks is not None else set()) == gives
    assert open_detector("cascade").gives == {"eyes", "box"}


def test_an_unusable_table_is_an_error_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    head = b"source,frame,left,top,right,bottom\n"
    for data, words in {
        b"": "is empty",
        head: "has no rows",
        b"\xe9" + head: "is not UTF-8 text",
        head + b"\xe9.mp4,1,1,2,3,4\n": "is not UTF-8 text",
        head + b"a.mp4,1,1,2\n": "The line has 4 columns",
        head + b"a.mp4,1,9,2,3,4\n": "no width or no height",
    }.items():
        path.write_bytes(data)
        fails(lambda: open_detector(f"csv:{path}"), words, "to do:")
    fails(lambda: open_detector(f"csv:{tmp_path / 'gone.csv'}"), "cannot be read", "to do:")


def test_the_identity_depends_on_the_content_of_the_file(tmp_path: Path) -> None:
    header = ["source", "frame", "left", "top", "right", "bottom"]
    identities = [
        open_detector(
            f"csv:{write_rows(tmp_path / name, header, [['a', 1, 0, 0, right, 9]])}"
        ).identity
        for name, right in (("a.csv", 9), ("b.csv", 9), ("c.csv", 8))
    ]
    assert identities[0] == identities[1] != identities[2]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", "", ["empty"]),
        ("source,frame\na,1\n", ":1", ["Required columns are missing", "left,top,right,bottom"]),
        ("source,left,top,right,bottom\na,1,2,3,4\n", ":1", ["Required columns are missing"]),
        ("source,frame,x0,y0,x1,y1\na,1,2,3,4,5\n", ":1", ["2 columns of x", "49, 66 or 68"]),
        ("source,frame,frame\na,1,1\n", ":1", ["'frame' twice"]),
        ("source,frame,left,top,right,bottom\n", "", ["no rows"]),
        ("HEADa,1,1,2,3,4\na,2,1,2,3\n", ":3", ["5 columns, but the first line has 6"]),
        ("HEADa,1,1,2,3,4\n\n\na,two,1,2,3,4\n", ":5", ["frame", "'two'", "whole number"]),
        ("HEADa,1,1,2,3,4\na,2,1,2,3,4\na,3,1,,3,4\n", ":4", ["coordinates are missing"]),
        ("HEADa,1,1,2,3,4\na,2,1,2,3e,4\n", ":3", ["right", "'3e'"]),
        ("HEADa,1,1,2,3,4\na,2,1_0,2,30,4\n", ":3", ["left", "'1_0'"]),
        ("HEADa,1,1,2,3,4\na,2,1,2,inf,4\n", ":3", ["coordinates are missing"]),
        ("HEADa,1,1,2,3,4\nb,1,1,2,3,4\na,1,1,2,3,4\n", ":4", ["Frame 1 of a is listed twice"]),
        ("HEADa,0,1,2,3,4\n", ":2", ["counted from 1"]),
        ("HEADa,,1,2,3,4\n", ":2", ["frame is empty"]),
        ("HEADa,1,3,2,3,4\n", ":2", ["no width or no height"]),
    ],
)
def test_an_error_in_a_table_names_its_line(
    tmp_path: Path, text: str, line: str, words: list[str]
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text.replace("HEAD", "source,frame,left,top,right,bottom\n"))
    fails(lambda: open_detector(f"csv:{path}"), f"{path}{line}", *words)


def test_a_table_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    fails(lambda: open_detector(f"csv:{tmp_path / 'gone.csv'}"), "gone.csv")
    fails(lambda: open_detector(f"csv:{tmp_path}"), str(tmp_path))
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    fails(lambda: open_detector(f"csv:{tmp_path / 'a.csv'}"), "a.csv")
    head = b"source,frame,left,top,right,bottom\n"
    (tmp_path / "b.csv").write_bytes(head + b"a\xff,1,1,2,3,4\n")
    fails(lambda: open_detector(f"csv:{tmp_path / 'b.csv'}"), "b.csv")


OPENFACE = ["frame", "face_id", "timestamp", "confidence", "success"]
OPENFACE_POINTS = [f"{axis}_{index}" for axis in "xy" for index in range(68)]


def write_openface(path: Path, faces: list[tuple[int, int, int, np.ndarray]]) -> Path:
    """Write a table as OpenFace does: a blank after each comma, first all x, then all y."""
    lines = [", ".join([*OPENFACE, "gaze_0_x", *OPENFACE_POINTS])]
    for frame, face, success, points in faces:
        numbers = [f"{value:.1f}" for value in points.T.ravel()]
        cells = [frame, face, f"{frame / 25:.3f}", "0.98", success, "0.1", *numbers]
        lines.append(", ".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n")
    return path


def random_points(seed: int, spread: float = 1.0) -> np.ndarray:
    numbers = np.random.default_rng(seed).uniform(0, 100 * spread, (68, 2))
    return numbers.round(1).astype(np.float32)


def test_openface_tables_are_matched_by_name(tmp_path: Path) -> None:
    names = {
        "F001/T1": "F001_T1.csv",
        "F001/T10": "f001_t10.csv",
        "F002/T5": "2F02_T5.csv",
        "SN001": "LeftVideoSN001_comp.csv",
        "SN010": "SN010.csv",
        "clip.one.mp4": "clip.one.csv",
        "Talk.webm": "talk.csv",
    }
    points = {source: random_points(seed) for seed, source in enumerate(names)}
    for source, name in names.items():
        write_openface(tmp_path / name, [(1, 0, 1, points[source]), (2, 0, 0, points[source] * 0)])
    detector = open_detector(f"openface:{tmp_path}")
    for source, expected in points.items():
        (face,) = detector.find(BLANK, Position(source, 1))
        assert np.array_equal(face.landmarks, expected)
        assert face.score == pytest.approx(0.98)
        assert np.allclose(face.eyes, eyes_of(expected), atol=1e-3)
        assert detector.find(BLANK, Position(source, 2)) == []
        assert detector.find(BLANK, Position(source, 3)) == []
    fails(lambda: detector.find(BLANK, Position("SN002", 1)), "SN002", str(tmp_path))
    write_openface(tmp_path / "RightVideoSN001_comp.csv", [(1, 0, 1, points["SN001"])])
    both = open_detector(f"openface:{tmp_path}")
    assert both.identity != detector.identity
    fails(lambda: both.find(BLANK, Position("SN001", 1)), "LeftVideoSN001", "RightVideoSN001")


def test_openface_tables_of_other_videos_are_not_used(tmp_path: Path) -> None:
    write_openface(tmp_path / "smalltalk.csv", [(1, 0, 1, random_points(1))])
    write_openface(tmp_path / "2F01_T13.csv", [(1, 0, 1, random_points(1))])
    detector = open_detector(f"openface:{tmp_path}")
    for source in ("talk.mp4", "3.png"):
        fails(lambda source=source: detector.find(BLANK, Position(source, 1)), source)


def test_openface_returns_the_largest_face_first(tmp_path: Path) -> None:
    small, large = random_points(1), random_points(2, 3)
    faces = [(1, 0, 1, small), (1, 1, 1, large), (2, 0, 1, small)]
    detector = open_detector(f"openface:{write_openface(tmp_path / 'SN001.csv', faces)}")
    detected = detector.find(BLANK, Position("SN001", 1))
    assert [face.landmarks.max() for face in detected] == [large.max(), small.max()]
    assert len(detector.find(BLANK, Position("SN001", 2))) == 1


def test_incomplete_openface_output_is_an_error(tmp_path: Path) -> None:
    fails(lambda: open_detector(f"openface:{tmp_path}"), "no CSV file", str(tmp_path))
    fails(lambda: open_detector(f"openface:{tmp_path / 'gone'}"), "does not exist")
    path = write_rows(tmp_path / "SN001.csv", OPENFACE, [[1, 0, 0.0, 0.9, 1]])
    fails(lambda: open_detector(f"openface:{path}"), "-2Dfp", f"{path}:1")
    write_rows(path, ["face", "confidence", *OPENFACE_POINTS], [[0, 0.9, *[1] * 136]])
    fails(
        lambda: open_detector(f"openface:{path}"),
        "not OpenFace's output for a video",
        "frame, success",
    )
    write_openface(path, [(1, 0, 1, random_points(1))])
    path.write_text(path.read_text() + "2, 0, 0.0\n")
    detector = open_detector(f"openface:{path}")
    fails(lambda: detector.find(BLANK, Position("SN001", 1)), f"{path}:3", "3 columns")


@pytest.fixture
def fake_mediapipe(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Replace MediaPipe by a fake that returns these meshes, [478, 2] each, as image shares."""
    meshes: list[np.ndarray] = []

    class FaceLandmarker:
        @classmethod
        def create_from_options(cls, options: SimpleNamespace) -> "FaceLandmarker":
            if options.base_options.model_asset_buffer != b"model":
                raise ValueError("not a model")
            return cls()

        def detect(self, image: SimpleNamespace) -> SimpleNamespace:
            assert image.image_format == "srgb" and image.data.flags.c_contiguous
            points = [[SimpleNamespace(x=x, y=y, z=0.0) for x, y in mesh] for mesh in meshes]
            return SimpleNamespace(face_landmarks=points)

    modules = {name: ModuleType(name) for name in ("mediapipe", "mediapipe.tasks")}
    modules["mediapipe"].__version__ = "9.9"
    modules["mediapipe"].Image = SimpleNamespace
    modules["mediapipe"].ImageFormat = SimpleNamespace(SRGB="srgb")
    python, vision = "mediapipe.tasks.python", "mediapipe.tasks.python.vision"
    modules |= {python: ModuleType(python), vision: ModuleType(vision)}
    modules[python].BaseOptions = SimpleNamespace
    modules[vision].FaceLandmarker = FaceLandmarker
    modules[vision].FaceLandmarkerOptions = SimpleNamespace
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return meshes


def test_mediapipe_maps_its_mesh_to_68_points(
    fake_mediapipe: list[np.ndarray], tmp_path: Path
) -> None:
    model = tmp_path / "face_landmarker.task"
    model.write_bytes(b"model")
    detector = open_detector(f"mediapipe:{model}")
    assert "mediapipe 9.9" in detector.identity
    image = np.zeros((40, 80, 3), np.uint8)[:, ::-1]
    assert detector.find(image, Position("a.png", 1)) == []
    mesh = np.random.default_rng(0).uniform(0.2, 0.8, (478, 2))
    fake_mediapipe += [0.25 + mesh / 2, mesh]
    large, small = detector.find(image, Position("a.png", 1))
    pixels = mesh * [80, 40] - 0.5
    # The tip of the nose, the outer and inner corners of the eyes, the corners of the mouth and the
    # chin have undisputed vertices.
    for point, vertex in {
        30: 4,
        36: 33,
        39: 133,
        42: 362,
        45: 263,
        48: 61,
        54: 291,
        8: 152,
    }.items():
        assert np.allclose(large.landmarks[point], pixels[vertex], atol=1e-4)
    assert large.landmarks.shape == (68, 2) and large.landmarks.dtype == np.float32
    assert np.allclose(large.eyes, eyes_of(large.landmarks), atol=1e-4)
    assert large.box[2] - large.box[0] > small.box[2] - small.box[0]
    model.write_bytes(b"something else")
    fails(lambda: open_detector(f"mediapipe:{model}"), "not a model", str(model))
    fails(lambda: open_detector(f"mediapipe:{tmp_path / 'gone'}"), "cannot be read", "gone")


def test_a_missing_mediapipe_is_an_error_that_tells_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    model = tmp_path / "face_landmarker.task"
    model.write_bytes(b"model")
    words = ("not installed", "pip install 'fauds[mediapipe]'")
    fails(lambda: open_detector(f"mediapipe:{model}"), *words, kind=UsageError)


def test_other_packages_can_add_detectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "corner_faces.py").write_text(
        "import numpy as np\n"
        "from fauds.faces.base import Face\n"
        "class Corner:\n"
        "    identity = 'corner 1'\n"
        "    def find(self, image, at):\n"
        "        return [Face((0, 0, 9, 9), None, np.zeros((2, 2), np.float32))]\n"
        "def open_corner(path):\n"
        "    detector = Corner()\n"
        "    detector.path = path\n"
        "    return detector\n"
    )
    folder = tmp_path / "corner_faces-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: corner-faces\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[fauds.detectors]\ncorner = corner_faces:open_corner\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    # The registry reads the entry points once per process.
    from fauds.faces.detectors import DETECTORS

    monkeypatch.delitem(DETECTORS.__dict__, "_targets", raising=False)
    try:
        detector = open_detector("corner:~/some file")
        assert detector.identity == "corner 1"
        assert detector.path == Path("~/some file").expanduser()
        assert detector.find(BLANK, Position("a", 1))[0].box == (0, 0, 9, 9)
        assert {"corner", "cascade"} <= set(DETECTORS)
    finally:
        DETECTORS.__dict__.pop("_targets", None)

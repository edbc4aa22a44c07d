"""`fauds.explain` on every kind of picture, and how an explanation shows itself."""

import base64
import subprocess
import sys
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

import fauds
from fauds.errors import DataError, UsageError
from fauds.explanation import api
from tests.explanation.models import AUS, EYES, WORDS, write_weights


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Weights of a model that was trained on whole pictures."""
    return write_weights(tmp_path_factory.mktemp("whole") / "weights.safetensors")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Weights of a model that needs faces cut out by their eyes."""
    folder = tmp_path_factory.mktemp("faces")
    return write_weights(folder / "weights.safetensors", alignment=EYES)


@pytest.fixture(scope="module")
def astronaut():
    return data.astronaut()


def test_every_kind_of_picture_is_explained_the_same(whole, astronaut, tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), cv2.cvtColor(astronaut, cv2.COLOR_RGB2BGR))
    pictures = (path, str(path), Image.fromarray(astronaut), astronaut)
    said = [fauds.explain(picture, whole) for picture in pictures]
    assert [one.source for one in said] == [str(path), str(path), "image", "image"]
    for one in said:
        assert list(one.aus) == list(AUS)
        assert one.aus == said[0].aus
        assert one.local == said[0].local
        assert np.array_equal(one.crop, astronaut)
        assert (one.box, one.eyes, one.timestamp, one.index) == (None, None, None, 0)
        assert np.array_equal(one.transform, np.eye(2, 3))


def test_a_face_is_found_and_cropped_as_the_weights_were_trained(faces, astronaut):
    said = fauds.explain(astronaut, faces)
    assert said.crop.shape == (256, 256, 3)
    left, top, right, bottom = said.box
    # Her face is in the upper left quarter's right half.
    assert 150 < (left + right) / 2 < 280
    assert 50 < (top + bottom) / 2 < 200
    assert said.estimated
    # The alignment's promise: the eyes are level, 80 pixels apart, about the crop's middle.
    one, other = said.eyes @ said.transform[:, :2].T + said.transform[:, 2]
    assert other - one == pytest.approx([80, 0], abs=1e-3)
    assert (one[0] + other[0]) / 2 == pytest.approx(127.5, abs=1)
    pixels = cv2.warpAffine(astronaut, said.transform, (256, 256))
    assert np.abs(pixels.astype(int) - said.crop).mean() < 3


def test_a_picture_without_a_face_is_an_error_unless_it_is_a_crop(faces):
    nothing = np.full((120, 120, 3), 90, np.uint8)
    with pytest.raises(DataError, match="No face was found"):
        fauds.explain(nothing, faces)
    assert fauds.explain(nothing, faces, aligned=True).box is None


def test_a_detector_that_gives_too_little_or_is_of_no_use_is_refused(whole, astronaut, tmp_path):
    jaa = write_weights(tmp_path / "w.safetensors", alignment={"name": "jaa", "version": 1})
    with pytest.raises(UsageError, match="needs landmarks"):
        fauds.explain(astronaut, jaa)
    with pytest.raises(UsageError, match="whole pictures"):
        fauds.explain(astronaut, whole, detector="cascade")
    newer = {"name": "eyes-similarity", "version": 9}
    other = write_weights(tmp_path / "other.safetensors", alignment=newer)
    with pytest.raises(UsageError, match="version"):
        fauds.explain(astronaut, other)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3)),
        np.zeros((0, 8, 3), np.uint8),
        [[1, 2], [3, 4]],
    ],
)
def test_what_is_no_picture_is_refused(whole, picture):
    with pytest.raises(UsageError, match="not"):
        fauds.explain(picture, whole)


def test_files_that_are_no_picture_are_refused(whole, tmp_path):
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(DataError, match="not an image"):
        fauds.explain(tmp_path / "a.jpg", whole)
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(UsageError, match="one picture"):
        fauds.explain(tmp_path / "a.mp4", whole)
    with pytest.raises(UsageError, match="no such file"):
        fauds.explain(tmp_path / "none.jpg", whole)

    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="one picture"):
        fauds.explain(tmp_path / "empty", whole)


@pytest.mark.parametrize("kind", ["grey16", "palette", "alpha", "cmyk", "turned", "one pixel"])
def test_a_pil_image_is_explained_as_its_file_is(whole, astronaut, tmp_path, kind):
    photograph = Image.fromarray(astronaut[:200, 100:400])
    path, options = tmp_path / "a.png", {}
    if kind == "grey16":
        sixteen = np.asarray(photograph.convert("L")).astype(np.uint16) * 256 + 77
        photograph = Image.fromarray(sixteen)
    elif kind == "palette":
        photograph, options = photograph.quantize(64), {"transparency": 3}
    elif kind == "alpha":
        photograph.putalpha(Image.linear_gradient("L").resize(photograph.size))
    elif kind == "cmyk":
        photograph, path = photograph.convert("CMYK"), tmp_path / "a.jpg"
    elif kind == "turned":
        path, options = tmp_path / "a.jpg", {"exif": Image.Exif()}
        options["exif"][0x0112] = 8
    else:
        photograph = Image.new("RGB", (1, 1), (200, 30, 90))
    photograph.save(path, **options)
    by_path = fauds.explain(path, whole)
    with Image.open(path) as opened:
        by_image = fauds.explain(opened, whole)
    # Libraries differ by a grey level in how they take CMYK.
    assert np.abs(by_path.crop.astype(int) - by_image.crop).max() <= 2 * (kind == "cmyk")
    assert by_image.aus == pytest.approx(by_path.aus, abs=1e-3)
    if kind == "turned":
        assert by_path.crop.shape == (300, 200, 3)


def test_pil_images_that_cannot_be_read_are_refused(whole, astronaut, tmp_path):
    path = tmp_path / "a.bmp"
    Image.fromarray(astronaut).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with Image.open(path) as opened, pytest.raises(DataError, match="cannot be read"):
        fauds.explain(opened, whole)
    with pytest.raises(UsageError, match="mode F has no white"):
        fauds.explain(Image.new("F", (8, 8)), whole)


def test_the_model_is_kept_until_the_weights_change(astronaut, tmp_path):
    path = write_weights(tmp_path / "w.safetensors")
    api._explainer.cache_clear()
    first = fauds.explain(astronaut, path)
    fauds.explain(astronaut, path)
    assert api._explainer.cache_info().misses == 1
    write_weights(path, threshold=0.0)
    again = fauds.explain(astronaut, path)
    assert again.active == AUS
    assert again.aus == first.aus


class Page(HTMLParser):
    """Collects tags and text; a tag that is not closed is an error."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.said = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.said.append(text)


def test_a_notebook_shows_face_bars_and_words(astronaut, tmp_path):
    path = write_weights(tmp_path / "w.safetensors", threshold=0.0)
    said = fauds.explain(astronaut, path)
    html = said._repr_html_()
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    text = " ".join(page.said)
    for au, value in said.aus.items():
        assert au in text
        assert f"{value:.2f}" in text
        assert said.local[au] in text
    assert said.face in text
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    head, _, encoded = image["src"].partition(",")
    assert head == "data:image/jpeg;base64"
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR_RGB)
    small = cv2.resize(astronaut, shown.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(int) - small).mean() < 8
    assert "<i>" in WORDS
    assert "<i>" not in html
    assert "background:#" not in html
    assert "color:#" not in html


def test_a_notebook_shows_a_picture_of_any_shape(whole):
    said = fauds.explain(np.full((2, 3000, 3), 90, np.uint8), whole)
    assert "data:image/jpeg" in said._repr_html_()


def test_in_text_the_active_ones_come_with_their_words(astronaut, tmp_path):
    said = fauds.explain(astronaut, write_weights(tmp_path / "w.safetensors"))
    lines = str(said).splitlines()
    assert lines[0] == "image"
    for au in AUS:
        (line,) = [line for line in lines if au in line]
        assert f"{au} {said.aus[au]:.2f}" in line
        assert ("not active" in line) == (au not in said.active)
    assert said.line().startswith("image: ")


def test_importing_fauds_stays_light():
    code = (
        "import sys, fauds\n"
        "print(sorted({'torch', 'cv2', 'pandas', 'numpy', 'PIL', 'click'} & set(sys.modules)))\n"
        "print(callable(fauds.explain))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nTrue\n"

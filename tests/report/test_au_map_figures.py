"""Figures of AU maps: what is drawn over which face."""

import numpy as np
import pytest

from fauds.errors import DataError
from fauds.faces.aligned_face import AlignedFace
from fauds.facs import AUS, expression_aus, facts
from fauds.report.au_map_figures import draw_maps
from fauds.report.page_layout import Page
from fauds.synthetic.face import FACE_AUS, View, draw_face, draw_identity


@pytest.fixture
def drawing(monkeypatch) -> dict[str, list]:
    """Return the images and the lines of text that are placed on pages."""
    placed: dict[str, list] = {"images": [], "lines": []}
    image, write = Page.image, Page.write

    def keep_image(page, pixels, *args, **options):
        placed["images"].append(pixels)
        return image(page, pixels, *args, **options)

    def keep_lines(page, lines, *args, **options):
        placed["lines"] += lines
        return write(page, lines, *args, **options)

    monkeypatch.setattr(Page, "image", keep_image)
    monkeypatch.setattr(Page, "write", keep_lines)
    return placed


@pytest.fixture(scope="module")
def face() -> AlignedFace:
    identity = draw_identity(np.random.default_rng(3))
    return AlignedFace(*draw_face(identity, np.zeros(len(FACE_AUS)), View(noise=0), 200))


@pytest.mark.parametrize(("au", "points"), [("AU12", (48, 54)), ("AU01", (20, 23))])
def test_the_map_is_brightest_where_the_action_unit_is_visible(drawing, face, tmp_path, au, points):
    draw_maps([au], face, tmp_path / "maps.png")
    (image,) = drawing["images"]
    change = np.abs(image.astype(int) - face.pixels).sum(-1)
    rows, columns = np.nonzero(change > 0.9 * change.max())
    places = np.column_stack([columns, rows])[:, None] - face.landmarks[list(points)]
    distances = np.linalg.norm(places, axis=-1)
    assert distances.min(1).max() < 20
    # Both sides of the face are drawn.
    assert (distances.min(0) < 8).all()


def test_an_expression_is_drawn_as_a_whole_and_by_action_unit(drawing, tmp_path):
    draw_maps(["fear", "AU43"], None, tmp_path / "maps.png")
    aus = expression_aus()["fear"]
    assert len(drawing["images"]) == 1 + len(aus) + 1
    text = "\n".join(drawing["lines"])
    for au in (*aus, "AU43"):
        assert f"\n{au}\n{facts()[au]['name']}" in text
    # AUs that the synthetic faces do not show are named.
    assert "intensity D, without AU27, AU43." in " ".join(drawing["lines"])


def test_an_image_alone_is_drawn_with_every_expression(drawing, face, tmp_path):
    draw_maps([], face, tmp_path / "maps.png")
    assert len(drawing["images"]) == len(expression_aus())
    assert set(expression_aus()) <= set(drawing["lines"])
    assert not any("ynthetic" in line for line in drawing["lines"])
    for first, second in zip(drawing["images"], drawing["images"][1:], strict=False):
        assert np.abs(first.astype(int) - second).max() > 40


@pytest.mark.slow
def test_every_action_unit_can_be_drawn(drawing, tmp_path):
    draw_maps(AUS, None, tmp_path / "maps.svg")
    assert len(drawing["images"]) == len(AUS)
    assert (tmp_path / "maps.svg").stat().st_size > 10_000


def test_missing_landmarks_are_an_error_that_names_the_map(face, tmp_path):
    no_jaw = face.landmarks.copy()
    no_jaw[:17] = np.nan
    draw_maps(["AU12"], AlignedFace(face.pixels, no_jaw), tmp_path / "maps.png")
    assert (tmp_path / "maps.png").exists()
    with pytest.raises(DataError, match="AU17") as raised:
        draw_maps(["AU17"], AlignedFace(face.pixels, no_jaw), tmp_path / "none.png")
    assert "68" in raised.value.hint
    assert not (tmp_path / "none.png").exists()

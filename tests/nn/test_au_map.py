"""AU maps against a plain loop over cells, and what holds for any pose and resolution."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml

from fauds import resources
from fauds.errors import UsageError
from fauds.facs import AUS, MIRRORED_POINTS, expression_aus
from fauds.nn.layers.au_map import au_map, au_maps, codebook_table
from fauds.synthetic import face

SIDE = 112
FACES = 4


@pytest.fixture(scope="module")
def landmarks() -> torch.Tensor:
    """Return the landmarks of synthetic faces that move and turn, float32 [4, 68, 2]."""
    rng = np.random.default_rng(5)
    points = []
    for view in face.draw_views(rng, FACES):
        identity = face.draw_identity(rng)
        intensities = rng.uniform(0, 5, len(face.FACE_AUS)) * rng.integers(0, 2, len(face.FACE_AUS))
        points.append(face.face_landmarks(identity, intensities, view, SIDE))
    # A head that is tilted by 35 degrees, and turned to a side.
    points[1] = face.face_landmarks(identity, intensities, face.View(yaw=25, roll=35), SIDE)
    return torch.from_numpy(np.stack(points))


@pytest.fixture(scope="module")
def active() -> torch.Tensor:
    """Return the active AUs of the faces: of two expressions, and two sets at random."""
    generator = torch.Generator().manual_seed(2)
    sampled = torch.rand(2, len(AUS), generator=generator) < 0.3
    return torch.cat([codebook_table(["fear", "anger"]), sampled.float()])


def plain_ellipses() -> dict[str, list[dict]]:
    """Return the ellipses of every AU as the file has them, with those of the other side."""
    with resources.path("templates", "facs.yaml").open(encoding="utf-8") as file:
        aus = yaml.safe_load(file)["aus"]
    both = {}
    for au, fact in aus.items():
        both[au] = []
        for entry in fact["ellipses"]:
            across, down = entry.get("shift", (0, 0))
            both[au].append(entry | {"shift": (across, down)})
            other = {axis: [MIRRORED_POINTS[point] for point in entry[axis]] for axis in "xy"}
            if set(other["x"]) != set(entry["x"]) or set(other["y"]) != set(entry["y"]):
                both[au].append(entry | other | {"shift": (-across, down)})
    return both


def plain_value(x: float, y: float, ellipse: dict, points: np.ndarray, cell: float) -> float:
    """Return the value of one ellipse's map in the middle of a cell, x and y in pixels."""
    right = points[45] - points[36]
    width = math.hypot(*right)
    right = right / width
    down = np.array([-right[1], right[0]])
    height = float((points[33] - points[27]) @ down)
    exponent, factor = 0.0, 1.0
    for at, (direction, unit) in enumerate(((right, width), (down, height))):
        on_axis = [float(points[point] @ direction) for point in ellipse["xy"[at]]]
        middle = (min(on_axis) + max(on_axis)) / 2 + ellipse["shift"][at] * unit
        half = (max(on_axis) - min(on_axis)) / 2 + ellipse["axes"][at] * unit
        # A Gaussian is 1/2 at a distance of sqrt(2 ln 2) standard deviations.
        deviation = half / math.sqrt(2 * math.log(2))
        blurred = math.sqrt(deviation**2 + (cell / 2) ** 2)
        distance = float(np.array([x, y]) @ direction) - middle
        exponent += distance**2 / (2 * blurred**2)
        factor *= deviation / blurred
    return factor * math.exp(-exponent)


def plain_maps(landmarks: torch.Tensor, size: int, side: int) -> np.ndarray:
    """Return the maps of all AUs, float64 [B, A, size, size], one cell and ellipse at a time."""
    by_au, cell = plain_ellipses(), side / size
    maps = np.zeros((len(landmarks), len(by_au), size, size))
    for row, points in enumerate(landmarks.double().numpy()):
        for au, ellipses in enumerate(by_au.values()):
            for i in range(size):
                for j in range(size):
                    x, y = (j + 0.5) * cell - 0.5, (i + 0.5) * cell - 0.5
                    values = [plain_value(x, y, one, points, cell) for one in ellipses]
                    maps[row, au, i, j] = max(values)
    return maps


@pytest.mark.parametrize(("size", "faces"), [(7, 4), (12, 2)])
def test_maps_are_those_of_a_plain_loop_over_cells(landmarks, active, size, faces):
    landmarks, active = landmarks[:faces], active[:faces]
    expected = plain_maps(landmarks, size, SIDE)
    summed = np.einsum("bahw,ba->bhw", expected, active.numpy())
    summed /= summed.max((1, 2), keepdims=True)
    for points, tolerance in ((landmarks, 1e-6), (landmarks.double(), 1e-12)):
        maps = au_maps(points, size, SIDE)
        assert maps.dtype == points.dtype
        assert np.abs(maps.numpy() - expected).max() < tolerance
        total = au_map(points, active, size, SIDE)
        assert total.dtype == points.dtype
        assert np.abs(total.numpy() - summed).max() < tolerance


def test_single_precision_is_exact_to_a_millionth_at_the_finest_attention(landmarks, active):
    single = au_map(landmarks, active, 56, SIDE)
    assert (single - au_map(landmarks.double(), active, 56, SIDE)).abs().max() < 1e-6


@pytest.mark.parametrize("size", [7, 28])
def test_mirrored_landmarks_give_the_mirrored_map(landmarks, active, size):
    mirrored = landmarks[:, list(MIRRORED_POINTS)].clone()
    mirrored[..., 0] = SIDE - 1 - mirrored[..., 0]
    for one, other in (
        (au_map(landmarks, active, size, SIDE), au_map(mirrored, active, size, SIDE)),
        (au_maps(landmarks, size, SIDE), au_maps(mirrored, size, SIDE)),
    ):
        assert (other.flip(-1) - one).abs().max() < 1e-6
        assert (other - one).abs().max() > 0.1


def test_a_map_does_not_depend_on_the_resolution_of_the_image(landmarks, active):
    # The middles of pixels have whole coordinates: 0 becomes 1, between four pixels.
    larger = (landmarks.double() + 0.5) * 3 - 0.5
    one, other = (
        au_map(points, active, 14, side)
        for points, side in ((landmarks.double(), SIDE), (larger, 3 * SIDE))
    )
    assert (one - other).abs().max() < 1e-12


def test_a_turned_face_has_the_turned_map(landmarks, active):
    """By 90 degrees, which takes cells to cells."""
    x, y = landmarks.unbind(-1)
    turned = torch.stack([SIDE - 1 - y, x], -1)
    one, other = (au_map(points, active, 14, SIDE) for points in (landmarks, turned))
    assert (one.rot90(-1, (1, 2)) - other).abs().max() < 1e-6


def test_a_coarse_map_shows_what_a_fine_map_shows(landmarks, active):
    fine = au_map(landmarks, active, 112, SIDE)[:, None]
    for size, least in ((28, 0.995), (14, 0.98), (7, 0.95)):
        coarse = au_map(landmarks, active, size, SIDE)
        averaged = F.avg_pool2d(fine, SIDE // size)[:, 0]
        assert F.cosine_similarity(coarse.flatten(1), averaged.flatten(1)).min() > least


@pytest.mark.parametrize("au", ["AU04", "AU17", "AU24"])
def test_a_small_region_is_not_missed_between_cells(landmarks, au):
    """Its sum is the same wherever the cells, 14 pixels wide, lie; the face is 8 pixels wide."""
    small = (landmarks[:1] - SIDE / 2) * 0.1 + SIDE / 2
    offsets = torch.arange(0, 14, 1.75)
    shifts = torch.cartesian_prod(offsets, offsets)[:, None]
    sums = au_maps(small + shifts, 8, SIDE, [au]).sum((1, 2, 3))
    assert (sums / sums.mean() - 1).abs().max() < 0.03


def test_a_region_is_half_as_strong_on_the_edge_of_its_ellipse():
    """AU01's on the left side: its centre is 0.05 noses above point 20, and 0.11 eyes wide."""
    points = torch.zeros(1, 68, 2, dtype=torch.float64)
    points[0, [36, 45]] = torch.tensor([[200.0, 300.0], [600.0, 300.0]]).double()
    points[0, [27, 33]] = torch.tensor([[400.0, 300.0], [400.0, 500.0]]).double()
    points[0, [20, 23]] = torch.tensor([[300.0, 200.0], [500.0, 200.0]]).double()
    (values,) = au_maps(points, 1000, 1000, ["AU01"])[0]
    assert values[190, 300] == pytest.approx(1, abs=1e-3)
    for y, x in ((190, 300 - 44), (190, 300 + 44), (190 - 44, 300), (190 + 44, 300)):
        assert values[y, x] == pytest.approx(0.5, abs=1e-3)
    assert values.max() <= 1


def test_a_map_is_from_0_to_1_and_reaches_1(landmarks, active):
    for size in (1, 7, 28):
        total = au_map(landmarks, active, size, SIDE)
        assert total.shape == (FACES, size, size)
        assert (total >= 0).all()
        assert total.amax((1, 2)).tolist() == [1.0] * FACES


def test_inactive_action_units_do_not_matter_and_names_may_be_chosen(landmarks):
    chosen = ["AU12", "AU06", "au 25"]
    every = codebook_table(["happiness"]).expand(FACES, -1)
    one = au_map(landmarks, torch.ones(FACES, 3, dtype=torch.bool), 14, SIDE, chosen)
    assert (one - au_map(landmarks, every, 14, SIDE)).abs().max() < 1e-6
    single = au_maps(landmarks, 14, SIDE, ["AU06"])[:, 0]
    alone = au_map(landmarks, torch.ones(FACES, 1), 14, SIDE, ["AU06"])
    assert torch.allclose(alone, single / single.amax((1, 2), keepdim=True))


def test_faces_without_landmarks_or_active_action_units_have_a_map_of_zeros(landmarks, active):
    expected = au_map(landmarks, active, 7, SIDE)
    points, active = landmarks.clone(), active.clone()
    points[0, 54] = torch.nan
    points[1] = 0
    active[3] = codebook_table(["neutral"])
    total = au_map(points, active, 7, SIDE)
    assert torch.equal(total[[0, 1, 3]], torch.zeros(3, 7, 7))
    assert torch.equal(total[2], expected[2])
    assert torch.equal(au_maps(points, 7, SIDE)[:2], torch.zeros(2, len(AUS), 7, 7))


def test_only_landmarks_that_the_action_units_need_must_be_known(landmarks):
    inner = landmarks.clone()
    inner[:, 60:] = torch.nan
    assert torch.equal(au_maps(inner, 7, SIDE), au_maps(landmarks, 7, SIDE))
    no_jaw = landmarks.clone()
    no_jaw[:, :17] = torch.nan
    assert torch.equal(au_maps(no_jaw, 7, SIDE, ["AU12"]), au_maps(landmarks, 7, SIDE, ["AU12"]))
    assert not au_maps(no_jaw, 7, SIDE, ["AU12", "AU17"]).any()


def test_a_face_that_is_mirrored_without_exchanging_its_points_has_a_map_of_zeros(landmarks):
    wrong = landmarks.clone()
    wrong[..., 0] = SIDE - 1 - wrong[..., 0]
    assert not au_maps(wrong, 7, SIDE).any()


def test_a_face_does_not_depend_on_the_others_of_its_batch(landmarks, active):
    together = au_map(landmarks, active, 14, SIDE)
    for row in range(FACES):
        alone = au_map(landmarks[row : row + 1], active[row : row + 1], 14, SIDE)
        assert torch.allclose(alone[0], together[row], atol=1e-7)
    assert au_map(landmarks[:0], active[:0], 14, SIDE).shape == (0, 14, 14)


# The first use of "meta" imports much of torch.
@pytest.mark.parametrize("device", [pytest.param("meta", marks=pytest.mark.slow), "cuda"])
def test_maps_are_made_on_the_device_of_the_landmarks(landmarks, active, device):
    """On torch's device "meta" as well, where a tensor of another device would be an error."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    total = au_map(landmarks.to(device), active.to(device), 14, SIDE)
    assert total.device.type == device
    assert total.shape == (FACES, 14, 14)
    if device == "cuda":
        assert (total.cpu() - au_map(landmarks, active, 14, SIDE)).abs().max() < 1e-5


def test_maps_made_in_inference_mode_do_not_prevent_training(landmarks):
    """The tensors of the ellipses are made once and used again."""
    aus = ["AU02", "AU13"]
    with torch.inference_mode():
        expected = au_maps(landmarks, 7, SIDE, aus).clone()
    attention = torch.rand(FACES, 2, 7, 7, requires_grad=True)
    maps = au_maps(landmarks, 7, SIDE, aus)
    (attention * maps).sum().backward()
    assert torch.equal(attention.grad, expected)


def test_autocast_does_not_make_maps_coarser(landmarks, active):
    with torch.autocast("cpu", torch.bfloat16):
        total = au_map(landmarks, active, 14, SIDE)
    assert torch.equal(total, au_map(landmarks, active, 14, SIDE))


def test_the_codebook_table_has_the_action_units_of_each_expression():
    table = codebook_table([*expression_aus(), "neutral", "contempt"])
    assert table.shape == (8, len(AUS))
    for listed, row in zip(expression_aus().values(), table, strict=False):
        assert tuple(au for au, has in zip(AUS, row, strict=True) if has) == listed
    assert not table[6:].any()
    assert codebook_table(["sadness", "neutral"], ["AU12", "AU17"]).tolist() == [[0, 1], [0, 0]]


def test_the_documented_example_runs():
    text = (Path(__file__).parents[2] / "docs" / "au-maps.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict = {}
    exec(compile(block, "docs/au-maps.md", "exec"), names)
    assert names["map7"].shape == (1, 7, 7)
    assert names["each"].shape == (1, 2, 28, 28)
    assert names["map7"].flatten(1).any(1).all()


def test_unknown_names_and_wrong_shapes_are_errors(landmarks, active):
    with pytest.raises(UsageError, match="contentment") as raised:
        codebook_table(["contentment"])
    assert "happiness" in raised.value.hint
    with pytest.raises(UsageError, match="AU99"):
        au_maps(landmarks, 7, SIDE, ["AU99"])
    with pytest.raises(UsageError, match="AU99"):
        codebook_table(["anger"], ["AU99"])
    with pytest.raises(ValueError, match="68, 2"):
        au_maps(landmarks[:, :66], 7, SIDE)
    with pytest.raises(ValueError, match="active"):
        au_map(landmarks, active[:, :5], 7, SIDE)

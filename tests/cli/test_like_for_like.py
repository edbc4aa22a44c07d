"""A run says before it begins which row beside published figures it will not have."""

import pytest

from fauds.tables.paths import SYNTHETIC_MARKER
from tests.helpers import small

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_tsne")]

NOTE = "Without training.watch_test=true a run is not tested after every epoch"


@pytest.mark.parametrize(
    ("synthetic", "changes", "expected"),
    [
        (False, (), True),
        (False, ("training.watch_test=true",), False),
        (True, (), False),
    ],
)
def test_a_run_on_real_faces_says_that_it_will_have_no_row_like_the_best_published_ones(
    cli, work, six_root, copy, synthetic, changes, expected
):
    root = copy(six_root)
    if not synthetic:
        (root / SYNTHETIC_MARKER).unlink()
    cli.ok("build-captions", "--dataset", "bp4d", "--root", root)
    cli.ok("split", "--dataset", "bp4d", "--method", "random")
    words = ("bench", "vlfau", "--dataset", "bp4d", "--fold", 1, "--faces", root / "2D+3D")
    outcome = cli(*words, *small("training.epochs=1", *changes, texts=False))
    assert outcome.code == 0, outcome.err
    assert (NOTE in outcome.err) == expected
    if expected:
        # It is the first thing that is said, while something can still be done about it.
        assert outcome.err.splitlines()[0].startswith("Some published methods report the epoch")
        assert "FMAE-IAT" in outcome.err.splitlines()[0]

"""The Python interface: its documented examples run, and its samples are those of the bench."""

import re
from pathlib import Path
from shutil import copytree

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

import fauds
from fauds.errors import DataError, UsageError
from fauds.evaluation import results as results_file
from fauds.nn.presets import run_settings
from fauds.training.batches import batches
from tests.helpers import SMALL, Cli, small

pytestmark = pytest.mark.usefixtures("quick_tsne")

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def workdir(six_root, tmp_path_factory) -> Path:
    """Return a workdir with the synthetic dataset: six subjects, captions and two folds."""
    folder = tmp_path_factory.mktemp("python") / "fauds-work"
    with pytest.MonkeyPatch.context() as patch:
        cli = Cli(patch, None)
        where = ("--dataset", "synthetic", "--workdir", folder)
        cli.quietly("build-captions", *where, "--root", six_root)
        cli.quietly("split", *where, "--folds", 2, "--method", "random")
    return folder


def test_the_documented_examples_run(workdir, tmp_path, monkeypatch):
    copytree(workdir, tmp_path / "fauds-work")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    names: dict = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["read"].active == names["smile"].active == ("AU06", "AU12")
    assert names["read"].state("AU25") == "not mentioned"
    assert set(names["smile"].local) == {"AU04", "AU06", "AU12"}
    results = names["results"]
    assert results.model == "mine"
    assert results.frames_scored == len(names["ds"].frames)
    assert 0 <= results.summary["f1"] <= 1


def test_samples_are_those_that_the_bench_trains_on(workdir):
    changes = (*SMALL, "training.seed=3", "training.cutout_chance=0.5")
    settings = run_settings("vlfau", "tiny", changes)
    samples = fauds.open(workdir / "synthetic").torch(
        fold=2, part="train", image_size=settings.model.image_size, seed=3
    )
    for epoch in (0, 5):
        samples.set_epoch(epoch)
        rows = []
        needs = ("captions",)
        for batch in batches(samples.faces, settings, epoch=epoch, workers=0, needs=needs):
            for place, row in enumerate(batch.rows.tolist()):
                item = samples[row]
                assert torch.equal(item["image"], batch.images[place])
                assert torch.equal(item["labels"], batch.labels[place])
                for name, tokens in (("local_tokens", batch.local), ("face_tokens", batch.global_)):
                    expected = tokens[place]
                    assert torch.equal(item[name][..., : expected.shape[-1]], expected)
                    assert not item[name][..., expected.shape[-1] :].any()
                rows.append(row)
        assert sorted(rows) == list(range(len(samples)))


def test_samples_have_the_keys_labels_and_texts_of_their_frames(workdir):
    ds = fauds.open(workdir / "synthetic")
    frames, captions = ds.frames.set_index("key"), ds.captions.set_index("frame_id")
    parts = {part: ds.torch(fold=1, part=part, image_size=56) for part in ("train", "test")}
    assert {*parts["train"].keys, *parts["test"].keys} == set(frames.index)
    tested = set(ds.folds.subject[ds.folds.fold == 1])
    for part, samples in parts.items():
        for batch in DataLoader(samples, batch_size=7):
            assert batch["image"].shape[1:] == (3, 56, 56)
            for place, key in enumerate(batch["key"]):
                assert (frames.subject[key] in tested) == (part == "test")
                row = captions.loc[frames.frame_id[key]]
                for name, texts in batch["texts"].items():
                    assert texts[place] == ("" if pd.isna(row[name]) else row[name])
    assert len(ds.torch()) == len(frames)
    halved = ds.torch(captions=False, image_size=56, transform=lambda image: image.float() / 2)
    assert halved[0]["image"].max() <= 127.5
    assert set(halved[0]) == {"image", "labels", "key"}


@pytest.mark.slow
def test_evaluating_a_run_gives_the_figures_in_its_results(workdir, tmp_path, cli):
    work = Path(copytree(workdir, tmp_path / "work"))
    cli.ok("bench", "vlfau", "--workdir", work, *small("training.epochs=1", texts=False))
    (run,) = (work / "synthetic" / "runs").iterdir()
    saved = results_file.read(run)
    messages: list[str] = []
    results = fauds.evaluate(run, fauds.open(work / "synthetic"), say=messages.append)
    assert messages
    assert results.frames_fingerprint == saved.frames_fingerprint
    for metric in ("f1", "accuracy", "auc"):
        for au in (*saved.protocol.aus, None):
            row = results.row(metric, "mean_of_folds", au)
            assert row.value == saved.row(metric, "mean_of_folds", au).value
    table = pd.concat(pd.read_parquet(file) for file in run.glob("fold*/predictions.parquet"))
    again = fauds.evaluate(table.drop(columns=["fold", "key"]), work / "synthetic", name="again")
    assert again.summary["f1"] == results.summary["f1"]
    with pytest.raises(DataError, match="have no prediction"):
        fauds.evaluate(table.iloc[3:], work / "synthetic")


def test_an_unknown_folder_fold_or_part_is_an_error(workdir, tmp_path):
    with pytest.raises(DataError, match="not a dataset's folder"):
        fauds.open(tmp_path)
    ds = fauds.open(workdir / "synthetic")
    with pytest.raises(UsageError, match="no fold 9"):
        ds.torch(fold=9, part="test")
    with pytest.raises(UsageError, match="needs a fold"):
        ds.torch(part="test")
    with pytest.raises(UsageError, match="no part 'validation'"):
        ds.torch(fold=1, part="validation")


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({"AU99": 1}, "not an action unit"),
        ({"AU12": 2}, "2 is not a code of AU12"),
        ({"AU12": "F"}, "F"),
        ({"AU12": 1, 12: 0}, "more than once"),
    ],
)
def test_invalid_codes_are_errors(codes, message):
    with pytest.raises(UsageError, match=message):
        fauds.describe(codes)


def test_descriptions_depend_on_intensity_and_language():
    mild, strong = (fauds.describe({12: degree}).local["AU12"] for degree in "AE")
    assert mild != strong
    assert fauds.parse(strong).degrees == {"AU12": "E"}
    nothing = fauds.describe(
        {"AU12": 0, "AU01": np.nan, "AU02": pd.NA, "AU04": None}, sex="M", language="zh"
    )
    assert nothing.active == ()
    assert set(nothing.local) == {"AU12"}
    assert fauds.parse(nothing.local["AU12"], "zh").state("AU12") == "inactive"

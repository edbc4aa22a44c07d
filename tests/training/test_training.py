"""Training is reproducible bit for bit, can be resumed, and names damaged files."""

import json
import multiprocessing
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from fauds.errors import DataError
from fauds.tables.paths import LOG, WEIGHTS
from fauds.training import checkpoint, device
from fauds.training.backbone_file import load_backbone
from fauds.training.batches import Sampling, augment, batches, centre_crop, load_face
from fauds.training.optimiser import rate_at
from tests.training.helpers import AUS, FRAMES, build, train


def test_an_epoch_has_every_frame_once_with_its_own_labels_and_captions(faces, settings):
    for epoch in (0, 1, None):
        rows = []
        for batch in batches(faces, settings, epoch=epoch, workers=0, needs=("captions",)):
            rows += batch.rows.tolist()
            for i, row in enumerate(batch.rows.tolist()):
                assert batch.labels[i].tolist() == faces.labels[row].tolist()
                for au in range(AUS):
                    tokens = batch.local[i, au].tolist()
                    assert [t for t in tokens if t] == [
                        t
                        for t in faces.captions.tokens.local[faces.captions.local[row, au]].tolist()
                        if t
                    ]
                assert [t for t in batch.global_[i].tolist() if t] == [
                    t
                    for t in faces.captions.tokens.global_[faces.captions.global_[row]].tolist()
                    if t
                ]
        assert sorted(rows) == list(range(FRAMES))
        assert (rows == list(range(FRAMES))) == (epoch is None)


def test_loader_processes_do_not_change_the_batches(faces, settings):
    alone = list(batches(faces, settings, epoch=2, workers=0))
    with_workers = list(batches(faces, settings, epoch=2, workers=2))
    for one, other in zip(alone, with_workers, strict=True):
        assert torch.equal(one.rows, other.rows)
        assert torch.equal(one.images, other.images)


def test_augmentation_depends_only_on_its_generator(faces, settings):
    image = load_face(str(faces.images[0]), settings.model.image_size)
    sampling = Sampling.from_settings(settings)
    views = [augment(image, sampling, np.random.default_rng(seed))[0] for seed in range(40)]
    again = augment(image, sampling, np.random.default_rng(3))[0]
    assert np.array_equal(again, views[3])
    assert {view.shape for view in views} == {(56, 56, 3)}
    cut = sum((view == 127).all(axis=2).sum() > 20 for view in views)
    assert 8 < cut < 32


def test_a_face_is_loaded_with_a_margin_of_an_eighth_for_cropping(faces):
    assert load_face(str(faces.images[0]), 56).shape == (64, 64, 3)
    assert load_face(str(faces.images[0]), 112).shape == (128, 128, 3)
    image = np.arange(64 * 64 * 3).reshape(64, 64, 3)
    assert np.array_equal(centre_crop(image, 56), image[4:60, 4:60])


@pytest.mark.slow
def test_a_repeated_or_resumed_training_is_identical_bit_for_bit(faces, settings, tmp_path):
    whole = train(faces, settings, tmp_path / "whole").state_dict()
    again = train(faces, settings, tmp_path / "again").state_dict()
    steps_per_epoch = -(-FRAMES // settings.training.batch_size)
    for stop_at in (1, steps_per_epoch + 1, 2 * steps_per_epoch + 2):
        folder, done = tmp_path / f"stopped{stop_at}", 0

        def stop(steps, at=stop_at):
            nonlocal done
            done += steps
            if done == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(faces, settings, folder, stop)
        resumed = train(faces, settings, folder).state_dict()
        for name, tensor in whole.items():
            assert torch.equal(tensor, again[name])
            assert torch.equal(tensor, resumed[name]), (stop_at, name)


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [None, 4])
def test_loader_processes_do_not_change_a_training_and_end_with_it(
    faces, settings, tmp_path, stop_at
):
    training = settings.training.model_copy(update={"workers": 2})
    several = settings.model_copy(update={"training": training})
    done = 0

    def stop(steps):
        nonlocal done
        done += steps
        if done == stop_at:
            raise KeyboardInterrupt

    if stop_at is not None:
        with pytest.raises(KeyboardInterrupt):
            train(faces, several, tmp_path / "several", stop)
        assert not multiprocessing.active_children()
    weights = train(faces, several, tmp_path / "several").state_dict()
    assert not multiprocessing.active_children()
    torch.testing.assert_close(
        weights, train(faces, settings, tmp_path / "alone").state_dict(), rtol=0, atol=0
    )


def test_a_finished_training_leaves_weights_and_a_log_and_no_checkpoint(faces, settings, tmp_path):
    model = train(faces, settings, tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [LOG, WEIGHTS]
    tensors, meta = checkpoint.load(tmp_path / "run" / WEIGHTS)
    assert meta == {"aus": AUS}
    torch.testing.assert_close(tensors, dict(model.state_dict()), rtol=0, atol=0)
    lines = [json.loads(line) for line in (tmp_path / "run" / LOG).open()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["total"] < lines[0]["total"]
    for line in lines:
        assert line["total"] == pytest.approx(
            sum(line[part] for part in ("fau", "lgen", "ggen", "gau")), abs=1e-4
        )


def test_the_error_about_a_loss_that_is_not_finite_names_the_batch(
    faces, settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(device, "normalise", lambda images, _: images.float() * float("nan"))
    with pytest.raises(DataError, match=r"(?s)not finite.*epoch 1, batch 1.*\.png"):
        train(faces, settings, tmp_path / "run")


def test_the_error_about_a_damaged_image_names_it(faces, settings, tmp_path):
    whole = cv2.imencode(".jpg", cv2.imread(faces.images[0]))[1].tobytes()
    bad = tmp_path / "bad.jpg"
    broken = faces.select(np.arange(FRAMES) < 4)
    paths = broken.images.astype(object)
    paths[2] = str(bad)
    broken = replace(broken, images=paths)
    for content in (b"not an image", b"", whole[:-400], None):
        if content is None:
            bad.unlink()
        else:
            bad.write_bytes(content)
        for workers in (0, 1):
            with pytest.raises(DataError, match=re.escape(str(bad))) as caught:
                list(batches(broken, settings, epoch=None, workers=workers))
            assert "Traceback" not in str(caught.value)
    bad.write_bytes(whole)
    assert len(list(batches(broken, settings, epoch=None, workers=0))) == 1


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-50], lambda data: b"{}" + data, lambda _: b""]
)
def test_the_error_about_a_damaged_checkpoint_names_it(tmp_path, damage):
    path = tmp_path / "w.safetensors"
    checkpoint.save(path, {"a": torch.zeros(30)}, {"x": 1})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"w\.safetensors"):
        checkpoint.load(path)


def test_backbone_weights_of_another_backbone_are_refused(faces, settings, tmp_path):
    checkpoint.save(tmp_path / "other.safetensors", {"a": torch.zeros(3)}, {})
    model = build(settings, faces, tmp_path)
    with pytest.raises(DataError, match="do not fit this backbone"):
        load_backbone(model, tmp_path / "other.safetensors")


def test_the_learning_rate_rises_then_falls_to_zero():
    rates = [rate_at(step, 100, 0.1) for step in range(100)]
    assert rates[9] == 1
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 0.001

"""What the settings of training do: passes, averages, clipping, rates, precision, compilation."""

import json
import math

import numpy as np
import pytest
import torch

from fauds.errors import DataError, UsageError
from fauds.settings import RunSettings
from fauds.tables.paths import LOG
from fauds.training import device, optimiser, processes
from fauds.training import trainer as steps
from fauds.training.batches import batches
from fauds.training.device import make_accelerator, precision_on
from fauds.training.processes import dealt_back
from tests.training.helpers import FRAMES, train


def changed(settings: RunSettings, **training) -> RunSettings:
    """Settings that draw nothing in the layers, with some of training's changed."""
    backbone = settings.model.backbone
    still = backbone.model_copy(update={"args": {**backbone.args, "drop_path_rate": 0.0}})
    model = settings.model.model_copy(update={"dropout": 0.0, "backbone": still})
    update = {"training": settings.training.model_copy(update=training), "model": model}
    return settings.model_copy(update=update)


def log(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / LOG).open()]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("passes", [1, 2, 5])
def test_every_step_shares_its_batch_out_exactly_once(faces, settings, world, passes):
    few, needs = changed(settings, batch_size=12, accumulate=passes), ("captions",)
    whole = list(batches(faces, few.model_copy(), epoch=1, workers=0))
    if passes == 1 and world == 1:
        assert [len(batch.rows) for batch in whole] == [12, 12, 12, 4]
    order = np.random.default_rng([few.training.seed, 1]).permutation(FRAMES)
    hands = [
        list(batches(faces, few, epoch=1, workers=0, needs=needs, rank=rank, world=world))
        for rank in range(world)
    ]
    for step in range(4):
        mine = [hand[step * passes : (step + 1) * passes] for hand in hands]
        seen = [row for hand in mine for batch in hand for row in batch.rows.tolist()]
        assert seen == order[12 * step : 12 * step + 12].tolist()
        for batch in (batch for hand in mine for batch in hand if not len(batch.rows)):
            assert len(batch.images) == 1
            assert (batch.labels == -1).all()
            assert not batch.local.any()
            assert not batch.global_.any()
    assert {len(hand) for hand in hands} == {4 * passes}


@pytest.mark.parametrize("world", [1, 2, 3])
def test_test_batches_are_dealt_round(faces, settings, world):
    small = settings.model_copy(
        update={"inference": settings.inference.model_copy(update={"batch_size": 7})}
    )
    hands = [
        [b.rows.tolist() for b in batches(faces, small, epoch=None, workers=0, rank=r, world=world)]
        for r in range(world)
    ]
    back = dealt_back(hands)
    assert [row for batch in back for row in batch] == list(range(FRAMES))
    assert [len(batch) for batch in back] == [7, 7, 7, 7, 7, 5]


def test_passes_change_nothing_but_the_memory_that_is_needed(faces, settings, tmp_path):
    ends = [
        train(
            faces,
            changed(settings, accumulate=passes, learning_rate=1e-3, epochs=1),
            tmp_path / str(passes),
        )
        for passes in (1, 3, 16)
    ]
    whole, *split = (log(tmp_path / str(passes)) for passes in (1, 3, 16))
    for lines in split:
        for one, other in zip(whole, lines, strict=True):
            for term in (*ends[0].terms, "total"):
                assert other[term] == pytest.approx(one[term], abs=1e-4)
    for model in ends[1:]:
        for mine, other in zip(ends[0].parameters(), model.parameters(), strict=True):
            # AdamW's first steps turn a gradient of rounding errors into a step of the rate's size.
            assert (mine - other).abs().max() < 0.01


def test_the_average_is_that_of_the_weights_after_every_step():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    average = optimiser.Average(model, 0.8)
    wanted = {name: t.detach().clone() for name, t in model.named_parameters()}
    for step in range(30):
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter))
        model(torch.randn(5, 3))
        average.update()
        decay = min(0.8, (1 + step) / (10 + step))
        for name, parameter in model.named_parameters():
            wanted[name] = decay * wanted[name] + (1 - decay) * parameter.detach()
    for name, tensor in wanted.items():
        torch.testing.assert_close(average.weights[name], tensor)
    assert torch.equal(average.weights["1.running_mean"], model[1].running_mean)
    assert average.weights["1.num_batches_tracked"] == 30


@pytest.mark.slow
def test_the_average_is_what_is_kept_and_survives_a_stop(faces, settings, tmp_path):
    averaged = changed(settings, ema=0.9)
    plain = train(faces, changed(settings), tmp_path / "plain")
    whole = train(faces, averaged, tmp_path / "whole").state_dict()
    seen = 0

    def stop(steps_done):
        nonlocal seen
        seen += steps_done
        if seen == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(faces, averaged, tmp_path / "stopped", stop)
    said = []
    resumed = train(faces, averaged, tmp_path / "stopped", say=said.append).state_dict()
    assert said[0].startswith("going on after epoch 1: ")
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)
    assert any(not torch.equal(tensor, plain.state_dict()[name]) for name, tensor in whole.items())
    # What is learnt is the same: only what is kept of it differs.
    assert [line["total"] for line in log(tmp_path / "plain")] == [
        line["total"] for line in log(tmp_path / "whole")
    ]


def test_the_rate_stays_where_it_is_asked_to():
    rates = [optimiser.rate_at(step, 100, 0.1, "constant") for step in range(100)]
    assert rates[:9] == sorted(rates[:9])
    assert rates[9:] == [1.0] * 91


def test_a_null_clip_clips_nothing_and_the_norm_is_told(faces, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "_JOURNAL_EVERY", 1)
    for name, clip in (("none", None), ("huge", 1e9), ("small", 1e-3)):
        train(faces, changed(settings, gradient_clip=clip, epochs=1), tmp_path / name)
    none, huge, small = (log(tmp_path / name) for name in ("none", "huge", "small"))
    assert [line["total"] for line in none] == [line["total"] for line in huge]
    assert [line["total"] for line in none] != [line["total"] for line in small]
    assert min(line["gradient_norm"] for line in none if "step" in line) > 1e-2


def test_precision_is_chosen_by_the_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert precision_on("cpu", "auto") == "no"
    assert precision_on("cuda", "auto") == "bf16"
    assert precision_on("cpu", "bf16") == "bf16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert precision_on("cuda", "auto") == "no"


def test_a_precision_that_the_device_does_not_have_is_refused(settings):
    with pytest.raises(UsageError, match="A CPU does not train in float16"):
        make_accelerator(changed(settings, precision="fp16"))


@pytest.mark.parametrize("names", [{"RANK": "1"}, {"RANK": "0", "WORLD_SIZE": "2"}])
def test_a_process_of_a_group_that_nobody_started_is_refused(monkeypatch, names):
    for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="no launcher started it"):
        processes.join(cpu=True)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    launched = {"RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "2", "MASTER_ADDR": "localhost"}
    for name, value in {**launched, "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="more processes than GPUs here: 2"):
        processes.join(cpu=False)


def test_the_batch_that_is_named_is_the_one_whose_loss_is_not_finite(
    faces, settings, tmp_path, monkeypatch
):
    calls = iter(range(FRAMES))
    real = device.normalise

    def fifth_is_broken(images, model):
        scale = math.nan if next(calls) == 4 else 1.0
        return real(images, model) * scale

    monkeypatch.setattr(device, "normalise", fifth_is_broken)
    single = changed(settings, batch_size=1, epochs=1)
    row = np.random.default_rng([single.training.seed, 0]).permutation(FRAMES)[4]
    with pytest.raises(DataError, match="epoch 1, batch 5") as caught:
        train(faces, single, tmp_path / "run")
    assert caught.value.where == f"{faces.images[row]} ..."
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_a_gradient_that_is_not_finite_stops_before_its_checkpoint(
    faces, settings, tmp_path, monkeypatch
):
    single = changed(settings, epochs=1)
    steps_an_epoch = -(-FRAMES // single.training.batch_size)
    calls = iter(range(1, steps_an_epoch + 1))
    real = steps.Training._pass

    def last_is_broken(self, batch, counts, *, last: bool):
        losses = real(self, batch, counts, last=last)
        if next(calls) == steps_an_epoch:
            next(self.bare.parameters()).grad.fill_(math.nan)
        return losses

    monkeypatch.setattr(steps.Training, "_pass", last_is_broken)
    with pytest.raises(DataError, match=f"gradient nan.*epoch 1, batch {steps_an_epoch}"):
        train(faces, single, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.safetensors"))

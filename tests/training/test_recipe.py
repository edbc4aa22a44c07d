"""The settings of training: micro-batches, average, clipping, rates, precision, compilation."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fauds.errors import DataError, UsageError
from fauds.nn.transfer import HostCopy
from fauds.nn.vlfau import VLFAU
from fauds.settings import RunSettings
from fauds.tables.paths import LOG
from fauds.training import device, optimiser, processes, trainer
from fauds.training.batches import batches
from fauds.training.device import make_accelerator, precision_on
from fauds.training.processes import interleave
from tests.training.helpers import FRAMES, build, train


def changed(settings: RunSettings, **training) -> RunSettings:
    """Return settings with changes, without the random numbers of dropout and drop path."""
    backbone = settings.model.backbone
    still = backbone.model_copy(update={"args": {**backbone.args, "drop_path_rate": 0.0}})
    model = settings.model.model_copy(update={"dropout": 0.0, "backbone": still})
    update = {"training": settings.training.model_copy(update=training), "model": model}
    return settings.model_copy(update=update)


def log(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / LOG).open()]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("passes", [1, 2, 5])
def test_every_frame_of_a_batch_is_in_exactly_one_micro_batch(faces, settings, world, passes):
    few, needs = changed(settings, batch_size=12, accumulate=passes), ("captions",)
    whole = list(batches(faces, few.model_copy(), epoch=1, workers=0))
    if passes == 1 and world == 1:
        assert [len(batch.rows) for batch in whole] == [12, 12, 12, 4]
    order = np.random.default_rng([few.training.seed, 1]).permutation(FRAMES)
    shares = [
        list(batches(faces, few, epoch=1, workers=0, needs=needs, rank=rank, world=world))
        for rank in range(world)
    ]
    for step in range(4):
        step_shares = [share[step * passes : (step + 1) * passes] for share in shares]
        rows = [row for share in step_shares for batch in share for row in batch.rows.tolist()]
        assert rows == order[12 * step : 12 * step + 12].tolist()
        for batch in (batch for share in step_shares for batch in share if not len(batch.rows)):
            assert len(batch.images) == 1
            assert (batch.labels == -1).all()
            assert not batch.local.any()
            assert not batch.global_.any()
    assert {len(share) for share in shares} == {4 * passes}


@pytest.mark.parametrize("step", [1, 3, 7, 41])
def test_every_nth_frame_is_an_epoch_and_n_epochs_take_all_frames(faces, settings, step):
    few = changed(settings, batch_size=6, frame_step=step)
    seen, size = set(), -(-FRAMES // step)
    for epoch in range(2 * step):
        loaded = list(batches(faces, few, epoch=epoch, workers=0))
        rows = [row for batch in loaded for row in batch.rows.tolist()]
        first = epoch % step
        regular = [row for row in range(FRAMES) if row % step == first]
        # One frame more where a later beginning would leave one out: every epoch has equally many.
        extra = set(rows) - set(regular)
        assert set(regular) <= set(rows) and len(rows) == len(set(rows)) == size
        assert extra <= set(range(first))
        assert len(loaded) == -(-size // 6)
        if epoch == step - 1:
            assert seen | set(rows) == set(range(FRAMES))
        seen |= set(rows)


@pytest.mark.slow
def test_an_epoch_of_every_third_frame_takes_a_third_of_the_steps(faces, settings, tmp_path):
    steps = []
    quick = {"batch_size": 5, "epochs": 1, "learning_rate": 1e-6}
    train(faces, changed(settings, **quick, frame_step=3), tmp_path / "third", steps.append)
    assert sum(steps) == 3  # 14 of 40 frames
    train(faces, changed(settings, **quick), tmp_path / "all")
    third, whole = (log(tmp_path / name)[-1] for name in ("third", "all"))
    assert abs(third["total"] - whole["total"]) > 1e-3
    # The weights hardly change: the losses are means over the frames, however many there are.
    assert third["total"] == pytest.approx(whole["total"], rel=0.05)


BLOCKS = {  # of the small Swin, from the image to the last block
    "patch_embed": 0,
    "layers_0": 1,
    "layers_1": 2,
    "layers_2": 3,
    "layers_3": 4,
}


def rates_by_name(model, training):
    """Return the highest learning rate of each parameter by name."""
    groups = optimiser.make_optimiser(model, training).param_groups
    rates = {id(p): group["base"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates)
    return {name: rates[id(parameter)] for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("decay", [1.0, 0.65])
def test_the_learning_rate_falls_by_the_decay_from_each_layer_to_the_one_before(
    faces, settings, tmp_path, decay
):
    few = changed(settings, learning_rate=1e-3, backbone_rate=0.5, layer_decay=decay)
    rates = rates_by_name(build(few, faces, tmp_path), few.training)
    assert any(name.startswith("stem.body.layers_3") for name in rates)
    for name, rate in rates.items():
        if not name.startswith("stem.body."):
            assert rate == 1e-3
            continue
        layer = BLOCKS[name.split(".")[2]]
        assert rate == pytest.approx(1e-3 * 0.5 * decay ** (5 - layer))


@pytest.mark.slow
def test_layer_decay_changes_what_is_learned(faces, settings, tmp_path):
    quick = {"epochs": 1, "batch_size": 20, "learning_rate": 1e-3}
    plain = train(faces, changed(settings, **quick), tmp_path / "plain")
    decayed = train(faces, changed(settings, **quick, layer_decay=0.5), tmp_path / "decayed")
    torch.manual_seed(5)
    before = dict(build(changed(settings), faces, tmp_path).named_parameters())
    moved = [
        {
            name: float((parameter - before[name]).detach().abs().mean())
            for name, parameter in model.named_parameters()
        }
        for model in (plain, decayed)
    ]
    first, last = "stem.body.patch_embed.proj.weight", "heads.weight"
    # AdamW's first steps are as long as the learning rate.
    assert moved[1][first] == pytest.approx(moved[0][first] * 0.5**5, rel=0.2)
    assert moved[1][last] == pytest.approx(moved[0][last], rel=0.1)


def test_layer_decay_is_refused_where_the_layers_are_not_known(faces, settings, tmp_path):
    few = changed(settings, layer_decay=0.5)
    model = build(few, faces, tmp_path)
    model.stem.body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    with pytest.raises(UsageError, match="layers of this backbone, a Sequential, are not known"):
        optimiser.make_optimiser(model, few.training)


@pytest.mark.slow
def test_the_loss_of_aus_is_that_of_the_setting(faces, settings, tmp_path, monkeypatch):
    quick = {"epochs": 1, "batch_size": 20, "learning_rate": 1e-6}
    for au_loss in ("entropy", "asymmetric"):
        train(faces, changed(settings, **quick, au_loss=au_loss), tmp_path / au_loss)
    entropy, asymmetric = (log(tmp_path / name)[-1] for name in ("entropy", "asymmetric"))
    for term in ("lgen", "ggen"):
        assert asymmetric[term] == pytest.approx(entropy[term], abs=1e-3)
    for term in ("fau", "gau"):  # half of the labels are inactive, at a probability near 0.5
        assert 0.6 * entropy[term] < asymmetric[term] < 0.9 * entropy[term]
    monkeypatch.setattr(VLFAU, "au_losses", ("entropy",))
    with pytest.raises(UsageError, match="cannot be trained with the AU loss 'asymmetric'"):
        train(faces, changed(settings, **quick, au_loss="asymmetric"), tmp_path / "refused")


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_take_test_batches_in_turn(faces, settings, world):
    small = settings.model_copy(
        update={"inference": settings.inference.model_copy(update={"batch_size": 7})}
    )
    shares = [
        [b.rows.tolist() for b in batches(faces, small, epoch=None, workers=0, rank=r, world=world)]
        for r in range(world)
    ]
    in_order = interleave(shares)
    assert [row for batch in in_order for row in batch] == list(range(FRAMES))
    assert [len(batch) for batch in in_order] == [7, 7, 7, 7, 7, 5]


@pytest.mark.slow
def test_the_number_of_micro_batches_does_not_change_the_training(faces, settings, tmp_path):
    models = [
        train(
            faces,
            changed(settings, accumulate=accumulate, learning_rate=1e-3, epochs=1),
            tmp_path / str(accumulate),
        )
        for accumulate in (1, 3, 16)
    ]
    whole, *split = (log(tmp_path / str(accumulate)) for accumulate in (1, 3, 16))
    for lines in split:
        for one, other in zip(whole, lines, strict=True):
            for term in (*models[0].terms, "total"):
                assert other[term] == pytest.approx(one[term], abs=1e-4)
    for model in models[1:]:
        for parameter, other in zip(models[0].parameters(), model.parameters(), strict=True):
            # In AdamW's first steps, even a gradient of rounding errors moves a weight by the rate.
            assert (parameter - other).abs().max() < 0.01


def test_the_average_is_updated_with_the_weights_after_every_step():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    average = optimiser.WeightAverage(model, 0.8)
    expected = {name: t.detach().clone() for name, t in model.named_parameters()}
    for step in range(30):
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter))
        model(torch.randn(5, 3))
        average.update()
        decay = min(0.8, (1 + step) / (10 + step))
        for name, parameter in model.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * parameter.detach()
    for name, tensor in expected.items():
        torch.testing.assert_close(average.weights[name], tensor)
    assert torch.equal(average.weights["1.running_mean"], model[1].running_mean)
    assert average.weights["1.num_batches_tracked"] == 30


@pytest.mark.slow
def test_the_average_is_saved_and_a_resumed_training_continues_it(faces, settings, tmp_path):
    averaged = changed(settings, ema=0.9)
    plain = train(faces, changed(settings), tmp_path / "plain")
    whole = train(faces, averaged, tmp_path / "whole").state_dict()
    done = 0

    def stop(steps_done):
        nonlocal done
        done += steps_done
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(faces, averaged, tmp_path / "stopped", stop)
    lines = []
    resumed = train(faces, averaged, tmp_path / "stopped", say=lines.append).state_dict()
    assert lines[0].startswith("resuming after epoch 1: ")
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)
    assert any(not torch.equal(tensor, plain.state_dict()[name]) for name, tensor in whole.items())
    # The average changes the saved weights, not the training.
    assert [line["total"] for line in log(tmp_path / "plain")] == [
        line["total"] for line in log(tmp_path / "whole")
    ]


def test_a_constant_schedule_keeps_the_rate_after_warm_up():
    rates = [optimiser.rate_at(step, 100, 0.1, "constant") for step in range(100)]
    assert rates[:9] == sorted(rates[:9])
    assert rates[9:] == [1.0] * 91


def test_a_null_clip_does_not_clip_and_the_norm_is_logged(faces, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "_LOG_EVERY", 1)
    for name, clip in (("none", None), ("huge", 1e9), ("small", 1e-3)):
        train(faces, changed(settings, gradient_clip=clip, epochs=1), tmp_path / name)
    none, huge, small = (log(tmp_path / name) for name in ("none", "huge", "small"))
    assert [line["total"] for line in none] == [line["total"] for line in huge]
    assert [line["total"] for line in none] != [line["total"] for line in small]
    assert min(line["gradient_norm"] for line in none if "step" in line) > 1e-2


def gpu(monkeypatch: pytest.MonkeyPatch, major: int) -> None:
    """Let torch.cuda report a GPU of a compute capability, on which bfloat16 tensors can be made.

    Emulated bfloat16 passes the last of torch's own checks, which makes a small tensor.
    """
    properties = SimpleNamespace(major=major, minor=5)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)


def test_auto_is_bfloat16_only_on_gpus_that_have_it_in_hardware(monkeypatch):
    turing, ampere, hopper = 7, 8, 9
    for major, precision in ((turing, "no"), (ampere, "bf16"), (hopper, "bf16")):
        gpu(monkeypatch, major)
        assert torch.cuda.is_bf16_supported()  # emulated, on Turing
        assert precision_on("cuda", "auto") == precision


def test_a_precision_that_was_asked_for_is_kept_and_a_cpu_has_float32(monkeypatch):
    gpu(monkeypatch, 7)
    assert precision_on("cuda", "bf16") == "bf16"
    assert precision_on("cpu", "bf16") == "bf16"
    assert precision_on("cpu", "auto") == "no"


def test_a_precision_that_the_device_does_not_have_is_refused(settings):
    with pytest.raises(UsageError, match="float16 needs a GPU"):
        make_accelerator(changed(settings, precision="fp16"))


@pytest.mark.parametrize("names", [{"RANK": "1"}, {"RANK": "0", "WORLD_SIZE": "2"}])
def test_a_process_group_that_no_launcher_started_is_refused(monkeypatch, names):
    for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="no launcher started it"):
        processes.join_group(cpu=True)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    launched = {"RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "2", "MASTER_ADDR": "localhost"}
    for name, value in {**launched, "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match=r"more processes than GPUs.*has 2"):
        processes.join_group(cpu=False)


def test_the_error_names_the_batch_whose_loss_is_not_finite(faces, settings, tmp_path, monkeypatch):
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


def test_a_gradient_that_is_not_finite_stops_training_before_the_checkpoint(
    faces, settings, tmp_path, monkeypatch
):
    single = changed(settings, epochs=1)
    steps_an_epoch = -(-FRAMES // single.training.batch_size)
    calls = iter(range(1, steps_an_epoch + 1))
    real = trainer.Training._backward

    def last_is_broken(self, batch, counts, *, last: bool):
        losses = real(self, batch, counts, last=last)
        if next(calls) == steps_an_epoch:
            next(self.unwrapped.parameters()).grad.fill_(math.nan)
        return losses

    monkeypatch.setattr(trainer.Training, "_backward", last_is_broken)
    with pytest.raises(DataError, match=f"gradient nan.*epoch 1, batch {steps_an_epoch}"):
        train(faces, single, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.safetensors"))


@pytest.mark.parametrize("scaled", [False, True])
def test_a_gradient_that_overflows_in_float16_does_not_stop_the_training(scaled):
    """With a scaled loss, the optimiser leaves the step out and the scale falls."""

    def step(loss: float, norm: float) -> trainer._TrainingStep:
        copies = HostCopy(torch.tensor([loss, loss])), None, HostCopy(torch.tensor(norm))
        return trainer._TrainingStep(0, 0, *copies, scaled, 0.1, 2, torch.arange(2))

    figures = trainer._RunningMeans(4, ("loss", "total"), None)
    assert figures.add(step(1.0, 2.0))
    assert figures.add(step(3.0, math.inf)) == scaled
    assert not figures.add(step(math.nan, 1.0))

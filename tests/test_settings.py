"""Shipped benchmarks and presets are valid, and a typo is an error that names file and key."""

import csv

import pytest
import yaml

from fauds import resources, settings
from fauds.errors import DataError, UsageError
from fauds.nn import presets
from fauds.nn.vlfau import VLFAUSettings
from fauds.protocols import benchmark as protocols

BENCHMARKS = ("bp4d", "disfa", "synthetic")
PRESETS = sorted(path.stem for path in resources.path("models", "vlfau").glob("*.yaml"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_published_folds_are_subject_exclusive_and_cover_the_counts(name):
    benchmark = protocols.benchmark(name)
    subjects = [subject for part in benchmark.folds.parts.values() for subject in part]
    assert len(subjects) == len(set(subjects)) == {"disfa": 27}.get(name, 41)
    if benchmark.expected:
        assert set(benchmark.expected.frames_per_subject) == set(subjects)
        assert sum(benchmark.expected.frames_per_subject.values()) == benchmark.expected.frames


def test_the_parts_have_the_published_numbers_of_frames():
    by_name = {}
    for name in ("bp4d", "disfa"):
        benchmark = protocols.benchmark(name)
        frames = benchmark.expected.frames_per_subject
        by_name[name] = [sum(map(frames.get, part)) for part in benchmark.folds.parts.values()]
    assert by_name == {"bp4d": [50631, 50182, 46034], "disfa": [43604, 43605, 43605]}


@pytest.mark.parametrize("name", ["bp4d", "disfa"])
def test_published_results_have_a_source_and_means_that_agree_except_for_known_rows(name):
    benchmark = protocols.benchmark(name)
    with resources.path("benchmarks", benchmark.published).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 20
    for row in rows:
        assert row["source"] and row["selection"] in ("test", "undeclared")
        assert row["epoch_selection"] == row["selection"]
        assert row["threshold_selection"] in ("test", "fixed at 0.5", "undeclared")
    by_method = {}
    for row in rows:
        if row["metric"] in ("F1", "accuracy"):
            key = (row["metric"], row["method"], row["source"])
            by_method.setdefault(key, {})[row["au"]] = float(row["value_percent"])
    off = {
        (metric, method)
        for (metric, method, _), values in by_method.items()
        if set(benchmark.aus) <= values.keys()
        and abs(sum(values[au] for au in benchmark.aus) / len(benchmark.aus) - values["Avg"]) > 0.1
    }
    known = {("F1", "EAC-Net"), ("F1", "SMA-Net (as printed by MDHR)")}
    if name == "disfa":
        known |= {("F1", "HSTR-Net"), ("F1", "UGN-B"), ("F1", "HMP-PS"), ("accuracy", "UGN-B")}
    assert off == known


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_can_be_changed(preset):
    changed = presets.run_settings("vlfau", preset, ("training.epochs=3", "model.dim=64"))
    assert (changed.training.epochs, changed.model.dim) == (3, 64)


def test_presets_of_table_4_differ_only_in_the_switches_of_the_table():
    rows = {
        "baseline": (False, False, False),
        "marl": (True, False, False),
        "marl-llga": (True, True, False),
        "marl-glga": (True, False, True),
        "full": (True, True, True),
    }
    paper = presets.run_settings("vlfau", "paper").model_dump(exclude={"description"})
    for preset, switches in rows.items():
        values = presets.run_settings("vlfau", preset).model_dump(exclude={"description"})
        expected = dict(
            zip(("multi_level", "local_language", "global_language"), switches, strict=True)
        )
        assert values == paper | {"model": paper["model"] | expected}


def test_the_paper_preset_equals_the_defaults_with_its_backbone():
    backbone = {
        "name": "swin_base_patch4_window7_224.ms_in1k",
        "args": {"drop_path_rate": 0.1},
        "pretrained": True,
    }
    defaults = presets.settings_type("vlfau")(model={"backbone": backbone}).model_dump(
        exclude={"description"}
    )
    values = presets.run_settings("vlfau", "paper").model_dump(exclude={"description"})
    sizes = dict.fromkeys(("hidden", "embed_dim", "attention_dim"), defaults["model"]["dim"])
    assert defaults["model"] | sizes != defaults["model"]  # None means the value of dim
    assert values == defaults | {"model": defaults["model"] | sizes}


def test_the_paper_preset_lists_all_settings_and_marks_those_of_the_paper():
    path = presets.preset_path("vlfau", "paper")
    written = yaml.safe_load(path.read_text())
    of_machine = {"device", "workers", "precision", "compile", "accumulate"}
    assert set(written["model"]) == set(VLFAUSettings.model_fields)
    assert set(written["model"]["backbone"]) == set(settings.BackboneSettings.model_fields)
    assert set(written["training"]) == set(settings.TrainingSettings.model_fields) - of_machine
    described = {"beam_width", "length_penalty", "words", "max_words"}
    assert set(written["inference"]) == {"flip", *described}
    paper = {
        "dim": 512,
        "hidden": 512,
        "image_size": 224,
        "epochs": 15,
        "batch_size": 64,
        "weight_decay": 0.0005,
        "optimiser": "adamw",
        "betas": [0.9, 0.999],
        "flip": True,
    }
    values = written["model"] | written["training"]
    assert {key: values[key] for key in paper} == paper
    marked = [line for line in path.read_text().splitlines() if "# paper" in line]
    assert set(paper) <= {line.split(":")[0].strip() for line in marked}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.epoch=3", "did you mean 'epochs'"),
        ("training.epochs=many", "training.epochs"),
        ("training.epochs=0", "training.epochs"),
        ("model.backbone.nam=x", "did you mean 'name'"),
        ("epochs", "not key=value"),
        ("=3", "not key=value"),
        ("description.x=3", "names no setting"),
        ("training.epochs=[", "not a valid YAML value"),
        ("model.multi_level=false", "local_language needs multi_level"),
        ("model.msc_pool=never", "model.msc_pool"),
        ("model.begin=ones", "model.begin"),
    ],
)
def test_an_invalid_change_is_an_error_that_names_the_setting(change, message):
    with pytest.raises(UsageError, match="--set") as caught:
        presets.run_settings("vlfau", "full", (change,))
    assert message in str(caught.value)


def test_an_unknown_name_is_an_error_that_lists_or_suggests_known_ones():
    with pytest.raises(UsageError, match="did you mean 'bp4d'"):
        protocols.benchmark("bpd4")
    with pytest.raises(UsageError, match="vlfau"):
        presets.run_settings("vgg", "full")
    with pytest.raises(UsageError, match="did you mean 'full'"):
        presets.run_settings("vlfau", "ful")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("thresold: 0.4", "thresold"),
        ("version: one", "version"),
        ("aus: [AU01, AU99]", "aus"),
        ("occurrence: sometimes", "occurrence"),
        ("name: [", "bad.yaml:"),
        ("- a list", "mapping"),
    ],
)
def test_an_invalid_benchmark_is_an_error_that_names_file_and_key(
    tmp_path, monkeypatch, text, where
):
    whole = yaml.safe_load(resources.path("benchmarks", "bp4d.yaml").read_text())
    try:
        change = yaml.safe_load(text)
        text = yaml.safe_dump(whole | change) if isinstance(change, dict) else text
    except yaml.YAMLError:
        pass
    (tmp_path / "bad.yaml").write_text(text)
    monkeypatch.setattr(resources, "root", lambda folder: tmp_path)
    with pytest.raises(DataError, match=r"bad\.yaml") as caught:
        protocols.benchmark("bad")
    assert where in str(caught.value)

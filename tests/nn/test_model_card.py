"""The model card of VL-FAU says what is so: its settings, its defaults, its numbers."""

import importlib.util
import re

import pytest
import yaml

from fauds import resources
from fauds.nn.presets import run_settings
from fauds.nn.vlfau import VLFAUSettings
from fauds.settings import InferenceSettings, TrainingSettings

CARD = resources.path("models", "vlfau", "README.md")
GROUPS = {"model": VLFAUSettings, "training": TrainingSettings, "inference": InferenceSettings}

STATED = {  # by the paper, or by the weights that it begins with
    *("model.backbone", "model.image_size", "model.mean", "model.std", "model.dim"),
    *("model.hidden", "model.attention_dim", "model.multi_level", "model.local_language"),
    *("model.global_language", "training.epochs", "training.batch_size", "training.betas"),
    *("training.weight_decay", "training.flip"),
}
MACHINE = {  # these change no result, or only how much of it is kept
    *("training.accumulate", "training.workers", "training.device", "training.compile"),
    *("inference.batch_size", "inference.described"),
}


def section(heading: str) -> str:
    """The text under a heading of the card."""
    _, _, rest = CARD.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert rest, f"the card has no section {heading!r}"
    return rest.split("\n## ")[0]


def open_points() -> list[list[str]]:
    """The rows of the table of open points: point, setting, default, why."""
    lines = re.findall(r"^\| (.*) \|$", section("What the paper leaves open"), re.MULTILINE)
    heading, *rows = (line.split(" | ") for line in lines)
    assert heading == ["point", "setting", "default", "why"]
    return rows


@pytest.fixture(scope="module")
def script():
    """The script that counts, as a module."""
    path = resources.path("models", "vlfau", "cost.py")
    spec = importlib.util.spec_from_file_location("cost", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_open_point_is_a_setting_with_the_default_that_the_card_gives():
    values = run_settings("vlfau", "paper").model_dump()
    for _, setting, default, _ in open_points():
        found = values
        for key in setting.strip("`").split("."):
            found = found[key]
        assert yaml.safe_load(default.strip("`")) == found, setting


def test_every_setting_is_the_papers_the_machines_or_an_open_point():
    named = {setting.strip("`") for _, setting, _, _ in open_points()}
    named.remove("model.backbone.name")
    there = {f"{group}.{key}" for group, model in GROUPS.items() for key in model.model_fields}
    assert not named & (STATED | MACHINE)
    assert named | STATED | MACHINE == there


def test_every_preset_is_on_the_card():
    shipped = {path.stem for path in CARD.parent.glob("*.yaml")}
    assert shipped <= set(re.findall(r"`([a-z-]+)`", section("Presets")))


@pytest.mark.parametrize("preset", ["tiny", pytest.param("full", marks=pytest.mark.slow)])
def test_the_numbers_of_a_preset_are_those_that_the_script_counts(script, preset):
    assert script.HEADING in section("Presets")
    assert script.cost(preset).row() in section("Presets")


def test_the_script_counts_what_is_inside_the_word_loop(script):
    counted = script.cost("tiny")
    model = run_settings("vlfau", "tiny").model
    positions, d, h = 16, model.dim, model.hidden
    k, e, vocabulary = model.attention_dim, model.embed_dim, script.VOCABULARY
    words = script.AUS * script.LOCAL_WORDS + script.GLOBAL_WORDS
    texts, decoders = script.AUS + 1, 2
    products = (
        texts * positions * d * k  # W^v V
        + texts * d * 2 * h  # h0 and c0
        + decoders * vocabulary * e * 4 * h  # what each word adds to the gates
        + words * (h * k + positions * k + positions * d)  # eq. 4
        + words * (h + d) * 4 * h  # eq. 5
        + words * h * vocabulary  # eq. 6
        + d * 2 * script.AUS  # the head of L_Gau
    )
    assert counted.described - counted.recognised == 2 * products

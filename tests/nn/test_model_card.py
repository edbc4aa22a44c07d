"""The model card of VL-FAU agrees with the code: settings, defaults and numbers."""

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

STATED = {  # stated by the paper, or fixed by the pretrained weights
    *("model.backbone", "model.image_size", "model.mean", "model.std", "model.dim"),
    *("model.hidden", "model.attention_dim", "model.multi_level", "model.local_language"),
    *("model.global_language", "training.epochs", "training.batch_size", "training.optimiser"),
    *("training.betas", "training.weight_decay", "training.flip"),
    "training.loss_weights",
}
MACHINE = {  # change no results, or only how many of them are kept
    *("training.accumulate", "training.workers", "training.device", "training.compile"),
    *("inference.batch_size", "inference.described"),
}


def section(heading: str) -> str:
    """Return the text under a heading of the card."""
    _, _, rest = CARD.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert rest, f"the card has no section {heading!r}"
    return rest.split("\n## ")[0]


def open_points() -> list[list[str]]:
    """Return the rows of the table of open points: point, setting, default, why."""
    lines = re.findall(r"^\| (.*) \|$", section("What the paper leaves open"), re.MULTILINE)
    heading, *rows = (line.split(" | ") for line in lines)
    assert heading == ["point", "setting", "default", "why"]
    return rows


def paper_value(setting: str):
    """Return the value of a setting with dotted keys in the preset paper."""
    value = run_settings("vlfau", "paper")
    for key in setting.split("."):
        value = value[key] if isinstance(value, dict) else getattr(value, key)
    return value


def recipe_settings() -> dict[str, str]:
    """Return the settings of other published recipes, each with the value that switches it off."""
    lines = section("Settings of other published recipes").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    assert all(len(row) == 4 and " in " in row[3] for row in rows)
    return {setting.strip("`"): off.strip("`") for setting, off, _, _ in rows}


@pytest.fixture(scope="module")
def script():
    """The script that counts parameters and operations, as a module."""
    path = resources.path("models", "vlfau", "cost.py")
    spec = importlib.util.spec_from_file_location("cost", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_open_point_is_a_setting_with_the_default_on_the_card():
    for _, setting, default, _ in open_points():
        assert yaml.safe_load(default.strip("`")) == paper_value(setting.strip("`")), setting


def test_settings_of_other_recipes_are_off_in_the_preset_paper():
    assert recipe_settings()
    for setting, off in recipe_settings().items():
        assert yaml.safe_load(off) == paper_value(setting), setting
    assert "measured on real data" in section("Settings of other published recipes")


def test_every_setting_is_in_the_paper_or_another_recipe_or_about_the_machine_or_open():
    open_settings = {setting.strip("`") for _, setting, _, _ in open_points()}
    # The backbone is one setting with several keys, most of which the paper states.
    open_settings -= {"model.backbone.name", "model.backbone.args.drop_path_rate"}
    existing = {f"{group}.{key}" for group, model in GROUPS.items() for key in model.model_fields}
    recipes = set(recipe_settings())
    assert not open_settings & (STATED | MACHINE | recipes)
    assert open_settings | STATED | MACHINE | recipes == existing


@pytest.mark.parametrize(
    "point",
    [
        *(
            "from V-hat to one vector an AU",
            "the MLPs of equation 2",
            "W^s, from h to the vocabulary",
        ),
        *("the weighting of L_Gau", "top-5 accuracy of Table 4", "the texts", "alignment"),
    ],
)
def test_a_choice_that_is_no_setting_is_on_the_card_with_what_the_paper_says(point):
    rows = [line for line in section("Choices that are not settings").splitlines() if "|" in line]
    (row,) = (line.strip("| ").split(" | ") for line in rows if line.startswith(f"| {point} |"))
    assert len(row) == 3 and all(row)


def test_every_preset_is_on_the_card():
    shipped = {path.stem for path in CARD.parent.glob("*.yaml")}
    assert shipped <= set(re.findall(r"`([a-z+-]+)`", section("Presets")))


@pytest.mark.parametrize("preset", ["tiny", pytest.param("full", marks=pytest.mark.slow)])
def test_the_numbers_on_the_card_are_those_of_the_script(script, preset):
    assert script.HEADING in section("Presets")
    assert script.cost(preset).row() in section("Presets")


@pytest.mark.slow
def test_the_numbers_of_a_plain_transformer_on_the_card_are_those_of_the_script(script):
    name = "vit_base_patch16_224.mae"
    (row,) = re.findall(rf"^\| `{name}`.*$", section("Other backbones"), re.MULTILINE)
    whole, backbone, _, recognised, described = re.findall(r"[\d.]+(?= [MG])", row)
    counted = script.cost("full", f"model.backbone.name={name}")
    assert [whole, backbone] == [
        f"{count / 1e6:.2f}" for count in (counted.parameters, counted.backbone)
    ]
    assert [recognised, described] == [
        f"{count / 1e9:.3f}" for count in (counted.recognised, counted.described)
    ]


def test_the_script_counts_the_operations_of_the_word_loop(script):
    counted = script.cost("tiny")
    model = run_settings("vlfau", "tiny").model
    positions, d, h = 16, model.dim, model.hidden
    k, e, vocabulary = model.attention_dim, model.embed_dim, script.VOCABULARY
    words = script.AUS * script.LOCAL_WORDS + script.GLOBAL_WORDS
    texts, decoders = script.AUS + 1, 2
    products = (
        texts * positions * d * k  # W^v V
        + texts * d * 2 * h  # h0 and c0
        + decoders * vocabulary * e * 4 * h  # the contribution of each word to the gates
        + words * (h * k + positions * k + positions * d)  # eq. 4
        + words * (h + d) * 4 * h  # eq. 5
        + words * h * vocabulary  # eq. 6
        + d * 2 * script.AUS  # the head of L_Gau
    )
    assert counted.described - counted.recognised == 2 * products

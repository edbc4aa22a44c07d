"""The plan of a run that is resumed: settings that older versions did not have."""

import copy

import pytest

from fauds.errors import DataError
from fauds.nn.presets import run_settings
from fauds.protocols import benchmark as protocols
from fauds.protocols.run_settings import write_settings
from fauds.runs.plan import RunRequest, make_plan
from fauds.settings import ADDED_SETTINGS
from tests.helpers import SMALL


def resumed(runs, settings):
    """Return the plan of resuming a run whose settings.yaml has these settings."""
    protocol = protocols.benchmark("synthetic")
    (runs / "old").mkdir(parents=True, exist_ok=True)
    write_settings(
        runs / "old", benchmark=protocol, model="vlfau", preset="tiny", settings=settings
    )
    return make_plan(RunRequest(resume="old"), protocol, runs)


def test_a_run_begun_by_an_older_version_is_resumed_with_added_settings_off(tmp_path):
    whole = run_settings("vlfau", "tiny", SMALL).model_dump(mode="json")
    older = copy.deepcopy(whole)
    for section, added in ADDED_SETTINGS.items():
        for name, off in added.items():
            del older[section][name]
            whole[section][name] = off
    assert resumed(tmp_path, older).settings.model_dump(mode="json") == whole


def test_settings_that_every_version_saved_are_not_filled_in(tmp_path):
    whole = run_settings("vlfau", "tiny", SMALL).model_dump(mode="json")
    added = {name for section in ADDED_SETTINGS.values() for name in section}
    for section in ("training", "inference"):
        for name in whole[section].keys() - added:
            cut = copy.deepcopy(whole)
            del cut[section][name]
            with pytest.raises(DataError, match="some settings are missing"):
                resumed(tmp_path, cut)


def test_a_file_that_ends_too_early_lacks_a_setting_that_is_not_filled_in():
    """The last setting of each section must not be an added one, so that a cut is noticed."""
    whole = run_settings("vlfau", "tiny", SMALL).model_dump(mode="json")
    for section, added in ADDED_SETTINGS.items():
        assert list(whole[section])[-1] not in added

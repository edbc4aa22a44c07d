"""Protocols: shipped ones are pinned to their versions, and users can write their own."""

import json
import re

import pytest
import yaml

from fauds import resources
from fauds.errors import DataError, UsageError
from fauds.protocols import benchmark as protocols
from fauds.protocols import user_files

EXAMPLES = sorted(resources.path("benchmarks", "examples").glob("*.yaml"))


def example(name):
    return yaml.safe_load(resources.path("benchmarks", "examples", f"{name}.yaml").read_text())


@pytest.fixture
def written(tmp_path):
    """Return a function that writes the file of a protocol and returns its path."""

    def write(values, name="own.yaml"):
        path = tmp_path / name
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


@pytest.mark.parametrize("name", protocols.names())
def test_a_shipped_protocol_is_pinned_to_its_version(name):
    pins = json.loads(resources.path("benchmarks", "pins.json").read_text())
    protocol = protocols.benchmark(name)
    pinned = pins.get(name, {}).get(str(protocol.version))
    assert pinned == protocol.fingerprint(), (
        f"benchmarks/{name}.yaml differs from the pin of version {protocol.version}. If figures "
        f"may change, raise its version and add to pins.json: {protocol.fingerprint()}"
    )


@pytest.mark.parametrize(
    ("key", "value", "decides"),
    [
        ("title", "another title", False),
        ("access", "ask again", False),
        ("version", 3, False),
        ("aus", ["AU01", "AU02"], True),
        ("occurrence", "intensity >= 3", True),
        ("missing_predictions", "drop", True),
        ("metric", {"name": "F1", "threshold": 0.4}, True),
        ("frames", {"described": "every second frame"}, True),
        ("alignment", {"name": "jaa", "version": 1}, True),
        ("folds", {"rule": "leave-one-subject-out"}, True),
    ],
)
def test_the_fingerprint_changes_with_keys_that_decide_figures_only(written, key, value, decides):
    values = example("disfa-12au")
    before = user_files.read(written(values)).fingerprint()
    after = user_files.read(written(values | {key: value})).fingerprint()
    assert (before != after) == decides


def test_the_fingerprint_changes_with_the_content_of_the_list_of_frames(written, tmp_path):
    values = example("disfa-12au") | {"frames": {"described": "a list", "file": "frames.csv"}}
    with pytest.raises(DataError, match=r"frames\.file: there is no frames\.csv"):
        user_files.read(written(values))
    (tmp_path / "frames.csv").write_text("subject,task,frame\nSN001,,3\n")
    before = user_files.read(written(values)).fingerprint()
    (tmp_path / "frames.csv").write_text("subject,task,frame\nSN001,,4\n")
    assert user_files.read(written(values)).fingerprint() != before


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_and_has_the_name_of_its_file(path):
    protocol = user_files.read(path)
    assert protocol.name == path.stem
    assert protocol.licence and protocol.access


def test_a_shipped_name_is_an_error_unless_the_content_is_that_of_the_shipped_protocol(written):
    values = yaml.safe_load(resources.path("benchmarks", "disfa.yaml").read_text())
    assert user_files.read(written(values)) == protocols.benchmark("disfa")
    values["metric"]["threshold"] = 0.4
    with pytest.raises(DataError, match="name: disfa is the name of a benchmark") as refused:
        user_files.read(written(values))
    assert refused.value.where.endswith("own.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresold": 0.4}, "no setting 'thresold'"),
        ({"metric": {"name": "F1", "treshold": 0.4}}, "did you mean 'threshold'"),
        ({"name": "Two Words"}, "name: "),
        ({"aus": ["AU01", "1"]}, "aus: AU01 is listed more than once"),
        ({"aus": []}, "aus: "),
        ({"folds": {"name": "two", "parts": {1: ["A", "B"], 2: ["B"]}}}, "folds: .*once: B"),
        ({"folds": {"name": "two", "parts": {1: ["A"], 3: ["B"]}}}, "folds: .*numbered 1 to k"),
        ({"folds": {"rule": "leave-one-out"}}, "folds.rule: "),
        ({"train": "bp4d"}, "train and test"),
        ({"published": "published/disfa.csv"}, "published: "),
        ({"occurrence": "coded"}, "occurrence: .*disfa.*labels code intensity"),
        ({"missing_code": 9}, "missing_code: 9 .*disfa.*missing_code: null"),
        ({"sexes": "first letter of the subject's id"}, "sexes: .*disfa.*not published"),
        ({"dataset": "bp4d", "missing_code": 9}, "sexes: .*bp4d"),
    ],
)
def test_an_invalid_file_is_an_error_that_names_file_and_key(written, change, message):
    path = written(example("disfa-12au") | change)
    with pytest.raises(DataError) as caught:
        user_files.read(path)
    assert str(path) in str(caught.value)
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": None}, "train and test must name two"),
        ({"test": "bp4d"}, "train and test must name two"),
        ({"dataset": "bp4d"}, "must not set dataset"),
        ({"folds": {"rule": "leave-one-subject-out"}}, "must not set dataset, folds"),
        ({"occurrence": "coded"}, "occurrence must be 'as in train and test'"),
        ({"name": "across"}, "name must begin with bp4d-to-disfa"),
    ],
)
def test_an_invalid_protocol_of_two_datasets_is_an_error(written, change, message):
    path = written(example("bp4d-to-disfa") | change)
    with pytest.raises(DataError, match=message) as caught:
        user_files.read(path)
    assert caught.value.where == str(path)


def test_a_protocol_and_its_list_are_stored_in_the_workdir_and_found_by_name(written, tmp_path):
    (tmp_path / "list.txt").write_text("SN001/0.png\n")
    values = example("disfa-12au") | {"frames": {"described": "a list", "file": "list.txt"}}
    protocol = user_files.read(written(values))
    work = tmp_path / "work"
    user_files.store_protocol(protocol, work / protocol.name)
    (tmp_path / "list.txt").unlink()
    stored = user_files.find("disfa-12au", work)
    assert stored.frames.file.parent == work / "disfa-12au"
    assert stored.folds == protocol.folds
    assert stored.frames.file.read_text() == "SN001/0.png\n"
    with pytest.raises(UsageError, match="did you mean 'disfa-12au'"):
        user_files.find("disfa-12", work)


def test_another_protocol_with_the_same_name_and_version_is_an_error(written, tmp_path):
    folder = tmp_path / "work" / "disfa-12au"
    values = example("disfa-12au")
    path = written(values)
    user_files.store_protocol(user_files.read(path), folder)
    user_files.check_same_protocol(user_files.read(path), path, folder)
    path = written(values | {"occurrence": "intensity >= 1"})
    with pytest.raises(DataError, match="version: the tables of disfa-12au") as refused:
        user_files.check_same_protocol(user_files.read(path), path, folder)
    assert "raise the version" in refused.value.hint
    path = written(values | {"occurrence": "intensity >= 1", "version": 2})
    user_files.check_same_protocol(user_files.read(path), path, folder)
    user_files.store_protocol(user_files.read(path), folder)
    path = written(values)
    with pytest.raises(DataError, match=r"version: .* with a later version") as refused:
        user_files.check_same_protocol(user_files.read(path), path, folder)
    assert "above 2" in refused.value.hint


def test_a_threshold_is_an_error_for_datasets_that_code_occurrence(written):
    """BP4D's reader would ignore a threshold, although reports would show it."""
    path = written(example("bp4d-leave-one-subject-out") | {"occurrence": "intensity >= 2"})
    with pytest.raises(
        DataError, match="occurrence: 'intensity >= 2' contradicts the labels of bp4d"
    ):
        user_files.read(path)


@pytest.mark.parametrize(
    ("dataset", "target", "hint"),
    [
        (
            "disfa",
            {"target": {"kind": "expression", "classes": ["neutral", "fear"]}},
            "disfa labels action units, for example aus: [AU01, AU02, AU04, AU06, AU09, AU12, "
            "AU25, AU26], occurrence: intensity >= 2",
        ),
        (
            "rafdb",
            {"aus": [1, 2], "occurrence": "coded"},
            "rafdb labels expressions, for example target: {kind: expression, classes: [surprise, "
            "fear, disgust, happiness, sadness, anger, neutral]}",
        ),
    ],
)
def test_a_target_that_the_dataset_does_not_label_is_an_error(tmp_path, dataset, target, hint):
    path = own_protocol(tmp_path, **target, dataset=dataset)
    with pytest.raises(
        DataError, match=f"target: .* contradicts the labels of {dataset}"
    ) as caught:
        user_files.read(path)
    assert (caught.value.where, caught.value.hint) == (str(path), hint)


def test_a_file_that_is_not_text_is_an_error(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(DataError, match="not UTF-8 text"):
        user_files.read(path)


PLAIN = {
    "name": "mine",
    "version": 1,
    "title": "mine",
    "dataset": "bp4d",
    "metric": {"name": "F1"},
    "alignment": {"name": "none", "version": 1},
    "access": "mine",
}


def own_protocol(folder, **target):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, **target}))
    return path


def test_a_target_and_its_shorthand_give_the_same_protocol(tmp_path):
    target = {"kind": "occurrence", "aus": [1, "au12"], "rule": "intensity >= 2"}
    long = protocols.read_benchmark(own_protocol(tmp_path, target=target))
    short = protocols.read_benchmark(
        own_protocol(tmp_path, aus=[1, 12], occurrence="intensity >= 2")
    )
    assert long == short
    assert long.fingerprint() == short.fingerprint()
    assert long.target.names == ("AU01", "AU12")
    assert (long.occurrence, long.occurrence_at) == ("intensity >= 2", 2)
    dumped = long.model_dump(mode="json", exclude_none=True)
    assert "target" not in dumped
    assert protocols.read_benchmark(own_protocol(tmp_path, **dumped)) == long


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({}, "target is missing"),
        ({"aus": [1]}, "occurrence is missing"),
        ({"occurrence": "coded"}, "aus is missing"),
        ({"aus": [1], "target": {"kind": "occurrence", "aus": [1]}}, "leave one out"),
        ({"target": {"kind": "ocurrence", "aus": [1]}}, "did you mean 'occurrence'"),
        ({"target": {"kind": "occurrence", "aus": [1], "foo": 2}}, "choose from: kind, aus, rule"),
        ({"target": {"kind": "occurrence", "aus": [99]}}, "99 is not an action unit"),
        ({"target": {"kind": "occurrence"}}, "aus: Field required"),
        ({"target": "occurrence"}, "kind is missing; choose from: expression, occurrence"),
    ],
)
def test_an_invalid_target_is_an_error_that_says_what_is_allowed(tmp_path, target, message):
    with pytest.raises(DataError, match=r"mine\.yaml") as caught:
        protocols.read_benchmark(own_protocol(tmp_path, **target))
    assert message in str(caught.value)

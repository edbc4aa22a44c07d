"""Protocols as data: pinned to their versions, one's own beside the shipped ones."""

import json
import re

import pytest
import yaml

from fauds import resources
from fauds.errors import DataError, UsageError
from fauds.protocols import benchmark as protocols
from fauds.protocols import user_files as protocol_files

EXAMPLES = sorted(resources.path("benchmarks", "examples").glob("*.yaml"))


def example(name):
    return yaml.safe_load(resources.path("benchmarks", "examples", f"{name}.yaml").read_text())


@pytest.fixture
def written(tmp_path):
    """A function that writes a protocol's file and returns its path."""

    def write(values, name="own.yaml"):
        path = tmp_path / name
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


@pytest.mark.parametrize("name", protocols.names())
def test_what_decides_figures_is_pinned_to_the_version(name):
    pins = json.loads(resources.path("benchmarks", "pins.json").read_text())
    found = protocols.benchmark(name)
    pinned = pins.get(name, {}).get(str(found.version))
    assert pinned == found.fingerprint(), (
        f"benchmarks/{name}.yaml is not what version {found.version} is pinned to. If figures may "
        f"change, raise its version and add to pins.json: {found.fingerprint()}"
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
def test_prose_may_change_and_what_decides_figures_may_not(written, key, value, decides):
    values = example("disfa-12au")
    before = protocol_files.read(written(values)).fingerprint()
    after = protocol_files.read(written(values | {key: value})).fingerprint()
    assert (before != after) == decides


def test_a_list_of_frames_counts_by_its_content(written, tmp_path):
    values = example("disfa-12au") | {"frames": {"described": "a list", "file": "frames.csv"}}
    with pytest.raises(DataError, match=r"frames\.file: there is no frames\.csv"):
        protocol_files.read(written(values))
    (tmp_path / "frames.csv").write_text("subject,task,frame\nSN001,,3\n")
    before = protocol_files.read(written(values)).fingerprint()
    (tmp_path / "frames.csv").write_text("subject,task,frame\nSN001,,4\n")
    assert protocol_files.read(written(values)).fingerprint() != before


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_and_named_as_its_file(path):
    found = protocol_files.read(path)
    assert found.name == path.stem
    assert found.licence and found.access


def test_a_shipped_name_with_other_content_is_refused_and_with_the_same_is_that_one(written):
    values = yaml.safe_load(resources.path("benchmarks", "disfa.yaml").read_text())
    assert protocol_files.read(written(values)) == protocols.benchmark("disfa")
    values["metric"]["threshold"] = 0.4
    with pytest.raises(DataError, match="name: disfa is the name of a benchmark") as refused:
        protocol_files.read(written(values))
    assert refused.value.where.endswith("own.yaml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"thresold": 0.4}, "no setting 'thresold'"),
        ({"metric": {"name": "F1", "treshold": 0.4}}, "did you mean 'threshold'"),
        ({"name": "Two Words"}, "name: "),
        ({"aus": ["AU01", "1"]}, "aus: AU01 comes more than once"),
        ({"aus": []}, "aus: "),
        ({"folds": {"name": "two", "parts": {1: ["A", "B"], 2: ["B"]}}}, "folds: .*once: B"),
        ({"folds": {"name": "two", "parts": {1: ["A"], 3: ["B"]}}}, "folds: .*numbered 1 to k"),
        ({"folds": {"rule": "leave-one-out"}}, "folds.rule: "),
        ({"train": "bp4d"}, "train and test"),
        ({"published": "published/disfa.csv"}, "published: "),
        ({"occurrence": "coded"}, "occurrence: disfa .*labels are intensities"),
        ({"missing_code": 9}, "missing_code: of disfa .*missing_code: null"),
        ({"sexes": "first letter of the subject's id"}, "sexes: of disfa .*not published"),
        ({"dataset": "bp4d", "missing_code": 9}, "sexes: of bp4d "),
    ],
)
def test_a_wrong_file_is_an_error_that_names_file_and_key(written, change, said):
    path = written(example("disfa-12au") | change)
    with pytest.raises(DataError) as wrong:
        protocol_files.read(path)
    assert str(path) in str(wrong.value)
    assert re.search(said, str(wrong.value), re.DOTALL), str(wrong.value)
    assert "Value error" not in str(wrong.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test": None}, "train and test must name two"),
        ({"test": "bp4d"}, "train and test must name two"),
        ({"dataset": "bp4d"}, "no room for dataset"),
        ({"folds": {"rule": "leave-one-subject-out"}}, "no room for dataset, folds"),
        ({"occurrence": "coded"}, "occurrence: is 'as in train and test'"),
        ({"name": "across"}, "name: begins with bp4d-to-disfa"),
    ],
)
def test_training_and_testing_apart_leaves_nothing_unsaid(written, change, said):
    path = written(example("bp4d-to-disfa") | change)
    with pytest.raises(DataError, match=said) as wrong:
        protocol_files.read(path)
    assert wrong.value.where == str(path)


def test_a_protocol_is_kept_with_its_list_and_found_by_its_name(written, tmp_path):
    (tmp_path / "list.txt").write_text("SN001/0.png\n")
    values = example("disfa-12au") | {"frames": {"described": "a list", "file": "list.txt"}}
    found = protocol_files.read(written(values))
    work = tmp_path / "work"
    protocol_files.keep(found, work / found.name)
    (tmp_path / "list.txt").unlink()
    kept = protocol_files.find("disfa-12au", work)
    assert kept.frames.file.parent == work / "disfa-12au"
    assert kept.folds == found.folds
    assert kept.frames.file.read_text() == "SN001/0.png\n"
    with pytest.raises(UsageError, match="did you mean 'disfa-12au'"):
        protocol_files.find("disfa-12", work)


def test_two_protocols_of_one_name_and_version_do_not_share_a_folder(written, tmp_path):
    folder = tmp_path / "work" / "disfa-12au"
    values = example("disfa-12au")
    path = written(values)
    protocol_files.keep(protocol_files.read(path), folder)
    protocol_files.refuse_other(protocol_files.read(path), path, folder)
    path = written(values | {"occurrence": "intensity >= 1"})
    with pytest.raises(DataError, match="version: the tables of disfa-12au") as refused:
        protocol_files.refuse_other(protocol_files.read(path), path, folder)
    assert "raise the version" in refused.value.hint
    path = written(values | {"occurrence": "intensity >= 1", "version": 2})
    protocol_files.refuse_other(protocol_files.read(path), path, folder)
    protocol_files.keep(protocol_files.read(path), folder)
    path = written(values)
    with pytest.raises(DataError, match=r"version: .* that has a later version") as refused:
        protocol_files.refuse_other(protocol_files.read(path), path, folder)
    assert "above 2" in refused.value.hint


def test_an_intensity_is_no_rule_for_labels_that_are_coded(written):
    """BP4D's reader takes occurrence as it is coded: a threshold would be printed, not applied."""
    path = written(example("bp4d-leave-one-subject-out") | {"occurrence": "intensity >= 2"})
    with pytest.raises(DataError, match="occurrence: bp4d does not have it as 'intensity >= 2'"):
        protocol_files.read(path)


def test_a_file_that_is_no_text_is_said_to_be_none(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(DataError, match="not text"):
        protocol_files.read(path)


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


def test_a_target_and_its_shorthand_are_the_same_protocol(tmp_path):
    target = {"kind": "occurrence", "aus": [1, "au12"], "rule": "intensity >= 2"}
    long = protocols.parsed(own_protocol(tmp_path, target=target))
    short = protocols.parsed(own_protocol(tmp_path, aus=[1, 12], occurrence="intensity >= 2"))
    assert long == short
    assert long.fingerprint() == short.fingerprint()
    assert long.target.names == ("AU01", "AU12")
    assert (long.occurrence, long.occurrence_at) == ("intensity >= 2", 2)
    kept = long.model_dump(mode="json", exclude_none=True)
    assert "target" not in kept
    assert protocols.parsed(own_protocol(tmp_path, **kept)) == long


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({}, "target is missing"),
        ({"aus": [1]}, "occurrence is missing"),
        ({"occurrence": "coded"}, "aus is missing"),
        ({"aus": [1], "target": {"kind": "occurrence", "aus": [1]}}, "leave one out"),
        ({"target": {"kind": "ocurrence", "aus": [1]}}, "did you mean 'occurrence'"),
        ({"target": {"kind": "occurrence", "aus": [1], "foo": 2}}, "known: kind, aus, rule"),
        ({"target": {"kind": "occurrence", "aus": [99]}}, "99 is not an action unit"),
        ({"target": {"kind": "occurrence"}}, "aus: Field required"),
        ({"target": "occurrence"}, "kind is missing; there is: occurrence"),
    ],
)
def test_a_wrong_target_is_told_with_what_it_should_be(tmp_path, target, message):
    with pytest.raises(DataError, match=r"mine\.yaml") as caught:
        protocols.parsed(own_protocol(tmp_path, **target))
    assert message in str(caught.value)

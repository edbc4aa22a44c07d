"""Users' templates: overriding shipped files, the sandbox, and errors with file and line."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fauds import resources
from fauds.captions import Style, build, describe, describe_face, parse, template_hash
from fauds.errors import DataError, UsageError

from .helpers import DISFA, make_frames

Change = Callable[..., Path]


def test_one_file_overrides_the_shipped_one_and_changes_the_hash(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "local.j2").write_text("{{ au }}: {{ fragments | join(' ') }}")
    assert describe(12, templates=tmp_path) == "AU12: " + describe(12)
    assert describe_face([12], templates=tmp_path) == describe_face([12])
    assert template_hash("en", tmp_path) != template_hash("en") == template_hash("en", None)


def test_captions_of_users_templates_have_their_own_words(own_templates: Change) -> None:
    root = own_templates("global.j2", '" and "', '" plus "')
    made = build(make_frames(DISFA, 30), DISFA, Style(templates=root))
    assert any(" plus " in text for text in made.captions["face"].to_pylist())
    assert "plus" in made.vocabulary["token"].to_pylist()


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ ''.__class__ }}", "may not use"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "may not use"),
        ("{{ fragments.append('x') }}", "may not use"),
        ("{% include '../../../etc/passwd' %}", "does not exist"),
        ("{{ open('/etc/passwd') }}", "undefined"),
        ("{{ fragmets | join }}", "undefined"),
        ("{% for x in fragments %}", "broken"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ range(10**9) | list }}", "OverflowError"),
        ("{{ fragments | random }}", "random"),
        ("{% from 'global.j2' import listed %}", "may not import"),
        ("{% include 'x' * 100000 %}", r"x{100,300}\.\.\."),
        ("  ", "empty"),
    ],
)
def test_forbidden_and_broken_templates_are_errors_with_their_line(
    own_templates: Change, template: str, message: str
) -> None:
    root = own_templates("local.j2", new="{# first line #}\n" + template)
    with pytest.raises(DataError, match=message) as caught:
        describe(12, templates=root)
    assert caught.value.where.startswith(str(root / "en" / "local.j2"))
    if message != "empty":
        assert caught.value.where.endswith("local.j2:2")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("global.yaml", "outer brow is ~", "outer {{ theirs }} is ~", "undefined: 'theirs'"),
        ("global.yaml", "- eyes are ~blinking\n", "- '{{ whose.__class__ }}'\n", "may not use"),
        ("global.yaml", "  AU45:", "  AU47:", "not an action unit"),
        ("global.yaml", "  AU45:\n    region: blink", "  AU45:\n    region: ears", "'regions'"),
        ("global.yaml", "say:\n      - eyes are", "say: lids\n    or:\n      - x", "list of texts"),
        ("global.yaml", "whose: a woman's, ", "", "'F' has no word 'whose'"),
        ("local/AU12.yaml", "\nactive:", "\nidle:", "'idle' is not a state"),
        ("local/AU12.yaml", "\nactive:", "\ninactive:", "'inactive' occurs twice"),
        ("local/AU12.yaml", "\nactive:\n", "\nactive:\n  - x\n", "'active' must have a list"),
        ("local/AU12.yaml", "\nactive:", "\nactive: [", "not valid YAML"),
        ("local/AU12.yaml", "\nactive:", "\n? [a, b]\n: c\nactive:", "a key is a list or a"),
        ("local/AU12.yaml", "\nactive:", "\nx: " + 100_000 * "[" + "\nactive:", "too deeply"),
        ("local/AU12.yaml", "\nactive:", "\nx: &x [y]\nz: *x\nactive:", "is a reference"),
        ("global.yaml", "F: {whose", "F: {age: x, whose", "'M' has no word 'age'"),
        ("global.yaml", "F: {whose", "F: {12: x, whose", "12 is not the name of a word"),
        ("global.yaml", "  F: {whose: a woman's, their: her}\n", "", "must have words for 'F'"),
        ("global.yaml", "how:\n", "how: 5\nothers:\n", "'how' must be a mapping"),
        ("global.yaml", "regions: [", "regions: 5\nothers: [", "needs 'regions', a list"),
    ],
)
def test_broken_fragments_are_errors_with_their_file(
    own_templates: Change, name: str, old: str, new: str, message: str
) -> None:
    root = own_templates(name, old, new)
    with pytest.raises(DataError, match=message) as caught:
        describe(12, templates=root)
        describe_face([45], templates=root)
        describe_face([2], templates=root)
    assert re.sub(r":\d+$", "", caught.value.where) == str(root / "en" / name)


def test_a_missing_state_or_paraphrase_is_an_error(own_templates: Change) -> None:
    root = own_templates("local/AU12.yaml", new="active:\n  - - The lips glow.\n")
    assert describe(12, templates=root) == "The lips glow."
    with pytest.raises(DataError, match="has no state 'C'") as caught:
        describe(12, "C", templates=root)
    assert caught.value.where == str(root / "en" / "local" / "AU12.yaml")
    with pytest.raises(DataError, match="paraphrase 2 of the state 'active'"):
        describe(12, variant=1, templates=root)


def test_an_au_without_a_fragment_is_an_error_that_names_it(own_templates: Change) -> None:
    root = own_templates("global.yaml", "  AU45:\n    region: blink\n    how: fully\n",
                         "  AU05+AU45+AU46:\n    region: blink\n")  # fmt: skip
    with pytest.raises(DataError, match="no fragment for AU45"):
        describe_face([45], templates=root)


def test_a_missing_or_incomplete_templates_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        describe(12, templates=tmp_path / "no")
    with pytest.raises(DataError, match="no file for the language 'en'"):
        describe(12, templates=tmp_path)
    (tmp_path / "fr").mkdir()
    (tmp_path / "fr" / "language.yaml").write_text("name: French\nnegations: [ne]\n")
    with pytest.raises(DataError, match=r"no local\.j2"):
        describe(12, language="fr", templates=tmp_path)


@pytest.mark.slow
def test_a_folder_adds_another_language(tmp_path: Path) -> None:
    """The new language has other words, and another order of sentences, than the shipped ones."""
    folder = tmp_path / "de"
    shutil.copytree(resources.root("templates") / "en", folder)
    face_file = (folder / "global.yaml").read_text(encoding="utf-8")
    for old, new in (
        ("a woman's", "Maries"),
        ("their: her", "their: ihre"),
        ("- brow is", "- Braue is"),
    ):
        face_file = face_file.replace(old, new)
    (folder / "global.yaml").write_text(face_file, encoding="utf-8")
    (folder / "local.j2").write_text("{{ fragments | reverse | join(' ') }}", encoding="utf-8")
    text = describe_face([1, 2], "F", "de", templates=tmp_path)
    assert text == "Maries Braue is pulled up from end to end, on one side or both."
    assert parse(text, "de", templates=tmp_path).active == ("AU01", "AU02")
    text_of_au = describe(12, "C", "de", templates=tmp_path)
    assert text_of_au != describe(12, "C")
    assert parse(text_of_au, "de", templates=tmp_path).degrees == {"AU12": "C"}
    made = build(make_frames(DISFA, 30), DISFA, Style("de", variants=2, templates=tmp_path))
    assert "Braue" in made.vocabulary["token"].to_pylist()
    with pytest.raises(UsageError, match="choose from: en, zh"):
        describe(12, language="de")


def test_a_file_with_an_unknown_name_is_an_error(own_templates: Change) -> None:
    root = own_templates("local.j2", new="{{ fragments | join(' ') }}")
    for name, near in (("local/AU12.yml", "local/AU12.yaml"), ("globals.yaml", "global.yaml")):
        path = root / "en" / name
        path.write_text("active: []", encoding="utf-8")
        with pytest.raises(DataError, match="not the name of a template file") as caught:
            describe(12, templates=root)
        assert caught.value.where == str(path) and near in caught.value.hint
        path.unlink()


def test_a_pipe_or_device_instead_of_a_file_is_an_error(own_templates: Change) -> None:
    root = own_templates("local.j2", new="x")
    path = root / "en" / "local.j2"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="must be a regular file"):
        describe(12, templates=root)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match="must be a regular file"):
        describe(12, templates=root)

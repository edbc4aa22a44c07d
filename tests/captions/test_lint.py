"""Problems that lint reports in broken templates, and none in the shipped ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fauds.captions import languages, lint
from fauds.facs import AUS

Change = Callable[..., Path]


@pytest.mark.slow
@pytest.mark.parametrize("language", sorted(languages()))
def test_shipped_languages_have_no_problems(language: str) -> None:
    report = lint.check_templates(language)
    assert [str(problem) for problem in report.problems] == []
    assert report.files == 5 + len(AUS)
    assert report.sentences > len(AUS) * 7 * 3 * 2 and report.texts > 2500


def line_of(path: Path, text: str) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return f"{path}:{next(n for n, line in enumerate(lines, 1) if text in line)}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new", "message", "near"),
    [
        ("local/AU12.yaml", "\nB:", "\nF:", "'F' is not a state", "F:"),
        ("local/AU12.yaml", "\nB:", "\n# B:\nX: [", "not valid YAML", None),
        ("local/AU12.yaml", "\nA:\n", "\nA:\n  - - '{{ aus }}'\n", "undefined: 'aus'", "{{ aus }}"),
        ("local/AU12.yaml", "\nA:\n", "\nA:\n  - - '  '\n", "fragment is empty", "'  '"),
        ("local/AU12.yaml", "\nA:\n", "\nA:\n  - - '...'\n", "contains no word", "'...'"),
        ("global.yaml", "- blinks\n", "- '{{ ther }} lids'\n", "undefined: 'ther'", "{{ ther }}"),
        ("global.yaml", "- blinks\n", "- ''\n", "fragment is empty", "''"),
        ("global.yaml", "  AU45:", "  AU47:", "'AU47' is not an action unit", "AU47"),
        ("global.yaml", "  AU45:", "  AU47:", "AU45 alone has no fragment", None),
        ("language.yaml", "negations", "negation", "'negations' must be a list", None),
        ("global.j2", "{{ words.subject }}", "{{ words.object }}", "undefined", "words.object"),
        ("global.j2", "{%- endfor", "{%- endfo", "broken", None),
        ("local.j2", "{{ fragments", "{{ fragmets", "undefined", "fragmets"),
    ],
)
def test_a_broken_file_is_named_with_its_line(
    own_templates: Change, name: str, old: str, new: str, message: str, near: str | None
) -> None:
    root = own_templates(name, old, new)
    problems = lint.check_templates("en", root).problems
    matches = [problem for problem in problems if message in problem.what]
    assert matches, [str(problem) for problem in problems]
    path = root / "en" / name
    assert matches[0].where.split(":")[0] == str(path)
    if near is not None:
        assert matches[0].where == line_of(path, near)


def test_missing_states_are_reported(own_templates: Change) -> None:
    root = own_templates("local/AU12.yaml", new="active:\n  - - The lips glow.\n")
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    path = root / "en" / "local" / "AU12.yaml"
    for state in ("inactive", "A", "E"):
        assert f"{path}: The state {state!r} is missing." in problems


@pytest.mark.slow
def test_texts_with_fewer_paraphrases_than_others_are_reported(own_templates: Change) -> None:
    root = own_templates("local/AU12.yaml", "\nC:\n", "\nC:\n  - - Pulled.\nX:\n")
    path = root / "en" / "local" / "AU12.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index("\nX:")] + text[text.index("\nD:") :], encoding="utf-8")
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    assert any("'C' has 1 of 3 paraphrases" in p and f"{path}:" in p for p in problems), problems


def test_a_language_without_an_action_unit_is_reported(tmp_path: Path) -> None:
    from fauds import resources

    folder = tmp_path / "xx"
    folder.mkdir()
    for name in ("language.yaml", "global.yaml", "global.j2", "local.j2"):
        text = (resources.root("templates") / "en" / name).read_text(encoding="utf-8")
        (folder / name).write_text(text, encoding="utf-8")
    problems = [str(problem) for problem in lint.check_templates("xx", tmp_path).problems]
    assert f"{folder / 'local' / 'AU12.yaml'}: AU12 has no file in this language." in problems


@pytest.mark.slow
def test_a_repeated_fragment_is_reported_with_both_places(own_templates: Change) -> None:
    root = own_templates("global.yaml", "- blinks\n", "- '{{ their }} BROWS raise'\n")
    path = root / "en" / "global.yaml"
    text = path.read_text(encoding="utf-8").replace("winks with one eye", "their brows raise")
    path.write_text(text, encoding="utf-8")
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    assert any("repeats the one at" in problem for problem in problems), problems


@pytest.mark.slow
def test_a_fragment_made_of_two_others_is_reported_as_misread(own_templates: Change) -> None:
    root = own_templates(
        "global.yaml", "winks with one eye", "blinks and wrinkles {{ their }} nose"
    )
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    # The parser takes the longest fragment, the wink, where two others were meant.
    assert any("reads back as" in problem for problem in problems), problems


@pytest.mark.slow
def test_words_outside_the_vocabulary_are_reported(own_templates: Change) -> None:
    tail = "{{ ' Much moves.' if (upper | length + lower | length) == 7 }}"
    root = own_templates("global.j2", "{%- endfor -%}\n", "{%- endfor -%}\n")
    path = root / "en" / "global.j2"
    path.write_text(path.read_text(encoding="utf-8") + tail, encoding="utf-8")
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    assert any("outside the vocabulary" in p or "reads back" in p for p in problems), problems


@pytest.mark.slow
def test_a_local_template_that_leaves_a_sentence_out_is_reported(own_templates: Change) -> None:
    root = own_templates("local.j2", new="{{ fragments[0] }}")
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    assert any("local.j2 leaves a sentence out" in p for p in problems), problems[:3]


@pytest.mark.slow
@pytest.mark.parametrize("word", ["pouts and blinks", "blinks, twice"])
def test_a_fragment_with_a_joining_word_is_reported(own_templates: Change, word: str) -> None:
    root = own_templates("global.yaml", "- blinks\n", f"- {word}\n")
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    assert any("which joins fragments" in p and repr(word) in p for p in problems), problems[:3]


def test_an_endless_template_is_reported_once_within_the_time_limit(
    own_templates: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fauds.captions.child.SECONDS", 0.5)
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    root = own_templates("local.j2", new=loop)
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    assert len(problems) == 1 and "did not end within" in problems[0]

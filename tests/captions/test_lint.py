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
    assert report.files == 6 + len(AUS)
    assert report.sentences > len(AUS) * (6 * 2 + 1) * 3 and report.texts > 3500


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
        ("local/AU12.yaml", "  - - Neither lip corner is pulled back and up.",
         "  - - '...'", "contains no word", "'...'"),
        ("global.yaml", "- eyes ~blink\n", "- '{{ ther }} x'\n", "undefined: 'ther'", "{{ ther }}"),
        ("global.yaml", "- eyes ~blink\n", "- ''\n", "fragment is empty", "''"),
        ("global.yaml", "how: fully", "how: partly", "no key of 'how'", None),
        ("global.yaml", "    A: [~barely", "    F: [~barely", "for each degree, A to E", None),
        ("global.yaml", "  probable: probably\n", "", "'certainty' must have a text", None),
        ("global.yaml", "  unseen: ", "  unknown: ", "'report' must have the texts", None),
        ("language.yaml", "hedges: [", "hedges: 5\nothers: [", "'hedges' must be a list", None),
        ("language.yaml", "parts:\n", "parts: 5\nothers:\n", "'parts' must be a mapping", None),
        ("composed.j2", "{{ said }}", "{{ sayd }}", "undefined: 'sayd'", "{{ sayd }}"),
        ("global.yaml", "  AU45:", "  AU47:", "'AU47' is not an action unit", "AU47"),
        ("global.yaml", "  AU45:", "  AU47:", "AU45 alone has no fragment", None),
        ("language.yaml", "negations", "negation", "'negations' must be a list", None),
        ("global.j2", "in guesses -", "in gueses -", "undefined", "in gueses -"),
        ("global.j2", "{%- endfor", "{%- endfo", "broken", None),
        ("local.j2", "{{ fragments", "{{ fragmets", "undefined", "fragmets"),
    ],
)  # fmt: skip
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
    root = own_templates("global.yaml", "- eyes are ~blinking\n", "- 'LIDS flutter'\n")
    path = root / "en" / "global.yaml"
    text = path.read_text(encoding="utf-8")
    text = text.replace("eyelids are ~winking on one side", "lids flutter")
    path.write_text(text, encoding="utf-8")
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    assert any("repeats the one at" in problem for problem in problems), problems


@pytest.mark.slow
def test_a_fragment_made_of_two_others_is_reported_as_misread(own_templates: Change) -> None:
    root = own_templates(
        "global.yaml",
        "lids are ~winking on one side",
        "eyes are blinking and {{ their }} lips are puckered",
    )
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    # The parser takes the longest fragment, the wink, where two others were meant.
    assert any("reads back as" in problem for problem in problems), problems


@pytest.mark.slow
def test_words_outside_the_vocabulary_are_reported(own_templates: Change) -> None:
    tail = "{{ ' Much moves.' if regions.brows | length + regions.lips | length == 5 }}"
    path = own_templates("global.j2", "{%- endfor -%}\n", "{%- endfor -%}\n") / "en" / "global.j2"
    path.write_text(path.read_text(encoding="utf-8") + tail, encoding="utf-8")
    root = path.parents[1]
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    assert any("outside the vocabulary" in p or "reads back" in p for p in problems), problems


@pytest.mark.slow
def test_a_local_template_that_leaves_a_sentence_out_is_reported(own_templates: Change) -> None:
    root = own_templates("local.j2", new="{{ fragments[0] }}")
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    assert any("local.j2 leaves a sentence out" in p for p in problems), problems[:3]


@pytest.mark.slow
@pytest.mark.parametrize("word", ["eyes are open and the lids blink", "eyes blink, twice"])
def test_a_fragment_with_a_joining_word_is_reported(own_templates: Change, word: str) -> None:
    root = own_templates("global.yaml", "- eyes are ~blinking\n", f"- {word}\n")
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    assert any("which joins fragments" in p and repr(word) in p for p in problems), problems[:3]


UNSUPPORTED = {
    "One or both lip corners are pulled back and up.": (
        "The corners on both sides are pulled.",
        "says 'both sides': labels do not name sides",
    ),
    "deepened and bowed outwards, and the cheek can bulge": (
        "deep, and the cheek bulges",
        "asserts or denies 'bulges', which not all skin forms",
    ),
    "One or both lip corners are slightly pulled back and up.": (
        "The upper lip is raised.",
        "claims upper lip up, which AU12 need not bring about",
    ),
    "No slanting pull draws a lip corner towards the cheekbone.": (
        "No lip corner is pulled up again.",
        "says 'again': labels have no order in time",
    ),
    "At neither end of the mouth is there a pull obliquely up and back.": (
        "No lip corner forms a dimple.",
        "asserts or denies 'dimple', which not all skin forms",
    ),
}


@pytest.mark.slow
def test_texts_that_labels_do_not_support_are_reported_with_their_line(
    own_templates: Change,
) -> None:
    root = own_templates("local/AU12.yaml", "Neither lip corner is pulled back", "No cheek is high")
    path = root / "en" / "local" / "AU12.yaml"
    text = path.read_text(encoding="utf-8").replace("No cheek is high and up", "No cheek is raised")
    for old, (new, _) in UNSUPPORTED.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    for new, message in UNSUPPORTED.values():
        expected = line_of(path, new)
        assert any(one.startswith(expected) and message in one for one in problems), problems
    # What AU12 denies, AU06 asserts of the same cheek.
    opposed = [one for one in problems if "cheek not up" in one and "cheek up" in one]
    assert opposed and all("both can be said of one face" in one for one in opposed), problems


def test_an_endless_template_is_reported_once_within_the_time_limit(
    own_templates: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fauds.captions.child.SECONDS", 0.5)
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    root = own_templates("local.j2", new=loop)
    problems = [str(problem) for problem in lint.check_templates("en", root).problems]
    assert len(problems) == 1 and "did not end within" in problems[0]

"""Figures of generated descriptions, compared with plain loops over frames."""

import random
import shutil
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import f1_score

from fauds import resources
from fauds.captions import Style, build, languages, load
from fauds.captions.templates import SUBJECT_WORDS
from fauds.errors import DataError
from fauds.evaluation.texts import TextFigures, text_figures
from fauds.facs import AUS, STATES, occurs

SMALL = ["AU01", "AU06", "AU12", "AU25"]
LANGUAGES = sorted(languages())


def tables(aus, labels, probabilities, texts, references):
    """Return the tables of predictions and truth; texts and references are by AU or "face"."""
    predictions = {au: pa.array(probabilities[:, i], pa.float32()) for i, au in enumerate(aus)}
    predictions |= {f"{name}_text": pa.array(column, pa.string()) for name, column in texts.items()}
    truth = {
        au: pa.array([None if v < 0 else int(v) for v in labels[:, i]], pa.int8())
        for i, au in enumerate(aus)
    }
    truth |= {f"{name}_caption": pa.array(s, pa.string()) for name, s in references.items()}
    return pa.table(predictions), pa.table(truth)


def figures(predictions, truth, aus, **changes) -> TextFigures:
    settings = {"threshold": 0.5, "occurrence_at": None, "language": "en"} | changes
    return text_figures(predictions, truth, aus, **settings)


def check_perfect(scored: TextFigures) -> None:
    """Check that all figures are present and have their best value."""
    overall = dict(scored.overall)
    for name in ("local_unparsed", "global_unparsed", "text_contradictions"):
        assert overall.pop(name)[0] == 0
    assert {name: value for name, (value, _) in overall.items()} == {
        f"{scope}_{name}": 1.0
        for scope in ("local", "global")
        for name in ("bleu4", "rouge_l", "text_agreement_with_head")
    }
    for name in ("local_text_f1", "global_text_f1"):
        assert scored.by_au[name][0].tolist() == [1.0] * len(scored.by_au[name][0])


@pytest.mark.parametrize("occurrence_at", [None, 2])
@pytest.mark.parametrize("language", LANGUAGES)
def test_references_as_predictions_have_perfect_figures(
    language: str, occurrence_at: int | None
) -> None:
    """All action units in all states and paraphrases, and faces with random action units."""
    templates, rng = load(language), random.Random(0)
    rows = [(state, variant) for state in STATES for variant in range(3)] * 3
    labels = np.zeros((len(rows), len(AUS)), np.int8)
    texts: dict[str, list[str]] = {name: [] for name in (*AUS, "face")}
    for row, (_, variant) in enumerate(rows):
        for i, au in enumerate(AUS):
            # The AUs of a row are in different states.
            state = rows[(row + 3 * i) % len(rows)][0]
            labels[row, i] = occurs(state, occurrence_at)
            texts[au].append(templates.local(au, state, variant))
        active = [au for au, label in zip(AUS, labels[row], strict=True) if label]
        texts["face"].append(templates.face(active, rng.choice(SUBJECT_WORDS), variant))
    predictions, truth = tables(AUS, labels, labels * 0.9, texts, texts)
    check_perfect(figures(predictions, truth, AUS, language=language, occurrence_at=occurrence_at))


@pytest.mark.parametrize("language", LANGUAGES)
def test_built_captions_as_predictions_have_perfect_figures(language: str) -> None:
    """DISFA captions with degrees and paraphrases: dictionary columns, null where not coded."""
    rng, rows = np.random.default_rng(0), 60
    intensities = {au: rng.integers(0, 6, rows) for au in SMALL}
    null = {au: rng.random(rows) < 0.1 for au in SMALL}
    frames = pa.table(
        {
            "frame_id": pa.array(range(rows)),
            "subject": pa.array(["SN001"] * rows).dictionary_encode(),
            "task": pa.array([""] * rows).dictionary_encode(),
            "frame": pa.array(range(rows), pa.int32()),
            "sex": pa.array([None] * rows, pa.string()).dictionary_encode(),
            **{a: pa.array((v >= 2).astype(np.int8), mask=null[a]) for a, v in intensities.items()},
            **{
                f"{a}_intensity": pa.array(v.astype(np.int8), mask=null[a])
                for a, v in intensities.items()
            },
        }
    )
    style = Style(language, degrees=True, variants=3)
    captions = build(frames, SMALL, style, occurrence_at=2).captions
    truth, predictions = {au: frames[au] for au in SMALL}, {}
    for name in (*SMALL, "face"):
        truth[f"{name}_caption"] = predictions[f"{name}_text"] = captions[name]
    for au in SMALL:
        predictions[au] = pa.array((intensities[au] >= 2) * 0.75, pa.float32())
    scored = figures(
        pa.table(predictions), pa.table(truth), SMALL, language=language, occurrence_at=2
    )
    check_perfect(scored)
    coded = [int((~null[au]).sum()) for au in SMALL]
    assert scored.by_au["local_text_f1"][1].tolist() == coded
    assert scored.overall["local_bleu4"][1] == sum(coded)


def random_texts(seed: int, occurrence_at: int | None):
    """Return random texts, correct and wrong, with the state that each asserts.

    Returns:
        The labels, the probabilities, the columns of texts, the columns of references, and by scope
        the asserted states, [rows, AUs]: True, False, None for no assertion, "-" without a text.
    """
    rng, templates, rows = random.Random(seed), load(), 60
    labels = np.array([[rng.choice([-1, 0, 1, 1]) for _ in SMALL] for _ in range(rows)], np.int8)
    probabilities = np.array([[rng.random() for _ in SMALL] for _ in range(rows)])
    texts: dict[str, list[str | None]] = {name: [] for name in (*SMALL, "face")}
    references: dict[str, list[str | None]] = {name: [] for name in (*SMALL, "face")}
    asserted: dict[str, list[list]] = {"local": [], "global": []}
    for row in labels.tolist():
        described, local = rng.random() < 0.8, []
        for au, label in zip(SMALL, row, strict=True):
            state = rng.choice(STATES)
            kind = rng.choice(["own", "own", "own", "other", "both", "noise"])
            text, asserted_state = {
                "own": (templates.local(au, state), occurs(state, occurrence_at)),
                "other": (templates.local(rng.choice(["AU04", "AU17"]), state), None),
                "both": (templates.local(au, "B") + " " + templates.local(au, "inactive"), None),
                "noise": (rng.choice(["", "Whatever this is."]), None),
            }[kind]
            texts[au].append(text if described else None)
            local.append(asserted_state if described else "-")
            reference = templates.local(au, "active" if label else "inactive")
            references[au].append(None if label < 0 else reference)
        asserted["local"].append(local)
        active = [au for au in SMALL if rng.random() < 0.5]
        text, face_states = templates.face(active, "F"), [au in active for au in SMALL]
        kind = rng.choice(["own", "own", "others", "still", "noise"])
        if kind == "others":  # AU17 is not in the benchmark
            text = templates.face([*active, "AU17"], "M")
        elif kind == "still":
            text = templates.face([]) + " " + templates.face(["AU12"])
            face_states = [None if au == "AU12" else False for au in SMALL]
        elif kind == "noise":
            text, face_states = "What is this?", [None] * len(SMALL)
        texts["face"].append(text if described else None)
        asserted["global"].append(face_states if described else ["-"] * len(SMALL))
        labelled = [au for au, label in zip(SMALL, row, strict=True) if label == 1]
        references["face"].append(None if -1 in row else templates.face(labelled, "M"))
    return labels, probabilities, texts, references, asserted


@pytest.mark.parametrize(("seed", "occurrence_at"), [(0, None), (1, 2), (2, 3)])
def test_figures_equal_those_of_a_loop_over_frames(seed: int, occurrence_at: int | None) -> None:
    labels, probabilities, texts, references, asserted = random_texts(seed, occurrence_at)
    predictions, truth = tables(SMALL, labels, probabilities, texts, references)
    scored = figures(predictions, truth, SMALL, occurrence_at=occurrence_at)
    decisions = predictions.select(SMALL).to_pandas().to_numpy() >= 0.5
    for scope, states in asserted.items():
        check_assertions(scored, scope, states, labels, decisions)
    check_unparsed(scored, asserted)
    contradicting = [
        tuple(
            au
            for au, local, whole in zip(SMALL, *pair, strict=True)
            if {local, whole} == {True, False}
        )
        for pair in zip(asserted["local"], asserted["global"], strict=True)
    ]
    described = [row for row, states in enumerate(asserted["local"]) if states[0] != "-"]
    share = np.mean([bool(contradicting[row]) for row in described])
    assert scored.overall["text_contradictions"] == (pytest.approx(share), len(described))
    assert 0 < share < 1


def check_assertions(scored, scope: str, states: Sequence, labels, decisions) -> None:
    values, coded = scored.by_au[f"{scope}_text_f1"]
    for i in range(len(SMALL)):
        rows = [r for r in range(len(labels)) if labels[r, i] >= 0 and states[r][i] != "-"]
        # A text that asserts nothing does not detect the action unit.
        asserted = [states[r][i] is True for r in rows]
        assert values[i] == pytest.approx(f1_score(labels[rows, i], asserted))
        assert coded[i] == len(rows)
    pairs = [(asserted, bool(decisions[r, i])) for r, row in enumerate(states) for i, asserted in
             enumerate(row) if asserted != "-"]  # fmt: skip
    agree = np.mean([asserted is decided for asserted, decided in pairs])
    assert scored.overall[f"{scope}_text_agreement_with_head"] == (pytest.approx(agree), len(pairs))


def check_unparsed(scored, asserted) -> None:
    local = [state for row in asserted["local"] for state in row if state != "-"]
    silent = np.mean([state is None for state in local])
    assert scored.overall["local_unparsed"] == (pytest.approx(silent), len(local))
    faces = [row for row in asserted["global"] if row[0] != "-"]
    silent = np.mean([row == [None] * len(SMALL) for row in faces])
    assert scored.overall["global_unparsed"] == (pytest.approx(silent), len(faces))


def test_similarity_is_computed_over_the_texts_that_have_a_reference() -> None:
    templates = load()
    right, wrong = templates.local("AU12", "active"), templates.local("AU12", "inactive")
    texts, references = [right, wrong, right, None], [right, right, None, right]
    labels = np.array([[1], [1], [-1], [1]], np.int8)
    predictions, truth = tables(
        ["AU12"], labels, labels + 0.0, {"AU12": texts}, {"AU12": references}
    )
    scored = figures(predictions, truth, ["AU12"])
    once = figures(predictions.slice(1, 1), truth.slice(1, 1), ["AU12"])
    differing, n = once.overall["local_rouge_l"]
    assert n == 1 and 0 < differing < 1
    assert scored.overall["local_rouge_l"] == (pytest.approx((1 + differing) / 2), 2)
    assert scored.overall["local_bleu4"][1] == 2
    assert once.overall["local_bleu4"][0] < scored.overall["local_bleu4"][0] < 1
    assert scored.overall["local_text_agreement_with_head"][1] == 3


def test_an_au_that_is_never_active_has_no_f1() -> None:
    states = dict(zip(SMALL, ("inactive", "inactive", "active", "C"), strict=True))
    texts = {au: [load().local(au, state)] for au, state in states.items()}
    labels = np.array([[0, 0, 1, 1]], np.int8)
    predictions, truth = tables(SMALL, labels, labels + 0.0, texts, texts)
    values, coded = figures(predictions, truth, SMALL).by_au["local_text_f1"]
    assert np.isnan(values).tolist() == [True, True, False, False]
    assert values[2:].tolist() == [1, 1] and coded.tolist() == [1] * 4


def test_columns_without_texts_have_no_figures() -> None:
    labels, probabilities, texts, references, _ = random_texts(0, None)
    face = {"face": texts["face"]}
    scored = figures(*tables(SMALL, labels, probabilities, face, references), SMALL)
    assert list(scored.by_au) == ["global_text_f1"]
    assert not [name for name in scored.overall if "local" in name or "contra" in name]
    nothing = {name: [None] * len(labels) for name in texts}
    predictions, truth = tables(SMALL, labels, probabilities, nothing, references)
    for none in (predictions, predictions.select(SMALL)):
        assert figures(none, truth, SMALL) == TextFigures({}, {})
    assert figures(none.slice(0, 0), truth.slice(0, 0), SMALL) == TextFigures({}, {})


def test_references_that_do_not_assert_their_labels_are_refused() -> None:
    text = load().local("AU12", "active")
    other = load("zh").local("AU12", "active")
    for label, reference, state in ((0, text, "inactive"), (1, other, "active")):
        labels = np.array([[label]], np.int8)
        columns = {"AU12": [reference]}
        predictions, truth = tables(["AU12"], labels, labels + 0.0, columns, columns)
        with pytest.raises(DataError, match=f"not say that AU12 is {state}, as it is labelled"):
            figures(predictions, truth, ["AU12"])


def test_texts_of_own_templates_are_parsed_with_these_templates(tmp_path) -> None:
    shutil.copytree(resources.root("templates") / "en", tmp_path / "en")
    path = tmp_path / "en" / "local" / "AU12.yaml"
    shipped = load().sentences("AU12", "active")[0]
    own = "Both mouth corners ride high."
    path.write_text(path.read_text(encoding="utf-8").replace(shipped, own), encoding="utf-8")
    labels, columns = np.array([[1]], np.int8), {"AU12": [own]}
    predictions, truth = tables(["AU12"], labels, labels + 0.0, columns, columns)
    scored = figures(predictions, truth, ["AU12"], templates=tmp_path)
    assert scored.by_au["local_text_f1"][0] == 1
    with pytest.raises(DataError, match="A reference description does not say that"):
        figures(predictions, truth, ["AU12"])

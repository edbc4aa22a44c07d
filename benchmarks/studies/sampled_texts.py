"""Print texts of random faces for a reader, who judges them in the role of a FACS coder.

    python benchmarks/studies/sampled_texts.py --language en --style plain
    python benchmarks/studies/sampled_texts.py --language zh --style composed --seed 1

Faces have the AU rates and correlations that were published for BP4D and DISFA; a fifth of them
have all AUs that fauds knows, with independent intensities. Of each text, the codes are printed
that a captions table would describe. A text counts as wrong if a coder would not sign it for these
codes: it says more than they do, denies what they leave open, or contradicts another text.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import norm

from fauds.captions import DEFAULT_STYLE, STYLES, load
from fauds.captions.build import highest_inactive
from fauds.captions.templates import Templates
from fauds.facs import AUS, INTENSITIES, beside, format_codes, occurs

KINDS = {"bp4d": 24, "disfa": 12, "disfa with degrees": 12, "all with degrees": 12}
"""The number of local texts by the kind of face; there are two thirds as many global ones."""

_STATISTICS = Path(__file__).parents[1] / "label_statistics.json"


@dataclass(frozen=True)
class Face:
    """The codes of a random face, and what a captions table would know of them.

    Attributes:
        kind: one of `KINDS`.
        states: the state of each coded AU: "inactive", "active", or a degree from "A" to "E".
        occurrence_at: the lowest intensity that counts as active; None if occurrence is coded.
        sex: "F", "M" or "unknown".
        variant: the number of the paraphrase.
        au: an AU to describe locally; it is active in about half of all faces.
    """

    kind: str
    states: dict[str, str]
    occurrence_at: int | None
    sex: str
    variant: int
    au: str

    def occurs(self, au: str) -> bool:
        """Return whether an action unit counts as active."""
        return occurs(self.states[au], self.occurrence_at)

    @property
    def codes(self) -> str:
        """The codes of all AUs that are not inactive, and what 0 stands for."""
        zero = " (0 stands for 0 or A)" if self.kind == "disfa" else ""
        codes: dict[str, int | str | None] = {
            au: state if state in INTENSITIES else int(state != "inactive")
            for au, state in self.states.items()
        }
        return format_codes(codes) + zero


def faces(kind: str, count: int, rng: np.random.Generator) -> Iterator[Face]:
    """Yield random faces of one kind."""
    for number in range(count):
        states = _states(kind, rng)
        # Most frames of DISFA are neutral, and their texts are all the same: keep few of them.
        while number % 8 and all(state == "inactive" for state in states.values()):
            states = _states(kind, rng)
        on = [au for au, state in states.items() if state != "inactive"]
        off = [au for au in states if au not in on]
        au = str(rng.choice((on or off) if number % 2 else (off or on)))
        sex = str(rng.choice(["F", "M", "unknown"]))
        at = 2 if kind.startswith("disfa") else None
        yield Face(kind, states, at, sex, int(rng.integers(3)), au)


def _states(kind: str, rng: np.random.Generator) -> dict[str, str]:
    if kind.startswith("all"):
        levels = np.where(rng.random(len(AUS)) < 0.25, rng.integers(1, 6, len(AUS)), 0)
        return dict(zip(AUS, (_degree(level) for level in levels), strict=True))
    statistics = json.loads(_STATISTICS.read_text())[kind.split()[0]]
    latent = rng.multivariate_normal(
        np.zeros(len(statistics["aus"])), np.array(statistics["latent_correlation"])
    )
    if kind == "bp4d":
        active = norm.cdf(latent) > 1 - np.array(statistics["occurrence_rate"])
        names = ("active" if one else "inactive" for one in active)
        return dict(zip(statistics["aus"], names, strict=True))
    shares = statistics["intensity_distribution"]
    states = {}
    for au, value in zip(statistics["aus"], norm.cdf(latent), strict=True):
        level = int(np.searchsorted(np.cumsum(shares[au]), value))
        plain = "active" if level >= 2 else "inactive"
        states[au] = _degree(level) if "degrees" in kind else plain
    return {au: states[au] for au in statistics["benchmark_aus"]}


def _degree(level: int) -> str:
    return "inactive" if level == 0 else "ABCDE"[min(level, 5) - 1]


def local_text(face: Face, templates: Templates, style: str) -> str:
    """Return the text of a face's chosen action unit, as a captions table has it."""
    graded = "degrees" in face.kind
    at_most = None if graded else highest_inactive(face.occurrence_at)
    state, variant = face.states[face.au], face.variant
    if style == "plain":
        return templates.local(face.au, state, variant, at_most=at_most)
    active = [au for au in beside(face.au, face.states) if face.occurs(au)]
    return templates.composed(face.au, state, active, variant, at_most=at_most)


def face_text(face: Face, templates: Templates) -> str:
    """Return the text of a face, as a captions table has it."""
    graded = "degrees" in face.kind
    degrees = {au: state for au, state in face.states.items() if graded and state in INTENSITIES}
    return templates.face(
        [au for au in face.states if face.occurs(au) or au in degrees],
        face.sex,
        face.variant,
        degrees=degrees,
        at_most=None if graded else highest_inactive(face.occurrence_at),
    )


def main() -> None:
    """Print the codes and texts of 60 local and 40 global descriptions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--language", default="en")
    parser.add_argument("--style", choices=STYLES, default=DEFAULT_STYLE)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    templates, rng = load(arguments.language), np.random.default_rng(arguments.seed)
    for scope, share in (("local", 1), ("global", 2 / 3)):
        number = 0
        for kind, count in KINDS.items():
            for face in faces(kind, int(count * share), rng):
                number += 1
                about = f" {face.au} {face.states[face.au]};" if scope == "local" else ""
                print(f"{scope} {number} [{kind}]{about} {face.codes}")
                local = scope == "local"
                text = local_text(face, templates, arguments.style) if local else None
                print(f"    {text or face_text(face, templates)}")


if __name__ == "__main__":
    main()

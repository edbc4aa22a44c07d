"""A card for every described test face: labels, predictions, and what the descriptions assert."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from fauds.captions import Parsed, parse
from fauds.report.described_faces import AuRow, gallery
from fauds.report.html.face_images import face_uri, looks_at, shown_images, veil_uri
from fauds.report.html.runs import Run

_Read = Callable[[str], Parsed]


@dataclass(frozen=True)
class Line:
    """One AU of a card.

    Attributes:
        true, predicted, local, face: "active", "inactive", or "" where it is not coded or said;
            `local` and `face` are what the two descriptions assert.
        named: whether the label or the prediction says that it is active, or the face's class.
        probability: "0.93".
        text: its description, "" where none was written.
        veil: the attention's picture, and `looks`, where it is highest; "" where none was kept.
    """

    name: str
    true: str
    predicted: str
    named: bool
    probability: str
    text: str
    local: str
    face: str
    veil: str
    looks: str

    @property
    def verdict(self) -> str:
        """Return "right", "wrong", or "not coded"."""
        if not self.true:
            return "not coded"
        return "right" if self.true == self.predicted else "wrong"

    @property
    def contradicted(self) -> bool:
        """Whether the two descriptions assert different states."""
        return bool(self.local and self.face and self.local != self.face)

    @property
    def remark(self) -> str:
        """Return how descriptions and prediction go together, in words; "" without descriptions."""
        if self.contradicted:
            return f"own description says {self.local}, the face's says {self.face}"
        said = self.local or self.face
        if not said:
            return ""
        return "agrees" if said == self.predicted else f"description says {said}"


@dataclass(frozen=True)
class Card:
    """One face; `image` is "" without a picture."""

    key: str
    image: str
    lines: tuple[Line, ...]
    face_text: str
    true_face: str

    @property
    def active(self) -> list[str]:
        """The AUs that are labelled or predicted active."""
        return [line.name for line in self.lines if line.named]

    @property
    def wrong(self) -> list[str]:
        """The AUs predicted wrongly."""
        return [line.name for line in self.lines if line.verdict == "wrong"]

    @property
    def contradicted(self) -> list[str]:
        """The AUs of which the two descriptions assert different states."""
        return [line.name for line in self.lines if line.contradicted]

    @property
    def looks(self) -> bool:
        """Whether attention was kept."""
        return any(line.veil for line in self.lines)


def cards(run: Run, with_faces: bool) -> tuple[list[Card], str]:
    """Return a card for every face that the run kept, and why pictures are left out, or "".

    Raises:
        DataError: a picture cannot be read.
    """
    faces = gallery(run.folder)
    images, reason = shown_images(run, faces, with_faces)
    read = cache(partial(parse, language=run.results.provenance["captions"]["language"]))
    occurrence_at = run.target.occurrence_at
    made = []
    for face in faces:
        path = images.get(face.frame_id)
        whole = read(face.face_text) if face.face_text else None
        states = run.target.states
        lines = tuple(_line(au, whole, read, occurrence_at, states) for au in face.aus)
        image = face_uri(path) if path else ""
        made.append(Card(face.key, image, lines, face.face_text or "", face.true_face or ""))
    return made, reason


def _line(
    au: AuRow,
    whole: Parsed | None,
    read: _Read,
    occurrence_at: int | None,
    states: tuple[str, str],
) -> Line:
    return Line(
        name=au.name,
        true="" if au.true is None else states[au.true],
        predicted=states[au.predicted],
        named=bool(au.true) or au.predicted,
        probability=f"{au.probability:.2f}",
        text=au.text or "",
        local=_asserted(read(au.text), au.name, occurrence_at) if au.text else "",
        face="" if whole is None else _asserted(whole, au.name, occurrence_at, others=False),
        veil="" if au.attention is None else veil_uri(au.attention),
        looks="" if au.attention is None else looks_at(au.attention),
    )


def _asserted(said: Parsed, au: str, occurrence_at: int | None, others: bool | None = None) -> str:
    state = said.asserts(au, occurrence_at, others=others)
    return "" if state is None else _word(state)


def _word(active: bool) -> str:
    return "active" if active else "inactive"

"""Cards of test faces: labels, predictions, and the states of AUs that the descriptions assert."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from fauds.captions import Parsed, parse
from fauds.report.described_faces import AuRow, gallery
from fauds.report.html.face_images import attention_peak, attention_uri, face_uri, shown_images
from fauds.report.html.runs import ReportedRun

_Read = Callable[[str], Parsed]


@dataclass(frozen=True)
class Line:
    """The line about one AU, or class, on the card of a face.

    A state is "active" or "inactive". The local description is the generated text about this AU;
    the global description is the generated text about the whole face.

    Attributes:
        name: the AU or class.
        true: the state by the label; "" if the label is not coded.
        predicted: the predicted state.
        named: whether the label or the prediction is active; for classes, whether the class is the
            labelled or the predicted one.
        probability: the predicted probability, such as "0.93".
        text: the local description; "" if the model generated none.
        local: the state that the local description asserts; "" if it asserts none.
        face: the state that the global description asserts; "" if it asserts none.
        attention: the attention map as an image URI; "" if the run kept none.
        peak: the place where attention is highest, in words; "" if the run kept no attention map.
    """

    name: str
    true: str
    predicted: str
    named: bool
    probability: str
    text: str
    local: str
    face: str
    attention: str
    peak: str

    @property
    def verdict(self) -> str:
        """How the prediction compares with the label: "right", "wrong" or "not coded"."""
        if not self.true:
            return "not coded"
        return "right" if self.true == self.predicted else "wrong"

    @property
    def contradicted(self) -> bool:
        """Whether the local and the global description assert different states of this AU."""
        return bool(self.local and self.face and self.local != self.face)

    @property
    def remark(self) -> str:
        """How the descriptions agree with the prediction, in words; "" if they assert no state."""
        if self.contradicted:
            return f"own description says {self.local}, the face's says {self.face}"
        state = self.local or self.face
        if not state:
            return ""
        return "agrees" if state == self.predicted else f"description says {state}"


@dataclass(frozen=True)
class Card:
    """The card of one test face.

    Attributes:
        key: the key of the frame, such as ``F001/T1/2440``.
        image: the image as a data URI; "" if the page shows no image.
        lines: one line for each AU or class.
        face_text: the description of the face that the model generated; "" if it generated none.
        true_face: the description of the face made from the labels; "" if a needed AU is not coded.
    """

    key: str
    image: str
    lines: tuple[Line, ...]
    face_text: str
    true_face: str

    @property
    def active(self) -> list[str]:
        """The AUs that are active by the label or by the prediction."""
        return [line.name for line in self.lines if line.named]

    @property
    def wrong(self) -> list[str]:
        """The AUs whose prediction differs from the label; AUs that are not coded are left out."""
        return [line.name for line in self.lines if line.verdict == "wrong"]

    @property
    def contradicted(self) -> list[str]:
        """The AUs for which the local and the global description assert different states."""
        return [line.name for line in self.lines if line.contradicted]

    @property
    def has_attention(self) -> bool:
        """Whether the run kept an attention map for at least one AU of this face."""
        return any(line.attention for line in self.lines)


def cards(run: ReportedRun, with_faces: bool) -> tuple[list[Card], str]:
    """Return a card for every test face that the run kept, and the reason if images are left out.

    Args:
        run: the run.
        with_faces: show faces of real people too.

    Returns:
        The cards, and the reason why they have no images; the reason is "" if they have images.

    Raises:
        DataError: an image cannot be read.
    """
    faces = gallery(run.folder)
    images, reason = shown_images(run, faces, with_faces)
    read = cache(partial(parse, language=run.results.provenance["captions"]["language"]))
    occurrence_at = run.target.occurrence_at
    shown = []
    for face in faces:
        path = images.get(face.frame_id)
        parsed = read(face.face_text) if face.face_text else None
        states = run.target.states
        lines = tuple(_line(au, parsed, read, occurrence_at, states) for au in face.aus)
        image = face_uri(path) if path else ""
        shown.append(Card(face.key, image, lines, face.face_text or "", face.true_face or ""))
    return shown, reason


def _line(
    au: AuRow,
    face: Parsed | None,
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
        face="" if face is None else _asserted(face, au.name, occurrence_at, others=False),
        attention="" if au.attention is None else attention_uri(au.attention),
        peak="" if au.attention is None else attention_peak(au.attention),
    )


def _asserted(text: Parsed, au: str, occurrence_at: int | None, others: bool | None = None) -> str:
    state = text.asserts(au, occurrence_at, others=others)
    return "" if state is None else _word(state)


def _word(active: bool) -> str:
    return "active" if active else "inactive"

"""Writes the events of a clip as an ELAN annotation file (.eaf), with a tier for each AU.

The format is EAF 3.0 of the Max Planck Institute for Psycholinguistics
(http://www.mpi.nl/tools/elan/EAFv3.0.xsd).
"""

import mimetypes
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from fauds.annotation.subtitles import Cue, milliseconds

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_TYPE = "event"
_UNWRITABLE = {code: " " for code in range(32) if code not in (9, 10, 13)}


def as_eaf(
    tiers: Mapping[str, Sequence[Cue]],
    media: Path | None = None,
    participant: str = "",
    note: str = "",
) -> str:
    """Return tiers of annotations as an ELAN file.

    Args:
        tiers: by the name of the tier, its annotations, which rise in time and do not overlap.
        media: the video that the annotations belong to, which ELAN then opens; None for none.
        participant: the person whom the annotations describe; "" if not known.
        note: a line about the annotations, which the file states as a property; "" for none.
    """
    namespace = "http://www.w3.org/2001/XMLSchema-instance"
    ElementTree.register_namespace("xsi", namespace)
    document = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "fauds",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{namespace}}}noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = ElementTree.SubElement(
        document, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}
    )
    if media is not None:
        kind = mimetypes.guess_type(media.name)[0] or "unknown"
        attributes = {"MEDIA_URL": media.resolve().as_uri(), "MIME_TYPE": kind}
        ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", attributes)
    if note:
        ElementTree.SubElement(header, "PROPERTY", {"NAME": "note"}).text = note
    times = sorted({time for cues in tiers.values() for cue in cues for time in _span(cue)})
    slots = {time: f"ts{number}" for number, time in enumerate(times, start=1)}
    order = ElementTree.SubElement(document, "TIME_ORDER")
    for time, name in slots.items():
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": name, "TIME_VALUE": str(time)})
    count = 0
    for name, cues in tiers.items():
        attributes = {"LINGUISTIC_TYPE_REF": _TYPE, "TIER_ID": name}
        if participant:
            attributes["PARTICIPANT"] = participant
        tier = ElementTree.SubElement(document, "TIER", attributes)
        for cue in cues:
            count += 1
            start, stop = _span(cue)
            annotation = ElementTree.SubElement(
                ElementTree.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                {
                    "ANNOTATION_ID": f"a{count}",
                    "TIME_SLOT_REF1": slots[start],
                    "TIME_SLOT_REF2": slots[stop],
                },
            )
            value = ElementTree.SubElement(annotation, "ANNOTATION_VALUE")
            value.text = cue.text.translate(_UNWRITABLE)
    ElementTree.SubElement(
        document,
        "LINGUISTIC_TYPE",
        {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": _TYPE, "TIME_ALIGNABLE": "true"},
    )
    ElementTree.indent(document)
    text = ElementTree.tostring(document, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _span(cue: Cue) -> tuple[int, int]:
    """Return the beginning and the end of an annotation in milliseconds, at least 1 apart."""
    start = milliseconds(cue.start)
    return start, max(start + 1, milliseconds(cue.stop))

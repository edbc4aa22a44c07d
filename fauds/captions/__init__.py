"""Captions: templates -> phrases -> captions -> vocabulary.

Importing this loads neither spaCy nor torch: spaCy is imported when a text is tokenised.
"""

from fauds.captions.describe import describe, describe_face
from fauds.captions.tables import Captions, build, build_settings
from fauds.captions.templates import languages, load, template_hash
from fauds.captions.vocabulary import SPECIALS, Words, detokenise

__all__ = [
    "SPECIALS",
    "Captions",
    "Words",
    "build",
    "build_settings",
    "describe",
    "describe_face",
    "detokenise",
    "languages",
    "load",
    "template_hash",
]

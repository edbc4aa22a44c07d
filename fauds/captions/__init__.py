"""Captions: texts rendered from AU codes with templates, and AU codes read back from texts.

Begin with `describe` (one description) and `build` (the tables of captions, phrases and vocabulary
of a frames table). `templates` renders the template files of a language, `parse` reads AU codes
back from texts, and `lint` checks the template files. Importing this package loads neither spaCy
nor torch: spaCy is imported when the first text is tokenised.
"""

from fauds.captions.build import Builder, Captions, Style, build, build_settings
from fauds.captions.decisions import decision_words
from fauds.captions.describe import (
    Description,
    describe,
    describe_codes,
    describe_face,
    describe_probabilities,
)
from fauds.captions.parse import Parsed, Parser, parse
from fauds.captions.styles import DEFAULT_STYLE, STYLES
from fauds.captions.templates import languages, load, template_hash
from fauds.captions.vocabulary import SPECIALS, Words, detokenise

__all__ = [
    "DEFAULT_STYLE",
    "SPECIALS",
    "STYLES",
    "Builder",
    "Captions",
    "Description",
    "Parsed",
    "Parser",
    "Style",
    "Words",
    "build",
    "build_settings",
    "decision_words",
    "describe",
    "describe_codes",
    "describe_face",
    "describe_probabilities",
    "detokenise",
    "languages",
    "load",
    "parse",
    "template_hash",
]

"""The version of fauds, which is defined only here."""

VERSION = "0.1.0"

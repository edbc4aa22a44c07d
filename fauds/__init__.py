"""fauds: facial action unit labels as language, and models measured on it."""

__version__ = "0.1.0"

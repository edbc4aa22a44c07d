"""Benchmark protocols: what is tested on what, and how.

Begin with `benchmark`, the typed model of a protocol's YAML. `user_files` reads protocols from
files of a user's own, and `folds` puts subjects into folds.
"""

"""Benchmark protocols: the data, target, folds and metric behind a figure.

Begin with `benchmark`, the typed model of a protocol's YAML file. `user_files` reads protocols that
users wrote, `folds` assigns subjects to folds, and `run_settings` writes the settings of a run.
"""

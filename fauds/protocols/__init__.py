"""Benchmark protocols: which data are used, what is predicted, and how it is evaluated.

Begin with `benchmark`, the class that a protocol's YAML file is read into. `user_files` reads
protocols that users wrote, `folds` assigns subjects to folds, and `run_settings` writes the
settings of a run.
"""

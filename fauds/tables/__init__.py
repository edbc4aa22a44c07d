"""Tables on disk: Parquet files written by fauds, and CSV or Parquet files of other programs.

Begin with `store`, which reads and writes the tables of a workdir. `schemas` defines their columns
and `paths` their names, `frames` makes keys and fingerprints of frames, `columns` converts between
NumPy arrays and Arrow columns, `part_writer` writes a table in parts, `atomic` writes any file
atomically, `predictions` is the table that evaluation reads, and `delimited` reads files of other
programs.
"""

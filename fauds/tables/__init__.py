"""Tables on disk: Parquet files written by fauds, and CSV or Parquet files of other programs.

Begin with `store`, which reads and writes the tables that fauds keeps in its workdir. `schemas`
defines the columns of these tables and `paths` their file names. `frames` computes the key of a
frame, such as F001/T1/2440, and digests of sets of frames. `columns` converts arrays and texts to
Arrow columns and back, `part_writer` writes a table a few rows at a time, `atomic` replaces a file
completely or not at all, and `disk` checks that there is space for it. `predictions` reads and
writes the table of a model's predictions, and `delimited` reads files of other programs.
"""

"""Tables on disk: Parquet and delimited files, written whole or not at all.

Begin with `store`, which reads and writes every table of a workdir. `schemas` holds their columns,
`columns` turns NumPy arrays into Arrow columns, `writer` writes a table in parts, `files` writes
any file atomically, `predictions` is the table that evaluation reads, and `delimited` opens files
of columns that other programs wrote.
"""

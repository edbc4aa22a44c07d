"""The command line: every command parses its options, calls one function and prints.

Begin with `main`, the group of all commands. Most further modules hold commands, grouped by what
they work on; `options` holds the options that several commands share, `terminal` prints results,
and `progress` shows progress bars on stderr.
"""

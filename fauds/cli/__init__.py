"""The command line: every command parses its options, calls one function and prints the result.

Begin with `main`, which defines the group of all commands. The commands are in the modules
`datasets`, `captions`, `bench`, `results` and `explain`. `options` defines the options that several
commands share, `terminal` prints results, and `progress` shows progress bars on stderr.
"""

"""The command line: every command parses its options, calls one function and prints.

Begin with `main`, the group of all commands. Each further module holds a group of commands;
`options` holds the options they share, `terminal` prints results, and `progress` shows progress
bars on stderr.
"""

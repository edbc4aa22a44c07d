"""The command line: every command parses its options, calls one function and prints.

Begin with `main`, the group of all commands. There is one module for each group of commands;
`options` holds what they share, `terminal` what they print, and `progress` the bars on stderr.
"""

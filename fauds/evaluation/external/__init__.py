"""Reads predictions of other programs and matches them to the frames of a protocol.

Begin with `match`, which finds the prediction for every frame of the protocol. `read` reads files
and checks their values, `formats` interprets the rows of each program's format, `column_roles`
recognises columns by their names, and `frame_names` finds the sequence and the frame that a file
name refers to.
"""

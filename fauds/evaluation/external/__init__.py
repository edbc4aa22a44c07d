"""Matches predictions of other programs to the frames of a protocol.

Begin with `match`, which finds the prediction for every frame of the protocol. `read` reads tables,
which `fauds.datasets.codes` recognises as for every command; `frame_names` finds the sequence and
the frame that a file name refers to, and `shift` notices predictions that lie some frames beside
the labels.
"""

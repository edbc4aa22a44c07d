"""Predictions of other programs, matched to the frames of a protocol.

Begin with `match`, which gives every frame its prediction. `read` reads files and tells programs
apart, `formats` says what each program's rows mean, `sheets` names columns, and `names` finds the
frame that a file name means.
"""

"""Synthetic releases (labels and faces) in the folder layouts of BP4D, DISFA, RAF-DB and AffectNet.

Begin with `release`, which writes a release. Of sequences of frames, `population`, `latent` and
`labels` sample AU labels with the published statistics of BP4D or DISFA; `sequences` and the
modules named after writers write images, videos, landmarks and label files to disk. Of single
images, `expressions` samples people, expressions and AUs, and `expression_writers` writes files.
`identity`, `face` and the modules that `face` imports draw faces that show AUs.
"""

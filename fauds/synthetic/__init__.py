"""Synthetic releases (labels and faces) in the folder layouts of BP4D and DISFA.

Begin with `release`, which writes a release. `population`, `latent` and `labels` sample AU labels
with the published statistics of BP4D or DISFA; `identity`, `face` and the modules that `face`
imports draw faces that show these AUs; `sequences` and the modules named after writers write
images, videos, landmarks and label files to disk.
"""

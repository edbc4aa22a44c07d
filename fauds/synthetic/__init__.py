"""Synthetic releases, written in the real raw layouts of BP4D and DISFA.

Begin with `release`, which writes one. `population`, `latent` and `labels` draw AU labels with the
published statistics; `identity`, `face` and the modules below it draw faces that show them;
`sequences` and the writers put images, videos, landmarks and label files on disk.
"""

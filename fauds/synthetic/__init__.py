"""Synthetic releases in the raw layouts of BP4D and DISFA.

Begin with `release`, which writes one. `population`, `latent` and `labels` sample AU labels with
the published statistics; `identity`, `face` and the modules that it imports draw faces that show
these AUs; `sequences` and the writers write images, videos, landmarks and label files to disk.
"""

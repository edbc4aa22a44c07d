"""Layers that model families share: they take and return tensors, and read no files or settings.

`backbone` wraps timm networks, `depths` numbers their layers, `heads` holds the classifiers, `dair`
computes image features for each AU, `words` packs captions without padding, `recurrence` is the
LSTM over words, `decoder` predicts the words of captions, `beam` searches for the best ones, and
`au_map` makes maps of where AUs are visible from landmarks.
"""

"""Layers that model families are built of: tensors in, tensors out, no files and no settings.

`backbone` wraps timm networks, `heads` classifies, `dair` holds the AU branches, `words` packs
captions, `recurrence` is the recurrent cell, `decoder` writes captions and `beam` searches them.
"""

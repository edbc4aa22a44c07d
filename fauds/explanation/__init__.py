"""Trained weights applied to any face: action units, descriptions, attention maps.

Begin with `run`, the loop over images and videos, or `api`, which is ``fauds.explain``. `weights`
opens a trained model, `cutting` finds the faces, `engine` runs the model, `outputs` and `annotate`
write what it says, and `onnx_export` writes the model for other programs.
"""

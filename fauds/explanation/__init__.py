"""Applies trained models to images and videos: action units, descriptions, attention maps.

Begin with `run`, the loop over images and videos, or with `api`, which is ``fauds.explain``.
`media` reads images and videos, `weights` opens a trained model, `face_cropping` crops the faces,
and `engine` runs the model. `outputs` writes explanations as tables, `annotate` draws them on
images and videos, and `onnx_export` exports a model for other programs.
"""

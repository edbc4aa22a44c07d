"""Aligned face crops from images, videos and landmark files.

Begin with `prepare`, the step that crops the face of every coded frame (frame with AU labels).
`plan` decides which frames are cropped and how, `streams` reads images and videos frame by frame,
`landmarks` and `landmark_files` provide facial landmarks, `alignment` computes crops from
landmarks, and `outcomes` records for every frame whether it was cropped, or why not. `detectors/`
finds faces where a dataset ships no landmarks. `check` inspects a release (the raw files of a
dataset) before anything is cropped, and `frame_images` finds the face image of every frame
afterwards. `aligned_face` crops the largest face of a single image.
"""

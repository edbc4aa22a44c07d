"""Images, videos and landmark files to aligned face crops.

Begin with `prepare`, the step that crops every coded frame's face. `plan` settles what is cropped
and how, `streams` reads images and videos frame by frame, `landmarks` and `landmark_files` give the
points, `alignment` turns points into crops, and `outcomes` says what became of every frame.
`detectors/` finds faces where a dataset ships no landmarks. `check` looks at a release beforehand,
`frame_images` finds the image of every frame afterwards.
"""

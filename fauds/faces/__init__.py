"""Image, video and landmark files to aligned face crops."""

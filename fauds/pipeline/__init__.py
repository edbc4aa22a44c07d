"""The steps from raw files to a scored run, and the order in which they follow each other.

Begin with `project.py`: `Project` alone knows which step needs which, and runs what is missing.
`workspace.py` says where a dataset's tables lie. A step is a function of a `Workspace` and of the
finished steps that it needs: `reading.py` (frames), `captioning.py`, `splitting.py` (folds) and
`cropping.py` (faces); `joining.py` joins the frames and the faces of two datasets.
"""

from fauds.pipeline.project import Project
from fauds.pipeline.workspace import Workspace

__all__ = ["Project", "Workspace"]

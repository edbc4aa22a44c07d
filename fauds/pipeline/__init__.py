"""The steps from raw files to a scored run, and their order.

Begin with `project.py`: `Project` knows which steps depend on which, and runs the missing ones.
`workspace.py` defines where the tables of a dataset are. A step is a function of a `Workspace` and
of the finished steps that it depends on: `reading.py` (frames), `captioning.py` (captions),
`splitting.py` (folds) and `cropping.py` (faces); `joining.py` joins the frames and faces of two
datasets. `evaluating.py` and `scoring.py` write the results of a run and of external predictions.
`dataset.py` opens a dataset's tables from Python.
"""

from fauds.pipeline.project import Project
from fauds.pipeline.workspace import Workspace

__all__ = ["Project", "Workspace"]

"""The steps from a dataset's raw files to the results of a run, and their order.

Begin with `project.py`: a `Project` knows which steps depend on which other steps, and runs the
steps that are missing or outdated. A step is a function that takes a `Workspace` (the folder and
the protocol of a dataset, defined in `workspace.py`) and the finished steps that it depends on, and
writes tables. The steps are in `reading.py` (frames), `captioning.py` (captions), `splitting.py`
(folds) and `cropping.py` (faces); `joining.py` joins the frames and faces of two datasets.
`evaluating.py` writes the results of a trained model, and `scoring.py` the results of predictions
that another program made. `dataset.py` opens a dataset's tables from Python.
"""

from fauds.pipeline.project import Project
from fauds.pipeline.workspace import Workspace

__all__ = ["Project", "Workspace"]

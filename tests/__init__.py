"""Tests of fauds: a folder for each of its packages, a file for each thing that it does."""

import os

# Models in tests are so small that a second thread costs more time than it saves; said before
# numpy or torch is imported, for this process and those it starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

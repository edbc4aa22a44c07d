"""The tests of fauds, with a folder for each of its packages."""

import os

# Models in tests are so small that a second thread costs more time than it saves. The variable is
# set before numpy or torch is imported, for this process and those that it starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

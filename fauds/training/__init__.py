"""Training: batches of faces and captions, the training loop, checkpoints and the log.

Begin with `loop.train`. The code here works for every model family, and for AUs as well as classes:
it refers to no family by name.
"""

import os

# With this, torch asks Linux for huge memory pages for large tensors on the CPU. A step of the
# tiny preset then takes about a tenth less time. On other systems it has no effect.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

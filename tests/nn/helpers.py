"""Small models and random batches for the tests of fauds.nn."""

import numpy as np
import torch

from fauds.nn.base import Batch
from fauds.nn.vlfau import VLFAU
from fauds.synthetic import face

SWIN = {
    "backbone": "swin_tiny_patch4_window7_224",
    "backbone_args": {
        "embed_dim": 8,
        "depths": (1, 1, 1, 1),
        "num_heads": (1, 1, 2, 2),
        "window_size": 2,
    },
    "image_size": 64,
}
AUS, VOCABULARY = 3, 11


def small_model(**changes) -> VLFAU:
    """Return a complete VL-FAU with a few thousand weights, in eval mode."""
    torch.manual_seed(0)
    settings = {
        **SWIN,
        "num_aus": AUS,
        "dim": 12,
        "hidden": 10,
        "embed_dim": 6,
        "attention_dim": 7,
        "local_vocab": VOCABULARY,
        "global_vocab": VOCABULARY,
        "msc_width": 5,
        "reduction": 4,
        **changes,
    }
    return VLFAU(**settings).eval()


def batch_of(
    images: torch.Tensor,
    local: torch.Tensor | None = None,
    whole: torch.Tensor | None = None,
    labels: torch.Tensor | None = None,
) -> Batch:
    """Return a batch of these images and captions; labels are not coded unless given."""
    return Batch(
        images=images,
        labels=torch.full((len(images), AUS), -1) if labels is None else labels,
        rows=torch.arange(len(images)),
        views=torch.zeros(len(images), 2, 3),
        local=local,
        global_=whole,
    )


def captions(*shape: int, words: int, seed: int = 0, vocab: int = VOCABULARY) -> torch.Tensor:
    """Return random captions [*shape, words + 1] of 1 to `words` words, <eos> included."""
    random = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, vocab, (*shape, words + 1), generator=random)
    tokens[..., 0] = 1
    last = torch.randint(1, words + 1, shape, generator=random)
    places = torch.arange(words + 1).expand_as(tokens)
    tokens[places == last[..., None]] = 2
    tokens[places > last[..., None]] = 0
    return tokens


def batch(size: int = 2, image: int = 64, dtype: torch.dtype = torch.float32):
    """Return images, local captions, global captions and labels; one AU is not coded."""
    random = torch.Generator().manual_seed(1)
    images = torch.randn(size, 3, image, image, generator=random, dtype=dtype)
    local, whole = captions(size, AUS, words=5), captions(size, words=7, seed=2)
    labels = torch.randint(0, 2, (size, AUS), generator=random)
    labels[0, 1] = -1
    local[0, 1] = 0
    return images, local, whole, labels


def face_landmarks(side: int, count: int = 1, seed: int = 0) -> torch.Tensor:
    """Return the landmarks of synthetic faces without expression, float32 [count, 68, 2]."""
    rng = np.random.default_rng(seed)
    nothing = np.zeros(len(face.FACE_AUS))
    points = [
        face.face_landmarks(face.draw_identity(rng), nothing, view, side)
        for view in face.draw_views(rng, count)
    ]
    return torch.from_numpy(np.stack(points)).float()

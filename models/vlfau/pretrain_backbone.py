"""Pretrain the tiny backbone on synthetic faces, on targets other than AU labels.

    python models/vlfau/pretrain_backbone.py models/vlfau/tiny-backbone.safetensors

The backbone learns to tell where the 68 landmarks are, how large brows, lids, mouth and lips are,
who is shown (identity attributes) and how the head is turned and lit. It never gets an AU label or
intensity as a target. Identities come from a random stream of their own ("pretraining", seed
20260101), which `fauds synth` never uses.

With --on-au-labels the targets are AU intensities instead: not shipped, only the third row of the
model card, how far in-domain pretraining on labels would have gone.
"""

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fauds import __version__
from fauds.nn.layers.backbone import FourStages
from fauds.nn.presets import run_settings
from fauds.synthetic.face import (
    FACE_AUS,
    draw_face,
    draw_identity,
    draw_views,
    identity_attributes,
)
from fauds.synthetic.population import generator
from fauds.training import checkpoint
from fauds.training.device import normalise
from fauds.training.optimiser import rate_at

SEED = 20260101
FRAMES = 24
SIZE = 128
# iBUG's left-right pairs: place i of a mirrored face is place MIRROR[i] of the face.
MIRROR = np.array(
    [
        *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
        45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
        54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
    ]
)  # fmt: skip


UNLABELLED = (
    "pretrained on synthetic faces of other identities, on landmarks, sizes, identity and pose, "
    "without AU labels: in-domain pretraining for synthetic faces"
)
LABELLED = "pretrained on AU intensities of synthetic faces of other identities"

Drawn = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Images uint8 [N, S, S, 3], landmarks [N, 68, 2], other targets [N, K], intensities [N, 17]."""


def draw_person(number: int) -> Drawn:
    """Generate faces of one identity; the images are JPEG-coded as in the synthetic datasets."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    rng = generator(SEED, "pretraining", str(number))
    who = draw_identity(rng)
    # Short sequences of many circumstances rather than one long one.
    views = [view for _ in range(FRAMES // 2) for view in draw_views(rng, 2)]
    active = rng.random((FRAMES, len(FACE_AUS))) < 0.3
    intensities = np.where(active, rng.uniform(0.5, 5, active.shape), 0).astype(np.float32)
    images = np.empty((FRAMES, SIZE, SIZE, 3), np.uint8)
    landmarks = np.empty((FRAMES, 68, 2), np.float32)
    rest = np.empty((FRAMES, 5 + len(identity_attributes(who))), np.float32)
    for i, (view, levels) in enumerate(zip(views, intensities, strict=True)):
        image, landmarks[i] = draw_face(who, levels, view, SIZE)
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        images[i] = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        rest[i] = (view.yaw, view.pitch, view.roll, *view.light, *identity_attributes(who))
    return images, landmarks, rest, intensities


def draw_people(count: int) -> Drawn:
    """Generate faces of all identities, in as many processes as there are cores."""
    images = np.empty((count * FRAMES, SIZE, SIZE, 3), np.uint8)
    others: list[tuple[np.ndarray, ...]] = []
    # Small matrices in several processes: more BLAS threads would only wait for each other.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    began = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for i, (some, *more) in enumerate(pool.map(draw_person, range(count), chunksize=8)):
            images[i * FRAMES : (i + 1) * FRAMES] = some
            others.append(more)
    rate = count * FRAMES / (time.perf_counter() - began)
    print(f"{count * FRAMES:,} faces of {count:,} identities, {rate:.0f} a second", flush=True)
    return images, *(np.concatenate(parts) for parts in zip(*others, strict=True))


def shape(landmarks: np.ndarray) -> np.ndarray:
    """Return landmarks [N, 68, 2] in the frame of the outer eye corners, flat, [N, 136]."""
    left, right = landmarks[:, 36], landmarks[:, 45]
    centre, axis = (left + right) / 2, right - left
    length = np.linalg.norm(axis, axis=1)[:, None]
    x = axis / length
    y = np.stack([-x[:, 1], x[:, 0]], axis=1)
    moved = (landmarks - centre[:, None]) / length[:, None]
    turned = np.stack([(moved * x[:, None]).sum(2), (moved * y[:, None]).sum(2)], axis=2)
    return turned.reshape(len(landmarks), -1)


def sizes(flat: np.ndarray) -> np.ndarray:
    """Return sizes of brows, lids, mouth and lips from `shape`'s landmarks, [N, 18]."""
    p = flat.reshape(len(flat), 68, 2)
    vertical = [
        (21, 39), (22, 42), (19, 37), (24, 44), (17, 36), (26, 45),  # brows over eyes
        (37, 41), (38, 40), (43, 47), (44, 46),  # lid apertures
        (51, 62), (66, 57), (62, 66), (33, 51), (57, 8),  # lips, opening, lip to nose, chin
    ]  # fmt: skip
    heights = [p[:, low, 1] - p[:, high, 1] for high, low in vertical]
    corners = (p[:, 48, 1] + p[:, 54, 1]) / 2 - (p[:, 51, 1] + p[:, 57, 1]) / 2
    return np.stack(
        [*heights, corners, p[:, 54, 0] - p[:, 48, 0], p[:, 22, 0] - p[:, 21, 0]], axis=1
    )


def targets(landmarks: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return all regression targets [N, K], not yet standardised."""
    flat = shape(landmarks)
    return np.concatenate([landmarks.reshape(len(flat), -1), flat, sizes(flat), rest], axis=1)


GROUPS = (136, 136, 18)
"""Landmarks, shape and sizes, then the rest: each group counts the same in the loss."""


def group_loss(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean over the groups of targets of their smooth L1 losses."""
    widths = [*GROUPS, predicted.shape[1] - sum(GROUPS)]
    parts = zip(predicted.split(widths, dim=1), wanted.split(widths, dim=1), strict=True)
    return torch.stack([F.smooth_l1_loss(p, w, beta=0.3) for p, w in parts]).mean()


class Regressor(nn.Module):
    """The backbone with all four stages pooled to the last one's grid and read out."""

    def __init__(self, stem: FourStages, outputs: int, grid: int) -> None:
        super().__init__()
        self.stem = stem
        self.grid = grid
        self.read = nn.Sequential(
            nn.Linear(sum(stem.channels) * grid * grid, 512), nn.GELU(), nn.Linear(512, outputs)
        )

    def forward(self, images: Tensor) -> Tensor:
        pooled = [F.adaptive_avg_pool2d(stage, self.grid) for stage in self.stem(images)]
        return self.read(torch.cat(pooled, dim=1).flatten(1))


def crops(
    images: np.ndarray, rng: np.random.Generator, size: int, cutout: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return random crops [B, size, size, 3], their offsets [B, 2] (x, y), and who is mirrored."""
    offsets = rng.integers(0, SIZE - size + 1, (len(images), 2))
    flipped = rng.random(len(images)) < 0.5
    out = np.empty((len(images), size, size, 3), np.uint8)
    for i, (image, (x, y)) in enumerate(zip(images, offsets, strict=True)):
        crop = image[y : y + size, x : x + size]
        out[i] = crop[:, ::-1] if flipped[i] else crop
        if cutout and rng.random() < 0.3:
            cy, cx, half = *rng.integers(0, size, 2), size // 10
            out[i, max(0, cy - half) : cy + half, max(0, cx - half) : cx + half] = 127
    return out, offsets, flipped


def crop_landmarks(
    landmarks: np.ndarray, offsets: np.ndarray, flipped: np.ndarray, size: int
) -> np.ndarray:
    """Move landmarks [B, 68, 2] as `crops` moved the pixels."""
    moved = landmarks - offsets[:, None]
    mirrored = moved[:, MIRROR] * (-1, 1) + (size - 1, 0)
    return np.where(flipped[:, None, None], mirrored, moved)


def mirrored_rest(rest: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """Turn yaw, roll and the light's side round in mirrored faces."""
    sign = np.ones_like(rest)
    sign[flipped, 0] = sign[flipped, 2] = sign[flipped, 3] = -1
    return rest * sign


def pretrain(args: argparse.Namespace) -> None:
    """Generate faces, train, print the error on identities held out, and write the weights."""
    settings = run_settings("vlfau", "tiny", ("model.backbone.weights=null",)).model
    size = settings.image_size
    torch.manual_seed(SEED)
    images, landmarks, rest, intensities = draw_people(args.identities)
    held = len(images) - 40 * FRAMES
    centred = targets(landmarks - (SIZE - size) / 2, rest)
    mean, deviation = centred[:held].mean(axis=0), centred[:held].std(axis=0) + 1e-3
    outputs = len(FACE_AUS) if args.on_au_labels else len(mean)
    stem = FourStages(settings.backbone.name, dict(settings.backbone.args), False, size)
    with torch.no_grad():
        grid = stem(torch.zeros(1, 3, size, size))[-1].shape[-1]
    model = Regressor(stem, outputs, grid)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02, fused=True)
    steps = args.epochs * held // args.batch
    began, running = time.perf_counter(), 0.0
    for step in range(steps):
        rng = np.random.default_rng([SEED, 1, step])
        rows = rng.integers(0, held, args.batch)
        some, offsets, flipped = crops(images[rows], rng, size, cutout=True)
        model.train()
        predicted = model(normalise(torch.from_numpy(some).permute(0, 3, 1, 2), settings))
        if args.on_au_labels:
            loss = F.mse_loss(predicted, torch.from_numpy(intensities[rows]) / 2)
        else:
            marks = crop_landmarks(landmarks[rows], offsets, flipped, size)
            wanted = (targets(marks, mirrored_rest(rest[rows], flipped)) - mean) / deviation
            loss = group_loss(predicted, torch.from_numpy(wanted).float())
        for group in optimizer.param_groups:
            group["lr"] = 1.5e-3 * rate_at(step, steps, 0.05)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        running += loss.item()
        if (step + 1) % 200 == 0 or step + 1 == steps:
            took = time.perf_counter() - began
            mean_loss = running / ((step % 200) + 1)
            print(f"step {step + 1}/{steps} loss {mean_loss:.4f} {took:.0f} s", flush=True)
            running = 0.0
    meta = {
        "pretraining": LABELLED if args.on_au_labels else UNLABELLED,
        "identities": args.identities,
        "faces": len(images),
        "seed": SEED,
        "epochs": args.epochs,
        "mean": settings.mean,
        "std": settings.std,
        "fauds": __version__,
    }
    if not args.on_au_labels:
        error = landmark_error(model, images[held:], landmarks[held:], settings, mean, deviation)
        print(f"landmark error on 40 identities held out: {error:.2f} pixels at {size}")
        meta["landmark_error_pixels"] = round(error, 3)
    # Half precision halves the file; training goes on from these values in single precision.
    tensors = {name: t.half() if t.is_floating_point() else t for name, t in body(model).items()}
    checkpoint.save(args.out, tensors, meta)


def body(model: Regressor) -> dict[str, Tensor]:
    """Return the weights of the backbone alone."""
    return model.stem.body.state_dict()


def landmark_error(
    model: Regressor,
    images: np.ndarray,
    landmarks: np.ndarray,
    settings: object,
    mean: np.ndarray,
    deviation: np.ndarray,
) -> float:
    """Return the mean distance between predicted and true landmarks of centre crops, in pixels."""
    size = settings.image_size
    edge = (SIZE - size) // 2
    model.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(images), 64):
            some = images[start : start + 64, edge : edge + size, edge : edge + size]
            pixels = normalise(torch.from_numpy(some).permute(0, 3, 1, 2), settings)
            found.append(model(pixels)[:, :136].numpy())
    predicted = np.concatenate(found) * deviation[:136] + mean[:136]
    distance = predicted.reshape(-1, 68, 2) - (landmarks - edge)
    return float(np.linalg.norm(distance, axis=2).mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--identities", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--on-au-labels", action="store_true")
    pretrain(parser.parse_args())

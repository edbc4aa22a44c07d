"""What VL-FAU costs beside its bare backbone, and beside a plain version of itself.

    python benchmarks/speed/vlfau.py tiny
    python benchmarks/speed/vlfau.py swin-b --threads 2 --repeats 5

All variants take turns in one run, so that whatever else the machine does meets them alike; the
figures are medians, the ratios medians of each turn's own ratio.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fauds.nn import VLFAU, vlfau_loss
from fauds.nn.backbone import FourStages
from tests.nn.plain import PlainVLFAU

AUS, LOCAL_WORDS, GLOBAL_WORDS, VOCABULARY = 12, 32, 64, 300
TINY = {
    "embed_dim": 32,
    "depths": (1, 1, 2, 1),
    "num_heads": (1, 2, 4, 8),
    "window_size": 7,
}
SIZES = {
    "tiny": {
        "model": {
            "backbone": "swin_tiny_patch4_window7_224",
            "backbone_args": TINY,
            "image_size": 112,
            "dim": 128,
        },
        "batch": 32,
        "infer": 32,
    },
    "swin-b": {
        "model": {
            "backbone": "swin_base_patch4_window7_224.ms_in1k",
            "backbone_args": {},
            "image_size": 224,
            "dim": 512,
        },
        "batch": 4,
        "infer": 8,
    },
}


class Bare(nn.Module):
    """The backbone alone: its last stage, pooled, one Linear to the AUs."""

    def __init__(self, stem: FourStages, num_aus: int) -> None:
        super().__init__()
        self.stem = stem
        self.linear = nn.Linear(stem.channels[-1], num_aus)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(self.stem(images)[-1].mean((2, 3)))


def captions(*shape: int, words: int, ragged: bool) -> torch.Tensor:
    """Random sequences that predict `words` words, or between half as many and `words`."""
    tokens = torch.randint(4, VOCABULARY, (*shape, words + 1))
    tokens[..., 0] = 1
    last = torch.randint(words // 2, words + 1, shape) if ragged else torch.full(shape, words)
    places = torch.arange(words + 1).expand_as(tokens)
    tokens[places == last[..., None]] = 2
    tokens[places > last[..., None]] = 0
    return tokens


def train_steps(size: dict, device: str, ragged: bool, amp: bool, plain: bool) -> dict:
    """Closures that each do one training step: forward, backward, AdamW."""
    batch = size["batch"]
    image_size = size["model"]["image_size"]
    images = torch.randn(batch, 3, image_size, image_size, device=device)
    local = captions(batch, AUS, words=LOCAL_WORDS, ragged=ragged).to(device)
    whole = captions(batch, words=GLOBAL_WORDS, ragged=ragged).to(device)
    labels = torch.randint(0, 2, (batch, AUS), device=device)
    weights = torch.ones(AUS, device=device)
    model = new_model(size).to(device)
    arguments = (size["model"]["backbone"], size["model"]["backbone_args"], False, image_size)
    bare = Bare(FourStages(*arguments), AUS).to(device)

    def bare_loss():
        return F.binary_cross_entropy_with_logits(bare(images).float(), labels.float())

    def full_loss():
        return vlfau_loss(model(images, local, whole), labels, weights)["total"]

    steps = {"bare": (bare, bare_loss), "full": (model, full_loss)}
    if plain:
        slow = PlainVLFAU(model).to(device)
        steps["plain"] = (
            slow,
            lambda: plain_loss(slow(images, local, whole), local, whole, labels),
        )
    return {name: stepper(*pair, device, amp) for name, pair in steps.items()}


def new_model(size: dict) -> VLFAU:
    return VLFAU(
        num_aus=AUS, local_vocab=VOCABULARY, global_vocab=VOCABULARY, dropout=0.0, **size["model"]
    )


def plain_loss(output, local, whole, labels) -> torch.Tensor:
    """The same four terms without their masks."""
    au_logits, spoken, described, gau = output
    words = F.cross_entropy(spoken.flatten(0, 2), local[..., 1:].flatten(), ignore_index=0)
    words = words + F.cross_entropy(described.flatten(0, 1), whole[:, 1:].flatten(), ignore_index=0)
    heads = torch.stack([au_logits, gau]).flatten(0, 2)
    return words + 2 * F.cross_entropy(heads, labels.flatten().repeat(2))


def stepper(module: nn.Module, loss, device: str, amp: bool):
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=amp):
            value = loss()
        value.backward()
        optimizer.step()

    return step


def inference_steps(size: dict, device: str) -> dict:
    """Closures of the backbone alone, AU predictions, and AU predictions with captions."""
    model = new_model(size).to(device).eval()
    image_size = size["model"]["image_size"]
    images = torch.randn(size["infer"], 3, image_size, image_size, device=device)
    cap = {"max_words_local": LOCAL_WORDS, "max_words_global": GLOBAL_WORDS}

    def bare() -> None:
        with torch.inference_mode():
            model.stem(images)

    return {
        "bare": bare,
        "predict": lambda: model.predict(images),
        "describe": lambda: model.explain(images, beam_width=3, **cap),
    }


def measure(steps: dict, repeats: int, device: str, clock) -> dict[str, list[float]]:
    """Seconds of every variant, taking turns; one unmeasured turn first."""
    seconds = {name: [] for name in steps}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            synchronize(device)
            start = clock()
            step()
            synchronize(device)
            if turn:
                seconds[name].append(clock() - start)
    return seconds


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def show(title: str, seconds: dict[str, list[float]]) -> None:
    print(title)
    for name, times in seconds.items():
        ratio = statistics.median(t / b for t, b in zip(times, seconds["bare"], strict=True))
        print(f"  {name:9s} {statistics.median(times) * 1e3:9.1f} ms   {ratio:5.2f} x bare")
    if "plain" in seconds:
        pairs = zip(seconds["plain"], seconds["full"], strict=True)
        print(f"  full is {statistics.median(p / f for p, f in pairs):.2f} times as fast as plain")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("size", choices=SIZES, nargs="?", default="tiny")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, help="training batch; default 32 (tiny) or 4 (swin-b)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--ragged", action="store_true", help="captions of unequal lengths")
    parser.add_argument("--no-plain", action="store_true", help="leave the plain version out")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="processor seconds of one thread: fair on a machine that others use too",
    )
    parser.add_argument("--inference", action="store_true", help="time inference instead")
    options = parser.parse_args()
    torch.set_num_threads(1 if options.cpu_time else options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    torch.manual_seed(0)
    size = {**SIZES[options.size]}
    size["batch"] = options.batch or size["batch"]
    print(f"torch {torch.__version__}, {options.device}, {torch.get_num_threads()} threads")
    if options.inference:
        steps, title = inference_steps(size, options.device), f"inference, batch {size['infer']}"
    else:
        steps = train_steps(size, options.device, options.ragged, options.amp, not options.no_plain)
        title = f"training step, batch {size['batch']}"
    show(f"{options.size}: {title}", measure(steps, options.repeats, options.device, clock))


if __name__ == "__main__":
    main()

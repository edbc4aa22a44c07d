"""Measure VL-FAU against its bare backbone and against a plain implementation.

    python benchmarks/speed/vlfau.py                  every ratio, beside its aim
    python benchmarks/speed/vlfau.py tiny             a training step of the small model alone
    python benchmarks/speed/vlfau.py swin-b --repeats 5
    python benchmarks/speed/vlfau.py inference | loader | variants
    python benchmarks/speed/vlfau.py --device cuda    a table for the model card
    python benchmarks/speed/vlfau.py estimate         the same from operator counts, without a GPU

All variants take turns in one run, so that other work on the machine affects them equally. Times
are medians over turns, and ratios are medians of each turn's ratio.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import vlfau_estimate
import vlfau_loader
from vlfau_steps import (
    GLOBAL_WORDS,
    LOCAL_WORDS,
    SIZES,
    TrainingSteps,
    inference_steps,
    ratio,
    synchronise,
    take_turns,
)

MOST_TO_BARE = {"swin-b": 1.25, "tiny": 2.8}
LEAST_TO_PLAIN = {"swin-b": 1.9, "tiny": 2.3}
MOST_TO_BACKBONE = {"AUs": 1.15, "AUs and texts": 1.5}
LEAST_OF_BARE_LOOP = 0.8
INFERENCE_BATCH, TABLE_BATCH, LOADER_PROCESSES = 8, 64, 2


def show(name: str, seconds: list[float], rest: str = "") -> None:
    """Print the median of a step's seconds in milliseconds, and a text after it."""
    print(f"  {name:22s}{statistics.median(seconds) * 1e3:9.1f} ms   {rest}".rstrip())


def training(size_name: str, options: argparse.Namespace) -> None:
    """Measure a training step of the bare backbone, of VL-FAU and of the plain version."""
    size = SIZES[size_name]
    batch = options.batch or size.batch
    make = TrainingSteps(size, batch, options.device, options.ragged)
    steps = {"bare backbone": make.bare(options.amp), "VL-FAU": make.full(options.amp)}
    if not options.no_plain:
        steps["plain version"] = make.plain(options.amp)
    print(f"Training step: {size.title}, batch {batch}")
    seconds = take_turns(steps, options.repeats, options.device, options.clock)
    for name, times in seconds.items():
        show(name, times, f"{ratio(seconds, name, 'bare backbone'):5.2f} x bare")
    most, least = MOST_TO_BARE[size_name], LEAST_TO_PLAIN[size_name]
    aim(ratio(seconds, "VL-FAU", "bare backbone"), "of the bare step", f"at most {most}")
    if not options.no_plain:
        faster = ratio(seconds, "plain version", "VL-FAU")
        aim(faster, "times as fast as the plain version", f"at least {least}")


def inference(options: argparse.Namespace) -> None:
    """Measure AU predictions and captions by beam search against the backbone's forward pass."""
    size, batch = SIZES["swin-b"], options.batch or INFERENCE_BATCH
    print(f"Inference: {size.title}, batch {batch}, beam width 3")
    print(f"  the worst case: all texts go on to the end, {LOCAL_WORDS} words local, ", end="")
    print(f"{GLOBAL_WORDS} global")
    steps = inference_steps(size, batch, options.device, options.amp)
    seconds = take_turns(steps, options.repeats, options.device, options.clock)
    for name, times in seconds.items():
        show(name, times)
    for name, most in MOST_TO_BACKBONE.items():
        aim(ratio(seconds, name, "backbone"), f"of the backbone: {name}", f"at most {most}")


def loader(options: argparse.Namespace) -> None:
    """Measure the loader's faces per second against a bare loop of decoding and cropping."""
    processes = LOADER_PROCESSES
    bare, library, faces = vlfau_loader.compare(options.repeats, processes, options.clock)
    print(f"Loader: JPEG files of 256 pixels to crops of 224, {processes} processes")
    for name, seconds in (("bare loop", bare), ("loader", library)):
        print(f"  {name:22s}{faces / statistics.median(seconds):9.0f} faces/s")
    share = statistics.median(b / a for b, a in zip(bare, library, strict=True))
    aim(share, "of the bare loop's speed", f"at least {LEAST_OF_BARE_LOOP}")


def variants(options: argparse.Namespace) -> None:
    """Measure a training step in float32, with bfloat16 autocast, and with a compiled backbone."""
    for size in (SIZES[options.size],) if options.size else SIZES.values():
        batch = options.batch or size.batch
        make = TrainingSteps(size, batch, options.device, options.ragged)
        steps = {
            "float32": make.full(False),
            "bfloat16": make.full(True),
            "backbone compiled": make.full(False, compiled=True),
        }
        print(f"Training step: {size.title}, batch {batch}")
        seconds = take_turns(steps, options.repeats, options.device, options.clock)
        for name, times in seconds.items():
            show(name, times, f"{ratio(seconds, name, 'float32'):5.2f} x float32")


def table(options: argparse.Namespace) -> None:
    """Print images per second and peak memory of a training step as a Markdown table."""
    size, batch = SIZES[options.size or "swin-b"], options.batch or TABLE_BATCH
    make = TrainingSteps(size, batch, options.device, options.ragged)
    makers = {"bare backbone": make.bare, "VL-FAU": make.full, "plain version": make.plain}
    steps, memory = {}, {}
    for name, maker in makers.items():
        steps[name], memory[name] = step_and_memory(maker, options.device)
    seconds = take_turns(steps, options.repeats, options.device, options.clock, each=3)
    where = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    print(f"{where}, torch {torch.__version__}, {size.title}, batch {batch}, bfloat16:\n")
    print("| training step | images a second | time, of the bare step's | peak memory |")
    print("|---|---|---|---|")
    for name, times in seconds.items():
        speed, times_bare = batch / statistics.median(times), ratio(seconds, name, "bare backbone")
        print(f"| {name} | {speed:.0f} | {times_bare:.2f} | {memory[name]} |")


def estimate(options: argparse.Namespace) -> None:
    """Estimate the table of a GPU from the operators of a step, without a GPU."""
    for size in (SIZES[options.size],) if options.size else SIZES.values():
        vlfau_estimate.show(size, options.batch or TABLE_BATCH)


def step_and_memory(maker, device: str) -> tuple:
    """Return a step after three warm-up steps, and the peak memory of its model and steps."""
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    step = maker(True)
    for _ in range(3):
        step()
    synchronise(device)
    if device != "cuda":
        return step, "not measured"
    return step, f"{(torch.cuda.max_memory_allocated() - before) / 2**30:.1f} GiB"


def aim(value: float, meaning: str, target: str) -> None:
    """Print a ratio beside its aim."""
    print(f"  -> {value:.2f} {meaning} (aim: {target})")


def processor_seconds() -> float:
    """Return the processor seconds of this process and of its finished child processes."""
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


def everything(options: argparse.Namespace) -> None:
    """Measure every part that has an aim."""
    training("swin-b", options)
    training("tiny", options)
    inference(options)
    loader(options)


PARTS = {
    "all": everything,
    "tiny": lambda options: training("tiny", options),
    "swin-b": lambda options: training("swin-b", options),
    "inference": inference,
    "loader": loader,
    "variants": variants,
    "table": table,
    "estimate": estimate,
}


def main() -> None:
    """Measure the part that the options name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "part", choices=PARTS, nargs="?", help="the part to measure; all, or table on a GPU"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--repeats", type=int, default=5, help="number of timed turns")
    parser.add_argument(
        "--batch", type=int, help="images per batch, instead of each part's own number"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="device")
    parser.add_argument("--size", choices=SIZES, help="size of the model for table and variants")
    parser.add_argument("--amp", action="store_true", help="use bfloat16 autocast")
    parser.add_argument("--ragged", action="store_true", help="use captions of unequal lengths")
    parser.add_argument("--no-plain", action="store_true", help="leave the plain version out")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="measure processor seconds with torch on one thread: fair on a shared machine",
    )
    options = parser.parse_args()
    torch.set_num_threads(1 if options.cpu_time else options.threads)
    options.clock = processor_seconds if options.cpu_time else time.perf_counter
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {options.device}, {torch.get_num_threads()} threads")
    PARTS[options.part or ("table" if options.device == "cuda" else "all")](options)


if __name__ == "__main__":
    main()

"""Cropping of all sequences in several processes.

The sequences with the most frames are cropped first. When a run is stopped, the files of completed
frames remain usable.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from ctypes import c_int
from multiprocessing import connection, get_context, parent_process
from typing import Any

import cv2

from fauds.errors import DataError, FaudsError
from fauds.faces.plan import SequenceJob
from fauds.faces.sequence import Stopped, crop

_GO, _AFTER_PART, _NOW = range(3)
_PROGRESS_INTERVAL = 0.3  # seconds between two updates of the progress

Advance = Callable[[int], None]
"""A function that is called with the number of frames finished since its last call."""


def crop_all(jobs: Sequence[SequenceJob], workers: int, advance: Advance) -> None:
    """Crop the faces of all sequences; the files do not depend on the number of processes.

    If an error occurs in one process, every other process first finishes its current part of a
    sequence (up to 512 frames), so that a later run can resume after that part.

    Args:
        jobs: the sequences, in any order.
        workers: the number of processes; with 1, this process does the work.
        advance: a function that is called with the number of frames finished since its last call.

    Raises:
        DataError: a sequence cannot be cropped, or the operating system killed a process.
    """
    longest_first = sorted(jobs, key=lambda job: -int(job.keep.sum()))
    if workers == 1 or len(jobs) < 2:
        for job in longest_first:
            crop(job, lambda begins: None, advance)
    else:
        _crop_in_processes(longest_first, min(workers, len(jobs)), advance)


def _crop_in_processes(jobs: Sequence[SequenceJob], workers: int, advance: Advance) -> None:
    # spawn: a fork of a process with running threads (torch, Arrow) may hang.
    context = get_context("spawn")
    stop, done = context.RawValue(c_int, _GO), context.Value("q", 0)
    pool = ProcessPoolExecutor(workers, context, _begin, (stop, done))
    try:
        with _interrupts_ignored():
            futures = [pool.submit(_work, job) for job in jobs]
        _wait_for(futures, done, advance)
    except FaudsError:
        stop.value = _AFTER_PART
        raise
    except BrokenProcessPool as error:
        raise DataError(
            "A worker process was killed from outside, probably because memory ran out.",
            hint="run the same command again: it resumes where it stopped; fewer processes "
            "(--workers) need less memory",
        ) from error
    except BaseException:
        stop.value = _NOW
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _wait_for(futures: Sequence[Future[None]], done: Any, advance: Advance) -> None:
    shown = 0
    waiting = set(futures)
    while waiting:
        finished, waiting = wait(waiting, _PROGRESS_INTERVAL, FIRST_EXCEPTION)
        # Read without the lock, which a killed worker may still hold.
        now = done.get_obj().value
        advance(now - shown)
        shown = now
        for future in finished:
            future.result()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Make processes that start in this context ignore Ctrl-C from the start.

    Only the parent process reacts to Ctrl-C, and stops its worker processes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_shared: Any = None


def _begin(stop: Any, done: Any) -> None:
    """Set up a worker process, which uses one OpenCV thread and ends when its parent ends.

    Args:
        stop: a value in shared memory, which the parent changes to stop its workers.
        done: the number of finished frames in shared memory, to which all workers add.
    """
    global _shared
    _shared = stop, done
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(job: SequenceJob) -> None:
    # The parent process that stopped the run reports the reason.
    with suppress(Stopped):
        crop(job, _check, _advance)


def _check(part_begins: bool) -> None:
    stop, _ = _shared
    if stop.value == _NOW or (part_begins and stop.value == _AFTER_PART):
        raise Stopped


def _advance(frames: int) -> None:
    _, done = _shared
    with done.get_lock():
        done.value += frames

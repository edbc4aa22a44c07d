"""Sequences over processes: the longest first, stopped promptly, and never left behind."""

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
_OFTEN = 0.3  # seconds between two looks at how far the workers are

Advance = Callable[[int], None]
"""Is told how many more frames are done."""


def crop_all(jobs: Sequence[SequenceJob], workers: int, advance: Advance) -> None:
    """Crop sequences; the files do not depend on the number of processes.

    Args:
        jobs: in any order.
        workers: processes; 1 works in this one.
        advance: shows progress.

    Raises:
        DataError: the first that a sequence raised, once the others have finished their parts;
            or a process was ended by the operating system.
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
        _watch(futures, done, advance)
    except FaudsError:
        stop.value = _AFTER_PART
        raise
    except BrokenProcessPool as error:
        raise DataError(
            "A worker process was ended from outside, as happens where memory is short.",
            hint="run the same command again: it goes on where it stopped; with fewer processes "
            "it needs less memory (--workers)",
        ) from error
    except BaseException:
        stop.value = _NOW
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _watch(futures: Sequence[Future[None]], done: Any, advance: Advance) -> None:
    shown = 0
    waiting = set(futures)
    while waiting:
        finished, waiting = wait(waiting, _OFTEN, FIRST_EXCEPTION)
        # Without the lock: a worker that was killed may hold it.
        now = done.get_obj().value
        advance(now - shown)
        shown = now
        for future in finished:
            future.result()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let processes that begin here ignore Ctrl-C from their first moment: it is ours to tell."""
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
    """Make a process ready: the shared values, one thread, and an end when the parent ends."""
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
    # Stopped: the run ends, and whoever ended it says why.
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

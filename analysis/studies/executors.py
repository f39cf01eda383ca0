"""Where the tasks of a study run: processes of this machine, or a Ray cluster."""

import multiprocessing
import os
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from ...representations.errors import InputError

__all__ = ["ENGINES", "Done", "attempt", "lost"]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Done:
    """How a task ended: wall and CPU seconds, and what went wrong."""

    task: Any
    wall: float
    cpu: float
    error: str = ""

    @property
    def why(self) -> str:
        """The last line of the error, to be shown behind the task."""
        return f"  failed: {self.error.strip().splitlines()[-1][:200]}" if self.error else ""


def attempt(task: T, action: Callable[[T], object]) -> Done:
    """Do a task, in whatever process; an error is told, not raised."""
    wall, cpu = time.perf_counter(), time.process_time()
    error = ""
    try:
        action(task)
    except InputError as wrong:
        error = f"InputError: {wrong}"
    except Exception:
        error = traceback.format_exc()
    return Done(task, time.perf_counter() - wall, time.process_time() - cpu, error)


def lost(task: object) -> Done:
    """What is told of a task whose process died again."""
    return Done(task, 0.0, 0.0, "the process died, twice; was there enough memory?")


def _ready(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _start(threads: int) -> None:
    """In a process of :func:`local`, which ends when the one that started it does, however that comes about: orphans
    would go on beside whoever continues their work."""
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _ready(threads)


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def local(
    work: Callable[[T], R], tasks: Sequence[T], lost: Callable[[T], R], *, jobs: int, threads: int
) -> Iterator[R]:
    """Results as they come, from ``jobs`` processes. Where one dies (out of memory, say), what was running is begun
    again, once; a task that was running in two deaths is ``lost``."""
    left, suspected = list(tasks), Counter[int]()
    while left:
        pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _start, (threads,))
        waiting: dict[Future[R], T] = {}
        try:
            for task in left:
                waiting[pool.submit(work, task)] = task
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    left.remove(waiting.pop(future))
                    yield result
        except BrokenProcessPool:
            for task in left[: jobs + 1]:  # tasks are begun in order
                suspected[id(task)] += 1
            for task in [t for t in left if suspected[id(t)] > 1]:
                left.remove(task)
                yield lost(task)
        finally:
            pool.shutdown(cancel_futures=True)


def ray(work: Callable[[T], R], tasks: Sequence[T], lost: Callable[[T], R], *, jobs: int, threads: int) -> Iterator[R]:
    """The same on a Ray cluster, or a new local one: each task takes ``threads`` CPUs, and ``jobs`` run at once."""
    try:
        import ray as cluster
    except ImportError:
        raise InputError("engine: ray is not installed; pip install 'intertwine[ray]'") from None
    try:
        cluster.init(ignore_reinit_error=True, num_cpus=jobs * threads, log_to_driver=False)
    except ValueError:  # there is a cluster, and it says itself how many it has
        cluster.init(ignore_reinit_error=True, log_to_driver=False)

    @cluster.remote(num_cpus=threads, max_retries=1)
    def remote(task: T) -> R:
        _ready(threads)
        return work(task)

    running: dict[Any, T] = {}
    coming = iter(tasks)
    while True:
        while len(running) < jobs and (task := next(coming, None)) is not None:
            running[remote.remote(task)] = task
        if not running:
            return
        ready = cluster.wait(list(running))[0][0]
        task = running.pop(ready)
        try:
            result = cluster.get(ready)
        except cluster.exceptions.RayError:  # its process died, again
            result = lost(task)
        yield result


ENGINES: dict[str, Callable[..., Iterator[Any]]] = {"local": local, "ray": ray}

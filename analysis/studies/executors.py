"""Where the tasks of a study run: in processes of this machine, or on a Ray cluster."""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Any, TypeVar

from ...representations.errors import InputError

__all__ = ["ENGINES", "Done", "attempt", "lost"]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Done:
    """How a task ended: wall and CPU seconds, and the error, if any."""

    task: Any
    wall: float
    cpu: float
    error: str = ""

    @property
    def why(self) -> str:
        """The last line of the error, for the log."""
        return f"  failed: {self.error.strip().splitlines()[-1][:200]}" if self.error else ""


def attempt(task: T, action: Callable[[T], object]) -> Done:
    """Do a task, in any process. An error is returned, not raised."""
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
    """The outcome of a task whose process died twice."""
    return Done(task, 0.0, 0.0, "the process died, twice; was there enough memory?")


def _ready(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _start(threads: int, stopped: Event) -> None:
    """Prepare a process of :func:`local`. It ends with the process that started it, and when that stops: it would go on
    beside the study that continues its work. Ctrl-C reaches both; what it means is decided there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (parent := multiprocessing.parent_process()) is not None:
        for ending in (parent.join, stopped.wait):
            threading.Thread(target=_end_after, args=(ending,), daemon=True).start()
    _ready(threads)


def _end_after(ending: Callable[[], object]) -> None:
    ending()
    os._exit(1)


def local(
    work: Callable[[T], R], tasks: Sequence[T], lost: Callable[[T], R], *, jobs: int, threads: int
) -> Iterator[R]:
    """Results as they come, from ``jobs`` processes. If one dies (of too little memory, say), the tasks that ran start
    again, once. A task that ran at two deaths is ``lost``."""
    left, suspected = list(tasks), Counter[int]()
    while left:
        context = multiprocessing.get_context("spawn")
        stopped = context.Event()
        pool = ProcessPoolExecutor(jobs, context, _start, (threads, stopped))
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
            for task in left[: jobs + 1]:  # tasks start in order
                suspected[id(task)] += 1
            for task in [t for t in left if suspected[id(t)] > 1]:
                left.remove(task)
                yield lost(task)
        except BaseException:  # interrupted, or nobody wants the rest: what runs must not be waited for
            stopped.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def ray(work: Callable[[T], R], tasks: Sequence[T], lost: Callable[[T], R], *, jobs: int, threads: int) -> Iterator[R]:
    """The same on a Ray cluster, or on a new local one. A task takes ``threads`` CPUs, and ``jobs`` run at once."""
    try:
        import ray as cluster
    except ImportError:
        raise InputError("engine: ray is not installed; pip install 'intertwine[ray]'") from None
    try:
        cluster.init(ignore_reinit_error=True, num_cpus=jobs * threads, log_to_driver=False)
    except ValueError:  # a cluster exists, and knows its own number of CPUs
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

"""Where fits run: one after the other in this process, or several at a time in others that map the same features from disk.

The results are the same bits either way: a job says everything its result depends on, and the number of threads does not count.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import cast

import numpy as np

from intraday.domain.arrays import F4
from intraday.domain.errors import StorageError
from intraday.model.boosting import FitJob, FitResult, fit
from intraday.model.scratch import scratch, sweep
from intraday.model.work import WorkFolder, digest_of, key_of

SMALL = 4_000_000  # values in the features, below which another process takes longer to start than it saves
LOOK_S = 0.5  # how often progress is looked at

Told = Callable[[int, int], None]  # (rounds done, rounds at the most) of the jobs that run


@dataclass(frozen=True, slots=True)
class Resources:
    """What training may use of the machine; none of it changes a result.

    ``work``: folder in which finished fits are kept, for the next run after this one was killed. ``storage``: Optuna's storage URL
    of the tuning studies; None: they are not stored.
    """

    workers: int = 1
    work: Path | None = None
    storage: str | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """Features float32 in a file."""

    path: str
    offset: int
    shape: tuple[int, int]

    def open(self) -> F4:
        """Mapped, read-only."""
        return np.memmap(self.path, dtype=np.float32, mode="r", offset=self.offset, shape=self.shape)


class Fits:
    """Runs jobs on the features ``x`` float32 [n, F]; a context manager that ends its processes and removes its files.

    ``threads``: of all fits that run at a time together.
    """

    def __init__(self, x: F4, threads: int, resources: Resources) -> None:
        self.x = x
        self._threads = threads
        self._workers = resources.workers if x.size >= SMALL else 1
        self._work = None if resources.work is None else WorkFolder(resources.work)
        self._held = ExitStack()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Fits:
        sweep(Path(tempfile.gettempdir()))  # most trainings need no folder there, and one that was killed left one
        if self._work is not None:
            self._held.enter_context(self._work.in_use())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pool is not None:
            for process in list(self._pool._processes.values()) if error is not None else []:
                process.terminate()  # a fit takes minutes, and nobody waits for it any more
            self._pool.shutdown(cancel_futures=True)
        self._held.close()

    def run(self, jobs: Iterable[FitJob], n: int, rounds: int, told: Told) -> list[FitResult]:
        """The results of ``n`` jobs of ``rounds`` rounds at the most, in their order; jobs are made when there is room for them.

        Raises StorageError when a process was ended from outside, most likely for want of memory.
        """
        if self._workers == 1 or n <= 1:
            return [self._here(job, k, n, rounds, told) for k, job in enumerate(jobs)]
        return self._there(jobs, n, rounds, told)

    def _here(self, job: FitJob, k: int, n: int, rounds: int, told: Told) -> FitResult:
        told(k * rounds, n * rounds)
        threads = self._threads if self.x.size >= SMALL else 1
        result = kept(self.x, job, threads, lambda done: told(k * rounds + done, n * rounds), self._work, self._key(job))
        told((k + 1) * rounds, n * rounds)
        return result

    def _there(self, jobs: Iterable[FitJob], n: int, rounds: int, told: Told) -> list[FitResult]:
        counts = self._counts(n)
        run = partial(_in_worker, self._mapped, max(1, self._threads // self._workers), self._work)
        found: dict[int, FitResult] = {}
        running: dict[Future[FitResult], int] = {}
        left = enumerate(jobs)
        try:
            while len(found) < n:
                for k, job in islice(left, self._workers - len(running)):
                    running[self._processes.submit(run, job, self._key(job), (str(counts.filename), n, k))] = k
                done, _ = wait(running, timeout=LOOK_S, return_when=FIRST_COMPLETED)
                for future in done:
                    k = running.pop(future)
                    found[k], counts[k] = future.result(), rounds
                told(int(counts.sum()), n * rounds)
        except BrokenProcessPool as error:
            raise StorageError(
                "a training process was ended from outside, most likely for want of memory: lower model.workers, run again; "
                "what was finished is kept"
            ) from error
        return [found[k] for k in range(n)]

    def _key(self, job: FitJob) -> str:
        return "" if self._work is None else key_of(job, self.digest)

    def _counts(self, n: int) -> np.memmap[tuple[int], np.dtype[np.int32]]:
        """How many rounds each of n jobs has done, in a file that the processes write."""
        handle, name = tempfile.mkstemp(dir=self._directory)
        os.close(handle)
        return np.memmap(name, dtype=np.int32, mode="w+", shape=(n,))

    @cached_property
    def digest(self) -> str:
        """sha256 of the features."""
        return digest_of(self.x)

    @cached_property
    def _directory(self) -> str:
        return str(self._held.enter_context(scratch(None)))

    @cached_property
    def _mapped(self) -> Mapped:
        """The features in a file: the one they are mapped from, or a new one."""
        x, base = self.x, cast(object, self.x.base)
        if isinstance(x, np.memmap) and isinstance(base, mmap.mmap) and x.dtype == np.float32 and x.flags["C_CONTIGUOUS"]:
            return Mapped(str(x.filename), int(x.offset), (x.shape[0], x.shape[1]))
        path = Path(self._directory) / "x.bin"
        path.write_bytes(np.ascontiguousarray(x, dtype=np.float32).data)
        return Mapped(str(path), 0, (x.shape[0], x.shape[1]))

    @cached_property
    def _processes(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(self._workers, mp_context=context, initializer=_end_with_parent)
        return self._pool


def kept(x: F4, job: FitJob, threads: int, told: Callable[[int], None], work: WorkFolder | None, key: str) -> FitResult:
    """The result kept under ``key``, or a new one, which is kept."""
    found = None if work is None else work.get(key)
    if found is not None:
        return found
    result = fit(x, job, threads, told)
    if work is not None:
        work.put(key, result)
    return result


def _in_worker(x: Mapped, threads: int, work: WorkFolder | None, job: FitJob, key: str, cell: tuple[str, int, int]) -> FitResult:
    """One job in another process, which tells its rounds in a cell of a shared file."""
    path, n, k = cell
    counts = np.memmap(path, dtype=np.int32, mode="r+", shape=(n,))

    def told(rounds: int) -> None:
        counts[k] = rounds

    return kept(x.open(), job, threads, told, work, key)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever, and fit for nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

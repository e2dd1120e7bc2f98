"""Finished fits, kept on disk until the training they belong to is done: a run that was killed takes them up again.

A file is named by the sha256 of everything its fit depends on, begins with the sha256 of its content, and is renamed into place
complete. What is damaged is as good as not there.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F4
from intraday.domain.errors import StorageError
from intraday.model.boosting import FitJob, FitResult, Weighed
from intraday.model.fingerprint import fingerprint
from intraday.model.scratch import locked

CHUNK = 65_536  # rows hashed at a time
SUFFIX = ".fit"


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """Files of finished fits in one folder, made when the first is kept."""

    path: Path

    def get(self, key: str) -> FitResult | None:
        """The result kept under ``key``; None where there is none, or only a damaged one."""
        try:
            content = self._file(key).read_bytes()
        except OSError:
            return None
        digest, body = content[:32], content[32:]
        return _result(body) if hashlib.sha256(body).digest() == digest else None

    def put(self, key: str, result: FitResult) -> None:
        """Keep it. Raises StorageError when the disk is full or the folder cannot be written."""
        body = _content(result)
        temporary = self.path / f".{key}.{os.getpid()}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(hashlib.sha256(body).digest())
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._file(key))
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise StorageError(
                f"{self.path}: a finished fit could not be kept ({error.strerror}): free some disk, run again"
            ) from error

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While the block runs nobody clears it, whoever trains beside this one. Raises StorageError where it cannot be made."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = locked(self.path, fcntl.LOCK_SH)
        except OSError as error:
            raise StorageError(f"{self.path}: expected a folder to keep finished fits in, found {error.strerror}") from error
        try:
            yield
        finally:
            os.close(handle)

    def clear(self) -> bool:
        """Forget every fit, as the model they were made for is stored; False and nothing where another training uses them.

        The last one that ends clears what all of them left.
        """
        try:
            handle = locked(self.path)
        except OSError:  # in use, or never made
            return False
        try:
            for pattern in (f"*{SUFFIX}", ".*"):
                for file in self.path.glob(pattern):
                    if file.is_file():
                        file.unlink(missing_ok=True)
        finally:
            os.close(handle)
        return True

    def _file(self, key: str) -> Path:
        return self.path / f"{key}{SUFFIX}"


def key_of(job: FitJob, x_digest: str) -> str:
    """sha256 of everything a fit's result depends on; ``x_digest``: ``digest_of`` its features."""
    found = hashlib.sha256()
    for part in _parts(job):
        content = part if isinstance(part, bytes) else np.ascontiguousarray(part).data
        found.update(len(content).to_bytes(8, "little"))
        found.update(content)
    plain = [job.names, dict(job.parameters), job.rounds, job.patience, x_digest, fingerprint()]
    found.update(json.dumps(plain, sort_keys=True).encode())
    return found.hexdigest()


def digest_of(x: F4) -> str:
    """sha256 of a feature matrix, read in chunks."""
    found = hashlib.sha256(str(x.shape).encode())
    for k in range(0, len(x), CHUNK):
        found.update(np.ascontiguousarray(x[k : k + CHUNK]).data)
    return found.hexdigest()


def digest_of_plain(plain: Any, *arrays: NDArray[Any]) -> str:
    """sha256 of what JSON can say, of arrays, and of the libraries and the machine."""
    found = hashlib.sha256(json.dumps([plain, fingerprint()], sort_keys=True).encode())
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _parts(job: FitJob) -> Iterator[bytes | NDArray[Any]]:
    rows: Weighed | None
    for rows in (job.fit, job.stop):
        yield b"none" if rows is None else rows.at
        if rows is not None:
            yield rows.label
            yield b"none" if rows.weight is None else rows.weight
    yield job.ask
    yield job.explain


def _content(result: FitResult) -> bytes:
    arrays = {f.name: np.asarray(getattr(result, f.name)) for f in fields(FitResult) if f.name != "text"}
    out = io.BytesIO()
    np.savez(out, **arrays, text=np.frombuffer(result.text.encode(), dtype=np.uint8), allow_pickle=False)
    return out.getvalue()


def _result(content: bytes) -> FitResult:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {f.name: file[f.name] for f in fields(FitResult) if f.name not in ("text", "rounds")}
        return FitResult(text=file["text"].tobytes().decode(), rounds=int(file["rounds"]), **arrays)

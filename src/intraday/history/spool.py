"""Rows to learn from, on disk: appended chunk by chunk, read back as memory-mapped columns that processes share.

One raw file a column of ``model.dataset.Dataset``, little-endian as numpy has it. What is mapped costs no memory of its own: pages
are the system's, and it may drop them. The folder is ``model.scratch``'s: whoever made it removes it.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from intraday.domain.errors import StorageError
from intraday.model.dataset import Dataset

COLUMNS = tuple(f.name for f in fields(Dataset))


class RowSpool:
    """Give it chunks in order of time; ``rows()`` maps them all, once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digest = hashlib.sha256()
        self._like: Dataset | None = None
        self._n = 0
        self._files: dict[str, BinaryIO] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._files = {name: self._path(name).open("wb") for name in COLUMNS}
        except OSError as error:
            raise StorageError(f"{folder}: expected a folder to keep rows in while training, found {error.strerror}") from error

    def __enter__(self) -> RowSpool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for file in self._files.values():
            file.close()

    def append(self, part: Dataset) -> None:
        """Rows that follow all earlier ones. StorageError when the disk is full."""
        if self._like is None:
            self._like = part.rows(np.empty(0, dtype=np.int64))
        try:
            for name in COLUMNS:
                content = np.ascontiguousarray(getattr(part, name)).data
                self._files[name].write(content)
                self._digest.update(content)
        except OSError as error:
            raise StorageError(f"{self._folder}: rows could not be kept ({error.strerror}): free some disk, run again") from error
        self._n += len(part)

    @property
    def digest(self) -> str:
        """sha256 of all that was appended; another order or another cut into chunks is another digest."""
        return self._digest.hexdigest()

    def rows(self) -> Dataset:
        """Everything that was appended, mapped read-only; at least one chunk must have been."""
        assert self._like is not None, "nothing was appended"
        for file in self._files.values():
            file.flush()
        return Dataset(**{name: self._mapped(name, getattr(self._like, name)) for name in COLUMNS})

    def _mapped(self, name: str, like: NDArray[Any]) -> NDArray[Any]:
        shape = (self._n, *like.shape[1:])
        if 0 in shape:
            return np.empty(shape, like.dtype)
        return np.memmap(self._path(name), dtype=like.dtype, mode="r", shape=shape)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.bin"

"""Trainings side by side and trainings that were killed: nobody loses what he works on, and nothing lies about for ever."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest

from intraday.domain.errors import StorageError
from intraday.model.boosting import FitResult
from intraday.model.pool import Fits, Resources
from intraday.model.scratch import PREFIX, scratch
from intraday.model.work import WorkFolder
from training_child import child

HOLDS = """
import sys
from pathlib import Path
from intraday.model.scratch import scratch
with scratch(Path(sys.argv[1])) as folder:
    (folder / "x.bin").write_bytes(bytes(100))
    print(folder, flush=True)
    sys.stdin.read()
"""

TRAINS = """
import sys
from pathlib import Path
from intraday.model.pool import Fits, Resources
from model_cases import dataset
with Fits(dataset(sessions=3).x, 1, Resources(workers=2, work=Path(sys.argv[1]))) as fits:
    print(fits._mapped.path, flush=True)
    sys.stdin.read()
"""
X = np.zeros((2, 2), np.float32)


def result() -> FitResult:
    nothing = np.empty(0)
    return FitResult("text", 1, nothing, nothing, np.empty(0, np.int64), np.empty((0, 0), np.float32), nothing)


def test_a_folder_is_gone_afterwards_and_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(KeyError), scratch(tmp_path / "new") as folder:
        assert list(folder.iterdir()) == []
        raise KeyError
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="expected a folder to work in"), scratch(tmp_path / "file"):
        pass


def test_what_a_killed_process_left_goes_and_what_a_living_one_uses_stays(tmp_path: Path) -> None:
    others = tmp_path / "rows"
    others.mkdir()
    with child(HOLDS, str(tmp_path)) as living, child(HOLDS, str(tmp_path)) as dying:
        assert living.stdout is not None and dying.stdout is not None
        used, left = Path(living.stdout.readline().strip()), Path(dying.stdout.readline().strip())
        with scratch(tmp_path) as own:
            assert {*tmp_path.iterdir()} == {used, left, others, own}
        os.kill(dying.pid, signal.SIGKILL)
        dying.wait()
        assert left.is_dir()
        with scratch(tmp_path) as own:
            assert {*tmp_path.iterdir()} == {used, others, own}
            assert (used / "x.bin").stat().st_size == 100
        os.kill(living.pid, signal.SIGKILL)
    with scratch(tmp_path):
        assert not used.exists()


def test_the_features_of_a_killed_training_are_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with child(TRAINS, str(tmp_path / "work")) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with Fits(X, 1, Resources()):
            assert left.stat().st_size > 0
        os.kill(process.pid, signal.SIGKILL)
    assert left.parent.name.startswith(PREFIX) and left.exists()
    with Fits(X, 1, Resources()):
        assert list((tmp_path / "tmp").iterdir()) == []


def test_a_training_that_ends_leaves_another_its_fits(tmp_path: Path) -> None:
    folder = WorkFolder(tmp_path / "work")
    with child(TRAINS, str(folder.path)) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with Fits(X, 1, Resources(work=folder.path)):
            folder.put("a", result())
        assert not folder.clear()
        assert folder.get("a") is not None
        os.kill(other.pid, signal.SIGKILL)
    assert folder.get("a") is not None, "a killed training finds them again"
    assert folder.clear()
    assert list(folder.path.iterdir()) == []


def test_a_work_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="expected a folder to keep finished fits in"):
        Fits(X, 1, Resources(work=tmp_path / "file" / "work")).__enter__()

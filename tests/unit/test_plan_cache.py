"""The compiled code is the code that stands in the files (numba issue 1833), with the compiler and without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = """
import numpy as np
from intraday.core.kernels import CACHE_DIR, SOURCE_HASH
from intraday.core.kernels.probe import caller
print(SOURCE_HASH, caller(np.array([1.0, 2.0])), len(list(CACHE_DIR.rglob("*.nbc"))))
"""
PROBE = """
import numba as nb

from intraday.core.kernels.callee import add


@nb.njit(cache=True)
def caller(x):
    return add(x[0], x[1])
"""
CALLEE = """
import numba as nb


@nb.njit(cache=True)
def add(a, b):
    return a + b
"""


def package(root: Path, folder: Path) -> Path:
    """A copy of the kernel package's __init__ with two small kernels in it: one calls the other, across files."""
    kernels = folder / "intraday" / "core" / "kernels"
    kernels.mkdir(parents=True)
    for init in ("intraday", "intraday/core"):
        (folder / init / "__init__.py").touch()
    shutil.copy(root / "src" / "intraday" / "core" / "kernels" / "__init__.py", kernels)
    (kernels / "probe.py").write_text(PROBE)
    (kernels / "callee.py").write_text(CALLEE)
    return kernels


def run(folder: Path, code: str = SMALL, **more: str) -> list[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    env |= {"PYTHONPATH": str(folder), "INTRADAY_CACHE_DIR": str(folder / "cache"), **more}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.split()


@pytest.mark.slow
def test_an_edited_callee_is_compiled_anew(root: Path, tmp_path: Path) -> None:
    kernels = package(root, tmp_path)
    before, value, n_cached = run(tmp_path)
    assert float(value) == 3.0 and int(n_cached) > 0
    assert run(tmp_path)[0] == before
    (kernels / "callee.py").write_text(CALLEE.replace("a + b", "a * b + 40.0"))
    after, value, _ = run(tmp_path)
    assert after != before and float(value) == 42.0


@pytest.mark.slow
def test_without_the_key_numba_would_serve_the_old_code(root: Path, tmp_path: Path) -> None:
    """The defect this guards against is real: the same edit, one folder for all sources."""
    kernels = package(root, tmp_path)
    keyless = (kernels / "__init__.py").read_text().replace('f"{source_hash}-{compiler}"', '"one-for-all"')
    assert "one-for-all" in keyless
    (kernels / "__init__.py").write_text(keyless)
    assert float(run(tmp_path)[1]) == 3.0
    (kernels / "callee.py").write_text(CALLEE.replace("a + b", "a * b + 40.0"))
    assert float(run(tmp_path)[1]) == 3.0


def test_a_cache_that_cannot_be_written_is_an_error_and_not_a_stale_cache(root: Path, tmp_path: Path) -> None:
    package(root, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(subprocess.CalledProcessError) as failure:
        run(tmp_path, INTRADAY_CACHE_DIR=str(tmp_path / "file"))
    assert "set INTRADAY_CACHE_DIR" in failure.value.stderr


PLAIN = """
import sys
import numpy as np
sys.path[:0] = [{tests!r}]
from property.test_feature_laws import feature_set, rough_panel, NAMES
from intraday.core.features import FeatureCalculator
panel = rough_panel(4)
out = FeatureCalculator(feature_set(*NAMES), np.arange(9) > 0, 0).batch(panel.rows(0, 130))
np.save({path!r}, out)
"""


@pytest.mark.slow
def test_the_same_values_without_the_compiler(root: Path, tmp_path: Path) -> None:
    import numpy as np

    results = []
    for disable in ("0", "1"):
        path = str(tmp_path / f"{disable}.npy")
        env = os.environ | {"PYTHONPATH": str(root / "src"), "NUMBA_DISABLE_JIT": disable}
        code = PLAIN.format(tests=str(root / "tests"), path=path)
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300, check=True)
        results.append(np.load(path))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6, atol=1e-9)

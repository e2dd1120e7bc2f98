"""The controls in full: 400 null markets, the same of markets taken apart, and the power grid. Hours; stop and go on at will.

    python scripts/run_controls.py [--smoke] [--only null|broken|power] [--workers 2] [--folder var/controls]

Every market is one line of JSON, written when it is done; the next run takes up what is missing. Results of other code (model,
generator, controls, kernels) stay in the file and count for nothing. Prints the tables at the end and writes them as JSON beside.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import intraday
from intraday.backtest.control_markets import recipe
from intraday.backtest.control_tables import MAIN_CELL, document
from intraday.backtest.controls import (
    Control,
    NullResult,
    PlantedResult,
    broken_null,
    planted_result,
    simulated_null,
)
from intraday.core.kernels import SOURCE_HASH
from intraday.core.null_markets.sizes import (
    N_NULLS,
    N_POWER,
    N_POWER_MAIN,
    PLANTED_HORIZON,
    POWER_MULTIPLES,
    POWER_SIZES,
)
from intraday.domain.session import SessionTable

PLANTED = (Control.PLANTED, Control.SHIPPED)
BROKEN = (Control.SESSIONS, Control.ROWS, Control.SHIFTED)
SMOKE = {"null": 40, "broken": 4, "power": 2, "main": 6}
WHOLE = {"null": N_NULLS, "broken": N_POWER, "power": N_POWER, "main": N_POWER_MAIN}


class Task(NamedTuple):
    """One market: a null's ``control``, or one of PLANTED with its cell."""

    control: str
    multiple: int
    size: int  # of POWER_SIZES; 0 for nulls
    number: int


def tasks(counts: dict[str, int], only: str) -> Iterator[Task]:
    """All markets, round by round over the kinds, so that a run that is stopped has something of each."""
    wanted: list[tuple[int, Task]] = []
    if only in ("", "null"):
        wanted += [(10 * k, Task(Control.MARTINGALE, 0, 0, k)) for k in range(counts["null"])]
    if only in ("", "broken"):
        wanted += [(100 * k, Task(c, 0, 0, k)) for c in BROKEN for k in range(counts["broken"])]
    if only in ("", "power"):
        for multiple in POWER_MULTIPLES:
            for i, size in enumerate(POWER_SIZES):
                n = counts["main"] if (multiple, size.test) == MAIN_CELL else counts["power"]
                wanted += [(4000 * k // n, Task(Control.PLANTED, multiple, i, k)) for k in range(n)]
        longest = len(POWER_SIZES) - 1
        for multiple in POWER_MULTIPLES[2:]:
            wanted += [(100 * k, Task(Control.SHIPPED, multiple, longest, k)) for k in range(counts["power"])]
    yield from (task for _, task in sorted(wanted))


def run(task: Task) -> dict[str, Any]:
    """One market, in a worker: its result and the seconds it took."""
    began = time.process_time()
    sessions = SessionTable.load()
    if task.control in PLANTED:
        found: NullResult | PlantedResult = planted_result(
            recipe(sessions, PLANTED_HORIZON), POWER_SIZES[task.size], task.multiple, task.number,
            shipped=task.control == Control.SHIPPED,
        )  # fmt: skip
    elif task.control == Control.MARTINGALE:
        found = simulated_null(recipe(sessions), task.number)
    else:
        found = broken_null(recipe(sessions), Control(task.control), task.number)
    return {"task": list(task), "seconds": round(time.process_time() - began, 2), "result": asdict(found)}


def code_digest() -> str:
    """Of what decides a result."""
    root, whole = Path(intraday.__file__).parent, hashlib.sha256(SOURCE_HASH.encode())
    for pattern in ("model/**/*.py", "core/null_markets/*.py", "backtest/control*.py", "core/decision.py", "core/labels.py"):
        for path in sorted(root.glob(pattern)):
            whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def kept(file: Path, code: str) -> dict[Task, dict[str, Any]]:
    """The results of this code; a line cut short by a kill is not there."""
    out = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row.get("code") == code:
            out[Task(*row["task"])] = row
    return out


def compute(wanted: Sequence[Task], done: dict[Task, dict[str, Any]], file: Path, code: str, workers: int) -> None:
    """Run what is missing; each result is on disk before it counts."""
    missing = [task for task in wanted if task not in done]
    began = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool, file.open("a", encoding="utf-8") as out:
        if file.stat().st_size:
            out.write("\n")  # after a line that may have been cut short
        futures = {pool.submit(run, task): task for task in missing}
        for k, future in enumerate(as_completed(futures), 1):
            row = {"code": code, **future.result()}
            out.write(json.dumps(row) + "\n")
            out.flush()
            done[futures[future]] = row
            left = (time.perf_counter() - began) / k * (len(missing) - k)
            sys.stderr.write(f"\r{k} of {len(missing)} markets, {left / 60:.0f} minutes left   ")
    sys.stderr.write("\n")


def tables(rows: Sequence[dict[str, Any]], code: str) -> dict[str, Any]:
    """What the markets say together."""
    nulls = [NullResult(**row["result"]) for row in rows if row["task"][0] not in PLANTED]
    planted, shipped = ([PlantedResult(**row["result"]) for row in rows if row["task"][0] == of] for of in PLANTED)
    hours = sum(row["seconds"] for row in rows) / 3600
    return {"code": code, "cpu_hours": round(hours, 2), **document(nulls, planted, shipped)}


def show(found: dict[str, Any]) -> bool:
    """Print the tables; whether all of them are as they should be."""
    for title in ("nulls", "power", "shipped"):
        for row in found[title]:
            sys.stdout.write("  ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()) + "\n")
    sys.stdout.write(f"{found['cpu_hours']} hours of processor time\n")
    return all(row["passed"] for title in ("nulls", "power") for row in found[title])


def main() -> int:
    """Exit code 1 when a control fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--smoke", action="store_true", help="a slice: 40 nulls, 4 of each broken kind, 2 a cell (6 in the main one)"
    )
    parser.add_argument("--only", choices=("null", "broken", "power"), default="")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("var/controls"))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    wanted, code = list(tasks(SMOKE if asked.smoke else WHOLE, asked.only)), code_digest()
    file = asked.folder / "markets.jsonl"
    file.touch()
    done = kept(file, code)
    compute(wanted, done, file, code, asked.workers)
    found = tables([done[task] for task in wanted], code)
    (asked.folder / "controls.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0 if show(found) else 1


if __name__ == "__main__":
    sys.exit(main())

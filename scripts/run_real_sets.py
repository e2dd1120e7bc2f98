"""Import a real set and run all of it by the commands a user has: training with tuning, controls, report. What each took is said.

``python scripts/run_real_sets.py --data ../shared/data --folder var/real [--sets stocks_2016 ...] [--timeframes 5 15]``

Every set and timeframe has a data folder (and database) of its own below ``--folder``; a step that is done is not done again, so
a run that was killed goes on. Prints one line of JSON last: a list of the steps with seconds, peak memory and what came out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class RealSet:
    """Where its bars are, and folds that fit the sessions it has."""

    path: str
    min_train: int
    test: int


SETS = {
    "stocks_2016": RealSet("bars/nse_2016", 8, 2),
    "stocks_2021": RealSet("bars/nse_2021_from_ticks", 15, 5),
    "nifty_2013_2015": RealSet("bars/nse_index_2013_2016", 120, 20),
    "nifty_2021_2022": RealSet("bars/nse_index_2021_2023/NIFTY_50.parquet", 100, 20),
}
TRIALS = 20


@dataclass(frozen=True)
class Step:
    """One command: how long it took, its peak memory, and what it printed as JSON."""

    set: str
    timeframe: int
    command: str
    seconds: float
    peak_mib: float
    summary: object


def main() -> None:
    options = parsed()
    done: list[Step] = []
    for name in options.sets:
        for timeframe in options.timeframes:
            done += run_set(name, timeframe, options)
    print(table(done), file=sys.stderr)
    print(json.dumps([asdict(step) for step in done]))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds bars/")
    parser.add_argument("--folder", type=Path, default=Path("var/real"), help="where databases and reports go")
    parser.add_argument("--sets", nargs="*", choices=sorted(SETS), default=list(SETS))
    parser.add_argument("--timeframes", nargs="*", type=int, choices=(5, 15), default=[5, 15])
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--steps", nargs="*", default=["import", "historical", "controls", "report"])
    return parser.parse_args()


def run_set(name: str, timeframe: int, options: argparse.Namespace) -> list[Step]:
    """The steps of one set at one timeframe."""
    chosen, folder = SETS[name], options.folder / f"{name}-{timeframe}min"
    folder.mkdir(parents=True, exist_ok=True)
    setting = {
        "SYSTEM__DATA_DIR": str(folder.resolve()),
        "BROKER__FEED": "recorded",
        "TRADING__TIMEFRAME": str(timeframe),
        "MODEL__WALK_FORWARD__MIN_TRAIN_SESSIONS": str(chosen.min_train),
        "MODEL__WALK_FORWARD__TEST_SESSIONS": str(chosen.test),
        "MODEL__TUNING__TRIALS": str(options.trials),
    }
    env = os.environ | {f"INTRADAY__{key}": value for key, value in setting.items()}
    commands = {
        "import": ["import", str(options.data / chosen.path)],
        "historical": ["historical"],
        "controls": ["controls"],
        "report": ["report", "--pdf", str(folder.resolve() / "report.pdf"), "--html", str(folder.resolve() / "report.html")],
    }
    return [run_step(name, timeframe, step, commands[step], env, folder) for step in commands if step in options.steps]


def run_step(name: str, timeframe: int, step: str, arguments: list[str], env: dict[str, str], folder: Path) -> Step:
    """One command, unless its result is there already."""
    kept = folder / f"{step}.json"
    if kept.exists():
        return Step(**json.loads(kept.read_text()))
    print(f"{name} at {timeframe} minutes: intraday {' '.join(arguments)}", file=sys.stderr, flush=True)
    began = time.perf_counter()
    program = Path(sys.executable).with_name("intraday")
    child = subprocess.Popen([str(program), *arguments, "--json"], stdout=subprocess.PIPE, env=env)
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 3):
        raise SystemExit(f"{name}: intraday {step} ended with {code}; its messages are above")
    found = Step(name, timeframe, step, round(seconds, 1), round(peak_mib(used), 1), json.loads(said or b"null"))
    kept.write_text(json.dumps(asdict(found)))
    return found


def peak_mib(used: resource.struct_rusage) -> float:
    """Largest resident memory of the command or of one of its processes."""
    return used.ru_maxrss / 1024


def table(steps: list[Step]) -> str:
    """The steps for people."""
    lines = [f"{'set':16} {'min':>3} {'step':10} {'seconds':>8} {'MiB':>7}  verdict"]
    for s in steps:
        verdict = s.summary.get("verdict", "") if isinstance(s.summary, dict) else ""
        lines.append(f"{s.set:16} {s.timeframe:3d} {s.command:10} {s.seconds:8.1f} {s.peak_mib:7.0f}  {verdict}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Write docs/faults.md from the fault tests: each row is what its test found.

.venv/bin/python scripts/build_fault_docs.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "faults.md"
TESTS = ("tests/sim/test_faults_feed.py", "tests/sim/test_faults_quiet.py", "tests/sim/test_faults_rest.py")
HEAD = """# Faults

What happens when something goes wrong between this program and the broker. Every row is made by a test that lives through the
fault against the [bundled exchange](simulator.md), over real sockets and in virtual time, and is checked whenever the tests run
(`tests/sim/test_faults_*.py`; `scripts/build_fault_docs.py` writes this page).

Times are the exchange's own, at its own pace. A simulator at 60 times real time is given more of them before it counts as
dead: 15 s, a quarter of a real second.

* **Noticed**: from the fault to the first word to the user. A dash: nothing has to be said.
* **What the user is told**: in the log and as an alert. `; then:` separates messages.
* **Recovered**: from the end of the fault (the new login, where one is needed) until the feed is complete again.
* **Candles lost**: candles of the exchange that are missing or incomplete after the repair. Fetched ones equal the exchange's own
  in every field.

A link that was lost makes its minutes incomplete: they are marked, kept out of decisions, and fetched as candles 20 s after their
end, when the broker has published them. So a repair follows the recovery within one to two minutes.
"""
NOTES = {
    "The feed": """Five minutes of a session, seven instruments, one of them an index. The fault begins at 09:16:20.""",
    "Outside trading hours": """Silence is a fault only while there is continuous trading. Before the open, in the closing auction
(when only its stocks are subscribed) and after the close a silence shorter than 90 s is none.""",
    "The login": """After a 403 a REST call tells a dead token from an API key without market data: Kite's WebSocket uses the same
words for both. A new login is found within 5 s; a refused token is tried ever more rarely, at last every 5 minutes.""",
    "Missed candles": """The connection breaks off at 09:16:20; the minute that was cut is asked for at 09:17:20, when the fault
begins. Recovered: all its candles are there. A broker that corrects a candle's volume later is no loss: the next
`intraday backfill` stores the correction beside the first version.""",
    "Other requests": """One request at the beginning of the fault. Where the client's own repetitions do not help, the caller gets
the message and asks again.""",
}


def main() -> int:
    """Run the tests, collect their rows, write the page."""
    with tempfile.TemporaryDirectory() as folder:
        rows_file = Path(folder) / "rows"
        env = os.environ | {"INTRADAY_FAULT_ROWS": str(rows_file)}
        command = [sys.executable, "-m", "pytest", "-q", "-k", "not page", *TESTS]
        failed = subprocess.run(command, cwd=ROOT, env=env, check=False).returncode
        if failed:
            return failed
        rows = [json.loads(line) for line in rows_file.read_text(encoding="utf-8").splitlines()]
    PAGE.write_text(page(rows), encoding="utf-8")
    return 0


def page(rows: list[dict[str, object]]) -> str:
    """The whole page; rows in the order in which the tests found them."""
    sys.path.insert(0, str(ROOT / "tests"))
    sys.path.insert(0, str(ROOT / "src"))
    from fault_cases import Row

    parts = [HEAD]
    for part, note in NOTES.items():
        lines = [Row(**row).line() for row in rows if row["part"] == part]  # type: ignore[arg-type]
        table = ["| Fault | Noticed | What the user is told | Recovered | Candles lost |", "|---|---|---|---|---|", *lines]
        parts.append(f"## {part}\n\n{note}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())

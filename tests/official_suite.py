"""Run the read tests of the official client's own repository against the simulated exchange.

    python tests/official_suite.py CHECKOUT [--python PYTHON] [pytest's options]

CHECKOUT: zerodha/pykiteconnect with its submodule. PYTHON: an interpreter with pytest, mock and what kiteconnect needs; this one
if not given. docs/conformance.md says how to get both. Its tests run unchanged; they are told where the exchange is.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "src")]

from intraday.domain.clock import SystemClock  # noqa: E402
from intraday.sim.knobs import Knobs  # noqa: E402
from official_exchange import API_KEY, logged_in, running  # noqa: E402

NIFTY = 256265
READ_TESTS = "tests/integration/test_connect_read.py"
# One test makes a client without --root-url, so the class's default root has to be the exchange too.
PLUGIN = "import os\nfrom kiteconnect import KiteConnect\nKiteConnect._default_root_uri = os.environ['KITE_ROOT']\n"


def knobs() -> Knobs:
    """Spans of candles as these tests have them, from 2018; answers that take as long as over the internet.

    The tests do not pause between calls: it is the distance to Kite that keeps them under its limits of 10 and 3 a second.
    """
    out = Knobs(limits_profile="legacy2018")
    out.rest_faults["other"].delay_s = 0.1
    out.rest_faults["historical"].delay_s = 0.34
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--python", default=sys.executable)
    given, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder, running(clock=SystemClock(), knobs=knobs()) as market:
        (Path(folder) / "official_root.py").write_text(PLUGIN)
        kite = logged_in(market)
        root, token = market.server.rest_url, kite.access_token
        kite.timeout = 60  # a day's trades are made when they are first asked for, and the tests ask for two years of them
        kite.historical_data(NIFTY, market.now - timedelta(days=667), market.now, "day")
        command = [given.python, "-m", "pytest", "-o", "addopts=", "-p", "official_root", READ_TESTS, *options]
        command += ["--root-url", root, "--api-key", API_KEY, "--access-token", token]
        env = os.environ | {"PYTHONPATH": folder, "KITE_ROOT": root}
        return subprocess.run(command, cwd=given.checkout, env=env).returncode


if __name__ == "__main__":
    sys.exit(main())

"""A retraining that is killed in the middle: SIGKILL at the first progress of what is named."""

from __future__ import annotations

import os
import signal

from intraday.config.settings import Settings
from intraday.domain.clock import SystemClock
from intraday.jobs.retrain import run_retrain


def main(settings: Settings, at: str) -> None:
    """``at``: how the progress begins at which it dies, once something of it is done."""

    def progress(what: str, done: int, total: int) -> None:
        if what.startswith(at) and done > 0:
            os.kill(os.getpid(), signal.SIGKILL)

    run_retrain(settings, SystemClock(), progress)

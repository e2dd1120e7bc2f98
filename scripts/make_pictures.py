"""Makes docs/images/report.png from the synthetic demo's report, through headless Chromium. Never a picture of real data.

    .venv/bin/python scripts/make_pictures.py

Run it when the look of the report changes. Needs Chromium or Chrome on PATH.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from intraday.config.settings import AlertSettings, Settings, SystemSettings
from intraday.domain.clock import SystemClock
from intraday.jobs.demo import run_demo

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PICTURE = "report.png"
SIZE = (1200, 1712)  # the page down to the end of the candle chart
COLORS = 128  # a palette: the page is flat, and the pictures stay small
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars")


def main() -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"found none of {', '.join(BROWSERS)} on PATH, expected a Chromium")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(system=SystemSettings(data_dir=Path(folder)), alerts=AlertSettings(console=False, log=False))
        outcome = run_demo(settings, None, SystemClock(), lambda what, done, total: None, lambda line: None)
        assert outcome.page is not None
        shot = Path(folder) / "page.png"
        size = f"--window-size={SIZE[0]},{SIZE[1]}"
        command = [browser, *FLAGS, size, f"--screenshot={shot}", outcome.page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        IMAGES.mkdir(parents=True, exist_ok=True)
        with Image.open(shot) as whole:
            whole.convert("RGB").quantize(COLORS).save(IMAGES / PICTURE, optimize=True)
    print(f"{PICTURE}: {(IMAGES / PICTURE).stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()

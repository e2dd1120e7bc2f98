"""A small market and a small model for whole jobs, as settings, as files, and from the command line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import SecretStr

from intraday.app import build_market
from intraday.config.settings import Settings
from intraday.core.synthetic import SyntheticMarket
from intraday.core.synthetic_ticks import TickFaults
from intraday.domain.session import SessionTable

SESSIONS = SessionTable.load()


def quiet(what: str, done: int, total: int) -> None:
    """No progress wanted."""


def settings_on(dsn: str | None, data_dir: Path) -> Settings:
    """A small market and a small model, everything else as configured by default."""
    base = Settings()
    synthetic = base.trading.synthetic.model_copy(update={"instruments": 5, "sessions": 10})
    walk = base.model.walk_forward.model_copy(update={"min_train_sessions": 5, "test_sessions": 2})
    return base.model_copy(
        update={
            "system": base.system.model_copy(update={"data_dir": data_dir}),
            "broker": base.broker.model_copy(update={"feed": "synthetic", "speed": 1e9}),
            "database": base.database.model_copy(update={"dsn": None if dsn is None else SecretStr(dsn)}),
            "trading": base.trading.model_copy(update={"synthetic": synthetic}),
            "model": base.model.model_copy(
                update={"walk_forward": walk, "num_boost_round": 15, "min_data_in_leaf": 20, "threads": 1}
            ),
            "alerts": base.alerts.model_copy(update={"console": False}),
        }
    )


def config_file(settings: Settings, path: Path) -> Path:
    """The same settings as a file, for the command line; the DSN and secrets come from the environment."""
    raw: dict[str, Any] = settings.model_dump(mode="json", exclude={"database": {"dsn"}, "broker": {"api_key", "api_secret"}})
    path.write_text(json.dumps(raw))
    return path


def market_of(settings: Settings) -> SyntheticMarket:
    """The market of the settings."""
    return build_market(settings.trading, SESSIONS)


def bar_files(folder: Path, market: SyntheticMarket, n_sessions: int) -> Path:
    """One Parquet file an instrument, named so that they are imported in the market's order."""
    folder.mkdir(parents=True, exist_ok=True)
    bars = np.concatenate([market.bars(i) for i in range(n_sessions)])
    for k, instrument in enumerate(market.instruments):
        mine = bars[bars["inst"] == k]
        columns = {name: mine[name] for name in ("open", "high", "low", "close")}
        ts = pl.Series("ts", mine["ts_ns"]).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone("Asia/Kolkata")
        volume = np.nan_to_num(mine["volume"]).astype(np.int64)
        symbol = pl.lit(instrument.symbol).alias("symbol")
        pl.DataFrame({"ts": ts, **columns, "volume": volume}).with_columns(symbol).write_parquet(folder / f"{k:02d}.parquet")
    return folder


def tick_file(path: Path, market: SyntheticMarket, i_day: int, faults: TickFaults | None = None) -> Path:
    """A session's ticks as a recording: ts, ltp, volume, symbol, file_date, in order of arrival."""
    ticks = market.ticks(i_day, faults)
    symbols = np.array([i.symbol for i in market.instruments])
    frame = pl.DataFrame(
        {
            "ts": pl.Series(ticks["event_ns"]).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone("Asia/Kolkata"),
            "ltp": ticks["price"] / 100.0,
            "volume": np.maximum(ticks["volume"], 0),
            "symbol": symbols[ticks["inst"]],
            "file_date": [market.sessions[i_day].day] * len(ticks),
        }
    )
    frame.write_parquet(path)
    return path


def fill(folder: Path, leave: int) -> Path:
    """A file that leaves so many bytes free on the folder's disk."""
    path = folder / "filler"
    with path.open("wb") as f:
        os.posix_fallocate(f.fileno(), 0, shutil.disk_usage(folder).free - leave)
    return path

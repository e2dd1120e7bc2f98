"""Databases to check: a small healthy one, defects planted by SQL, findings by rule, and the repair."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import psycopg

from intraday.database.check import Checker
from intraday.database.check_block import Scope
from intraday.database.check_repair import Repairer
from intraday.database.check_rules import Finding
from intraday.database.copying import stamp
from intraday.database.pool import Database
from intraday.database.stores import Stores
from intraday.domain.arrays import BAR, DAY_NS, LABEL, MINUTE_NS, Bars, empty
from intraday.domain.broker import Fetched
from intraday.domain.gaps import NO_CANDLE, NOT_IN_FILE
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.ports import FeatureSetRecord, Gap, ModelRecord, RunDay, Source
from intraday.domain.session import SessionTable, midnight_ns
from job_cases import quiet

SESSIONS = SessionTable.load()
EVERYTHING = Scope(midnight_ns(SESSIONS.first), midnight_ns(SESSIONS.last))
HALT, PLAIN = date(2021, 2, 24), date(2021, 3, 1)  # a session with a pause, and one of another month
KNOWN_NS = midnight_ns(date(2021, 3, 2))
# What a test's server and folders lack is no defect of the data.
SURROUNDINGS = {"checksums", "model_files", "journal"}


def found(database: Database, rows_max: int = 5_000, scope: Scope = EVERYTHING) -> dict[str, Finding]:
    """Findings by rule, in small blocks."""
    findings = Checker(database, SESSIONS, lambda instrument_id, day: False, rows_max).run(scope, quiet)
    return {f.rule.name: f for f in findings if f.n and f.rule.name not in SURROUNDINGS}


def told(database: Database) -> dict[str, int]:
    """How many findings by rule."""
    return numbers(found(database))


def numbers(findings: Mapping[str, Finding]) -> dict[str, int]:
    """How many there are of each."""
    return {name: finding.n for name, finding in findings.items()}


def repair(database: Database, findings: Mapping[str, Finding]) -> None:
    """One round."""
    repairer = Repairer(database, SESSIONS, lambda: KNOWN_NS)
    for finding in findings.values():
        repairer.mend(finding)


def plant(database: Database, *statements: str, keys: bool = True) -> None:
    """Run SQL as a vandal would; ``keys`` False: past foreign keys."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'Asia/Kolkata'")
        if not keys:
            connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(statement.encode())


def session_bars(day: date, n_instruments: int, leave_out: Sequence[int] = ()) -> Bars:
    """Every minute of a session but the numbers ``leave_out``, of each instrument; the last one is an index without volume."""
    session = SESSIONS.get(day)
    grid = np.arange(session.open_ns, session.close_ns, MINUTE_NS)
    for start, end in session.pauses:
        grid = grid[(grid < start) | (grid >= end)]
    grid = np.delete(grid, list(leave_out))
    bars = empty(BAR, grid.size * n_instruments)
    bars["ts_ns"], bars["inst"] = np.repeat(grid, n_instruments), np.tile(np.arange(n_instruments), grid.size)
    step = np.arange(bars.size) % 97
    bars["open"], bars["close"] = 100.0 + step / 20, 100.05 + step / 20
    bars["high"], bars["low"] = bars["close"] + 0.1, bars["open"] - 0.1
    bars["volume"] = np.where(bars["inst"] == n_instruments - 1, np.nan, 10.0 + step)
    return bars


class World:
    """Two stocks and an index on two days: imported on the first, from the broker on the second, with whatever follows from it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.stores = Stores(database)
        wanted = [Instrument("NSE", "AAA"), Instrument("NSE", "BBB"), Instrument("NSE", "NIFTY", Kind.INDEX)]
        self.ids = [i.id for i in self.stores.instruments.upsert(wanted)]
        self._bars()
        self._derived()
        self.stores.instruments.save_sessions(SESSIONS.between(HALT, PLAIN))
        self.stores.rollups.refresh()

    def _bars(self) -> None:
        bars, opened = self.stores.bars, SESSIONS.get(HALT).open_ns
        bars.write(self.ids, session_bars(HALT, 3, [5, 6]), Source.IMPORT, KNOWN_NS)
        for instrument in self.stores.instruments.all():
            bars.settle_gaps(
                instrument, midnight_ns(HALT), midnight_ns(HALT) + DAY_NS,
                [Gap(instrument.id, opened + 5 * MINUTE_NS, opened + 7 * MINUTE_NS, NOT_IN_FILE, 2)],
            )  # fmt: skip
        session, day = SESSIONS.get(PLAIN), session_bars(PLAIN, 3, [9])
        bars.write(self.ids, day, Source.TICK, KNOWN_NS - DAY_NS)
        gap = session.open_ns + 9 * MINUTE_NS
        for k, i in enumerate(self.ids):
            mine = day[day["inst"] == k].copy()
            mine["inst"], mine["close"] = 0, mine["close"] - 0.05
            fetched = [Fetched(i, PLAIN, session.close_ns, len(mine), True)]
            gaps = [Gap(i, gap, gap + MINUTE_NS, NO_CANDLE, 1)]
            self.stores.fetches.save(i, mine, fetched, gaps, KNOWN_NS)

    def _derived(self) -> None:
        s, session = self.stores, SESSIONS.get(HALT)
        s.features.register(FeatureSetRecord("set", 5, ("a", "b"), "{}"))
        s.labels.register("lab", json.dumps({"timeframe": 5}))
        ts = session.open_ns + np.arange(4, dtype=np.int64) * 5 * MINUTE_NS
        s.features.write("set", Source.HISTORY, self.ids, ts, np.zeros(4, dtype=np.int32), np.ones((4, 2), dtype=np.float32))
        labels = empty(LABEL, 4)
        labels["ts_ns"], labels["entry_ns"], labels["t1_ns"] = ts, ts + 7 * MINUTE_NS, ts + 9 * MINUTE_NS
        s.labels.write("lab", self.ids, labels, int(ts[0]), int(ts[-1]) + 1)
        s.models.save(ModelRecord("mod", "set", "lab", "models/mod", "edge", HALT, PLAIN, "{}"))
        s.runs.start("run", "replay", "{}", KNOWN_NS)
        s.runs.save_day(RunDay("run", Source.REPLAY, HALT, "journal", "set", "mod", tuple(self.ids), 5))
        plant(
            self.database,
            "SELECT ensure_partitions('signals', '2021-02-24', '2021-02-24')",
            f"""INSERT INTO signals VALUES ({self.ids[0]}, '2021-02-24 09:20', 'replay', false, 0, 0, 0.5, 0.2, 0.2, 0.6, 100, 99,
                102, 'BUY', 'mod', 'set', 'run')""",
            f"""INSERT INTO signal_outcomes (source, model_id, instrument_id, ts)
                VALUES ('replay', 'mod', {self.ids[0]}, '2021-02-24 09:20')""",
        )  # fmt: skip

    def settled(self) -> None:
        """Let the timeframes know of everything that was planted, and make the partitions a vandal needs."""
        plant(self.database, "SELECT note_rollups('{}', min(ts), max(ts) + interval '1 minute') FROM ohlcv_1min")
        self.stores.rollups.refresh()


def count(database: Database, query: str) -> int:
    """The number a query gives."""
    with database.autocommit() as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def at(day: date, minute: int) -> str:
    """SQL time literal of a minute of a session."""
    return f"'{stamp(SESSIONS.get(day).open_ns + minute * MINUTE_NS).isoformat()}'"

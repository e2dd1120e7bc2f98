"""The last chapter of the contract's story: checked, asked in SQL, old rows dropped and compressed, and written to again."""

from __future__ import annotations

from datetime import date

from contract_cases import Recorder
from contract_reference import DAYS, SESSIONS, SET
from intraday.database.asking import ask
from intraday.database.check import Checker
from intraday.database.check_block import Scope
from intraday.database.digests import digests
from intraday.database.maintenance import Policy, maintain
from intraday.database.pool import Database
from intraday.domain.arrays import Bars
from intraday.domain.ports import Source
from intraday.domain.session import midnight_ns
from job_cases import quiet

SURROUNDINGS = {"checksums", "model_files", "journal"}
CLOCKED = {"models", "instrument_history"}  # with a column that the server's clock fills
NOW = midnight_ns(date(2024, 4, 10))
# The two days of 2020-11 go, and the labels and signals of the year's end; everything older than a month is compressed.
POLICY = Policy({"bars": 1235, "features": None, "labels": 1190, "signals": 1180}, compress_after_days=30)
QUERIES = (
    "SELECT * FROM ohlcv_60min ORDER BY instrument_id, ts LIMIT 5",
    'SELECT rsi_14, "größe" FROM features_c0ffee ORDER BY 1, 2 LIMIT 3',
    "DELETE FROM instruments",
    "SELECT count(*) FROM nothing",
)


def tell_keeping(stores: Recorder, database: Database, ids: tuple[int, ...], bars: Bars) -> None:
    """``bars``: some of DAYS[4], whose chunks are compressed by then."""
    _check(stores, database)
    for query in QUERIES:
        stores.recorded("ask", ask)(database, query, 4)
    stores.bars.kept_ns()
    for _ in range(2):
        report = maintain(database, POLICY, NOW)
        stores.note("maintain", [work for work in report.done if work[0] in {"timeframes", "retention"}])
    stores.bars.kept_ns()
    ever = (midnight_ns(date(2000, 1, 1)), midnight_ns(date(2030, 1, 1)))
    for source in (None, Source.IMPORT, Source.BROKER):
        stores.bars.read(ids, *ever, source)
    stores.features.read(SET.id, Source.HISTORY, ids, *ever)
    stores.labels.read("tb1", ids, *ever)
    some = bars.copy()
    some["close"] += 0.1
    stores.bars.write(ids, some, Source.IMPORT, NOW)
    stores.bars.write(ids, some, Source.BROKER, NOW)
    some["ts_ns"] += midnight_ns(DAYS[0]) - midnight_ns(DAYS[4])
    stores.bars.write(ids, some, Source.IMPORT, NOW)
    stores.days.clear(Source.BROKER, midnight_ns(DAYS[4]), midnight_ns(DAYS[4]) + 86_400_000_000_000)
    stores.rollups.refresh()
    _check(stores, database)


def _check(stores: Recorder, database: Database) -> None:
    """Every finding but those about the server's disk and this test's files, and what a digest says of every table."""
    checker = Checker(database, SESSIONS, lambda instrument_id, day: False, 2_000)
    findings = checker.run(Scope(midnight_ns(SESSIONS.first), midnight_ns(SESSIONS.last)), quiet)
    stores.note("check", [f for f in findings if f.rule.name not in SURROUNDINGS])
    # Who wrote a row last and columns that the clock fills are the server's affair.
    for name, found in digests(database).items():
        stores.note(f"digest of {name}", (found.rows,) if name in CLOCKED else (found.rows, found.content))

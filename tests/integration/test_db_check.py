"""``intraday db check``: silent on a system that lived; every planted defect is told under its own name, and mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from check_cases import EVERYTHING, HALT, PLAIN, SESSIONS, World, at, count, found, numbers, plant, repair, told
from intraday.database.check import Checker
from intraday.database.check_rules import RULES
from intraday.database.pool import Database
from job_cases import quiet

pytestmark = pytest.mark.integration


class Defect(NamedTuple):
    """SQL, the rule that tells it, how many times, whether the timeframes may know of it first."""

    rule: str
    sql: str
    n: int = 1
    settle: bool = True
    also: str = ""  # a rule that has as much right to tell it
    keys: bool = True  # False: foreign keys would refuse it


_COPY = "instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags"
_AAA = "instrument_id = (SELECT id FROM instruments WHERE symbol = 'AAA')"
_NIFTY = "instrument_id = (SELECT id FROM instruments WHERE symbol = 'NIFTY')"


def _moved(ts: str, where: str) -> str:
    return f"""INSERT INTO ohlcv_1min ({_COPY}) SELECT instrument_id, {ts}, open, high, low, close, volume, n_ticks, version,
               known_at, source, flags FROM ohlcv_1min WHERE {_AAA} AND {where}"""


_FIRST = f"ts = {at(HALT, 0)}"
_MENDED = (
    Defect("duplicate_version", f"INSERT INTO bar_superseded ({_COPY}) SELECT {_COPY} FROM ohlcv_1min WHERE {_AAA} AND {_FIRST}"),
    Defect("best_bar",
           f"UPDATE bar_superseded SET source = 'broker', known_at = '2030-01-01', version = 7 WHERE {_AAA} AND ts = {at(PLAIN, 3)}"
    ),
    Defect("best_bar", f"DELETE FROM ohlcv_1min WHERE {_AAA} AND ts = {at(PLAIN, 4)}", also="gap_missing"),
    Defect("outside_session", _moved("ts - interval '8 minutes'", _FIRST)),
    Defect("outside_session", _moved("'2021-02-24 13:00+05:30'", _FIRST)),  # in the pause
    Defect("outside_session", _moved("'2021-02-27 10:00+05:30'", _FIRST)),  # a Saturday
    Defect("not_a_minute", _moved("ts + interval '30 seconds'", _FIRST)),
    Defect("bad_price", f"UPDATE ohlcv_1min SET high = 'NaN' WHERE {_AAA} AND ts = {at(HALT, 1)}"),
    Defect("bad_price", f"UPDATE ohlcv_1min SET high = 'Infinity' WHERE {_AAA} AND ts = {at(HALT, 2)}"),
    Defect("bad_price", f"UPDATE ohlcv_1min SET low = high + 1 WHERE {_AAA} AND ts = {at(HALT, 3)}"),
    Defect("bad_price", f"UPDATE bar_superseded SET close = high + 1 WHERE {_AAA} AND ts = {at(PLAIN, 6)}"),
    Defect("bad_volume", f"UPDATE ohlcv_1min SET volume = -1 WHERE {_AAA} AND ts = {at(HALT, 4)}"),
    Defect("index_volume", f"UPDATE ohlcv_1min SET volume = 5 WHERE {_NIFTY} AND ts < {at(HALT, 4)}", 4),
    Defect("timeframe", f"UPDATE ohlcv_1min SET high = 1000 WHERE {_AAA} AND ts = {at(HALT, 100)}", 3, settle=False),
    Defect("timeframes_behind", f"SELECT note_rollups('{{}}', {at(PLAIN, 0)}, {at(PLAIN, 60)})", settle=False),
    Defect("timeframes_behind", f"""UPDATE ohlcv_1min SET high = high + 1 WHERE {_AAA} AND ts = {at(HALT, 9)};
        SELECT note_rollups(ARRAY[(SELECT id FROM instruments WHERE symbol = 'AAA')], {at(HALT, 9)}, {at(HALT, 10)})""",
           settle=False),
    Defect("gap_missing", f"DELETE FROM candle_gaps WHERE {_AAA} AND start_ts < '2021-02-25'"),
    Defect("gap_missing", f"DELETE FROM candle_gaps WHERE {_AAA} AND start_ts = {at(PLAIN, 9)}"),
    Defect("gap_missing", f"DELETE FROM ohlcv_1min WHERE {_NIFTY} AND ts IN ({at(HALT, 20)}, {at(HALT, 22)})", 2),
    Defect("gap_stale",
           f"""INSERT INTO candle_gaps SELECT instrument_id, '2021-02-24 12:00+05:30', '2021-02-24 12:10+05:30', 'because', 10
        FROM candle_gaps WHERE {_AAA} LIMIT 1"""),
    Defect("gap_stale",
           f"""INSERT INTO candle_gaps SELECT instrument_id, {at(HALT, 30)}, {at(HALT, 32)}, 'not in the imported file', 2
        FROM candle_gaps WHERE {_AAA} LIMIT 1"""),
    Defect("fetch_empty",
           f"""INSERT INTO candle_fetches SELECT instrument_id, '2021-02-25', '2021-02-25 15:30+05:30', 375, true, NULL, now()
        FROM candle_fetches WHERE {_AAA} LIMIT 1"""),
    Defect("sessions_table", "UPDATE sessions SET close_ts = close_ts + interval '1 hour' WHERE day = '2021-03-01'"),
    Defect("sessions_table",
           """INSERT INTO sessions SELECT '2021-02-27', 18685, open_ts, close_ts, square_off_ts, kind, pauses FROM sessions
        WHERE day = '2021-03-01'"""),
    Defect("feature_without_bar", f"UPDATE features SET ts = '2021-02-24 13:00+05:30' WHERE ts = {at(HALT, 0)}"),
    Defect("feature_width", f"UPDATE features SET vector = '\\x00' WHERE ts = {at(HALT, 5)}"),
    Defect("feature_set", f"UPDATE features SET feature_set_id = 'lost' WHERE ts = {at(HALT, 10)}"),
    Defect("feature_view", 'DROP VIEW "features_set"'),
    Defect("label_without_bar",
           f"UPDATE labels SET entry_ts = '2021-02-24 13:00+05:30', t1 = '2021-02-24 13:00+05:30' WHERE ts = {at(HALT, 0)}"),
    Defect("label_times", f"UPDATE labels SET t1 = entry_ts - interval '1 minute' WHERE ts = {at(HALT, 5)}"),
    Defect("label_set", f"UPDATE labels SET label_set_id = 'lost' WHERE ts = {at(HALT, 10)}"),
    Defect("run_day",
           "INSERT INTO run_days SELECT 'tick', day, 'lost', journal, feature_set_id, model_id, instrument_ids, timeframe FROM "
           "run_days", keys=False),
    Defect("outcome_orphan",
           "INSERT INTO signal_outcomes (source, model_id, instrument_id, ts) SELECT 'tick', model_id, instrument_id, ts FROM "
           "signals"),
    Defect("signal_orphan",
           """INSERT INTO signals SELECT instrument_id, ts, 'tick', observe, decided_ns, valid_until_ns, confidence, p_down,
        p_hold, p_up, price, stop, target, action, 'lost', feature_set_id, run_id FROM signals"""),
    Defect("constraint_unvalidated", "ALTER TABLE events ADD CONSTRAINT planted CHECK (kind <> '') NOT VALID"),
)  # fmt: skip
_UNMENDABLE = (
    Defect("before_retention", "INSERT INTO kept_from VALUES ('labels', '2021-02-25')", 4),
    Defect("model_orphan", "UPDATE models SET label_set_id = 'lost'", keys=False),
    Defect("intervals", """INSERT INTO universe_members SELECT 'u', id, day, '2021-01-10' FROM instruments,
        unnest(ARRAY['2021-01-01', '2021-01-05']::date[]) AS day WHERE symbol = 'AAA'"""),
    Defect("quarantine", "INSERT INTO quarantine VALUES ('\\x0011', 'AAA', 'here', NULL, '', '{}')"),
    Defect("unknown_instrument", f"UPDATE labels SET instrument_id = 999 WHERE ts = {at(HALT, 15)}"),
)  # fmt: skip


def repairs(database: Database) -> int:
    return count(database, "SELECT count(*) FROM events WHERE kind = 'repair'")


def test_a_system_that_lived_has_no_findings(lived_dsn: str) -> None:
    with Database(lived_dsn) as database:
        assert told(database) == {}


def batches() -> list[list[Defect]]:
    """The first defect of every rule, the second, and so on: together they cost as many checks as one."""
    made: list[list[Defect]] = []
    seen: Counter[str] = Counter()
    for defect in _MENDED:
        if seen[defect.rule] == len(made):
            made.append([])
        made[seen[defect.rule]].append(defect)
        seen[defect.rule] += 1
    return made


def expected(defects: Sequence[Defect]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for defect in defects:
        total += Counter({defect.rule: defect.n}) + Counter([defect.also] if defect.also else [])
    return dict(total)


def test_every_planted_defect_is_told_and_only_that_and_mended(database: Database) -> None:
    world = World(database)
    assert told(database) == {}
    for batch in batches():
        before = repairs(database)
        for settle in (True, False):
            for defect in batch:
                if defect.settle is settle:
                    plant(database, defect.sql, keys=defect.keys)
            if settle:
                world.settled()
        findings = found(database)
        assert numbers(findings) == expected(batch)
        rounds = 0
        while findings:
            repair(database, findings)
            findings, rounds = found(database), rounds + 1
            assert rounds <= 4, findings
        assert repairs(database) >= before + len(batch)


def test_nothing_that_a_mended_row_said_is_lost(database: Database) -> None:
    World(database)
    plant(database, f"UPDATE ohlcv_1min SET high = 'NaN', volume = 4711 WHERE {_AAA} AND ts = {at(PLAIN, 1)}")
    before = count(database, "SELECT count(*) FROM bar_versions")
    repair(database, found(database))
    assert count(database, "SELECT count(*) FROM bar_versions") == before - 1
    kept = "SELECT count(*) FROM quarantine WHERE reason = 'bad_price' AND symbol = 'AAA' AND content->>'volume' = '4711'"
    assert count(database, f"{kept} AND content->>'high' = 'NaN' AND content->>'source' = 'broker'") == 1
    assert count(database, f"SELECT count(*) FROM ohlcv_1min WHERE {_AAA} AND ts = {at(PLAIN, 1)} AND source = 'tick'") == 1


def test_what_cannot_be_mended_is_told_and_stays(database: Database) -> None:
    World(database)
    for defect in _UNMENDABLE:
        plant(database, defect.sql, keys=defect.keys)
    findings = found(database)
    assert numbers(findings) == expected(_UNMENDABLE)
    repair(database, findings)
    assert told(database) == expected(_UNMENDABLE)


def test_every_rule_is_looked_at_and_planted_somewhere(database: Database) -> None:
    World(database)
    looked = {f.rule.name for f in Checker(database, SESSIONS, lambda i, day: False).run(EVERYTHING, quiet)}
    assert looked | {"model_files", "journal"} == {rule.name for rule in RULES}

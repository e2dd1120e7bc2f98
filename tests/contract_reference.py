"""The chapters of the contract's story that are not about time series: who there is, and what the program says of itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from contract_cases import Recorder
from intraday.domain.broker import Listing
from intraday.domain.corporate import Action, ActionKind
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.learning import Comparison, Trial, TrialKind
from intraday.domain.limits import LIMIT
from intraday.domain.listings import Dump, Roll
from intraday.domain.membership import Span
from intraday.domain.ports import FeatureSetRecord, ModelRecord, RunDay, Source
from intraday.domain.session import SessionTable, midnight_ns

SESSIONS = SessionTable.load()
# Across the end of a month and of a year, a halt, an evening, and a gap of years.
DAYS = [date(2020, 11, 13), date(2020, 11, 14), date(2020, 12, 31), date(2021, 1, 1), date(2021, 2, 24), date(2024, 3, 1)]
SET = FeatureSetRecord("c0ffee", 5, ("rsi_14", 'odd "name"', "größe"), '{"rsi_14": "RSI(close, 14)"}')
OTHER_SET = FeatureSetRecord("beef-15", 15, ("one",), "{}")
EQUITY, FUTURE = Kind.EQUITY, Kind.FUTURE


def tell_reference(stores: Recorder) -> tuple[int, ...]:
    """Instruments and sessions; returns the ids of the three that the story is about."""
    s = stores.instruments
    wanted = [Instrument("NSE", "INFY"), Instrument("NSE", "NIFTY 50", Kind.INDEX), Instrument("NSE", "TCS", tick_size=10)]
    ids = tuple(i.id for i in s.upsert(wanted))
    s.upsert([Instrument("NSE", "TCS", tick_size=5), Instrument("BSE", "INFY", lot_size=3)])
    s.all()
    sessions = [SESSIONS.get(day) for day in DAYS]
    s.save_sessions(sessions)
    s.save_sessions(sessions[::-1])
    return ids


def tell_lists(stores: Recorder, ids: tuple[int, ...]) -> None:
    """Three days of the broker's lists: listed, renamed, another token, a reused token, gone; then a day too early."""
    s = stores.listings
    first, second, third = date(2021, 6, 1), date(2021, 6, 2), date(2021, 6, 9)
    s.newest()
    s.sizes(first)
    infy, tcs = _row("INFY", 256), _row("TCS", 512, tick_size=10)
    old, future = _row("OLD%_NAME", 768), _row("INFY21JUNFUT", 1024, FUTURE, expiry=date(2021, 6, 24))
    s.sync(first, [_dump(infy, tcs, old), Dump("NFO", (future,), 9, 4, {"no token": 2})], [])
    renamed, moved = _row("NEW", 768), _row("TCS", 2048)
    roll = Roll("flag", "mis", frozenset({"NSE:INFY", "NSE:NEW"}), "broker")
    s.sync(second, [_dump(infy, moved, renamed)], [roll])
    s.sync(second, [_dump(infy, moved, renamed)], [roll])
    reused = _row("FRESH", 512)
    s.sync(third, [_dump(reused, moved, renamed)], [Roll("flag", "mis", frozenset({"NSE:FRESH"}), "broker")])
    s.sync(first, [_dump(infy)], [])
    for day in (first, second, third):
        s.tokens([*ids, 4, 5, 6], day)
    s.symbols()
    s.listed()
    s.listed("old%", 3)
    s.listed(limit=2)
    s.changes()
    s.changes(third)
    s.newest()
    s.sizes(date(2021, 6, 5))
    s.with_bars()
    s.listed_ids()
    s.listed_ids("NFO")


def _row(symbol: str, token: int, kind: Kind = EQUITY, *, tick_size: int = 5, expiry: date | None = None) -> Listing:
    exchange = "NFO" if kind is FUTURE else "NSE"
    instrument = Instrument(exchange, symbol, kind, tick_size, 400 if kind is FUTURE else 1)
    return Listing(instrument, token, token >> 8, f"{symbol} LTD", exchange, expiry, 0.0)


def _dump(*rows: Listing) -> Dump:
    return Dump("NSE", rows, 1000 + len(rows))


def tell_memberships(stores: Recorder, ids: tuple[int, ...], folder: Path) -> None:
    """Dated lists, and what trading.universe makes of them."""
    s, universes = stores.members, stores.universes
    a, b, c = ids
    s.take("universe", "NIFTY50", date(2021, 1, 1), {a: None, b: None}, "file 1")
    s.take("universe", "NIFTY50", date(2021, 3, 1), {b: "left out", c: None}, "file 2")
    s.take("universe", "NIFTY50", date(2021, 2, 1), {a: None}, "in between")
    s.take("universe", "NIFTY50", date(2021, 2, 1), {a: None}, "in between")
    s.take_dated("universe", "FNO", [Span(a, date(2020, 1, 1), date(2020, 6, 1)), Span(c, date(2020, 3, 1))], "history")
    s.take_dated("flag", "gsm", [Span(b, date(2021, 1, 1), None, "stage 2", "nse")], "nse")
    for name in ("NIFTY50", "FNO", "NONE"):
        s.spans("universe", name)
        s.known_from("universe", name)
    s.names("universe")
    s.names("flag")
    s.flags(b, date(2021, 6, 8))
    s.flags(b, date(2019, 6, 8))
    path = folder / "list.csv"
    path.write_text("Symbol,from,to\nINFY,2021-01-01,2021-02-01\nOLD%_NAME,2021-03-01,\nUNKNOWN,2021-01-01,\n")
    for universe in (
        "all",
        "fno",
        "index:nifty50",
        "index:none",
        f"csv:{path}",
        "csv:/no/such/file",
        ("TCS", "BSE:INFY"),
        ("X",),
    ):
        universes.resolve(universe, "NSE", date(2021, 6, 8))


def tell_models(stores: Recorder) -> None:
    """Saved, saved again, looked up."""
    s, since = stores.models, date(2021, 1, 1)
    one = ModelRecord("m1", SET.id, "tb1", "models/m1", "edge", since, since + timedelta(60), '{"z": 1,  "a": 0.1}')
    two = ModelRecord("m2", OTHER_SET.id, "tb1", "models/m2", "no tradable edge", since, since, "{}")
    s.latest()
    for record in (one, two, two, one):
        s.save(record)
        s.latest()
    s.latest(OTHER_SET.id)
    s.latest("none")
    s.all()
    s.get("m1")
    s.get("m3")


def tell_learning(stores: Recorder) -> None:
    """The ledger: replaced by itself, a path never by none. The registry: every step of a challenger, and every refusal."""
    trials, s, at = stores.trials, stores.registry, midnight_ns(DAYS[4])
    path = np.array([18_000, 18_001, 18_003], np.int32), np.array([0.001, -0.0, 1e-17])
    none = np.empty(0, np.int32), np.empty(0)
    seen = Trial(
        "a", "best version", TrialKind.CONFIGURATION, at, "run-1", "m1", '{"leaves":  15}', 0.25, "complete", *path, "größe"
    )
    inner = Trial("b", "best version", TrialKind.TUNING, at - 1, "run-1", "", "{}", float("nan"), "pruned", *none)
    trials.add([])
    trials.add([seen, inner, replace(seen, scope="source import"), replace(seen, id="c", scope="best version; nifty 50")])
    trials.add([replace(seen, created_ns=at + 5, session=none[0], net=none[1], state="failed"), replace(inner, value=-1.5)])
    trials.add([replace(seen, created_ns=at + 9, net=path[1] * 2, note="again")])
    for scope, kind in (("best version", None), ("best version", TrialKind.TUNING), ("source import", None), ("none", None)):
        trials.of(scope, kind)
    s.champion()
    s.promote("m1", "m2", at, "rollback", 0, "nobody to take over from")
    s.promote("m1", "", at, "first", 0, "the first")
    s.promote("m2", "", at + 1, "first", 0, "the first again")
    test = Comparison(0, "m1", "m2", at + 2, 18_100, 20, 0.05, "net")
    for wanted in (test, test, replace(test, n_sessions=0), replace(test, challenger_id="m1"), replace(test, challenger_id="m3")):
        s.declare(wanted)
    s.decide(1, "challenger", at + 3, 0.01, '{"mean":  0.001}')
    s.decide(1, "champion", at + 4, 0.9, "{}")
    again = s.declare(test)
    s.decide(again.id, "void", at + 5, float("nan"), "{}")
    s.promote("m2", "m1", at + 6, "promote", 0, "without a test")
    s.promote("m2", "m1", at + 6, "promote", 1, "won")
    s.promote("m1", "m2", at + 7, "rollback", 0, "back")
    s.promote("m2", "m1", at + 8, "promote", 1, "won, once more")
    s.champion()
    s.promotions()
    s.comparisons()
    s.comparisons(challenger_id="m3")
    s.comparisons("m1", "m2")


def tell_runs(stores: Recorder, ids: tuple[int, ...]) -> None:
    """Runs, their days, the audit."""
    s, at = stores.runs, midnight_ns(DAYS[4])
    s.start("run-1", "live", '{"a": 1}', at)
    s.start("run-2", "replay", "{}", at + 1_000)
    s.finish("run-1", "ok", '{"rows": 3}', at + 5_000_000_000)
    for source, day, from_ns in ((Source.TICK, DAYS[4], 0), (Source.REPLAY, DAYS[3], at), (Source.TICK, DAYS[3], 0)):
        s.save_day(RunDay("run-1", source, day, "journal", SET.id, "m1", ids, 5, from_ns))
    s.save_day(RunDay("run-2", Source.TICK, DAYS[4], "elsewhere", SET.id, "m2", ids[:1], 15))
    s.days()
    s.days(DAYS[3])
    s.days(None, Source.TICK)
    s.days(DAYS[0], Source.TICK)
    s.record(at, "import", {"files": 3, "größe": [1.5, None]})


def tell_origin(stores: Recorder) -> None:
    """Whose prices these are."""
    s = stores.origin
    s.made_up()
    s.claim("simulator 1", 1_000_000, made_up=True)
    s.claim("Kite", 2_000_000)
    s.claim("Kite", 3_000_000)
    s.claim("simulator 1", 4_000_000, change="something else")
    s.made_up()


def tell_corporate(stores: Recorder, ids: tuple[int, ...]) -> None:
    """Corporate actions: new, the same again, corrected, removed, told again; what was known when."""
    s, at = stores.corporate, midnight_ns(DAYS[5])
    split = Action(ids[0], DAYS[3], ActionKind.SPLIT, 0.2, 5.0, "1:5", "file", at - 5_000)
    bonus = Action(ids[0], DAYS[2], ActionKind.BONUS, 1 / 3, 3.0, "2:1", "file", at)
    paid = Action(ids[2], DAYS[3], ActionKind.DIVIDEND, 0.99, 1.0, "1.5", "file", at)
    s.add([split, bonus, paid], at)
    s.add([split, paid], at + 1_000)
    s.add([Action(ids[2], DAYS[3], ActionKind.DIVIDEND, 0.98, 1.0, "3", "corrected", at - 9_000)], at + 2_000)
    s.remove(ids[0], DAYS[2], None, at + 3_000)
    s.remove(ids[0], DAYS[3], ActionKind.BONUS, at + 3_000)
    s.add([bonus], at + 4_000)
    for known_ns in (None, at - 1_000, at, at + 2_000, at + 3_000):
        s.actions(None, known_ns)
    s.actions(ids[1:])


def tell_limits(stores: Recorder, ids: tuple[int, ...]) -> None:
    """Circuit limits: of a morning, the same again, moved within the day, one told wrongly; and dated ticks."""
    s, numbers = stores.limits, [SESSIONS.get(day).number for day in DAYS[3:5]]
    at = midnight_ns(DAYS[3]) + 3_000_000
    told = np.array([(i, n, 9_000 + k, 11_000, at) for n in numbers for k, i in enumerate(ids[::2])], LIMIT)
    s.write(told, "Kite")
    later = told.copy()
    later["known_ns"] += 1_000_000
    s.write(later, "Kite")
    later["upper"][:1] = 12_000
    s.write(later, "Kite")
    told["lower"][1] = 8_500
    s.write(told, "list.csv")
    s.read(ids, DAYS[3], DAYS[4])
    s.read(ids[1:], DAYS[4], DAYS[5])
    s.read([], DAYS[3], DAYS[4])
    stores.instruments.tick_sizes(ids[::-1])

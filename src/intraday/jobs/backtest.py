"""``intraday backtest``: what signals would have made, at every human delay, with every slippage, in one account."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np

from intraday.app import System, load_model, model_in_use, open_system
from intraday.app_backtest import Stage, account_spec, build_backtest, build_market, build_stage, shorts_known_from
from intraday.backtest.account import permitted, run_account
from intraday.backtest.orders import orders_of_oos
from intraday.backtest.run import DELAYS_S, DayOfSignals, Filled, ReadTicks, fill_days, fill_orders_of
from intraday.backtest.slippage import Model
from intraday.backtest.summary import BacktestSummary, ChaseRow
from intraday.backtest.tables import (
    account_row,
    by_hour,
    chase_row,
    cost_rows,
    day_rows,
    delay_rows,
    groups,
    path_of_fills,
    slippage_rows,
)
from intraday.config.settings import Settings
from intraday.core.anchor import EPOCH
from intraday.core.labels import LabelSpec
from intraday.core.panel import day_of
from intraday.core.rules import RULES
from intraday.domain.arrays import F8, I4, Ticks
from intraday.domain.clock import Clock
from intraday.domain.errors import ArtifactError, ConfigError, InputError, NotEnoughData
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.ports import Progress, Source
from intraday.domain.session import Session
from intraday.jobs.backtest_page import backtest_view
from intraday.jobs.historical import MADE_UP
from intraday.jobs.outcome import recorded_run
from intraday.jobs.report_parts import with_backtest
from intraday.live.recorded import RecordedTicks
from intraday.live.validate import TickValidator
from intraday.model.artifacts import Artifact, read, read_oos
from intraday.model.metrics import Interval
from intraday.model.significance.bootstrap import mean_interval
from intraday.report.backtest_page import render_backtest

OUT_OF_SAMPLE, ENGINE = "out-of-sample", "engine"
SIGNALS = (OUT_OF_SAMPLE, ENGINE, *RULES)
SEED = 20_261  # of the intervals
IN_SAMPLE = "IN-SAMPLE: {n:,} of {total:,} sessions are ones the model was trained on; what it makes on them says nothing of others"


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    """``signals`` is one of SIGNALS; ``known``: the engine on the minutes that this source told of when they closed, None: the best
    ones; ``in_sample`` allows days the model was trained on; ``ticks``: recordings that tell the price of an entry."""

    model_id: str | None = None
    signals: str = OUT_OF_SAMPLE
    first: date | None = None
    last: date | None = None
    in_sample: bool = False
    known: Source | None = None
    ticks: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class Backtested:
    """The figures, their page, and the file they are in for other commands."""

    summary: BacktestSummary
    page: Path
    file: Path


def run_backtest(settings: Settings, plan: BacktestPlan, clock: Clock, progress: Progress) -> Backtested:
    """Figures, a page and a JSON file of one backtest; nothing in the database changes but the record of the run.

    ConfigError for days the model was trained on without ``in_sample``; NotEnoughData when no stored session is left.
    """
    with open_system(settings, clock) as system, recorded_run(system, "backtest") as run:
        summary = backtest(system, plan, progress)
        account = summary.account
        run.summary |= {"model_id": summary.model_id, "what": summary.what, "sessions": summary.sessions, "net_inr": account.net}
        run.summary |= {"in_sample": summary.in_sample, "trades": account.trades}
        folder = settings.system.data_dir / "reports"
        name = report_name(plan, summary.model_id, summary.first, summary.last)
        view = backtest_view(_artifact(system, summary.model_id), summary, clock.now_ns())
        page = render_backtest(replace(view, report=with_backtest(view.report, summary)), folder / f"{name}.html")
        file = folder / f"{name}.json"
        file.write_text(json.dumps(_plain(asdict(summary)), indent=1, allow_nan=False), encoding="utf-8")
        return Backtested(summary, page, file)


def report_name(plan: BacktestPlan, model_id: str, first: str, last: str) -> str:
    """Of the page and the JSON file, without an ending: another one for another backtest. Recordings are told apart by a hash."""
    parts = ["backtest", model_id, plan.signals, first, last]
    parts += ["known", plan.known.value] if plan.known else []
    if plan.ticks:
        paths = "\n".join(sorted(str(path.resolve()) for path in plan.ticks))
        parts += ["ticks", sha256(paths.encode()).hexdigest()[:8]]
    return "-".join(parts)


def backtest(system: System, plan: BacktestPlan, progress: Progress) -> BacktestSummary:
    """The figures, on an open system."""
    begun_ns = system.clock.monotonic_ns()
    if plan.signals == OUT_OF_SAMPLE:
        summary = _out_of_sample(system, _artifact(system, plan.model_id), plan, progress)
    else:
        summary = _decided(system, plan, progress)
    seconds = (system.clock.monotonic_ns() - begun_ns) / 1e9
    days = summary.sessions * summary.instruments
    return replace(summary, seconds=seconds, instrument_days_per_minute=days / seconds * 60.0 if seconds > 0.0 else 0.0)


def out_of_sample(system: System, artifact: Artifact, progress: Progress) -> BacktestSummary:
    """What a model's report shows: its stitched out-of-sample signals through the account."""
    return _out_of_sample(system, artifact, BacktestPlan(), progress)


def _out_of_sample(system: System, artifact: Artifact, plan: BacktestPlan, progress: Progress) -> BacktestSummary:
    oos, label = read_oos(artifact.path), _label(artifact)
    instruments = _instruments(system, artifact)
    stage = build_stage(system, label, instruments)
    if np.isnan(oos.close[oos.trade]).any():
        raise ArtifactError(f"{artifact.path}: expected the price of each signal, found none in some: train again")
    orders = orders_of_oos(oos, label, stage.ticks)
    sessions = _within(np.unique(oos.session).astype(np.int32), plan)
    orders = orders[np.isin(orders["session"], sessions)]
    ids, ticks = [int(i.id or 0) for i in instruments], _ticks(system, stage, plan.ticks)
    filled = fill_orders_of(orders, stage.desk, system.stores.bars, ids, _delays(label), progress, ticks)
    what = "the model's signals out of sample, each fold's on sessions it had not seen"
    return summarise(system, stage, filled, sessions, what, artifact.id, 0)


def _decided(system: System, plan: BacktestPlan, progress: Progress) -> BacktestSummary:
    """Stored sessions through the engine, or through a simple rule."""
    model = load_model(system, plan.model_id)
    run, stage = build_backtest(system, model, plan.known, reasons=False)
    rule = plan.signals in RULES
    days, n_seen = _days(system, stage.instruments, model.predictor.artifact, plan, rule)
    made = run.rule_days(days, plan.signals, progress) if rule else run.days(days, progress)
    unanchored: list[Session] = []

    def watched() -> Iterator[DayOfSignals]:
        for day in made:  # one in memory at a time
            unanchored.extend([] if day.anchored else [day.session])
            yield day

    filled = fill_days(watched(), stage.desk, _delays(stage.desk.label), _ticks(system, stage, plan.ticks))
    what = f"the rule {plan.signals}" if rule else "the model through the engine, on stored candles"
    what += f", as {plan.known} had told of them when they closed" if plan.known else ""
    sessions = np.array([day.number for day in days], np.int32)
    summary = summarise(system, stage, filled, sessions, what, model.id, 0 if rule else n_seen)
    lost = f"{len(unanchored):,} sessions have no features: the stored candles do not reach their anchor"
    return replace(summary, notes=(*summary.notes, *model.predictor.warnings, *([lost] if unanchored else [])))


def summarise(
    system: System, stage: Stage, filled: Filled, sessions: I4, what: str, model_id: str, in_sample: int
) -> BacktestSummary:
    """Every table of fills in the configured account, which trades at the labels' delay."""
    trading, label = system.settings.trading, stage.desk.label
    spec, shorts_from = account_spec(trading), shorts_known_from(system)
    market, told, told_fills = build_market(system, stage), filled.orders, filled.fills[label.entry_delay_s]
    trades = run_account(spec, market, system.costs, told, told_fills)
    may = permitted(told, market.gate)
    filled = filled.only(may)
    orders, fills, own = filled.orders, filled.fills[label.entry_delay_s], trades[may]
    days = day_rows(orders, own, path_of_fills(orders, fills, sessions), spec.capital)
    chase = chase_row(orders, fills, sessions, _interval)
    models = [replace(spec.slippage, model=each) for each in Model]
    first, last = (EPOCH + timedelta(days=int(n)) for n in (sessions[0], sessions[-1]))
    names = [i.symbol for i in stage.instruments]
    return BacktestSummary(
        what=what,
        model_id=model_id,
        first=first.isoformat(),
        last=last.isoformat(),
        sessions=len(sessions),
        instruments=len(stage.instruments),
        in_sample=in_sample,
        shorts="assumed" if shorts_from is None or shorts_from > first else "by list",
        signals=len(told),
        delay_s=label.entry_delay_s,
        slippage_model=spec.slippage.model.value,
        exact=filled.exact,
        delays=delay_rows(filled, sessions, _interval),
        slippage=slippage_rows(filled, label.entry_delay_s, models, spec.notional, market, sessions, _interval),
        account=account_row(told, told_fills, trades, days, spec.capital, system.sessions, sessions),
        costs=cost_rows(orders, own, market, system.costs),
        by_instrument=groups(names, orders["inst"], orders, fills, own),
        by_hour=by_hour(orders, fills, own),
        days=days,
        notes=(*_notes(system, stage, filled, len(sessions), in_sample, shorts_from, first), *_counts(int((~may).sum()), chase)),
        chase=chase,
    )


def _notes(
    system: System, stage: Stage, filled: Filled, n: int, in_sample: int, shorts_from: date | None, first: date
) -> list[str]:
    """What a reader must know before the figures."""
    notes = [IN_SAMPLE.format(n=in_sample, total=n)] if in_sample else []
    if shorts_from is None or shorts_from > first:
        known = "not known" if shorts_from is None else f"known from {shorts_from} on"
        notes.append(f"shorts assumed: who may be sold short intraday is {known} (`intraday instruments import --flag mis`)")
    if any(i.kind is Kind.INDEX for i in stage.instruments):
        notes.append(
            "an index cannot be traded: its trades are a direction, with the charges of its future; the account trades the "
            "future's lots, and nothing where none is listed"
        )
    guessed = [f"{s} s" for s, fills in sorted(filled.fills.items()) if fills["estimated"].any()]
    if guessed:
        notes.append(f"at {', '.join(guessed)} most entries are estimates: the price between the opens of two minutes")
    made_up = system.stores.origin.made_up()
    return notes if made_up is None else [*notes, f"{MADE_UP} They come from {made_up}."]


def _counts(barred: int, chase: ChaseRow | None) -> Iterator[str]:
    """What a reader must know of signals that nobody may trade, and of entries that a person would leave."""
    if barred:
        yield f"{barred:,} signals are left out of every table: they may not be traded intraday in that direction on their day"
    if chase is not None and chase.beyond:
        yield (
            f"{chase.beyond:,} of {chase.beyond + chase.trades:,} entries are beyond the price not to chase, and in every figure; "
            f"without them net is {chase.net:+.2f} bps a trade and {chase.session.mean:+.1f} a session"
        )


def _artifact(system: System, model_id: str | None) -> Artifact:
    """Of a model by id, or of the one in use. Its features are not computed, so they need not be this program's."""
    record = model_in_use(system) if model_id is None else system.stores.models.get(model_id)
    if record is None:
        raise ArtifactError("no model is stored: expected one that was trained here; run `intraday historical` first")
    return read(Path(record.path))


def _label(artifact: Artifact) -> LabelSpec:
    raw = json.loads(artifact.manifest["labels"]["definition"])
    return LabelSpec(**{k: v for k, v in raw.items() if k not in ("kernels", "rules")})


def _instruments(system: System, artifact: Artifact) -> list[Instrument]:
    """The stored instruments that the model's rows count, in their order."""
    stored = {i.key: i for i in system.stores.instruments.all()}
    missing = [key for key in artifact.manifest["data"]["symbols"] if key not in stored]
    if missing:
        raise InputError(f"model {artifact.id} was trained on {', '.join(missing[:5])}: expected them in the database, found none")
    return [stored[key] for key in artifact.manifest["data"]["symbols"]]


def _days(
    system: System, instruments: Sequence[Instrument], artifact: Artifact, plan: BacktestPlan, rule: bool
) -> tuple[list[Session], int]:
    """The stored sessions of the plan, ascending, and how many of them the model was trained on."""
    data, ids = artifact.manifest["data"], {i.id for i in instruments}
    first, last = (EPOCH + timedelta(days=int(data[name])) for name in ("first_session", "last_session"))
    stored = {day for i, day, n in system.stores.bars.coverage() if n and i in ids}
    if plan.known is not None:
        stored &= {run.day for run in system.stores.runs.days(source=plan.known)}
    begin = plan.first or (date.min if rule or plan.in_sample else last + timedelta(days=1))
    days = sorted(day for day in stored if begin <= day <= (plan.last or date.max))
    if not days:
        raise NotEnoughData(
            f"no stored session from {begin} to {plan.last or 'now'}: expected some after {last}, the last one that model "
            f"{artifact.id} was trained on; import newer candles, or see its signals out of sample (--signals {OUT_OF_SAMPLE})"
        )
    seen = sum(first <= day <= last for day in days)
    if seen and not rule and not plan.in_sample:
        raise ConfigError(
            f"--from: model {artifact.id} was trained on {first} to {last}, found {seen:,} of these sessions in the backtest; "
            f"expected days after {last}, --signals {OUT_OF_SAMPLE}, or --in-sample to see figures that prove nothing"
        )
    return [system.sessions.get(day) for day in days], seen


def _within(sessions: I4, plan: BacktestPlan) -> I4:
    """The scored sessions of the plan's days."""
    first, last = ((day - EPOCH).days if day else None for day in (plan.first, plan.last))
    keep = (sessions >= (-1 if first is None else first)) & (sessions <= (1 << 30 if last is None else last))
    if not keep.any():
        held = f"{EPOCH + timedelta(days=int(sessions[0]))} to {EPOCH + timedelta(days=int(sessions[-1]))}"
        raise NotEnoughData(f"no out-of-sample session from {plan.first} to {plan.last}: expected some of {held}")
    return sessions[keep]


def _delays(label: LabelSpec) -> list[int]:
    return sorted({*DELAYS_S, label.entry_delay_s})


def _ticks(system: System, stage: Stage, paths: Sequence[Path]) -> ReadTicks | None:
    """A session's usable recorded ticks by the time of their stamps; None: no recording is given."""
    if not paths:
        return None
    rows, n = {i.symbol: k for k, i in enumerate(stage.instruments)}, len(stage.instruments)
    recorded = RecordedTicks(paths, rows, [i.has_volume for i in stage.instruments], system.sessions)
    days = set(recorded.days())

    def read_ticks(session: Session) -> Ticks | None:
        if session.day not in days:
            return None
        hours = day_of(session, n, system.sessions, stage.desk.traded.lists)
        usable = TickValidator(session, hours).check(recorded.ticks(session.day))
        return usable[np.argsort(usable["event_ns"], kind="stable")]

    return read_ticks


def _interval(values: F8) -> Interval:
    """By whole sessions in blocks, the same draws every time."""
    return mean_interval(values, np.random.Generator(np.random.PCG64(SEED)))


def _plain(value: object) -> object:
    """JSON has no NaN."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value

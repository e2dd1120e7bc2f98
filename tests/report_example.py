"""A whole report with made-up figures of realistic size: what the page is looked at with. Nothing in it is a result."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from intraday.report.inputs import (
    Candles,
    Check,
    Confusion,
    Coverage,
    Equity,
    Fold,
    Header,
    OwnFeature,
    Reliability,
    ReportInput,
    SignalRow,
)
from intraday.report.parts import (
    Account,
    Baseline,
    Charges,
    Controls,
    CostLine,
    Estimate,
    Figure,
    FoldMap,
    Group,
    HeatMap,
    Judgement,
    Lane,
    NullControl,
    Overfitting,
    PathSpread,
    PowerGrid,
    Realised,
    Recalibration,
    Scenario,
    Span,
    Stability,
    Swarm,
    TrialRow,
    Trials,
)
from report_cases import candles, signal

MADE_NS = int(datetime(2022, 7, 1, 11, 0, tzinfo=UTC).timestamp()) * 10**9
SYMBOLS = (
    "RELIANCE TCS HDFCBANK INFY ICICIBANK SBIN AXISBANK KOTAKBANK LT ITC BHARTIARTL MARUTI TATAMOTORS TATASTEEL M&M WIPRO "
    "HCLTECH SUNPHARMA ONGC NTPC COALINDIA HINDALCO ADANIPORTS BAJFINANCE"
).split()
HOURS = ("09:15", "10:15", "11:15", "12:15", "13:15", "14:15")
FEATURES = (
    "minute_of_day",
    "sigma",
    "volume_ratio_20",
    "vwap_distance",
    "gap_open",
    "rsi_14",
    "atr_14",
    "ret_15m",
    "index_ret_15m",
    "beta_60d",
    "adx_14",
    "range_position",
    "spread_proxy",
    "ret_60m",
    "bb_width_20",
    "obv_slope_30",
    "rank_ret_30m",
    "ema_50_distance",
    "realised_vol_1h",
    "day_of_week",
)
N = 130
DAYS = [d for d in (date(2021, 12, 1) + timedelta(days=k) for k in range(300)) if d.weekday() < 5][:N]
SCORED = 100


def example(verdict: str = "no tradable edge") -> ReportInput:
    rng = np.random.default_rng(7)
    trades = rng.poisson(9, SCORED)
    gross = np.cumsum(rng.normal(47.0, 88.0, SCORED))
    net = gross - np.cumsum(trades * 5.9)
    fall = np.concatenate([[0.0], net])
    head = Header(
        "24 stocks, 5-minute decisions",
        MADE_NS,
        "HISTORICAL_MODE",
        "the database, best version of each bar",
        DAYS[0],
        DAYS[-1],
        N,
        len(SYMBOLS),
        5,
        "3f9a1c27be0d4e55",
        verdict,
        "net −3.3 bps a session (95 % interval −21.9 to 15.3) over 100 out-of-sample sessions and 871 trades; p = 0.984 after 23 "
        "configurations tried (deflated Sharpe 0.016): no more than luck explains, though an edge of 2 times the cost would have "
        "shown with a chance of 74 %",
    )
    return ReportInput(
        header=head,
        figures=_figures(),
        equity=Equity(DAYS[-SCORED:], gross, net, trades.astype(np.int64), float((np.maximum.accumulate(fall) - fall).max())),
        reliability=_reliability(rng),
        confusion=Confusion(np.array([[1830, 9120, 1660], [5210, 41870, 5020], [1590, 9240, 1790]])),
        importance=tuple((name, float(s)) for name, s in zip(FEATURES, 0.18 * 0.82 ** np.arange(20), strict=True)),
        folds=_folds(),
        signals=tuple(_signal(k, s, a) for k, (s, a) in enumerate(_said())),
        n_hold=1387,
        candles=_candles(rng),
        checks=(Check("as known", DAYS[-1], 375, 0, True), Check("as corrected: candles", DAYS[-1], 375, 2, False, "late 2")),
        coverage=(Coverage("RELIANCE", 130, 48_750, 48_750), Coverage("ADANIPORTS", 130, 47_912, 48_750)),
        rejects=(("outside_the_session", 412), ("price_not_on_the_tick_grid", 3)),
        facts=(("Program", "intraday 0.6.0"), ("Libraries", "lightgbm 4.6.0, numpy 2.4.0"), ("Rows trained on", "77,330")),
        own=(OwnFeature("my_gap", 7, 21, 0.031, 118, 0.004),),
        judgement=_judgement(),
        delays=_scenarios(("0 s", "15 s", "30 s", "60 s", "120 s"), (6.9, 6.2, 5.5, 4.4, 2.7)),
        slippage=_scenarios(("none", "1 bps", "½ spread", "5 % of volume"), (5.5, 5.5, 5.5, 5.5), (0.0, 2.0, 2.7, 3.9)),
        by_instrument=tuple(_group(s, rng, 60) for s in SYMBOLS),
        by_hour=tuple(_group(f"{h} to {int(h[:2]) + 1}:15", rng, 160) for h in HOURS),
        heat=_heat(rng),
        recalibration=(
            Recalibration(
                "down",
                Estimate(0.97, 0.83, 1.11),
                Estimate(-0.03, -0.15, 0.09),
                Estimate(0.021, 0.012, 0.03),
                Estimate(0.006, 0.002, 0.011),
            ),
            Recalibration(
                "neither",
                Estimate(1.04, 0.95, 1.13),
                Estimate(0.02, -0.03, 0.07),
                Estimate(0.034, 0.024, 0.045),
                Estimate(0.005, 0.001, 0.009),
            ),
            Recalibration(
                "up",
                Estimate(0.92, 0.79, 1.06),
                Estimate(-0.05, -0.17, 0.06),
                Estimate(0.018, 0.009, 0.027),
                Estimate(0.009, 0.004, 0.014),
            ),
        ),
        realised=Realised(
            np.array([0.6, 1.4, 2.3, 3.6, 6.1]),
            np.array([-1.9, -0.6, -1.4, 0.9, 1.7]),
            np.array([-5.8, -4.6, -5.9, -4.2, -5.1]),
            np.array([2.0, 3.4, 3.1, 6.0, 8.5]),
            np.array([240, 220, 180, 150, 97]),
            Estimate(0.58, -0.7, 1.8),
        ),
        fold_map=_fold_map(),
        stability=Stability(FEATURES, np.abs(0.18 * 0.82 ** np.arange(20)[:, None] * rng.normal(1, 0.25, (20, 5))), 0.81),
        swarm=_swarm(rng),
        baselines=_baselines(),
        trials=_trials(rng),
        overfitting=Overfitting(0.43, rng.normal(0.2, 1.1, 1200), -0.31, 0.71, 0.61, 0.42, 0.88, 0.66, 0.48),
        path_spread=PathSpread(rng.normal(-0.03, 0.06, 35), -0.035, 8, 4),
        controls=_controls(rng),
        charges=_charges(),
        account=_account(),
    )


def _candles(rng: np.random.Generator) -> Candles:
    day = candles(75)
    close = 812.0 + np.cumsum(rng.normal(0.0, 1.3, 75))
    open_ = np.concatenate([[811.4], close[:-1]]) + rng.normal(0.0, 0.2, 75)
    high, low = np.maximum(open_, close) + rng.exponential(0.7, 75), np.minimum(open_, close) - rng.exponential(0.7, 75)
    volume = 4e4 * (1.0 + 2.0 * (np.arange(75) / 37 - 1) ** 2) * rng.lognormal(0.0, 0.35, 75)
    said = tuple(
        replace(
            signal("M&M", action, k), price=float(close[k]), stop=float(close[k]) - 3.1 * way, target=float(close[k]) + 4.2 * way
        )
        for action, k, way in (("BUY", 6, 1), ("SELL", 31, -1), ("BUY", 52, 1))
    )
    return replace(day, open=open_, high=high, low=low, close=close, volume=volume, signals=said)


def _signal(k: int, symbol: str, action: str) -> SignalRow:
    way, price = (1 if action == "BUY" else -1), 812.35 + 21.4 * k
    return replace(
        signal(symbol, action, 4 * k),
        confidence=0.41 + 0.006 * k,
        price=price,
        stop=price - way * 4.25,
        target=price + way * 4.25,
        expected=0.00043 + 0.00002 * k,
        chase=price + way * 0.35,
        quantity=240 - 9 * k,
        reasons=(("vwap_distance", 0.31), ("gap_open", 0.12), ("sigma", -0.08), ("rsi_14", 0.05)),
    )


def _said() -> list[tuple[str, str]]:
    return [(SYMBOLS[k % 24], "BUY" if k % 3 else "SELL") for k in range(18)]


def _figures() -> tuple[Figure, ...]:
    return (
        Figure("Net a session", -3.3, "bps", 1, -21.9, 15.3),
        Figure("Net a trade", -0.38, "bps", note="gross +5.52, cost 5.90"),
        Figure("Hit rate", 52.1, "%", 1, note="trades that gained before costs"),
        Figure("Direction IC", 0.011, "", 3, -0.001, 0.023, "rank correlation by session"),
        Figure("Log-loss", 0.9121, "nats", 4, note="prior's 0.9344, 2.39 % better"),
        Figure("Trades", 871.0, "", 0, note="in 100 sessions out of sample"),
    )


def _judgement() -> Judgement:
    return Judgement(
        (
            Figure("Sharpe ratio by session", -0.035, "", 3, -0.23, 0.16, "net: mean over deviation"),
            Figure("Probabilistic Sharpe ratio", 36.4, "%", 1, note="chance that the true one is above zero"),
            Figure("Deflated Sharpe ratio", 1.6, "%", 1, note="the same, above the best of 23 by luck; 95 % is an edge"),
            Figure("p-value of the edge", 0.984, "p", note="under 0.05 is an edge"),
            Figure("Configurations counted (N)", 23, "", 0, note="every one whose test result was ever seen"),
            Figure("Variance of their Sharpe ratios (V)", 0.00831, "", 5),
            Figure("Minimum track record", float("nan"), "", 0, note="sessions that this ratio needs; – is never"),
            Figure("Effective sessions", 96.0, "", 0, note="of 100, after autocorrelation"),
            Figure("Effective trials", 9.4, "", 1, note="of 23, after correlation; shown, not used"),
            Figure("Gross a session", 48.1, "bps", 1, 30.5, 65.7, "before costs"),
        ),
        ((1.0, 0.05), (2.0, 0.74), (3.0, 0.99)),
        "direction",
        "Before costs 48.1 bps a session (95 % interval 30.5 to 65.7), p = 0.003.",
    )


def _reliability(rng: np.random.Generator) -> tuple[Reliability, ...]:
    out = []
    for name, low, high in (("down", 0.05, 0.4), ("neither", 0.35, 0.9), ("up", 0.05, 0.38)):
        p = np.linspace(low, high, 9)
        seen = np.clip(p + rng.normal(0, 0.012, 9), 0, 1)
        n = (9000 * np.exp(-((np.arange(9) - 3) ** 2) / 8)).astype(np.int64) + 40
        half = 1.5 / np.sqrt(n) + 0.006
        out.append(Reliability(name, p, seen, n, seen - half, seen + half))
    return tuple(out)


def _folds() -> tuple[Fold, ...]:
    return tuple(
        Fold(
            k + 1,
            DAYS[0],
            DAYS[28 + 20 * k],
            DAYS[30 + 20 * k],
            DAYS[49 + 20 * k],
            16_000 + 11_800 * k,
            11_870,
            60 + 9 * k,
            0.9121,
            0.9344,
            177,
            -3.8,
            640,
        )
        for k in range(5)
    )


def _fold_map() -> FoldMap:
    lanes = []
    for k in range(5):
        fit, stop, score = (
            Span("fit", 0, 22 + 20 * k),
            Span("stop", 24 + 20 * k, 28 + 20 * k),
            Span("score", 30 + 20 * k, 49 + 20 * k),
        )
        between = Span("embargo", fit.last + 1, stop.first - 1), Span("embargo", stop.last + 1, score.first - 1)
        purged = Span("purged", fit.last + 1, fit.last), Span("purged", stop.last + 1, stop.last)
        lanes.append(Lane(f"fold {k + 1}", (fit, stop, score, *between, *purged), 640))
    return FoldMap(DAYS, lanes)


def _scenarios(names: tuple[str, ...], gross: tuple[float, ...], extra: tuple[float, ...] | None = None) -> tuple[Scenario, ...]:
    more = extra or (0.0,) * len(names)
    return tuple(
        Scenario(n, 871, g, 5.9 + e, g - 5.9 - e, Estimate(9 * (g - 5.9 - e), 9 * (g - 5.9 - e) - 19, 9 * (g - 5.9 - e) + 19))
        for n, g, e in zip(names, gross, more, strict=True)
    )


def _group(name: str, rng: np.random.Generator, n: int) -> Group:
    trades, gross = int(rng.poisson(n)), float(rng.normal(5.5, 5))
    return Group(name, trades, 0.5 + float(rng.normal(0, 0.03)), gross, 5.9, gross - 5.9, trades * (gross - 5.9))


def _heat(rng: np.random.Generator) -> HeatMap:
    trades = rng.poisson(6, (24, 6))
    return HeatMap(SYMBOLS, HOURS, np.where(trades > 0, rng.normal(-0.4, 9, (24, 6)), np.nan), trades.astype(np.int64))


def _swarm(rng: np.random.Generator) -> Swarm:
    value = rng.random((20, 260))
    value[3, :20] = np.nan
    size = 0.3 * 0.85 ** np.arange(20)[:, None]
    contribution = size * (np.where(np.arange(20)[:, None] % 2, 1, -1) * (value - 0.5) * 1.6 + rng.normal(0, 0.35, (20, 260)))
    contribution = np.where(np.isnan(contribution), 0.05, contribution)
    return Swarm(FEATURES, value, contribution, np.abs(contribution).mean(axis=1))


def _baselines() -> tuple[Baseline, ...]:
    def row(name: str, trades: int, net: float, half: float, loss: float, own: bool = False) -> Baseline:
        session = Estimate(net * trades / 100, net * trades / 100 - half, net * trades / 100 + half)
        return Baseline(name, trades, net, session, session.value / (half or 1.0) / 5, loss, loss * 0.58, own)

    nan = float("nan")
    return (
        row("this model", 871, -0.38, 18.6, 0.9121, True),
        row("always HOLD", 0, 0.0, 0.0, nan),
        row("class frequencies alone", 120, -6.1, 9.0, 0.9344),
        row("logistic regression", 640, -2.1, 17.0, 0.9188),
        row("opening-range breakout", 1430, -5.1, 31.0, nan),
        row("moving-average cross", 1710, -6.4, 29.0, nan),
        row("LightGBM, Alpha158 hyper-parameters", 905, -0.9, 19.5, 0.9137),
    )


def _trials(rng: np.random.Generator) -> Trials:
    rows = [
        TrialRow(
            MADE_NS - (23 - k) * 10**13,
            "configuration",
            "complete",
            "timeframe 5, num_leaves 31",
            float("nan"),
            float(rng.normal(-0.12, 0.09)),
            100,
        )
        for k in range(22)
    ]
    tuning = [
        TrialRow(
            MADE_NS - 10**12 - k * 10**10,
            "tuning",
            "pruned" if k % 3 else "complete",
            f"num_leaves {15 + k}",
            float(rng.normal(-0.02, 0.004)),
        )
        for k in range(20)
    ]
    own = TrialRow(MADE_NS, "configuration", "complete", "timeframe 5, num_leaves 47", float("nan"), -0.035, 100, True)
    return Trials((*rows, own, *tuning), 23, 20, 0.00831, 0.181, 9.4)


def _controls(rng: np.random.Generator) -> Controls:
    nulls = (
        NullControl("simulated martingales", rng.random(400), 21, 28, 0.37, 0),
        NullControl("real bars, signs flipped", rng.random(100), 4, 10, 0.71, 0),
        NullControl("shuffled labels", rng.random(100), 6, 10, 0.22, 0),
    )
    found = np.array([[1, 2, 2, 2], [2, 5, 6, 9], [5, 15, 29, 168], [9, 27, 39, 40]])
    markets = np.array([[40] * 4, [40] * 4, [40, 40, 40, 200], [40] * 4])
    grid = PowerGrid((0.0, 1.0, 2.0, 3.0), (15, 50, 130, 250), found, markets, 20)
    return Controls(nulls, grid, "Markets of a fixed size, stated before the first result: 40 instruments, 5-minute decisions.")


def _charges() -> Charges:
    days = [date(2016, 1, 1), date(2017, 7, 1), date(2020, 7, 1), date(2021, 1, 1), date(2023, 4, 1), date(2024, 10, 1)]
    bps = np.array([[11.3, 6.4, 4.2], [11.5, 6.5, 4.3], [11.1, 6.2, 4.0], [10.9, 6.1, 4.05], [10.7, 5.95, 4.02], [10.6, 5.9, 4.0]])
    return Charges(days, (50_000.0, 200_000.0, 1_000_000.0), bps, np.array([10.6, 5.9, 4.0]), date(2026, 11, 23), DAYS[-1])


def _account() -> Account:
    figures = (
        Figure("Net result", -52_310.0, "₹", 0, note="of ₹10 lakh"),
        Figure("Charges and fees", 61_470.0, "₹", 0, note="at today's rates 60,120"),
        Figure("Slippage", 12_900.0, "₹", 0, note="half a spread"),
        Figure("Largest fall", 55_180.0, "₹", 0),
        Figure("Turnover", 218_400_000.0, "₹", 0, note="bought and sold"),
        Figure("Mean exposure", 212_000.0, "₹", 0, note="most 10,00,000, 5 positions"),
    )
    costs = (
        CostLine("brokerage", 25_900, 25_900),
        CostLine("STT", 27_300, 27_300),
        CostLine("exchange", 3_540, 3_180),
        CostLine("stamp", 3_280, 3_280),
    )
    refused = (("no_capital", 31), ("open_signal", 118), ("not_tradable", 9))
    return Account(figures, costs, refused, ("Nobody knew who may be sold short: shorts are assumed.",))

"""How numbers, times and verdicts read, the same on the page and in the terminal."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone

from intraday.report.inputs import Header
from intraday.report.parts import Estimate, Figure

IST = timezone(timedelta(hours=5, minutes=30), "IST")
MISSING = "–"
SECOND_NS = 1_000_000_000

DISCLAIMER = (
    "This is no investment advice. The program decides and alerts, it never places orders. "
    "Past results say little about future ones."
)

VERDICTS = {
    "edge": "An edge was found: out of sample, the result after costs was above zero beyond chance.",
    "no tradable edge": "No tradable edge was found. The model runs in observe mode: signals are for watching, not for trading.",
    "not enough data": "There is not enough data to judge the model. It runs in observe mode: signals are for watching only.",
}


def verdict_text(header: Header) -> str:
    """The verdict in plain words, with the trainer's own reason when it gave one."""
    text = VERDICTS.get(header.verdict, f"Verdict: {header.verdict}.")
    reason = header.reason.strip().rstrip(".")
    return f"{text} {reason[0].upper()}{reason[1:]}." if reason else text


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """``1,234.50``; an en dash for NaN and infinity."""
    if not math.isfinite(value):
        return MISSING
    text = f"{value:{'+' if sign else ''},.{digits}f}"
    return text.replace("-", "−") if any(c in "123456789" for c in text) else text.lstrip("+-")


def figure_value(figure: Figure) -> str:
    """Value and unit."""
    if figure.unit in _OWN:
        return _OWN[figure.unit](figure.value)
    text = number(figure.value, figure.digits, sign=figure.unit == "bps")
    return text if not figure.unit or text == MISSING else f"{text} {figure.unit}"


def figure_interval(figure: Figure) -> str:
    """``−1.20 to +3.40``, empty when there is no interval."""
    if not (math.isfinite(figure.low) and math.isfinite(figure.high)):
        return ""
    sign = figure.unit == "bps"
    return f"{number(figure.low, figure.digits, sign)} to {number(figure.high, figure.digits, sign)}"


def share(part: float, whole: float) -> str:
    """``98.7 %``; an en dash of nothing."""
    return f"{number(100.0 * part / whole, 1)} %" if whole else MISSING


def ist(ns: int) -> datetime:
    """The instant, in IST."""
    return datetime.fromtimestamp(ns / SECOND_NS, IST)


def clock(ns: int) -> str:
    """``11:05:02``."""
    return f"{ist(ns):%H:%M:%S}"


def day(value: date | None) -> str:
    """``Fri 11 Jun 2021``."""
    return MISSING if value is None else f"{value:%a %d %b %Y}"


def moment(ns: int) -> str:
    """``2021-06-11 11:05 IST``, with the UTC date when it is another one."""
    local = ist(ns)
    utc = local.astimezone(UTC)
    return f"{local:%Y-%m-%d %H:%M} IST" + ("" if utc.date() == local.date() else f" ({utc:%Y-%m-%d %H:%M} UTC)")


def rupees(value: float) -> str:
    """``₹50,000``, ``₹2 lakh``, ``−₹21.84 crore``; an en dash for NaN."""
    if not math.isfinite(value):
        return MISSING
    size, sign = abs(value), "−" if value < 0 else ""
    for least, name in ((10_000_000, " crore"), (100_000, " lakh")):
        if size >= least:
            return f"{sign}₹{size / least:,.2f}".rstrip("0").rstrip(".") + name
    return f"{sign}₹{size:,.0f}"


def estimate(e: Estimate, digits: int = 2, sign: bool = False) -> str:
    """``1.02 (0.95 to 1.10)``, without the interval where there is none."""
    text, between = number(e.value, digits, sign), interval(e, digits, sign)
    return f"{text} ({between})" if between else text


def percent(value: float, digits: int = 0) -> str:
    """``54 %`` of 0.54; an en dash for NaN."""
    return f"{number(100.0 * value, digits)} %" if math.isfinite(value) else MISSING


def p_is(value: float) -> str:
    """``p = 0.031``, ``p under 0.001``; an en dash for NaN."""
    text = p_value(value)
    return text if text == MISSING else f"p {text}" if text.startswith("under") else f"p = {text}"


def p_value(value: float) -> str:
    """``0.031``, ``under 0.001``; an en dash for NaN."""
    if not math.isfinite(value):
        return MISSING
    return "under 0.001" if value < 0.001 else f"{value:.3f}"


def interval(e: Estimate, digits: int = 2, sign: bool = False) -> str:
    """``−1.2 to +3.4``, empty without an interval."""
    if not (math.isfinite(e.low) and math.isfinite(e.high)):
        return ""
    return f"{number(e.low, digits, sign)} to {number(e.high, digits, sign)}"


def scaled(e: Estimate, by: float) -> Estimate:
    """The estimate in another unit."""
    return Estimate(by * e.value, by * e.low, by * e.high)


def iso(ns: int) -> str:
    """``2021-06-11T03:45:00Z``."""
    return f"{datetime.fromtimestamp(ns // SECOND_NS, UTC):%Y-%m-%dT%H:%M:%SZ}"


_OWN = {"₹": rupees, "p": p_value}
"""Units that come before the number, or instead of it."""

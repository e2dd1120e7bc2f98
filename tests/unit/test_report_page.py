"""The page: whole, self-contained, escaped, and sensible when there is nothing to show."""

import dataclasses
import functools
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from intraday.report.html import SIGNALS_MAX, page, render
from intraday.report.inputs import NAN, Confusion, Equity, Figure, Fold, Header, Reliability, ReportInput
from report_cases import DAY, candles, full_report, header, signal
from report_example import example

VOID = {"meta", "link", "br", "img", "hr", "input", "use", "path"}


class Outline(HTMLParser):
    """Checks nesting and collects ids, tags and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def words_of(text: str) -> str:
    return " ".join(" ".join(Outline(text).words).split())


@functools.cache
def whole() -> str:
    """The page with everything on it."""
    return page(example())


PARTS = (
    "figures statistics equity delays slippage account heat instruments hours charges calibration realised confusion folds "
    "baselines trials overfitting ledger paths controls importance stability shap candles signals quality verify run"
).split()
ALWAYS = [part for part in PARTS if part not in ("figures", "account", "ledger", "verify", "run")]


def test_every_part_is_there_once() -> None:
    outline = Outline(whole())
    assert [outline.ids.count(part) for part in PARTS] == [1] * len(PARTS)
    assert outline.tags.count("svg") == 22
    assert len(outline.ids) == len(set(outline.ids))


def test_parts_that_nobody_gave_are_there_and_say_so() -> None:
    text = page(ReportInput(header()))
    ids = Outline(text).ids
    assert [part for part in ALWAYS if part not in ids] == []
    assert text.count('class="absent"') == len(ALWAYS)
    for missing in (
        "the statistics of its verdict",
        "intraday report computes it",
        "no baselines",
        "intraday controls runs them",
    ):
        assert missing.replace("the statistics", "no statistics") in words_of(text)


def test_contents_lead_to_every_part_of_the_page() -> None:
    text = whole()
    nav = text[text.index("<nav") : text.index("</nav>")]
    ids = Outline(text).ids
    targets = re.findall('href="#([^"]+)"', nav)
    assert len(targets) == 7
    assert all(ids.count(target) == 1 for target in targets)


def test_every_colour_that_is_used_is_defined_for_light_and_dark() -> None:
    text = whole()
    used = set(re.findall(r"var\(--(\w+)\)", text))
    light, dark = (
        {name for block in re.findall(pattern, text, re.DOTALL) for name in re.findall(r"--(\w+):", block)}
        for pattern in (r"[}>]\s*:root \{(.*?)\}", r"prefers-color-scheme: dark\) \{\s*:root \{(.*?)\}")
    )
    assert used <= light
    assert used <= dark


def test_a_large_report_stays_small() -> None:
    assert len(whole().encode()) < 500_000


def test_nothing_is_fetched_or_run() -> None:
    text = whole()
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)|\bsrc=|<script|<link|\bon[a-z]+=", text)


def test_references_inside_charts_resolve() -> None:
    text = page(full_report())
    ids = set(Outline(text).ids)
    targets = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert targets
    assert targets <= ids


def test_figures_read_with_sign_unit_and_interval() -> None:
    text = words_of(page(full_report()))
    assert "Log-loss 1.0573 nats prior 1.0710" in text
    assert "Net a trade −2.31 bps 95 %: −5.20 to +0.60" in text


def test_signal_times_are_ist() -> None:
    text = words_of(page(full_report()))
    assert "11 Jun 2021 09:30:01 M&M BUY 45.7 % 812.35 808.10 816.60 observe" in text
    assert "made 2021-06-11 09:15 IST" in text


def test_signals_carry_value_limit_shares_and_reasons() -> None:
    text = words_of(whole())
    row = (
        "RELIANCE SELL 41.0 % +4.3 812.35 812.00 816.60 808.10 240 observe vwap_distance +0.31, gap_open +0.12, sigma −0.08, rsi_14"
    )
    assert row in text
    assert "Shares" not in words_of(page(full_report()))


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "a&b<c>'\"", "$x_{1}$", "{{ 7*7 }}"])
def test_what_comes_from_outside_is_escaped(evil: str) -> None:
    report = full_report(evil)
    report = dataclasses.replace(
        report,
        header=dataclasses.replace(header(title=evil), source=evil, reason=evil),
        candles=dataclasses.replace(candles(signals=(signal(evil),)), symbol=evil),
        importance=((evil, 0.5), ("plain", 0.5)),
        rejects=((evil, 1),),
    )
    text = page(report)
    assert "<script" not in text
    assert "<img" not in text
    assert words_of(text).count(" ".join(evil.split())) >= 6


def test_feature_names_are_not_formulas() -> None:
    text = words_of(page(dataclasses.replace(full_report(), importance=(("$x_{1}$", 1.0),))))
    assert "$x_{1}$" in text


def test_an_empty_report_says_so() -> None:
    nothing = Header("Nothing", 0, "HISTORICAL_MODE", "", None, None, 0, 0, 5, "", "not enough data")
    text = words_of(page(ReportInput(nothing)))
    for part in (
        "not enough data",
        "No out-of-sample trades.",
        "No replayed day",
        "No BUY or SELL",
        "No model.",
        "No folds.",
        "– to –",
    ):
        assert part in text
    assert "svg" not in Outline(page(ReportInput(nothing))).tags


def test_nan_everywhere_draws_dashes() -> None:
    nan = np.full(3, NAN)
    report = dataclasses.replace(
        full_report(),
        figures=(Figure("Net a trade", NAN, "bps", low=NAN, high=1.0),),
        equity=Equity([], nan[:0], nan[:0], np.zeros(0, dtype=np.int64), NAN),
        reliability=(Reliability("up", nan, nan, np.zeros(3, dtype=np.int64)),),
        confusion=Confusion(np.zeros((3, 3), dtype=np.int64)),
        importance=(("sigma", NAN),),
        folds=(Fold(1, DAY, DAY, DAY, DAY, 0, 0, 0, NAN, NAN),),
        signals=(dataclasses.replace(signal(), stop=NAN, target=NAN),),
        candles=candles(0),
    )
    text = page(report)
    assert "nan" not in words_of(text).lower().replace("nano", "")
    assert "Net a trade – bps" in words_of(text)
    assert "svg" not in Outline(text).tags


@pytest.mark.parametrize("n", [1, 2, 375])
def test_candles_of_any_length(n: int) -> None:
    text = page(dataclasses.replace(full_report(), candles=candles(n, (signal(),))))
    assert Outline(text).tags.count("svg") == 5


def test_an_index_has_no_volume_axis() -> None:
    with_volume, without = (page(dataclasses.replace(full_report(), candles=candles(index=i))) for i in (False, True))
    assert "volume" in with_volume.split('id="signals"')[0]
    assert "volume" not in without.split('id="signals"')[0]


def test_long_signal_tables_are_cut_and_say_so() -> None:
    many = dataclasses.replace(full_report(), signals=(signal(),) * (SIGNALS_MAX + 5))
    assert f"The first {SIGNALS_MAX} are shown" in words_of(page(many))


def test_same_input_same_bytes(tmp_path: Path) -> None:
    first, second = (render(example(), tmp_path / name / "report.html") for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert [p.name for p in first.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("verdict", "says"), [("edge", "An edge was found"), ("no tradable edge", "observe mode"), ("odd", "Verdict: odd.")]
)
def test_verdict_in_plain_words(verdict: str, says: str) -> None:
    text = words_of(page(ReportInput(header(verdict))))
    assert says in text
    assert "no investment advice" in text

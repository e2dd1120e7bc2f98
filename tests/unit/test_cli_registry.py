"""What people are told of tests, promotions and drift."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from intraday.cli import models, retrain
from intraday.cli.root import root
from intraday.domain.learning import Comparison, Promotion, Role
from intraday.jobs.comparing import Compared, Waiting
from intraday.jobs.drift import TooFew
from intraday.jobs.models import ModelPage, Registry, ShownModel, reign, standing
from intraday.jobs.retrain import Retrained
from intraday.model.compare import paired_test
from intraday.model.drift import DriftSpec, Moved, judged
from intraday.model.metrics import Interval
from intraday.model.path import DailyPath

TEST = Comparison(3, "old", "new", 2, 20_000, 60, 0.05, "net")
WON = Comparison(3, "old", "new", 2, 20_000, 60, 0.05, "net", "challenger", 9, 0.012)
LOST = Comparison(4, "old", "new", 2, 20_000, 60, 0.05, "net", "champion", 9, 0.4)
OPEN = Comparison(5, "old", "new", 2, 20_000, 60, 0.05, "net")


def printed(show: Callable[..., None], *values: object) -> str:
    out = io.StringIO()
    show(Console(file=out, width=200), *values)
    return out.getvalue()


def figures() -> object:
    n = 30
    session, net = np.arange(n, dtype=np.int32), np.random.default_rng(1).normal(0.001, 0.0005, n)
    none = np.zeros(n)
    old = DailyPath(session, none, none, np.ones(n, np.int64))
    return paired_test(old, DailyPath(session, net, none, np.full(n, 2, np.int64)), np.random.default_rng(0))


STATES = [
    (
        Compared("declared", "old", "new", TEST, None, Waiting(0, (), date(2026, 12, 1)), 12.34, 2),
        ["comparison 3, new against old, on the 60 sessions after", "until 2026-12-01", "one-sided at 0.05",
         "difference of 12.3 bps a session with 80 %", "test number 2 against this champion", "has 10%",
         "intraday models compare old new"],
    ),
    (
        Compared("waiting", "old", "new", TEST, waiting=Waiting(12, (date(2026, 11, 3),), None, ("no candles",)), attempt=1),
        ["12 of 60 sessions are over, nothing is computed", "  2026-11-03: no candles\n1 of them are not whole yet",
         ": intraday backfill"],
    ),
    (
        Compared("decided", "old", "new", WON, figures()),  # type: ignore[arg-type]
        ["the challenger new is better (p 0.012, level 0.05)", "60 trades", "95 % interval", "intraday models promote new"],
    ),
    (Compared("decided", "old", "new", LOST), ["comparison 4: the champion old stays (p 0.4, level 0.05)"]),
    (Compared("void", "old", "new", TEST), ["comparison 3 is given up"]),
    (Compared("past", "old", "new", test=figures()), ["decides nothing since it was looked at", "--declare"]),  # type: ignore[arg-type]
    (Compared("past", "old", "new"), ["no sessions in common"]),
]  # fmt: skip


@pytest.mark.parametrize(("found", "words"), STATES)
def test_each_state_of_a_test_in_words(found: Compared, words: list[str]) -> None:
    text = printed(models._show_compared, found)
    assert [w for w in words if w not in text] == []
    assert ("promote" in text) == (found.comparison is WON)


def test_where_a_challenger_stands() -> None:
    said = [standing(tests) for tests in ([], [OPEN], [WON], [LOST, WON])]
    assert said == ["no test", "test 5 is open", "won test 3 (p 0.012)", "lost test 4 (p 0.4), its 2. test"]


def test_a_rollback_takes_the_last_champion_away() -> None:
    steps = [("a", "first"), ("b", "promote"), ("a", "rollback"), ("c", "promote"), ("d", "promote"), ("c", "rollback")]
    rows = [Promotion(k, name, "", 0, kind, 0, "") for k, (name, kind) in enumerate(steps)]
    lines = [reign(rows[: k + 1][::-1]) for k in range(len(rows))]
    assert lines == [["a"], ["a", "b"], ["a"], ["a", "c"], ["a", "c", "d"], ["a", "c"]]


def test_a_champion_that_could_not_run_is_no_one_to_go_back_to() -> None:
    steps = [("a", "first"), ("b", "rollback"), ("c", "promote"), ("d", "rollback"), ("b", "rollback")]
    rows = [Promotion(k, name, "", 0, kind, 0, "") for k, (name, kind) in enumerate(steps)]
    lines = [reign(rows[: k + 1][::-1]) for k in range(len(rows))]
    assert lines == [["a"], ["b"], ["b", "c"], ["b", "d"], ["b"]]


def test_the_list_and_a_page() -> None:
    m = ShownModel(
        "new", Role.CHALLENGER, True, "no tradable edge", date(2026, 1, 1), date(2026, 2, 1), 12, float("nan"), "no test",
        "no tradable edge", "",
    )  # fmt: skip
    text = printed(models._show_list, Registry(None, "new", "no champion: the newest is used", (m,)))
    assert "challenger, in use" in text
    assert "no champion: the newest is used" in text
    assert "no models" in printed(models._show_list, Registry(None, None, "", ()))
    first = Promotion(1, "new", "", 0, "first", 0, "the first champion")
    page = ModelPage(m, "p 0.4", 100, "tb", "models/new", {}, (first,), (WON,))
    text = printed(models._show_model, page)
    for words in (
        "no tradable edge: p 0.4",
        "number 1: new (first; the first champion)",
        "3: new against old, 60 sessions: challenger",
    ):
        assert words in text
    lost = replace(m, verdict="edge", verdict_note="edge when trained, 4 configurations ago; no tradable edge today: p = 0.2")
    assert "4 configurations ago; no tradable edge today: p = 0.2" in printed(models._show_model, replace(page, model=lost))
    assert models._verdict(lost) == "edge when trained; no tradable edge today"
    assert models._verdict(m) == "no tradable edge"
    assert "champion: b, after a (won)" in printed(models._show_promotion, Promotion(2, "b", "a", 0, "promote", 3, "won"))


def test_what_retraining_did() -> None:
    few = TooFew(3, 10)
    text = printed(retrain._show, Retrained(False, few.words, "old", None, True, None))
    assert text == "do not train: 3 sessions with features since the model was trained, 10 are needed to say anything\n"
    spec, moved = DriftSpec(), Moved("rsi_14", 0.4, 0.3, 0.001, True)
    drift = judged((120, 20), [moved], [Moved("P(up)", 0.01, 0.02, 0.6, False)], None, spec)
    text = printed(retrain._show, Retrained(True, "drift: " + drift.reasons[0], "old", "new", True, drift))
    for words in (
        "20 later sessions beside the last 120",
        "train: drift: 1 of 1 features moved",
        "challenger new; champion old stays",
    ):
        assert words in text
    same = printed(retrain._show, Retrained(True, "asked to", "old", "old", False, None))
    assert "the champion came out again" in same
    first = printed(retrain._show, Retrained(True, "there is no model yet", None, "new", True, None))
    assert "intraday models promote new" in first


def test_an_interval_without_spread_comes_back_from_the_database() -> None:
    from intraday.jobs.comparing import _json, _told

    test = replace(figures(), difference=Interval(0.001, float("nan"), float("nan")))  # type: ignore[type-var]
    back = _told(replace(WON, detail=_json({"first": 1, "last": 2, **asdict(test)})))  # type: ignore[call-overload]
    assert repr(back) == repr(test)
    assert _told(replace(WON, detail="")) is None


@pytest.mark.parametrize("option", [("--sessions", "40"), ("--alpha", "0.01"), ("--void", "--alpha", "0.05")])
def test_figures_of_a_test_without_declaring_one_are_refused(option: tuple[str, ...], tmp_path: Path) -> None:
    """Whoever gives them believes that they count; even those that would be taken anyway."""
    config = tmp_path / "config.yaml"
    config.write_text("{}")
    result = CliRunner().invoke(root, ["models", "compare", "3f9c", *option, "--config", str(config)])
    assert result.exit_code == 2
    assert "found no --declare" in " ".join(result.output.replace("│", " ").split())

"""What a certificate is about: another input, another fact; and verify's word on days that prove nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intraday.backtest.audit_live import verified_days
from intraday.backtest.compare import Difference as Row
from intraday.backtest.corrected import RowDifferences
from intraday.backtest.known import Check
from intraday.backtest.verify import VerifyReport
from intraday.core.audit.certificate import Certificate, read_certificate
from intraday.core.audit.result import Difference, Law, Outcome, finding, not_checked
from intraday.core.labels import LabelSpec
from intraday.domain.errors import InputError
from intraday.domain.ports import RunDay, Source
from intraday.jobs.audit_check import Change, differences
from intraday.jobs.audit_facts import CODE, changed_parts, code_digests, digest, listed
from intraday.report.audit_page import failure_rows, page

NAN = float("nan")


def certificate(*findings: Any, **more: Any) -> Certificate:
    given = {"facts": [("Source", "made up")], "symbols": ["NSE:INFY"], "asked": {"seed": 3}, **more}
    return Certificate("A tester", 1_600_000_000_000_000_000, findings=findings, **given)


PASSED, FAILED = finding("ret_3", Law.PREFIX, 9, 0), finding("x", Law.LATE, 9, 1, Difference(0, 5, NAN, float("inf")), "late")
SILENT, PARTLY = not_checked("folds", Law.FOLDS, "too few"), not_checked("ret_9", Law.PREFIX, "no value")


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ((PASSED,), "passed"),
        ((PASSED, SILENT), "passed, 1 of 2 laws not checked"),
        ((PASSED, PARTLY), "passed, 1 of 1 laws not checked in part"),
        ((PASSED, PARTLY, SILENT), "passed, 1 of 2 laws not checked, 1 in part"),
        ((PASSED, FAILED), "failed"),
        ((FAILED, SILENT), "failed, 1 of 2 laws not checked"),
    ],
)
def test_the_verdict_never_hides_what_was_not_checked(findings: Any, verdict: str) -> None:
    found = certificate(*findings)
    assert found.verdict == verdict
    assert f"<strong>{verdict}</strong>" in page(found)
    assert ('class="verdict edge"' in page(found)) == (verdict == "passed")


def test_a_kept_certificate_is_read_back_and_another_letter_shows() -> None:
    made = certificate(PASSED, FAILED, SILENT)
    kept = read_certificate(made.kept(), "audit-x.json")
    assert kept.digest == kept.found == made.digest
    assert (kept.verdict, kept.who, kept.n_failed, kept.n_unchecked) == (made.verdict, "A tester", 1, 1)
    assert (kept.asked, kept.facts) == ({"seed": 3}, {"Source": "made up"})
    for old, new in (
        ("A tester", "B tester"),
        ('"failed"', '"passed"'),
        ("made up", "made  up"),
        ('"n": 9', '"n": 8'),
        ("inf", "1"),
    ):
        assert old in made.kept()
        changed = read_certificate(made.kept().replace(old, new), "audit-x.json")
        assert changed.digest == made.digest != changed.found
    with pytest.raises(InputError, match=r"audit-x\.json: expected a certificate of format 2, found 1"):
        read_certificate(made.kept().replace('"format": 2', '"format": 1'), "audit-x.json")


def test_values_that_differ_never_look_the_same() -> None:
    close = finding("mine", Law.PIPELINE, 9, 1, Difference(0, 5, 1e9 + 1, 1e9))
    (row,) = failure_rows(certificate(close))
    assert (row.found, row.expected) == ("1000000001.0", "1000000000.0")
    (row,) = failure_rows(certificate(replace(close, first=Difference(0, 5, 1.0, 1.0 + 2**-52))))
    assert (row.found, row.expected) == ("1.0", "1.0000000000000002")


def test_every_part_of_the_code_counts_its_tables_too_and_nothing_compiled(tmp_path: Path) -> None:
    for part in CODE:
        (tmp_path / part / "sub").mkdir(parents=True)
        (tmp_path / part / "sub" / "a.py").write_text("x = 1\n")
    (tmp_path / "app.py").write_text("")
    before = code_digests(tmp_path)
    assert list(before) == ["app", *CODE]
    (tmp_path / "core" / "sub" / "__pycache__").mkdir()
    (tmp_path / "core" / "sub" / "__pycache__" / "a.pyc").write_bytes(b"\0")
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "a.py").write_text("")
    assert code_digests(tmp_path) == before
    for part, name in (
        ("core", "core/table.csv"),
        ("model", "model/sub/a.py"),
        ("app", "app_models.py"),
        ("domain", "domain/b.py"),
    ):
        (tmp_path / name).write_text("x = 2\n")
        after = code_digests(tmp_path)
        assert {key for key in after if after[key] != before[key]} == {part}
        before = after
    real = code_digests()
    assert len(set(real.values())) == len(real), "a part without files"


def test_the_parts_of_a_fact_that_changed_are_named() -> None:
    a, b = listed({"kind": "x", "split": {"test": 1, "embargo": 1}}), listed({"kind": "x", "split": {"test": 1, "embargo": 0}})
    assert a == "kind=x, split.test=1, split.embargo=1"
    assert changed_parts(a, b) == ("split.embargo=1", "split.embargo=0")
    was, now = {"A": a, "B": "1", "Recorded day": "x"}, {"C": "2", "A": b, "Recorded day": "y"}
    assert differences(was, now) == [
        Change("C", "nothing", "2"),
        Change("A", "split.embargo=1", "split.embargo=0"),
        Change("B", "1", "nothing"),
    ]
    assert changed_parts("a, a", "a") == ("a, a", "a")


def test_digests_tell_arrays_and_rules_apart() -> None:
    values = [
        np.array([0.05, NAN]), np.array([0.05, 0.1]), np.array([True]), [np.array([1]), np.array([2])], [np.array([1, 2])],
        LabelSpec(), LabelSpec(horizon_min=30), date(2021, 3, 1), [1.0, None],
    ]  # fmt: skip
    assert len({digest(value) for value in values}) == len(values)
    assert digest(LabelSpec()) == digest(LabelSpec())


# ------------------------------------------------------------------------------------------------------- recorded days

RUN = RunDay("live-1", Source.TICK, date(2026, 8, 5), "journal", "set", "model", (1, 2), 5)


def report(*checks: Check, n_best: int = 700, n_other: int = 700, unexplained: int = 0) -> VerifyReport:
    rows = RowDifferences(0, {}, tuple((5, k) for k in range(unexplained)))
    return VerifyReport(RUN, ("NSE:A", "NSE:B"), checks, (), n_best, n_other, rows, RowDifferences(0, {}, ()))


def outcomes(*checks: Check, **more: int) -> list[tuple[Outcome, int, int]]:
    return [(f.outcome, f.n, f.n_different) for f in verified_days([report(*checks, **more)])]


def test_a_recorded_day_without_rows_or_without_another_source_proves_nothing() -> None:
    """Zero rows compared with zero rows, and a day compared with itself, once read as passed."""
    wrong = Row("signals", "features", 1, 5, "ret_3", "1", "2")
    passed, silent = (Outcome.PASSED, 700, 0), (Outcome.NOT_CHECKED, 0, 0)
    assert outcomes(Check("signals", 9, ())) == [(Outcome.PASSED, 9, 0), passed]
    assert outcomes(Check("signals", 0, ())) == [silent, passed]
    assert outcomes(Check("signals", 0, (wrong,))) == [(Outcome.FAILED, 1, 1), passed]
    assert outcomes(n_other=0) == [silent]
    assert outcomes(n_best=0, n_other=0) == [silent]
    assert outcomes(n_best=0, n_other=0, unexplained=2) == [(Outcome.FAILED, 2, 2)]
    assert outcomes(n_other=0, unexplained=2) == [(Outcome.FAILED, 700, 2)]
    nothing, itself = verified_days([report(Check("signals", 0, ()), n_other=0)])
    assert nothing.detail == "signals: nothing is stored and nothing is recomputed"
    assert itself.detail.startswith("as corrected: no other source has a bar of the day, it would be compared with itself")

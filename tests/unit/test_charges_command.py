"""``intraday charges`` says what the contract note says, and refuses what is no order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intraday.cli.root import root

PUBLISHED = ["buy:400@1000", "sell:400@1100"]  # Zerodha's calculator, intraday equity, 400 shares


CONFIG = str(Path(__file__).resolve().parents[2] / "config" / "config.yaml")


def run(*options: str) -> tuple[int, str]:
    said = CliRunner().invoke(root, ["charges", *options, "--config", CONFIG])
    return said.exit_code, said.output


def test_both_sides_and_what_is_left() -> None:
    code, said = run(*PUBLISHED, "--day", "2026-09-01", "--json")
    found = json.loads(said)
    assert code == 0
    assert (found["bought"], found["sold"], found["gross"]) == (400_000.0, 440_000.0, 40_000.0)
    assert found["charges"]["brokerage"] == 40.0 and found["charges"]["stt"] == 110.0 and found["charges"]["stamp"] == 12.0
    assert found["total"] == pytest.approx(sum(found["charges"].values()))
    code, said = run(*PUBLISHED, "--day", "2026-09-01")
    assert "labels and signals reckon with" in said
    assert code == 0 and "securities transaction tax" in said and f"{40_000 - found['total']:,.2f}" in said


def test_a_forced_exit_costs_its_fee_and_an_open_position_has_no_gross() -> None:
    forced, own = (json.loads(run("buy:10@500", f"{what}:10@500", "--json", "--day", "2026-09-01")[1]) for what in ("exit", "sell"))
    assert forced["total"] - own["total"] == pytest.approx(59.0)  # 50 and GST
    assert json.loads(run("buy:10@500", "--json", "--day", "2026-09-01")[1])["gross"] is None


@pytest.mark.parametrize("text", ["100@5", "buy:0@5", "buy:5@-1", "buy:5@0", "hold:5@5", "buy:5@1e3"])
def test_what_is_no_order_is_refused_with_an_example(text: str) -> None:
    code, said = run(text)
    assert code == 3
    assert "buy:100@1234.55" in said and text in said

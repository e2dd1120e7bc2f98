"""``intraday db check``: silent on a system that lived, and every planted defect is told under its own name."""

from __future__ import annotations

import pytest

from check_cases import on, told

pytestmark = pytest.mark.integration


def test_a_system_that_lived_has_no_findings(lived_dsn: str) -> None:
    with on(lived_dsn) as database:
        assert told(database) == {}

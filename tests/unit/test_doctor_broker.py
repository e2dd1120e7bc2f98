from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from intraday.auth.key import new_key
from intraday.cli.doctor import Verdict, broker
from intraday.config.settings import Settings


def settings(tmp_path: Path, **changed: object) -> Settings:
    base = Settings()
    system = base.system.model_copy(update={"data_dir": tmp_path})
    return base.model_copy(update={"system": system, "broker": base.broker.model_copy(update=changed)})


@pytest.mark.parametrize("feed", ["simulator", "synthetic", "recorded"])
def test_no_login_is_needed_without_kite(tmp_path: Path, feed: str) -> None:
    assert broker(settings(tmp_path, feed=feed)).verdict is Verdict.OK


def test_kite_without_an_api_key(tmp_path: Path) -> None:
    found = broker(settings(tmp_path, feed="kite"))
    assert (found.verdict, "INTRADAY__BROKER__API_KEY" in found.advice) == (Verdict.FAIL, True)


def test_kite_without_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTRADAY_TOKEN_KEY", new_key().reveal())
    found = broker(settings(tmp_path, feed="kite", api_key=SecretStr("key")))
    assert (found.verdict, found.advice) == (Verdict.WARN, "run `intraday auth login`")
    assert "login missing" in found.found

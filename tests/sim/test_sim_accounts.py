"""Logins of the simulator: request tokens, checksums, and all the ways an access token dies."""

from __future__ import annotations

import hashlib
from datetime import date
from urllib.parse import parse_qs, urlsplit

import pytest

from intraday.domain.clock import SimClock
from intraday.sim.accounts import Account, Accounts, App, Refused, death_ns
from intraday.sim.knobs import AuthKnobs
from sim_cases import DAY, at

NEXT_DAY = date(2026, 9, 16)


class Desk:
    """Accounts with their clock and knobs."""

    def __init__(self, text: str = "08:30") -> None:
        self.clock = SimClock(at(DAY, text))
        self.knobs = AuthKnobs()
        self.accounts = Accounts(self.clock, self.knobs)

    def wait(self, seconds: float) -> None:
        self.clock.set(self.clock.now_ns() + round(seconds * 1e9))

    def exchange(self, request_token: str, key: str = "simkey", secret: str = "simsecret") -> Account:  # noqa: S107
        checksum = hashlib.sha256((key + request_token + secret).encode()).hexdigest()
        return self.accounts.exchange(key, request_token, checksum)

    def log_in(self) -> Account:
        return self.exchange(self.accounts.approve("simkey"))

    def check(self, account: Account, data: bool = False) -> str:
        """``ok``, or what was refused."""
        try:
            self.accounts.check(f"token {account.api_key}:{account.access_token}", data)
        except Refused as refused:
            return f"{refused.status} {refused.error_type}"
        return "ok"

    def may_stream(self, account: Account) -> bool:
        return self.accounts.may_stream(account.api_key, account.access_token)


TOKEN_DEAD = "403 TokenException"  # noqa: S105
NOT_PERMITTED = "403 PermissionException"


def refusal(error: pytest.ExceptionInfo[Refused]) -> tuple[int, str, str]:
    return error.value.status, error.value.error_type, error.value.message


def test_a_login_gives_a_token_that_works() -> None:
    desk = Desk()
    account = desk.log_in()
    assert desk.check(account) == desk.check(account, data=True) == "ok"
    assert desk.may_stream(account)
    assert len(account.access_token) == 32 and account.access_token.isalnum()
    assert (account.user_id, account.login_ns) == ("SIM001", at(DAY, "08:30"))


def test_a_request_token_works_once() -> None:
    desk = Desk()
    token = desk.accounts.approve("simkey")
    desk.exchange(token)
    with pytest.raises(Refused) as error:
        desk.exchange(token)
    assert refusal(error) == (403, "TokenException", "Token is invalid or has expired.")


def test_a_request_token_lives_for_three_minutes() -> None:
    desk = Desk()
    token = desk.accounts.approve("simkey")
    desk.wait(180)
    desk.exchange(token)
    late = desk.accounts.approve("simkey")
    desk.wait(180.001)
    with pytest.raises(Refused, match="expired"):
        desk.exchange(late)
    desk.knobs.request_token_s = 10.0
    short = desk.accounts.approve("simkey")
    desk.wait(11)
    with pytest.raises(Refused, match="expired"):
        desk.exchange(short)


def test_a_request_token_belongs_to_its_app() -> None:
    desk = Desk()
    desk.accounts.register(App("other", "othersecret", "http://localhost:1/x"))
    token = desk.accounts.approve("other")
    with pytest.raises(Refused, match="invalid or has expired"):
        desk.exchange(token)


def test_a_wrong_secret_is_a_wrong_checksum_and_costs_nothing() -> None:
    desk = Desk()
    token = desk.accounts.approve("simkey")
    with pytest.raises(Refused) as error:
        desk.exchange(token, secret="guess")  # noqa: S106
    assert refusal(error) == (403, "TokenException", "Invalid `checksum`.")
    assert desk.check(desk.exchange(token)) == "ok"
    with pytest.raises(Refused, match="api_key"):
        desk.exchange(token, key="nokey")
    with pytest.raises(Refused, match="checksum"):
        desk.accounts.exchange("simkey", token, "é")


@pytest.mark.parametrize(("login", "dies"), [("10:00", "30:00"), ("05:59:59", "06:00"), ("06:00", "30:00"), ("23:59", "30:00")])
def test_a_token_dies_at_the_next_six_o_clock(login: str, dies: str) -> None:
    assert death_ns(at(DAY, login)) == at(DAY, dies)


def test_at_six_the_token_is_dead() -> None:
    desk = Desk("10:00")
    account = desk.log_in()
    desk.clock.set(at(NEXT_DAY, "06:00") - 1)
    assert desk.check(account) == "ok" and desk.may_stream(account)
    desk.wait(1e-9)
    assert desk.check(account) == TOKEN_DEAD and not desk.may_stream(account)
    assert desk.check(desk.log_in()) == "ok"


def test_a_token_can_be_made_to_die_earlier_and_a_new_one_lives() -> None:
    desk = Desk("10:00")
    account = desk.log_in()
    desk.knobs.expire_at_ns = at(DAY, "10:31")
    assert desk.check(account) == "ok"
    desk.clock.set(at(DAY, "10:31"))
    assert desk.check(account) == TOKEN_DEAD
    assert desk.check(desk.log_in()) == "ok"


def test_death_comes_in_stages() -> None:
    desk = Desk()
    account = desk.log_in()
    seen = []
    for stage in ("none", "permission", "ws", "token"):
        desk.knobs.stage = stage  # type: ignore[assignment]
        seen.append((desk.check(account), desk.check(account, data=True), desk.may_stream(account)))
    assert seen == [
        ("ok", "ok", True),
        ("ok", NOT_PERMITTED, True),
        ("ok", NOT_PERMITTED, False),
        (TOKEN_DEAD, TOKEN_DEAD, False),
    ]


def test_without_entitlement_the_profile_works_and_data_does_not() -> None:
    desk = Desk()
    account = desk.log_in()
    desk.knobs.entitled = False
    assert (desk.check(account), desk.check(account, data=True), desk.may_stream(account)) == ("ok", NOT_PERMITTED, False)


def test_a_new_login_revokes_the_old_one_unless_told_otherwise() -> None:
    desk = Desk()
    first, second = desk.log_in(), desk.log_in()
    assert (desk.check(first), desk.check(second)) == (TOKEN_DEAD, "ok")
    desk.knobs.new_login_revokes_old = False
    assert desk.log_in() == second
    desk.clock.set(at(NEXT_DAY, "09:00"))
    third = desk.log_in()
    assert third != second and desk.check(third) == "ok"


def test_a_logout_kills_the_token() -> None:
    desk = Desk()
    account = desk.log_in()
    desk.accounts.invalidate("simkey", account.access_token)
    assert desk.check(account) == TOKEN_DEAD
    with pytest.raises(Refused):
        desk.accounts.invalidate("simkey", account.access_token)
    other = desk.log_in()
    desk.accounts.revoke_all()
    assert desk.check(other) == TOKEN_DEAD


@pytest.mark.parametrize("header", [None, "", "token", "token abc", "Bearer a:b", "Token a:b"])
def test_a_missing_or_broken_header_is_no_token_error(header: str | None) -> None:
    desk = Desk()
    with pytest.raises(Refused) as error:
        desk.accounts.check(header)
    assert refusal(error) == (400, "InputException", "Invalid `api_key` or `access_token`.")
    desk.knobs.missing_header_400 = False
    with pytest.raises(Refused) as error:
        desk.accounts.check(header)
    assert refusal(error)[:2] == (403, "TokenException")


def test_a_token_of_another_key_is_refused() -> None:
    desk = Desk()
    account = desk.log_in()
    with pytest.raises(Refused) as error:
        desk.accounts.check(f"token other:{account.access_token}")
    assert refusal(error) == (403, "TokenException", "Incorrect `api_key` or `access_token`.")


def test_the_browser_is_sent_back_with_what_the_app_passed_in() -> None:
    accounts = Desk().accounts
    where = urlsplit(accounts.redirect("simkey", "abc", "state=x%20y&n=1"))
    assert (where.scheme, where.netloc, where.path) == ("http", "127.0.0.1:5010", "/kite")
    assert parse_qs(where.query) == {
        "action": ["login"], "type": ["login"], "status": ["success"], "request_token": ["abc"], "state": ["x y"], "n": ["1"]
    }  # fmt: skip
    refused = parse_qs(urlsplit(accounts.redirect("simkey", None)).query)
    assert refused["status"] == ["failed"] and "request_token" not in refused
    assert accounts.redirect("simkey", "abc", "", "http://localhost:99/a?b=1").startswith("http://localhost:99/a?b=1&action=login")


@pytest.mark.parametrize("target", ["http://example.org/x", "ftp://127.0.0.1/x", "//x", "http://127.0.0.1.example.org/"])
def test_only_this_machine_is_redirected_to(target: str) -> None:
    with pytest.raises(Refused, match="redirect_url"):
        Desk().accounts.redirect("simkey", "abc", "", target)


def test_an_unknown_app_cannot_log_in() -> None:
    with pytest.raises(Refused, match="api_key"):
        Desk().accounts.approve("nokey")

"""The stored token: sealed, private, whole or absent, and dead at 06:00 IST."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_cases import API_KEY, ISSUER, IST, MemoryStore, at, manager, session
from intraday.auth.key import ENTRY, KEY_VARIABLE, SERVICE, OsKeyStore, TokenKey, fernet, fingerprint, new_key
from intraday.auth.lifetime import TokenState, death_ns, ist, token_state
from intraday.auth.token import FILE_BYTES_MAX, TokenManager
from intraday.domain.arrays import DAY_NS, IST_NS, MINUTE_NS
from intraday.domain.broker import Secret
from intraday.domain.clock import SimClock
from intraday.domain.errors import ConfigError, NoToken, TokenDead

KEY = new_key()


# ---------------------------------------------------------------------------------------------------------------- on disk


def test_what_was_saved_is_read_again(tmp_path: Path) -> None:
    manager(tmp_path, key=KEY).save(session())
    again = manager(tmp_path, key=KEY)
    assert again.current() == session()
    assert again.access_token().reveal() == "planted0access0token"


def test_the_file_is_sealed_and_private(tmp_path: Path) -> None:
    manager(tmp_path, key=KEY).save(session())
    path = tmp_path / "auth" / "token"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    content = path.read_bytes()
    for secret in (b"planted0access0token", API_KEY.encode(), b"AB1234", KEY.reveal().encode()):
        assert secret not in content


def test_the_file_is_private_from_its_first_instant_under_any_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        manager(tmp_path, key=KEY).save(session())
    finally:
        os.umask(old)
    assert (tmp_path / "auth" / "token").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "auth").stat().st_mode & 0o777 == 0o700


def test_an_open_folder_is_closed_when_a_token_is_saved(tmp_path: Path) -> None:
    (tmp_path / "auth").mkdir(mode=0o755)
    manager(tmp_path, key=KEY).save(session())
    assert manager(tmp_path, key=KEY).current() == session()


@pytest.mark.parametrize(("name", "mode", "wanted"), [("auth/token", 0o640, "chmod 600"), ("auth/token", 0o604, "chmod 600")])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, name: str, mode: int, wanted: str) -> None:
    tokens = manager(tmp_path, key=KEY)
    tokens.save(session())
    (tmp_path / name).chmod(mode)
    with pytest.raises(NoToken, match=rf"open to other users of this machine \(mode {mode:04o}, expected 0600\).*{wanted}"):
        tokens.current()


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    tokens = manager(tmp_path, key=KEY)
    tokens.save(session())
    (tmp_path / "auth").chmod(0o750)
    with pytest.raises(NoToken, match="mode 0750, expected 0700.*chmod 700"):
        tokens.current()


def test_nobody_logged_in(tmp_path: Path) -> None:
    tokens = manager(tmp_path)
    with pytest.raises(NoToken, match="nobody is logged in: run `intraday auth login`"):
        tokens.current()
    assert tokens.status().state is TokenState.MISSING
    assert not tokens.status().usable
    assert tokens.forget() is False


def test_another_key_is_told_from_a_damaged_file(tmp_path: Path) -> None:
    manager(tmp_path, key=KEY).save(session())
    with pytest.raises(NoToken, match=f"encrypted with another key.*{KEY_VARIABLE}"):
        manager(tmp_path, key=new_key()).current()
    path = tmp_path / "auth" / "token"
    sealed = bytearray(path.read_bytes())
    sealed[60] ^= 1
    path.write_bytes(sealed)
    with pytest.raises(NoToken, match="is damaged or was not written by this program"):
        manager(tmp_path, key=KEY).current()


def test_every_damage_is_refused_in_words(tmp_path: Path) -> None:
    tokens = manager(tmp_path, key=KEY)
    tokens.save(session())
    path = tmp_path / "auth" / "token"
    whole = path.read_bytes()
    damaged = [whole[:n] for n in (0, 1, 16, 25, 26, 40, len(whole) - 5)]
    damaged += [b"x" * (FILE_BYTES_MAX + 1), bytes(range(256)), whole.replace(b"intraday-token-1", b"intraday-token-9")]
    cipher = fernet(KEY)
    assert cipher is not None
    for inside in (b"", b"[]", b"{}", b'{"user_id": 1}', b"\xff"):
        damaged.append(f"intraday-token-1 {fingerprint(KEY)}\n".encode() + cipher.encrypt(inside) + b"\n")
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(NoToken):
            tokens.current()
        assert tokens.status().state is TokenState.MISSING


@pytest.mark.parametrize(
    ("other", "text"),
    [({"api_key": "another"}, "another API key than the configured"), ({"issuer": "http://127.0.0.1:8150"}, f"given by {ISSUER}")],
)
def test_the_token_of_another_app_or_address_is_not_used(tmp_path: Path, other: dict[str, str], text: str) -> None:
    manager(tmp_path, key=KEY).save(session())
    with pytest.raises(NoToken, match=text):
        manager(tmp_path, key=KEY, **other).current()


def test_without_a_configured_api_key_status_still_reads(tmp_path: Path) -> None:
    manager(tmp_path, key=KEY).save(session())
    assert manager(tmp_path, key=KEY, api_key=None, issuer=ISSUER + "/").status().user_id == "AB1234"


def test_forget_deletes_the_token_and_what_a_crash_left(tmp_path: Path) -> None:
    tokens = manager(tmp_path, key=KEY)
    tokens.save(session())
    (tmp_path / "auth" / ".token-left").write_bytes(b"half")
    assert tokens.forget() is True
    assert list((tmp_path / "auth").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "auth").write_text("a file in the way")
    tokens = manager(tmp_path, key=KEY)
    for call in (tokens.prepare, lambda: tokens.save(session())):
        with pytest.raises(ConfigError, match="system.data_dir: cannot write .*auth"):
            call()


def test_a_token_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    tokens = manager(tmp_path, key=KEY)
    (tmp_path / "auth" / "token").mkdir(parents=True)
    with pytest.raises(ConfigError, match="system.data_dir: cannot write"):
        tokens.save(session())
    assert [p.name for p in (tmp_path / "auth").iterdir()] == ["token"]
    with pytest.raises(NoToken, match="cannot be read"):
        tokens.current()
    with pytest.raises(ConfigError, match="delete it by hand"):
        tokens.forget()


READER = """
import os
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from auth_cases import manager
from intraday.auth.key import KEY_VARIABLE
from intraday.domain.broker import Secret
tokens = manager(Path(sys.argv[1]), key=Secret(os.environ[KEY_VARIABLE]))
print("ready", flush=True)
seen = set()
for i in range(100_000):
    if i >= 400 and len(seen) == 2:
        break
    seen.add(tokens.current().access_token.reveal()[:5])
print(sorted(seen), flush=True)
"""


def test_a_reader_in_another_process_never_sees_half_a_token(tmp_path: Path, root: Path) -> None:
    tokens = manager(tmp_path, key=KEY)
    tokens.save(session(token="first" + "a" * 10))
    environ = {**os.environ, KEY_VARIABLE: KEY.reveal()}
    command = [sys.executable, "-c", READER, str(tmp_path), str(root / "src"), str(root / "tests")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as reader:
        assert reader.stdout is not None and reader.stderr is not None
        assert reader.stdout.readline() == "ready\n", reader.stderr.read()
        i = 0
        while reader.poll() is None:
            tokens.save(session(token=("first" if i % 2 else "again") + "b" * (i % 2000)))
            i += 1
        assert reader.stdout.read() == "['again', 'first']\n", reader.stderr.read()
    assert i > 1


# ------------------------------------------------------------------------------------------------------------------- key


def test_the_key_is_made_once_and_kept_in_the_key_store(tmp_path: Path) -> None:
    store = MemoryStore()
    tokens = TokenManager(tmp_path / "auth" / "token", TokenKey(None, store), SimClock(at("2026-11-23 10:00")), API_KEY, ISSUER)
    tokens.prepare()
    made = store.entries[SERVICE, ENTRY]
    tokens.save(session())
    again = TokenManager(tmp_path / "auth" / "token", TokenKey(None, store), SimClock(at("2026-11-23 10:00")), API_KEY, ISSUER)
    assert again.current() == session()
    assert store.entries == {(SERVICE, ENTRY): made}


def test_the_environment_wins_over_the_key_store() -> None:
    store = MemoryStore()
    assert TokenKey(KEY, store).find_or_make() == KEY
    assert store.entries == {}


def test_reading_makes_no_key() -> None:
    store = MemoryStore()
    assert TokenKey(None, store).find() is None
    assert store.entries == {}


def test_without_its_key_a_stored_token_is_of_another_key(tmp_path: Path) -> None:
    manager(tmp_path, key=KEY).save(session())
    lost = TokenManager(tmp_path / "auth" / "token", TokenKey(None, MemoryStore()), SimClock(0), API_KEY, ISSUER)
    with pytest.raises(NoToken, match="encrypted with another key"):
        lost.current()


@pytest.mark.parametrize("text", ["", "hunter2hunter2", "a" * 44, "\udcff"], ids=["empty", "short", "wrong", "no text"])
def test_a_text_that_is_no_key_is_not_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TokenKey(Secret(text), MemoryStore()).find()
    assert str(caught.value).startswith(f"{KEY_VARIABLE}: expected a key of 44 characters")
    assert "intraday auth key" in str(caught.value)
    assert not text or text not in str(caught.value)


def test_a_key_store_entry_that_is_no_key_is_named() -> None:
    store = MemoryStore()
    store.entries[SERVICE, ENTRY] = "hunter2"
    with pytest.raises(ConfigError, match="entry intraday/token-key of the key store: expected a key"):
        TokenKey(None, store).find()


def test_a_key_store_that_keeps_nothing_is_found_out() -> None:
    with pytest.raises(ConfigError, match=f"forgets what it is given: set the environment variable {KEY_VARIABLE}"):
        TokenKey(None, MemoryStore(forgetful=True)).find_or_make()


@pytest.fixture
def no_key_store() -> Iterator[None]:
    import keyring
    from keyring.backends.fail import Keyring

    before = keyring.get_keyring()
    keyring.set_keyring(Keyring())
    yield
    keyring.set_keyring(before)


@pytest.mark.usefixtures("no_key_store")
def test_a_machine_without_a_key_store_says_what_to_do(tmp_path: Path) -> None:
    wanted = rf"key store of this machine cannot be read \(NoKeyringError\): set .* {KEY_VARIABLE}.*`intraday auth key`"
    tokens = TokenManager(tmp_path / "auth" / "token", TokenKey(None, OsKeyStore()), SimClock(0), API_KEY, ISSUER)
    with pytest.raises(ConfigError, match=wanted):
        tokens.prepare()
    manager(tmp_path, key=KEY).save(session())
    with pytest.raises(NoToken, match=f"a token is stored, but the {wanted}"):
        tokens.current()
    with pytest.raises(ConfigError, match="cannot be written"):
        OsKeyStore().set_password("a", "b", "c")


def test_the_os_key_store_is_keyring() -> None:
    import keyring
    from keyring.backend import KeyringBackend

    class Kept(KeyringBackend):
        priority = 1  # type: ignore[assignment]
        entries: dict[tuple[str, str], str] = {}

        def get_password(self, service: str, username: str) -> str | None:
            return self.entries.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.entries[service, username] = password

    before = keyring.get_keyring()
    keyring.set_keyring(Kept())
    try:
        made = TokenKey(None, OsKeyStore()).find_or_make()
        assert TokenKey(None, OsKeyStore()).find() == made
        assert Kept.entries == {("intraday", "token-key"): made.reveal()}
    finally:
        keyring.set_keyring(before)


# ------------------------------------------------------------------------------------------------------------------ life


@pytest.mark.parametrize(
    ("login", "death"),
    [
        ("2026-11-23 08:05", "2026-11-24 06:00"),
        ("2026-11-23 06:00", "2026-11-24 06:00"),
        ("2026-11-23 05:59", "2026-11-23 06:00"),
        ("2026-11-23 00:00", "2026-11-23 06:00"),
        ("2026-11-22 23:59", "2026-11-23 06:00"),
    ],
)
def test_a_token_dies_at_the_next_six_o_clock(login: str, death: str) -> None:
    assert death_ns(at(login)) == at(death)


@given(st.integers(at("2020-01-01 00:00"), at("2030-01-01 00:00")))
def test_death_is_always_six_ist_within_a_day(login_ns: int) -> None:
    death = death_ns(login_ns)
    assert 0 < death - login_ns <= DAY_NS
    assert (death + IST_NS) % DAY_NS == 6 * 60 * MINUTE_NS
    assert token_state(login_ns, death) is TokenState.DEAD
    assert token_state(login_ns, death - 1) is TokenState.DYING


@pytest.mark.parametrize(
    ("login", "now", "state"),
    [
        ("2026-11-23 08:00", "2026-11-23 08:00", TokenState.VALID),
        ("2026-11-23 08:00", "2026-11-24 05:19", TokenState.VALID),
        ("2026-11-23 08:00", "2026-11-24 05:20", TokenState.DYING),
        ("2026-11-23 08:00", "2026-11-24 06:00", TokenState.DEAD),
        ("2026-11-23 07:59", "2026-11-23 09:30", TokenState.SUSPECT),
        ("2026-11-23 06:00", "2026-11-23 06:00", TokenState.SUSPECT),
        ("2026-11-23 04:00", "2026-11-23 04:30", TokenState.SUSPECT),
        ("2026-11-23 05:30", "2026-11-23 05:31", TokenState.DYING),
        ("2026-11-22 20:00", "2026-11-23 05:30", TokenState.DYING),
    ],
)
def test_states(tmp_path: Path, login: str, now: str, state: TokenState) -> None:
    tokens = manager(tmp_path, now=now)
    tokens.save(session(login))
    status = tokens.status()
    assert status.state is state
    assert status.usable is (state is not TokenState.DEAD)
    assert (status.user_id, status.login_ns, status.expires_ns) == ("AB1234", at(login), death_ns(at(login)))
    wanted = "works until" if state is TokenState.VALID else "run `intraday auth login`"
    assert wanted in status.advice
    assert state is TokenState.VALID or "after 08:00" in status.advice


def test_a_dead_token_is_not_handed_out(tmp_path: Path) -> None:
    tokens = manager(tmp_path, now="2026-11-24 06:00")
    tokens.save(session())
    for call in (tokens.current, tokens.access_token):
        with pytest.raises(
            TokenDead, match="of AB1234 expired at 2026-11-24 06:00 IST.*run `intraday auth login`, best after 08:00"
        ):
            call()
    assert tokens.stored() == session()


def test_a_login_in_the_future_means_a_wrong_clock(tmp_path: Path) -> None:
    tokens = manager(tmp_path, now="2026-11-23 07:00")
    tokens.save(session("2026-11-23 08:05"))
    assert "check this machine's clock (2026-11-23 07:00 IST)" in tokens.status().advice


def test_times_are_shown_in_india_s_zone() -> None:
    assert ist(at("2026-11-23 08:05")) == "2026-11-23 08:05 IST"
    assert IST.utcoffset(None) is not None


def test_nothing_shows_the_token(tmp_path: Path) -> None:
    tokens = manager(tmp_path, key=KEY)
    tokens.save(session())
    for shown in (repr(tokens), repr(tokens.current()), str(tokens.status()), repr(tokens.access_token()), f"{KEY}"):
        assert "planted" not in shown
        assert KEY.reveal() not in shown

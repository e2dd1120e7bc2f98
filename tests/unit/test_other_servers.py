"""Where the second pass of the integration tests finds its servers: a wrong answer here would quietly test less."""

from __future__ import annotations

from pathlib import Path

import pytest

from other_servers import DSNS, SWITCH, first_pass, installations, no_second_pass, second_pass


def install(folder: Path, major: int, *, timescale: bool) -> Path:
    """A PostgreSQL that only knows how to say what it is; returns the folder of its programs."""
    bindir, extensions = folder / "bin", folder / "share" / "extension"
    for made in (bindir, extensions, folder / "lib"):
        made.mkdir(parents=True)
    answers = {
        "initdb": "",
        "postgres": f"echo 'postgres (PostgreSQL) {major}.4 (Somebody {major}.4-1)'",
        "pg_config": f"cd {folder}; case $1 in --bindir) echo $PWD/bin;; --sharedir) echo $PWD/share;; *) echo $PWD/lib;; esac",
    }
    for name, answer in answers.items():
        (bindir / name).write_text(f"#!/bin/sh\n{answer}\n")
        (bindir / name).chmod(0o755)
    if timescale:
        (extensions / "timescaledb.control").touch()
        (folder / "lib" / "timescaledb.so").touch()
    return bindir


@pytest.mark.parametrize(("major", "timescale", "found"), [(97, True, True), (97, False, False), (14, True, False)])
def test_the_installation_on_path_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, major: int, timescale: bool, found: bool
) -> None:
    bindir = install(tmp_path, major, timescale=timescale)
    monkeypatch.setenv("PATH", str(bindir), prepend=":")
    ours = [i for i in installations() if i.bindir == bindir]
    assert [i.major for i in ours] == ([] if major < 15 else [major])
    assert [i.has_timescale for i in ours] == ([] if major < 15 else [timescale])
    assert any(i.bindir == bindir and i.has_timescale for i in installations()) == found


def test_a_broken_installation_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bindir = install(tmp_path, 97, timescale=True)
    (bindir / "postgres").write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("PATH", str(bindir), prepend=":")
    assert [i for i in installations() if i.bindir == bindir] == []


def test_named_servers_come_first_and_each_has_a_name() -> None:
    servers = second_pass({DSNS: " postgresql://a/x  postgresql://b/x "})
    assert [server.kind for server in servers] == ["timescaledb", "timescaledb2"]
    with servers[1].dsn as dsn:
        assert dsn == "postgresql://b/x"


@pytest.mark.parametrize("word", ["off", "OFF", "no", "0"])
def test_it_can_be_switched_off(word: str) -> None:
    environment = {DSNS: "postgresql://a/x", SWITCH: word}
    assert second_pass(environment) == []
    assert first_pass(environment)
    assert no_second_pass(environment) == f"{SWITCH} is {word}"
    assert DSNS in no_second_pass({})


def test_our_own_server_can_be_left_out() -> None:
    environment = {DSNS: "postgresql://a/x", SWITCH: "only"}
    assert [server.kind for server in second_pass(environment)] == ["timescaledb"]
    assert not first_pass(environment)
    assert first_pass({})

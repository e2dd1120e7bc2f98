from __future__ import annotations

import re
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from intraday.app_models import drift_spec, feature_set, label_spec, train_spec
from intraday.config.loading import env_name, leaves, load_metrics, load_rate_limits, load_settings, read_yaml
from intraday.config.settings import MetricSettings, Mode, RateLimits, Settings
from intraday.config.trading import TradingSettings
from intraday.core.anchor import AnchorRule
from intraday.core.labels import LabelSpec
from intraday.core.synthetic import DEFAULT_EDGE
from intraday.domain.errors import ConfigError
from intraday.domain.session import SessionTable
from intraday.model.drift import DriftSpec
from intraday.model.trainer import TrainSpec
from intraday.model.weighting import Weighting

FILES = {"config.yaml": Settings, "rate_limit_config.yaml": RateLimits, "metrics.yaml": MetricSettings}


@pytest.fixture
def config(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problem(path: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ or {})
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------- shipped files


@pytest.mark.parametrize("name", FILES)
def test_shipped_file_holds_every_key_with_its_default(root: Path, name: str) -> None:
    model = FILES[name]
    values = yaml.safe_load((root / "config" / name).read_text())
    assert model.model_validate(values) == model()

    def keys(tree: dict, prefix: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
        nested = [keys(v, (*prefix, k)) if isinstance(v, dict) else {(*prefix, k)} for k, v in tree.items()]
        return set().union(*nested)

    assert keys(values) == {path for path, _ in leaves(model)}


@pytest.mark.parametrize("name", FILES)
def test_every_shipped_key_is_commented(root: Path, name: str) -> None:
    bare = [
        line
        for line in (root / "config" / name).read_text().splitlines()
        if re.match(r"\s*\w+: \S", line) and not re.search(r"\S +# \S", line)
    ]
    assert bare == []


def test_every_key_has_a_description() -> None:
    missing = [path for model in FILES.values() for path, field in leaves(model) if not field.description]
    assert missing == []


def test_defaults_are_those_of_the_code_they_configure() -> None:
    settings = Settings()
    assert settings.trading.synthetic.edge == DEFAULT_EDGE
    assert label_spec(settings.trading) == LabelSpec()
    # Off in the library: they take time and change no model.
    assert drift_spec(settings.model) == DriftSpec()
    assert train_spec(settings.model) == TrainSpec(baselines=True, explained_rows=200)


def test_every_field_of_the_labels_has_a_key() -> None:
    own = {
        "kind": "trend_scanning", "limit_ticks": 7, "max_wait_min": 2, "trend_from_min": 20, "trend_step_min": 3, "trend_t": 4.0
    }  # fmt: skip
    trade = {
        "timeframe": 15, "horizon_min": 45, "target_sigma": 2.0, "stop_sigma": 3.0, "entry_delay_s": 7, "square_off_buffer_min": 9
    }  # fmt: skip
    found = label_spec(TradingSettings.model_validate({**trade, "labels": own}))
    assert asdict(found) == {**trade, **own}
    model = Settings().model.model_copy(update={"weights": "return_attribution", "time_decay": 0.5})
    assert (train_spec(model).weights, train_spec(model).time_decay) == (Weighting.RETURN_ATTRIBUTION, 0.5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"labels": {"kind": "martingale"}}, "'triple_barrier', 'fixed_horizon' or 'trend_scanning'"),
        ({"target_sigma": 0}, "0 is for fixed_horizon alone"),
        ({"horizon_min": 10, "labels": {"kind": "trend_scanning"}}, "trend_from_min within the horizon, but 15 > horizon_min 10"),
        ({"labels": {"trend_step_min": 0}}, "greater than or equal to 1"),
    ],
)
def test_labels_that_cannot_be_are_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        TradingSettings.model_validate(wrong)


def test_the_plain_sign_needs_no_target() -> None:
    trading = TradingSettings.model_validate({"target_sigma": 0, "labels": {"kind": "fixed_horizon"}})
    assert label_spec(trading).target_sigma == 0.0


def test_shipped_configuration_loads(root: Path) -> None:
    path = root / "config" / "config.yaml"
    settings = load_settings(path, {})
    assert settings.system.mode is Mode.HISTORICAL
    assert settings.database.dsn_text is None
    assert settings.model_dir == Path("var/models")
    assert load_rate_limits(path).historical.per_s == 3
    assert load_metrics(path).disk_free_gib.fail == 1


# --------------------------------------------------------------------------------------------------------- environment


def test_environment_wins_over_the_file(config) -> None:
    path = config("trading: {timeframe: 5, universe: [INFY]}\n")
    environ = {
        "INTRADAY__TRADING__TIMEFRAME": "15",
        "INTRADAY__TRADING__UNIVERSE": "[RELIANCE, M&M]",
        "INTRADAY__DATABASE__DSN": "postgresql://me:pass@db:5432/x",
        "INTRADAY__BROKER__API_SECRET": "0123",
        "INTRADAY__MODEL__ANCHOR": "2026-01-01",
        "INTRADAY__ALERTS__CONSOLE": "false",
        "INTRADAY__LIVE__JOURNAL__FSYNC": "event",
        "INTRADAY_SHARED": "not ours",
        "PATH": "/bin",
    }
    settings = load_settings(path, environ)
    assert settings.trading.timeframe == 15
    assert settings.trading.universe == ("RELIANCE", "M&M")
    assert settings.database.dsn_text == "postgresql://me:pass@db:5432/x"
    assert settings.broker.api_secret is not None
    assert settings.broker.api_secret.get_secret_value() == "0123"
    assert settings.model.anchor == date(2026, 1, 1)
    assert settings.alerts.console is False
    assert settings.live.journal.fsync == "event"


def test_null_in_the_environment_clears_a_value(config) -> None:
    path = config("database: {dsn: postgresql://me@db/x}\n")
    assert load_settings(path, {}).database.dsn_text == "postgresql://me@db/x"
    assert load_settings(path, {"INTRADAY__DATABASE__DSN": "null"}).database.dsn_text is None


def test_a_bad_value_names_the_variable(config) -> None:
    text = problem(config(""), {"INTRADAY__TRADING__TIMEFRAME": "7"})
    assert text == "environment variable INTRADAY__TRADING__TIMEFRAME: trading.timeframe: found 7, expected 1, 5, 15 or 60"


def test_an_unknown_variable_names_the_nearest(config) -> None:
    text = problem(config(""), {"INTRADAY__DATABSE__DSN": "x"})
    assert text == "environment variable INTRADAY__DATABSE__DSN: no such key, did you mean INTRADAY__DATABASE__DSN?"


def test_a_variable_for_a_section_is_refused(config) -> None:
    assert "no such key" in problem(config(""), {"INTRADAY__TRADING": "{}"})


@pytest.mark.parametrize("model", FILES.values())
def test_env_names_are_unique(model) -> None:
    names = [env_name(path) for path, _ in leaves(model)]
    assert len(set(names)) == len(names) > 3


# -------------------------------------------------------------------------------------------------------------- errors

BAD = {
    "literal": ("trading: {timeframe: 7}", "trading.timeframe: found 7, expected 1, 5, 15 or 60"),
    "type": ("model: {num_leaves: many}", "model.num_leaves: found 'many', expected a valid integer"),
    "bound": ("live: {grace_ms: -1}", "live.grace_ms: found -1, expected greater than or equal to 0"),
    "nan": ("trading: {stop_sigma: .nan}", "trading.stop_sigma: found nan, expected a finite number"),
    "enum": ("system: {mode: LIVE}", "system.mode: found 'LIVE', expected HISTORICAL_MODE or LIVE_MODE"),
    "union": ("model: {anchor: monday}", "model.anchor: found 'monday', expected auto or previous_quarter or a valid date"),
    "union list": (
        "trading: {universe: INFY}",
        "trading.universe: found 'INFY', expected all or fno or index:NAME or csv:PATH or a list",
    ),
    "null": ("trading: {horizon_min: }", "trading.horizon_min: found nothing (null), expected a valid integer"),
    "section": ("trading: 5", "trading: found 5, expected a section with exchange, universe"),
    "unknown": ("trading: {timefram: 5}", "trading.timefram: unknown key, did you mean 'timeframe'?"),
    "unknown far": ("live: {journal: {zzz: 5}}", "live.journal.zzz: unknown key; known here: fsync"),
    "unknown section": ("tradng: {timeframe: 5}", "tradng: unknown key, did you mean 'trading'?"),
    "cross": (
        "trading: {timeframe: 60, horizon_min: 30}",
        "trading: found a section, expected horizon_min of at least one decision bar",
    ),
    "empty universe": ("trading: {universe: []}", "expected universe: all, or at least one symbol"),
    "url": ("broker: {kite: {rest_url: localhost}}", "broker.kite.rest_url: found 'localhost', expected"),
    "url with a query": ("broker: {kite: {ws_url: 'wss://h/?k'}}", "broker.kite.ws_url: found 'wss://h/?k', expected"),
    "not a mapping": ("- 1\n- 2", "found [1, 2], expected sections"),
    "scalar": ("hello", "found 'hello', expected sections"),
    "syntax": ("trading: {timeframe: 5", "line 2, column 1: not valid YAML"),
    "tab": ("trading:\n\ttimeframe: 5", "line 2, column 1: not valid YAML"),
    "twice": ("trading: {timeframe: 5, timeframe: 15}", "line 1, column 25: not valid YAML: key 'timeframe' is there twice"),
    "python object": ("trading: !!python/object:os.system {}", "line 1, column 10: not valid YAML"),
    "control character": ("a: \x01", "not valid YAML"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_problem_is_one_line_with_file_key_found_expected(config, case: str) -> None:
    text, expected = BAD[case]
    path = config(text + "\n")
    message = problem(path)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert "\n" not in message


def test_two_problems_are_two_lines(config) -> None:
    lines = problem(config("trading: {timeframe: 7}\nlive: {grace_ms: x}\n")).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["trading.timeframe", "live.grace_ms"]


def test_missing_file(tmp_path: Path) -> None:
    assert ": not found; expected a configuration file" in problem(tmp_path / "none.yaml")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert "cannot be read (Is a directory)" in problem(tmp_path)


def test_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"trading:\n  exchange: \xff\xfe\n")
    assert "byte 21 is not UTF-8" in problem(path)


def test_empty_file_means_defaults(config) -> None:
    assert load_settings(config(""), {}) == Settings()


def test_files_beside_are_checked_too(config) -> None:
    path = config("")
    assert load_rate_limits(path) == RateLimits()
    (path.parent / "rate_limit_config.yaml").write_text("historical: {per_s: 0}\n")
    with pytest.raises(ConfigError, match=r"rate_limit_config\.yaml: historical\.per_s: found 0, expected greater than 0"):
        load_rate_limits(path)
    (path.parent / "metrics.yaml").write_text("disk_free_gib: {warn: 1, fail: 2}\n")
    with pytest.raises(ConfigError, match="fail <= warn, but 2 > 1"):
        load_metrics(path)


# ------------------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("key", ["api_key", "api_secret"])
def test_a_secret_in_the_file_is_an_error_that_does_not_repeat_it(config, key: str) -> None:
    message = problem(config(f"broker: {{{key}: hunter2hunter2}}\n"))
    assert "hunter2" not in message
    assert message.endswith(
        f"broker.{key}: found a secret in the file, expected it in the environment variable INTRADAY__BROKER__{key.upper()}"
    )


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://me:hunter2@db/x",
        "postgresql://db/x?password=hunter2",
        "host=db password=hunter2",
        "host=db password = hunter2",
    ],
)
def test_a_password_in_the_file_is_an_error(config, dsn: str) -> None:
    message = problem(config(f"database: {{dsn: '{dsn}'}}\n"))
    assert "hunter2" not in message
    assert "found a password in the file" in message


def test_secrets_are_never_shown(config) -> None:
    environ = {"INTRADAY__BROKER__API_KEY": "hunter2", "INTRADAY__DATABASE__DSN": "postgresql://me:hunter2@db/x"}
    settings = load_settings(config(""), environ)
    assert "hunter2" not in repr(settings) + str(settings) + str(settings.public())
    assert settings.public()["trading"]["timeframe"] == 5


def test_a_wrong_secret_is_not_shown(config) -> None:
    message = problem(config("broker: {api_key: [hunter2]}\n"))
    assert "hunter2" not in message


def test_settings_are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().trading.timeframe = 15  # type: ignore[misc]


def test_read_yaml_returns_plain_values(config) -> None:
    assert read_yaml(config("a: {b: [1, x]}\n")) == {"a": {"b": [1, "x"]}}


def test_a_primary_is_a_feature_of_the_set_once() -> None:
    """A simple rule becomes one; what is there already is not there twice; without one the set is what it was."""

    def names(**update: object) -> tuple[str, ...]:
        base = Settings()
        settings = base.model_copy(update={"model": base.model.model_copy(update=update)})
        return feature_set(settings, AnchorRule(), SessionTable.load()).names

    every = names()
    assert "moving_average_cross" not in every
    assert names(primary="moving_average_cross") == (*every, "moving_average_cross")
    assert names(primary="rsi_14") == every
    assert names(features=("sigma", "ret_3"), primary="or_break") == ("sigma", "ret_3", "or_break")
    with pytest.raises(ConfigError, match="model.primary: expected moving_average_cross, found 'moving_average_cros'"):
        names(primary="moving_average_cros")
    with pytest.raises(ConfigError, match="model.primary: expected opening_range_breakout, moving_average_cross, or a feature"):
        names(primary="9999")

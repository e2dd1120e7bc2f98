"""The settings as pydantic models: every key, its default, its bounds and one sentence about it.

Each object of the program gets only the plain values it needs from here; ``app`` hands them over. ``docs/configuration.md`` is made
from these models, and ``config/*.yaml`` hold the same defaults (tests keep the three equal).
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from intraday.config.model import ModelSettings
from intraday.config.section import Section
from intraday.config.trading import TradingSettings


class Mode(StrEnum):
    """What ``intraday run`` does."""

    HISTORICAL = "HISTORICAL_MODE"
    LIVE = "LIVE_MODE"


class SystemSettings(Section):
    """The program itself."""

    mode: Mode = Field(
        default=Mode.HISTORICAL,
        description="what `intraday run` does: HISTORICAL_MODE trains on stored candles, LIVE_MODE makes signals from a feed",
    )
    data_dir: Path = Field(
        default=Path("var"),
        description="everything the program writes: database, journal, models, reports, logs; relative to the working folder",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="lowest level that is logged")


class KiteSettings(Section):
    """Where Kite Connect answers. The bundled simulator can stand at these addresses too."""

    rest_url: str = Field(
        default="https://api.kite.trade", description="root of the REST API, without a path", pattern=r"^https?://[^/]+/?$"
    )
    login_url: str = Field(
        default="https://kite.zerodha.com/connect/login", description="page the user logs in on", pattern=r"^https?://.+"
    )
    ws_url: str = Field(default="wss://ws.kite.trade", description="root of the WebSocket feed", pattern=r"^wss?://[^?#]+$")
    timeout_s: float = Field(default=7.0, gt=0, le=120, description="longest wait for one REST answer, seconds")
    clock: Literal["system", "simulator"] = Field(
        default="system", description="whose time it is: this machine's, or the simulator's that answers at rest_url"
    )


class SimulatorSettings(Section):
    """The bundled Kite-compatible exchange that ``feed: simulator`` starts, and ``intraday sim``."""

    source: Literal["synthetic", "database"] = Field(
        default="synthetic",
        description="synthetic: a seeded market; database: stored candles, and recorded ticks where there are any",
    )
    day: date | None = Field(
        default=None, description="the simulated today; null: the session after trading.synthetic.sessions sessions of history"
    )
    start: str = Field(
        default="09:00", description="time of day at which it starts, IST", pattern=r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$"
    )
    speed: float = Field(default=60.0, ge=1, le=10_000, description="pace of its clock; 1 is real time")
    port: int = Field(default=0, ge=0, le=65535, description="port on 127.0.0.1; 0: any free one")
    scenario: Path | None = Field(default=None, description="file of scheduled faults (docs/simulator.md)")


class LoginSettings(Section):
    """``intraday auth login``."""

    port: int = Field(
        default=5010, ge=1024, le=65535, description="port of the redirect address: register http://127.0.0.1:PORT/kite at Kite"
    )
    timeout_s: float = Field(default=300.0, gt=0, le=3600, description="longest wait for the browser to come back, seconds")


class LinkSettings(Section):
    """The WebSocket connections."""

    mode: Literal["quote", "full"] = Field(
        default="full", description="what is subscribed; indices are always full, since only that carries their time"
    )
    stall_s: float = Field(
        default=4.0,
        gt=1,
        le=60,
        description="a connection silent for so long in trading hours is dead, seconds; half of it: a ping",
    )
    quiet_stall_s: float = Field(
        default=90.0,
        gt=1,
        le=600,
        description="the same outside continuous trading: before the open, in the auction, after the close",
    )
    connect_timeout_s: float = Field(default=7.0, gt=0, le=60, description="longest wait for a connection, seconds")
    backoff_first_s: float = Field(default=1.0, gt=0, description="wait before the first new attempt, seconds; doubles each time")
    backoff_max_s: float = Field(default=30.0, gt=0, description="longest wait between two attempts, seconds")


class BackfillSettings(Section):
    """Candles from the broker."""

    days: int = Field(default=365, ge=1, le=4000, description="how far back candles are fetched, calendar days")
    workers: int = Field(
        default=4, ge=1, le=16, description="requests under way at the same time; the rate limit holds for all together"
    )
    settle_s: float = Field(
        default=20.0,
        ge=0,
        le=600,
        description="a candle counts as final so long after its end; younger ones are asked for again, seconds",
    )


class BrokerSettings(Section):
    """Where prices come from."""

    feed: Literal["simulator", "kite", "synthetic", "recorded"] = Field(
        default="simulator",
        description="simulator: the bundled exchange, started on loopback and spoken to as if it were Kite; kite: Kite Connect; "
        "synthetic: a seeded market without a network; recorded: tick files",
    )
    recorded: Path | None = Field(default=None, description="tick file or folder of tick files for feed: recorded")
    speed: float = Field(default=60.0, gt=0, description="pace of a synthetic or recorded feed; 1 is real time")
    kite: KiteSettings = Field(default=KiteSettings(), description="addresses of Kite Connect, for feed: kite")
    simulator: SimulatorSettings = Field(default=SimulatorSettings(), description="the bundled exchange, for feed: simulator")
    login: LoginSettings = Field(default=LoginSettings(), description="`intraday auth login`")
    link: LinkSettings = Field(default=LinkSettings(), description="the WebSocket connections")
    backfill: BackfillSettings = Field(default=BackfillSettings(), description="candles from the broker")
    exchanges: tuple[Literal["NSE", "BSE", "NFO", "BFO"], ...] = Field(
        default=("NSE", "NFO"),
        min_length=1,
        description="exchanges whose instruments are kept; NFO names the stocks with derivatives",
    )
    api_key: SecretStr | None = Field(default=None, description="Kite Connect API key; from the environment only")
    api_secret: SecretStr | None = Field(default=None, description="Kite Connect API secret; from the environment only")


class CommitSettings(Section):
    """Whether a commit waits for the disk (PostgreSQL's synchronous_commit). A crash never leaves half a transaction either way."""

    bars: bool = Field(default=True, description="candles, signals, alerts, the audit trail: what was said to be stored is")
    derived: bool = Field(
        default=False,
        description="features and labels of HISTORICAL_MODE: what a crash loses, running again makes good",
    )


class RetentionSettings(Section):
    """How many days up to the newest row are kept, to whole weeks; null: for ever. `intraday db maintain` drops older ones."""

    bars_days: int | None = Field(
        default=None, ge=35, description="one-minute candles and their versions; the longer timeframes made from them stay"
    )
    features_days: int | None = Field(default=None, ge=35, description="feature vectors")
    labels_days: int | None = Field(default=None, ge=35, description="labels")
    signals_days: int | None = Field(default=None, ge=35, description="signals; their outcomes stay")


class DatabaseSettings(Section):
    """PostgreSQL, with or without TimescaleDB."""

    dsn: SecretStr | None = Field(
        default=None,
        description="postgresql://user@host:port/name; null starts the embedded server under data_dir/pg. "
        "A DSN with a password comes from the environment only",
    )
    statement_timeout_s: float = Field(default=300.0, gt=0, description="a statement running longer is cancelled, seconds")
    live_timeout_s: float = Field(default=10.0, gt=0, description="the same for the statements of a live minute, seconds")
    connections: int = Field(
        default=8, ge=3, le=64, description="most connections of one program, who needs another waits; a live run has two more"
    )
    read_chunk_mib: int = Field(
        default=256,
        ge=16,
        le=65536,
        description="rows of a long read held at a time, MiB",
    )
    commit: CommitSettings = Field(default_factory=CommitSettings, description="what waits for the disk")
    retention: RetentionSettings = Field(default_factory=RetentionSettings, description="how long rows are kept")
    compress_after_days: int | None = Field(
        default=14, ge=1, description="older chunks are compressed, with TimescaleDB only; null: never"
    )
    embedded_start_timeout_s: float = Field(
        default=120.0, gt=0, description="longest wait for the embedded server, recovery after a crash included, seconds"
    )

    @property
    def dsn_text(self) -> str | None:
        """The DSN in the clear, for the connection and nothing else."""
        return None if self.dsn is None else self.dsn.get_secret_value()


class JournalSettings(Section):
    """The journal of engine events."""

    fsync: Literal["never", "minute", "event"] = Field(default="minute", description="when the journal is forced to disk")


class LiveSettings(Section):
    """The live engine."""

    grace_ms: int = Field(default=1500, ge=0, le=30_000, description="a minute closes this long after its boundary, milliseconds")
    queue_max_frames: int = Field(
        default=10_000, ge=1, description="frames waiting for the engine; beyond it the feed is conflated"
    )
    outage_s: float = Field(
        default=30.0, gt=0, description="a feed silent for so long in the session is an outage: a gap, not candles; seconds"
    )
    threads: int = Field(
        default=2, ge=1, le=64, description="threads that share the features of a close between them, from 513 instruments on"
    )
    journal: JournalSettings = Field(default=JournalSettings(), description="the journal of engine events")


class AlertSettings(Section):
    """Where alerts go."""

    console: bool = Field(default=True, description="print alerts")
    log: bool = Field(default=True, description="log alerts")


class Settings(Section):
    """All of ``config.yaml``."""

    system: SystemSettings = Field(default=SystemSettings(), description="the program itself")
    broker: BrokerSettings = Field(default=BrokerSettings(), description="where prices come from in LIVE_MODE")
    database: DatabaseSettings = Field(default=DatabaseSettings(), description="PostgreSQL, with or without TimescaleDB")
    trading: TradingSettings = Field(default=TradingSettings(), description="what is decided on, when, and how a trade ends")
    model: ModelSettings = Field(default=ModelSettings(), description="features, validation and LightGBM")
    live: LiveSettings = Field(default=LiveSettings(), description="the live engine")
    alerts: AlertSettings = Field(default=AlertSettings(), description="where alerts go")

    @property
    def model_dir(self) -> Path:
        """Folder of model artifacts."""
        return self.system.data_dir / self.model.directory

    def public(self) -> dict[str, Any]:
        """JSON-ready values; secrets are masked."""
        return self.model_dump(mode="json")


class EndpointLimit(Section):
    """Pace of one class of REST calls."""

    per_s: float = Field(gt=0, le=1000, description="calls a second, evenly spaced")
    max_wait_s: float = Field(default=60.0, gt=0, description="a call that would wait longer for its turn fails, seconds")


class WebSocketLimit(Section):
    """Limits of the feed."""

    connections: int = Field(default=3, ge=1, le=10, description="connections of one API key")
    instruments_per_connection: int = Field(default=3000, ge=1, description="subscriptions of one connection")


class RetrySettings(Section):
    """What happens after an answer that may be better next time (429, 5xx, no connection)."""

    attempts: int = Field(default=5, ge=1, le=20, description="calls in all, the first included")
    first_s: float = Field(default=1.0, gt=0, description="wait after the first failure, seconds; doubles each time")
    max_s: float = Field(default=30.0, gt=0, description="longest wait between two attempts, seconds")


class RateLimits(Section):
    """All of ``rate_limit_config.yaml``.

    Source of the figures: Kite Connect documentation and staff answers; per API key.
    """

    quote: EndpointLimit = Field(default=EndpointLimit(per_s=1), description="/quote, /quote/ohlc, /quote/ltp together")
    historical: EndpointLimit = Field(default=EndpointLimit(per_s=3, max_wait_s=600), description="/instruments/historical")
    other: EndpointLimit = Field(default=EndpointLimit(per_s=10), description="every other call together")
    websocket: WebSocketLimit = Field(default=WebSocketLimit(), description="limits of the feed")
    retry: RetrySettings = Field(default=RetrySettings(), description="repeated calls")


class Threshold(Section):
    """When a figure is worth a warning and when it is a failure; less is worse."""

    warn: float = Field(description="below it: WARN")
    fail: float = Field(description="below it: FAIL")

    @model_validator(mode="after")
    def _order(self) -> Threshold:
        if self.fail > self.warn:
            raise ValueError(f"fail <= warn, but {self.fail:g} > {self.warn:g}")
        return self


class MetricSettings(Section):
    """All of ``metrics.yaml``: the figures a machine is judged by in ``intraday doctor``."""

    disk_free_gib: Threshold = Field(default=Threshold(warn=5, fail=1), description="free room on the disk of data_dir, GiB")
    memory_available_gib: Threshold = Field(default=Threshold(warn=2, fail=0.5), description="memory available, GiB")
    session_table_days: Threshold = Field(default=Threshold(warn=60, fail=0), description="days until the session table ends")

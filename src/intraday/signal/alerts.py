"""Alerts reach people: the policy is ``signal/policy.py``'s, this file delivers. A slow or dead channel never delays a signal."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from loguru import logger

from intraday.domain.events import Alert, Signal
from intraday.domain.ports import AlertChannel
from intraday.signal.policy import AlertPolicy, clock_text


@dataclass(slots=True)
class AlertCounts:
    """What became of the alerts; ``failed`` and ``sent`` by channel."""

    offered: int = 0
    dropped: int = 0  # the queue was full: the oldest went
    sent: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)


class ConsoleChannel:
    """One plain line per alert through ``write`` (for example ``rich.Console.print``): IST time, level unless info, text."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    async def send(self, alert: Alert) -> None:
        """Write the line."""
        level = "" if alert.level == "info" else f"{alert.level.upper()}: "
        self._write(f"{clock_text(alert.now_ns, seconds=True)} {level}{alert.text}")


class LogChannel:
    """One ``key=value`` log line per alert, marked ``channel=alerts`` so that a terminal sink can leave it out."""

    async def send(self, alert: Alert) -> None:
        """Log it at the alert's level."""
        values: dict[str, object] = {"topic": alert.topic, "now_ns": alert.now_ns}
        if alert.signal is not None:
            s = alert.signal
            values |= {"action": str(s.action), "inst": s.inst, "bar_ns": s.bar_ns, "confidence": round(s.confidence, 4)}
            values |= {"price": s.price, "stop": s.stop, "target": s.target, "observe": s.observe, "model": s.model_id}
            values |= {"expected": round(s.expected, 6), "chase": s.chase, "quantity": s.quantity, "note": s.note}
        logger.bind(channel="alerts", **values, text=alert.text).log(alert.level.upper(), "alert")


class AlertSystem:
    """A bounded queue in front of the channels.

    ``offer`` and ``offer_signals`` never wait and never raise; ``run`` delivers until ``close`` and then what is left. An alert
    goes to all channels at once; each may take ``timeout_s``, and its failure is counted and logged, no more. When the queue
    is full the oldest alert is dropped and counted.
    """

    def __init__(
        self, channels: Mapping[str, AlertChannel], policy: AlertPolicy, capacity: int = 1000, timeout_s: float = 5.0
    ) -> None:
        assert capacity > 0, capacity
        self._channels = dict(channels)
        self._policy = policy
        self._timeout_s = timeout_s
        self._waiting: deque[Alert] = deque(maxlen=capacity)
        self._wake = asyncio.Event()
        self._closed = False
        self.counts = AlertCounts()

    def offer(self, alert: Alert) -> None:
        """Queue one alert for delivery."""
        self.counts.offered += 1
        self.counts.dropped += len(self._waiting) == self._waiting.maxlen
        self._waiting.append(alert)
        self._wake.set()

    def offer_signals(self, signals: Sequence[Signal]) -> None:
        """Queue what is worth an alert among the signals of one decision bar."""
        for alert in self._policy.select(signals):
            self.offer(alert)

    def close(self) -> None:
        """Let ``run`` end once the queue is empty."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until closed and empty."""
        while self._waiting or not self._closed:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._deliver(self._waiting.popleft())

    async def _deliver(self, alert: Alert) -> None:
        async with asyncio.TaskGroup() as group:
            for name, channel in self._channels.items():
                group.create_task(self._send(name, channel, alert))

    async def _send(self, name: str, channel: AlertChannel, alert: Alert) -> None:
        """One channel's edge: whatever it raises stays here."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await channel.send(alert)
        except Exception as error:  # noqa: BLE001
            self.counts.failed[name] = self.counts.failed.get(name, 0) + 1
            logger.warning("alert not delivered channel={} topic={} error={!r}", name, alert.topic, error)
        else:
            self.counts.sent[name] = self.counts.sent.get(name, 0) + 1

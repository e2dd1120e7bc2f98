"""Frames decoded to PACKET rows against the official client's parser (kiteconnect.KiteTicker), in interleaved rounds of one run.

A full packet carries the market depth: ten levels. Both do all the work up to values that a caller can use: rows here, dicts
there. One process, one thread. Prints one JSON line last.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from figures import figure, finish
from kiteconnect import KiteTicker

from intraday.broker.wire import decode_frame

ROUNDS = 15
ROUND_S = 0.03  # of each decoder in each round
CASES = (  # what, packets a frame, bytes a packet, target
    ("1000 full packets", 1000, 184, 150.0),
    ("5 full packets, the median frame", 5, 184, None),
    ("1 full packet", 1, 184, 10.0),
    ("1 quote packet", 1, 44, None),
    ("1 index packet", 1, 32, None),
    ("1 ltp packet", 1, 8, None),
)


def frame(rng: np.random.Generator, n: int, length: int) -> bytes:
    bodies = rng.integers(0, 256, (n, length), dtype=np.uint8)
    bodies[:, 3] = 1  # NSE
    return struct.pack(">H", n) + b"".join(struct.pack(">H", length) + body.tobytes() for body in bodies)


def seconds(decode: Callable[[bytes], object], payload: bytes, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        decode(payload)
    return (time.perf_counter() - start) / repeats


def compare(payload: bytes) -> tuple[float, float, float]:
    """Medians over the rounds: our seconds, theirs, and theirs over ours of the same round."""
    decoders = (decode_frame, KiteTicker("key", "token")._parse_binary)
    repeats = [max(1, round(ROUND_S / seconds(decode, payload, 3))) for decode in decoders]
    rounds = [[seconds(decode, payload, k) for decode, k in zip(decoders, repeats, strict=True)] for _ in range(ROUNDS)]
    ours, theirs = zip(*rounds, strict=True)
    return median(ours), median(theirs), median(b / a for a, b in rounds)


def main() -> None:
    rng, figures = np.random.default_rng(1), []
    for name, n, length, target in CASES:
        ours, theirs, ratio = compare(frame(rng, n, length))
        wanted = f", target {target:.0f}" if target else ""
        print(f"{name:34s} {ours * 1e6:9.2f} us, official {theirs * 1e6:9.2f} us: {ratio:6.1f} times{wanted}")
        row = figure(f"decode, {name}", n / ours, "packets/s", "official parser", n / theirs)
        figures.append(row | {"ratio": round(ratio, 1)} | ({"target_ratio": target} if target else {}))
    finish(figures)


if __name__ == "__main__":
    main()

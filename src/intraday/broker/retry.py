"""Which failures are worth another try, and when. Pure.

Source: "Exponential Backoff And Jitter", M. Brooker, AWS Architecture Blog 2015 (full jitter).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from intraday.domain.errors import BadAnswer, BrokerUnavailable, IntradayError, RateLimited

BAD_ANSWERS_MAX = 2  # a broken answer is asked for again so often; the next one is reported


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``attempts`` calls in all; the wait before the k-th repetition is random up to ``first_s * 2**(k-1)``, at most ``max_s``.

    ``total_s``: no repetition starts later than this after the first call left, waits for an open circuit included.
    """

    attempts: int = 5
    first_s: float = 1.0
    max_s: float = 30.0
    total_s: float = 180.0

    def waits(self, rng: random.Random) -> Iterator[float]:
        """Seconds before each repetition, ``attempts - 1`` of them: full jitter under a doubling cap."""
        cap_s = self.first_s
        for _ in range(self.attempts - 1):
            yield rng.uniform(0.0, min(cap_s, self.max_s))
            cap_s *= 2


def worth_repeating(error: IntradayError, bad_answers: int) -> bool:
    """Whether the same request may fare better: no answer, 5xx, 429, and a broken answer at most BAD_ANSWERS_MAX times.

    ``bad_answers``: broken answers so far, this one included. Whether the request may be sent twice at all is the endpoint's.
    """
    if isinstance(error, BadAnswer):
        return bad_answers <= BAD_ANSWERS_MAX
    return isinstance(error, BrokerUnavailable | RateLimited)

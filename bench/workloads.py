"""What the proxies are made to do: a table, no behaviour.

Calls are a closed loop by wrk (as many requests as the proxy manages); streams are opened once each and paced by the
fake upstream, so that a slower proxy shows as CPU and delay, never as fewer events.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calls:
    """`connections` clients that send the same request over and over for `seconds`. The unit of work is the call."""

    name: str
    title: str
    body: str  # file in bodies/, without .json
    connections: int = 16
    seconds: int = 2
    most_times_nginx: float | None = None  # the target; None: reported only


@dataclass(frozen=True, slots=True)
class Streams:
    """`count` streams of `events` events, one each `interval_ms`, opened within `ramp_ms`. The unit is the event."""

    name: str
    title: str
    count: int
    events: int
    interval_ms: int
    ramp_ms: int
    most_times_nginx: float | None = None

    @property
    def timeout_s(self) -> int:
        """Three times the time it takes at best, and a start-up: a proxy that cannot keep up ends, and is seen to."""
        return int((self.events * self.interval_ms * 3 + self.ramp_ms) / 1000) + 15


CALL = Calls("call-1k", "1 KB call", "req-1k", most_times_nginx=4.5)
LONE = Calls("lone-1k", "1 KB call, one at a time", "req-1k", connections=1)
SLOW = Streams("slow", "event of a slow stream (2,000/s)", 200, 40, 100, 500, most_times_nginx=1.5)

CPU_WORK: tuple[Calls | Streams, ...] = (
    CALL,
    Calls("body-100k", "100 KB request body", "req-100k", most_times_nginx=2.2),
    Calls("body-1m", "1 MB request body", "req-1m", most_times_nginx=2.0),
    Calls("burst", "burst of 304 SSE events", "req-1k-stream", most_times_nginx=3.0),
    Calls("burst-asked", "the same, usage asked for by the proxy and taken out", "req-1k-stream-unasked"),
    Calls("answer-1m", "1 MB JSON answer", "req-bigresp"),
    LONE,
    SLOW,
    Streams("hot", "event at 10,000/s", 200, 200, 20, 300, most_times_nginx=1.4),
)

# Few, slow events: nothing but open streams is in the memory that is added.
MEMORY = Streams("memory", "1,000 open streams", 1000, 6, 600, 1200)
WARM_UP = Streams("warm-up", "what a first call loads", 20, 2, 50, 50)
# 1,000 are opened a second; then 5,000 events a second come over the open streams.
MANY = Streams("many", "10,000 slow streams at once", 10_000, 8, 2000, 10_000)

# Targets that are not a ratio to nginx.
MOST_KB_PER_STREAM = {"plain": 10.0, "tls": 64.0}
LEAST_TIMES_CHEAPER_THAN_NAIVE = 8.0
LEAST_SHARE_OF_OFF = 0.9  # calls a second with a budget, of those without
LEAST_TIMES_ONE_WORKER = 1.8  # calls that two workers bear on two cores

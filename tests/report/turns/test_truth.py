"""The matcher on made traffic whose turns are known: the share of calls placed right, printed.

`pytest -s tests/report/turns/test_truth.py` shows the table; AWFPROXY_TEST_ROUNDS makes more worlds.
"""

import os
import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.report.turns.agent_logs import Log, read_agent_logs
from awfproxy.report.turns.calls import Call, read_calls
from awfproxy.report.turns.matching import match
from awfproxy.report.turns.placements import METHODS, Placement, Reason
from awfproxy.report.turns.proxy_turns import Told, tell_turns
from awfproxy.report.turns.sessions import Session, put_together
from awfproxy.report.turns.turn_rows import Row, rows_of_logs
from tests.report.turns.traffic import MODELS, Setting, Truth, World, log_files, make

ROUNDS = int(os.environ.get("AWFPROXY_TEST_ROUNDS", "2"))
AGENTS = tuple(MODELS)


class Matched(msgspec.Struct):
    world: World
    calls: list[Call]
    sessions: list[Session]
    placed: list[Placement | Reason]

    def right(self) -> list[bool]:
        streams = [stream for session in self.sessions for stream in session.streams]
        answers = []
        for call, placed in zip(self.calls, self.placed, strict=True):
            told: Truth = None
            if isinstance(placed, Placement):
                stream = streams[placed.stream]
                told = stream.session.id, stream.subagent, placed.turn
            answers.append(told == self.truth(call, streams[0].session.agent))
        return answers

    def truth(self, call: Call, agent: str) -> Truth:
        known = self.world.truth[call.request_id or ""]
        # Codex writes the calls of all its helpers into one rollout.
        return (known[0], None, known[2]) if known is not None and agent == "codex" else known


def logs_of(world: World, folder: Path) -> list[Log]:
    for name, content in log_files(world):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    found = read_agent_logs([str(folder)])
    assert not found.remarks()
    return found.logs


def matched(world: World, folder: Path) -> Matched:
    sessions = put_together(logs_of(world, folder))
    calls = read_calls(world.record_lines()).calls
    return Matched(world, calls, sessions, match(calls, sessions))


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize(
    ("what", "setting", "least"),
    [
        ("ids in requests and logs", Setting(), 0.99),
        ("no ids", Setting(ids=False), 0.95),
        ("no ids, clocks an hour apart", Setting(ids=False, skew=3600.0), 0.95),
        ("no ids, runs of one prompt at once", Setting(ids=False, twins=True), 0.95),
        ("no hints at all (AWF's records)", Setting(ids=False, hints=False), 0.93),
        ("no ids, a tenth of the log missing", Setting(ids=False, unlogged=0.1), 0.95),
    ],
)
def test_share_of_calls_placed_right(
    agent: str, what: str, setting: Setting, least: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sessions at the same time, skewed clocks, retries, sub-agents, lines missing on both sides, other programs."""
    right: list[bool] = []
    by_method: Counter[tuple[str, bool]] = Counter()
    for seed in range(ROUNDS):
        world = make(msgspec.structs.replace(setting, agent=agent), seed)
        found = matched(world, tmp_path / str(seed))
        answers = found.right()
        right += answers
        by_method.update(
            (placed.method if isinstance(placed, Placement) else f"({placed})", answer)
            for placed, answer in zip(found.placed, answers, strict=True)
        )
    share = sum(right) / len(right)
    with capsys.disabled():
        print(f"\n{agent:12} {what:36} {share:7.2%} of {len(right):,} calls")
        for method in sorted({method for method, _ in by_method}):
            total = by_method[method, True] + by_method[method, False]
            print(f"{'':12} {'':4}{method:32} {by_method[method, True] / total:7.2%} of {total:,}")
    assert share >= least


@pytest.mark.parametrize("agent", AGENTS)
def test_confidence_is_not_more_than_what_is_right(agent: str, tmp_path: Path) -> None:
    """Over all calls placed, the mean confidence is within 3 % of the share that is right."""
    sure: list[float] = []
    right: list[bool] = []
    for seed, ids in enumerate((True, False)):
        found = matched(make(Setting(agent=agent, ids=ids), seed), tmp_path / str(seed))
        for placed, answer in zip(found.placed, found.right(), strict=True):
            if isinstance(placed, Placement):
                sure.append(placed.confidence)
                right.append(answer)
    assert sum(sure) / len(sure) <= sum(right) / len(right) + 0.03


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("ids", [True, False])
def test_turns_told_by_the_records_alone(agent: str, ids: bool) -> None:
    """Without a log: where no record is missing, every call has its turn."""
    setting = Setting(agent=agent, ids=ids, others=0, unrecorded=0, subagents=ids)
    for seed in range(ROUNDS):
        world = make(setting, seed)
        calls = read_calls(world.record_lines()).calls
        for call, told in zip(calls, tell_turns(calls), strict=True):
            known = world.truth[call.request_id or ""]
            assert isinstance(told, Told) and known is not None
            assert (told.subagent, told.turn) == known[1:]


def sums(rows: list[Row]) -> Counter[str]:
    total: Counter[str] = Counter()
    for row in rows:
        total.update({name: value for name, value in row.items() if name == "calls" or name.endswith("_tokens")})
        total.update({f"{name} unknown": value for name, value in row.get("unknown", {}).items()})
    return total


SETTINGS = st.builds(
    Setting,
    agent=st.sampled_from(AGENTS),
    sessions=st.integers(1, 3),
    turns=st.integers(1, 3),
    ids=st.booleans(),
    hints=st.booleans(),
    skew=st.sampled_from([0.0, 2.0, 90.0]),
    retries=st.sampled_from([0.0, 0.5]),
    unlogged=st.sampled_from([0.0, 0.5, 1.0]),
    unrecorded=st.sampled_from([0.0, 0.5]),
    twins=st.booleans(),
)


@settings(max_examples=30, deadline=None)
@given(SETTINGS, st.integers(0, 1000), st.randoms(use_true_random=False))
def test_every_call_is_in_exactly_one_row(
    tmp_path_factory: pytest.TempPathFactory, setting: Setting, seed: int, dice: random.Random
) -> None:
    """Whatever is missing: the rows' sums are the records' sums, and the order of files and lines does not matter."""
    world = make(setting, seed)
    logs = logs_of(world, tmp_path_factory.mktemp("logs"))
    lines = world.record_lines()
    calls = read_calls(lines).calls
    sessions = put_together(logs)
    rows = rows_of_logs(calls, sessions, match(calls, sessions))
    expected: Counter[str] = Counter(calls=len(calls))
    for record in world.records:
        for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"):
            if name in record.get("unknown", ()):
                expected[f"{name} unknown"] += 1
            else:
                expected[name] += record[name]
    found = sums(rows)
    assert {name: found[name] for name in expected} == dict(expected)
    ids = Counter(name for row in rows for name in row["request_ids"])
    assert set(ids.values()) <= {1} and set(ids) <= {record["request_id"] for record in world.records}

    dice.shuffle(lines)
    logs = logs_of(world, tmp_path_factory.mktemp("again"))
    dice.shuffle(logs)
    sessions = put_together(logs)
    calls = read_calls(lines).calls
    assert rows_of_logs(calls, sessions, match(calls, sessions)) == rows


def test_every_method_has_words_and_confidences_that_make_sense() -> None:
    """A choice is never surer than what was not one."""
    assert all(0.0 < surety.chosen <= surety.sure <= 1.0 and surety.words for surety in METHODS.values())

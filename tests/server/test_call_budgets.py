"""Budgets over the life of a call, told as transcripts: who is let in, who waits, who is refused, what is charged."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from awfproxy.core.bounds import OVERHEAD
from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.learned import LEAST_BYTES, PRIOR_INPUT, PRIOR_OUTPUT
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client, Feature, OnLedgerLoss, PortBudget
from awfproxy.server.admission import LEDGER_WAIT
from awfproxy.server.allowance_memory import MemoryAllowance
from awfproxy.server.shared import Shared
from tests.server.stage import Stage, Wire
from tests.server.test_call import (
    ANSWER,
    CHUNK,
    DONE,
    END,
    LAST,
    SSE_HEAD,
    begin,
    chunk,
    request,
    requests,
    response,
    split,
    usages,
)

PORT = Scope("main")
BODY = b'{"model":"gpt-4o-mini","max_tokens":100,"messages":[]}'
#: what a strict budget reserves for `BODY`
BOUND = len(BODY) + OVERHEAD + 100
#: what `ANSWER` says it used
USED = 21


def strict(cap: int, **options: Any) -> Budget:
    """A strict budget of a day."""
    soft = options.pop("soft_cap_tokens", cap)
    return Budget(enabled=True, period="day", mode="strict", hard_cap_tokens=cap, soft_cap_tokens=soft, **options)


def learned(cap: int, **options: Any) -> Budget:
    """A learned one."""
    soft = options.pop("soft_cap_tokens", cap)
    return Budget(enabled=True, period="day", hard_cap_tokens=cap, soft_cap_tokens=soft, **options)


def staged(of_port: Budget, **settings: Any) -> Stage:
    """A port with one budget, and without usage of its own asking."""
    return Stage(budgets={PORT: of_port}, include_usage="off", **settings)


def allowance(stage: Stage, scope: Scope = PORT) -> MemoryAllowance:
    """One of its budgets."""
    return stage.budgets.all[scope]


def figures(stage: Stage, scope: Scope = PORT) -> tuple[int, int]:
    """Used and reserved."""
    standing = allowance(stage, scope).standing(stage.shared.wall())
    return standing.used, standing.reserved


def call(stage: Stage, body: bytes = BODY, **options: Any) -> Wire:
    """A client that sends one call."""
    client = stage.client()
    client.receive(request(body, **options))
    stage.turn()
    return client


def refused(client: Wire) -> tuple[bytes, dict[str, Any]]:
    """Head and error of a refusal."""
    head, body = split(client.take())
    return head, json.loads(body)["error"]


# -- let in


def test_a_call_is_reserved_and_settled() -> None:
    """Strict: the upper bound while it runs, what was reported when it has ended."""
    stage = staged(strict(10_000))
    client, upstream = begin(stage, request(BODY))
    assert figures(stage) == (0, BOUND)
    upstream.receive(response(ANSWER))
    stage.turn()
    assert split(client.take())[1] == ANSWER
    assert figures(stage) == (USED, 0)


def test_a_call_belongs_to_the_window_of_its_admission() -> None:
    """One that begins before midnight and ends after it is charged to the day in which it began."""
    stage = staged(strict(10_000))
    to_midnight = 86_400 - stage.shared.wall() % 86_400
    stage.clock.advance(to_midnight - 1)
    _, upstream = begin(stage, request(BODY))
    stage.clock.advance(2)
    assert figures(stage) == (0, 0), "a new day"
    upstream.receive(response(ANSWER))
    stage.turn()
    assert figures(stage) == (0, 0)
    (record,) = requests(stage)
    assert record["admitted_at"].endswith("T23:59:59.000Z")
    assert record["timestamp"].endswith("T00:00:01.000Z")


def test_a_budget_that_is_off_lets_everything_in() -> None:
    """And what calls use is recorded all the same."""
    stage = staged(Budget(enabled=False, hard_cap_tokens=0, soft_cap_tokens=0))
    client, upstream = begin(stage, request(BODY))
    upstream.receive(response(ANSWER))
    stage.turn()
    head, _ = split(client.take())
    assert head.startswith(b"HTTP/1.1 200")
    assert b"X-AWF-Budget" not in head
    assert len(usages(stage)) == 1


def test_a_learned_budget_reserves_what_calls_are_likely_to_use() -> None:
    """First the prior, no more output than is asked for; then what was learned, which is less here."""
    stage = staged(learned(100_000))
    first = math.ceil(LEAST_BYTES * PRIOR_INPUT / 1e6)
    for at in range(40):
        client, upstream = begin(stage, request(b'{"model":"m","messages":[]}'))
        reserved = figures(stage)[1]
        if at == 0:
            assert reserved == pytest.approx(first + PRIOR_OUTPUT, rel=0.05)
        upstream.receive(response(ANSWER))
        stage.turn()
        client.end()
    assert USED <= reserved < 100
    assert figures(stage) == (40 * USED, 0)
    call(stage, b'{"model":"m","max_tokens":3,"messages":[]}')
    assert figures(stage)[1] < reserved


def test_a_file_does_not_reserve_by_its_size() -> None:
    """Nobody knows the tokens of a recording by its bytes: a large one must not be refused for them."""
    stage = staged(learned(50_000))
    form = b"--b\r\n" + b"x" * 1_000_000
    head = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    client = stage.client()
    client.receive(head + b"Content-Length: %d\r\n\r\n" % len(form) + form)
    stage.turn()
    assert 0 < figures(stage)[1] < 6_000


@pytest.mark.parametrize(("method", "path"), [(b"GET", b"/v1/models"), (b"POST", b"/v1/messages/count_tokens")])
def test_what_is_no_model_call_is_not_budgeted(method: bytes, path: bytes) -> None:
    """A list of models is shown though nothing is left."""
    stage = staged(strict(0))
    call(stage, b"" if method == b"GET" else BODY, path=path, method=method)
    assert stage.upstream.take().startswith(method)
    assert figures(stage) == (0, 0)


# -- refused


def test_nothing_left() -> None:
    """Used >= cap: refused at once, for good until the window ends."""
    stage = staged(strict(1_000))
    allowance(stage).used_elsewhere = 1_000
    client = call(stage)
    head, error = refused(client)
    assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"x-should-retry: false" in head
    left = 86_400 - stage.shared.wall() % 86_400
    assert b"Retry-After: %d\r\n" % left in head + b"\r\n"
    assert (error["type"], error["code"], error["retryable"]) == ("budget_exceeded", "hard-cap-exceeded", False)
    assert (error["used_tokens"], error["reserved_tokens"], error["cap_tokens"]) == (1_000, 0, 1_000)
    (record,) = requests(stage)
    assert (record["outcome"], record["refusal"], record["refusal_code"]) == (
        "refused", "budget_exceeded", "hard-cap-exceeded",
    )  # fmt: skip
    assert not stage.wires.dialled
    assert not stage.port.calls
    assert not stage.shared.body_memory.lent
    assert stage.port.tally.budget_decisions == {("port", "hard-cap-exceeded"): 1}


def test_more_than_is_left() -> None:
    """Used + estimate > cap."""
    stage = staged(strict(BOUND + 10))
    allowance(stage).used_elsewhere = 11
    head, error = refused(call(stage))
    assert (error["code"], error["estimated_tokens"]) == ("estimated-exceeds-cap", BOUND)
    assert b"x-should-retry: false" in head
    allowance(stage).used_elsewhere = 10
    call(stage)
    assert figures(stage)[1] == BOUND, "exactly what is left fits"


def test_no_upper_bound() -> None:
    """Strict: refused, with what forbids it; a number in its place is reserved."""
    body = b'{"model":"gpt-4o-mini","max_tokens":5,"input":"x","previous_response_id":"resp_1"}'
    stage = staged(strict(10_000))
    head, error = refused(call(stage, body, path=b"/v1/responses"))
    assert error["code"] == "estimate-unbounded"
    assert "previous_response_id" in error["message"]
    assert b"x-should-retry: false" in head
    assert b"Retry-After" not in head
    stage = staged(strict(10_000, unbounded=7_000))
    call(stage, body, path=b"/v1/responses")
    assert figures(stage) == (0, 7_000)


def test_a_body_that_cannot_be_decoded_has_no_bound() -> None:
    """What is not read cannot be bounded."""
    stage = staged(strict(10_000))
    _, error = refused(call(stage, b"not gzip", headers=b"Content-Encoding: gzip\r\n"))
    assert error["code"] == "estimate-unbounded"


def test_in_the_shape_of_the_provider() -> None:
    """Anthropic's SDK reads another body."""
    stage = staged(strict(0), provider="anthropic")
    _, body = split(call(stage, path=b"/v1/messages").take())
    told = json.loads(body)
    assert (told["type"], told["error"]["type"]) == ("error", "budget_exceeded")
    assert told["error"]["details"]["error_code"] == "hard-cap-exceeded"


# -- waiting


def test_a_call_waits_for_what_others_have_reserved() -> None:
    """Their end lets it in, and its connection has stayed."""
    stage = staged(strict(BOUND + USED))
    _, upstream = begin(stage, request(BODY))
    second = call(stage)
    stage.clock.advance(1)
    assert second.take() == b""
    assert len(stage.wires.dialled) == 1
    upstream.receive(response(ANSWER))
    stage.turn()
    upstream.receive(response(ANSWER))
    stage.turn()
    assert split(second.take())[1] == ANSWER
    assert figures(stage) == (2 * USED, 0)
    waited = requests(stage)[1]
    assert waited["queue_ms"] == pytest.approx(1_000)
    assert waited["outcome"] == "complete"


def test_it_waits_no_longer_than_it_is_told_to() -> None:
    """Then it is refused for the moment: retryable, after a second or a few."""
    stage = staged(strict(BOUND), admission_wait=0.5)
    begin(stage, request(BODY))
    client = call(stage)
    stage.clock.advance(0.4)
    assert client.take() == b""
    stage.clock.advance(0.2)
    stage.turn()
    head, error = refused(client)
    assert (error["code"], error["retryable"]) == ("cap-reserved", True)
    assert (error["used_tokens"], error["reserved_tokens"]) == (0, BOUND)
    assert b"Retry-After: 1\r\n" in head + b"\r\n"
    assert b"x-should-retry" not in head
    assert figures(stage) == (0, BOUND)


def test_the_more_wait_the_longer_they_are_told_to_stay_away() -> None:
    """1 second to 5, so that they do not all come back at once."""
    stage = staged(strict(BOUND))
    begin(stage, request(BODY))
    clients = [call(stage) for _ in range(100)]
    stage.clock.advance(2.1)
    stage.turn()
    waits = {
        int(line.partition(b": ")[2])
        for client in clients
        for line in refused(client)[0].split(b"\r\n")
        if line.startswith(b"Retry-After")
    }
    assert waits == {1, 2, 3, 4, 5}


def test_not_at_all_if_it_is_told_not_to() -> None:
    """``admission_wait = 0``."""
    stage = staged(strict(BOUND), admission_wait=0.0)
    begin(stage, request(BODY))
    assert refused(call(stage))[1]["code"] == "cap-reserved"


def test_what_others_do_not_use_is_waited_for_too() -> None:
    """A piece that lies free in another process stands in the way only until it is called back."""
    stage = staged(strict(BOUND))
    allowance(stage).lent_elsewhere = BOUND
    client = call(stage)
    assert client.take() == b""
    allowance(stage).lent_elsewhere = 0
    allowance(stage).changed()
    stage.turn()
    assert figures(stage) == (0, BOUND)


def test_a_client_that_leaves_while_it_waits() -> None:
    """Leaves its record, and nothing reserved or waiting."""
    stage = staged(strict(BOUND))
    begin(stage, request(BODY))
    client = call(stage)
    client.end()
    stage.turn()
    (record,) = requests(stage)
    assert (record["outcome"], record["attempts"]) == ("client_left", 0)
    assert figures(stage) == (0, BOUND)
    assert not allowance(stage)._asked
    assert len(stage.port.calls) == 1


def test_a_client_that_leaves_between_its_turn_and_its_call() -> None:
    """What was just set aside for it is given back."""
    stage = staged(strict(BOUND))
    allowance(stage).reserved_elsewhere = 1
    client = call(stage)
    allowance(stage).reserved_elsewhere = 0
    allowance(stage).changed()
    assert figures(stage) == (0, BOUND)
    client.end()
    stage.turn()
    assert figures(stage) == (0, 0)
    assert not stage.wires.dialled


def test_the_service_stops_while_it_waits() -> None:
    """It ends with the others."""
    stage = staged(strict(BOUND))
    begin(stage, request(BODY))
    call(stage)
    for each in list(stage.port.calls):
        each.drained()
    stage.turn()
    assert [record["outcome"] for record in requests(stage)] == ["drained", "drained"]
    assert figures(stage) == (BOUND, 0)


def test_a_wait_is_not_a_request_that_does_not_come() -> None:
    """The time limit of bodies is not for it."""
    stage = staged(strict(BOUND), admission_wait=100.0)
    begin(stage, request(BODY))
    client = call(stage)
    stage.wait(90)
    assert client.take() == b""


# -- several budgets


USER, FEATURE = Scope("main", "user", "alice"), Scope("main", "feature", "review")
KEY = b"alice-key-0123456789"


def nested(port: int, user: int, feature: int) -> Stage:
    """A port, a user and a feature, each with a budget."""
    client = Client(name="a", key=Secret(KEY), user="alice")
    return Stage(
        budgets={PORT: strict(port), USER: strict(user), FEATURE: strict(feature)},
        clients=(client,), features=(Feature(name="review"),), include_usage="off",
    )  # fmt: skip


MINE = {"headers": b"x-api-key: %b\r\nx-awf-feature: review\r\n" % KEY}


@pytest.mark.parametrize(
    ("caps", "scope"), [((0, 5_000, 5_000), "port"), ((5_000, 0, 5_000), "user"), ((5_000, 5_000, 0), "feature")]
)
def test_a_call_must_pass_all_that_apply(caps: tuple[int, int, int], scope: str) -> None:
    """The refusal says which one it was, and nothing stays reserved in the others."""
    stage = nested(*caps)
    error = refused(call(stage, **MINE))[1]
    assert (error["code"], error["scope"]) == ("hard-cap-exceeded", scope)
    assert [figures(stage, each) for each in (PORT, USER, FEATURE)] == [(0, 0)] * 3
    assert stage.port.tally.budget_decisions == {(scope, "hard-cap-exceeded"): 1}


def test_all_are_charged() -> None:
    """Each by the same figures."""
    stage = nested(5_000, 5_000, 5_000)
    call(stage, **MINE)
    assert [figures(stage, each) for each in (PORT, USER, FEATURE)] == [(0, BOUND)] * 3
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    assert [figures(stage, each) for each in (PORT, USER, FEATURE)] == [(USED, 0)] * 3


def test_one_that_waits_for_one_budget_holds_nothing_of_the_others() -> None:
    """All or none."""
    stage = nested(5_000, BOUND, 5_000)
    call(stage, **MINE)
    second = call(stage, **MINE)
    assert [figures(stage, each) for each in (PORT, USER, FEATURE)] == [(0, BOUND)] * 3
    stage.clock.advance(2.1)
    stage.turn()
    assert refused(second)[1]["scope"] == "user"


def test_a_call_goes_from_one_line_to_the_next() -> None:
    """Let in by the first budget it waited for, it waits for the second, and holds nothing of the first."""
    stage = nested(BOUND + USED, 2 * BOUND + USED, 5_000)
    call(stage, **MINE)
    second = call(stage, **MINE)
    port, user = allowance(stage, PORT), allowance(stage, USER)
    assert (len(port._asked), len(user._asked)) == (1, 0)
    user.reserved_elsewhere = BOUND + 1
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    assert (len(port._asked), len(user._asked)) == (0, 1)
    assert figures(stage, PORT) == (USED, 0)
    user.reserved_elsewhere = 0
    user.changed()
    stage.turn()
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    assert split(second.take())[1] == ANSWER
    assert [figures(stage, each)[0] for each in (PORT, USER, FEATURE)] == [2 * USED] * 3


def test_features_that_are_not_listed_share_one() -> None:
    """And without a header the feature is the kind of API."""
    others = Scope("main", "feature", "other")
    listed = Scope("main", "feature", "chat")
    stage = Stage(budgets={others: strict(5_000), listed: strict(5_000)}, include_usage="off")
    call(stage)
    call(stage, headers=b"x-awf-feature: whatever\r\n")
    assert (figures(stage, listed), figures(stage, others)) == ((0, BOUND), (0, BOUND))


def test_one_client_does_not_starve_another() -> None:
    """It has ten calls that wait, the other one: what becomes free goes to the other."""
    clients = tuple(
        Client(name=name, key=Secret(f"{name}-key-0123456789"), user=name) for name in ("greedy", "modest")
    )
    stage = Stage(budgets={PORT: strict(BOUND + 10 * USED)}, clients=clients, include_usage="off")
    greedy = {"headers": b"x-api-key: greedy-key-0123456789\r\n"}
    call(stage, **greedy)
    for _ in range(10):
        call(stage, **greedy)
    modest = call(stage, headers=b"x-api-key: modest-key-0123456789\r\n")
    for _ in range(2):
        stage.upstream.receive(response(ANSWER))
        stage.turn()
    assert split(modest.take())[1] == ANSWER
    assert [record["user"] for record in requests(stage)] == ["greedy", "modest"]


# -- the ledger is away


def test_without_the_ledger_what_is_at_hand_is_spent_and_no_more() -> None:
    """``on_ledger_loss = "deny"``: 503, which says that it is not the client's budget."""
    stage = staged(strict(10 * BOUND))
    stage.budgets.available = False
    allowance(stage).at_hand = BOUND
    call(stage)
    assert figures(stage) == (0, BOUND)
    head, error = refused(call(stage))
    assert head.startswith(b"HTTP/1.1 503 ")
    assert (error["code"], error["retryable"]) == ("ledger_unavailable", True)
    assert stage.port.tally.budget_decisions == {("", "allowed"): 1, ("port", "ledger-unavailable"): 1}


def test_or_calls_go_on_and_are_charged_afterwards() -> None:
    """``on_ledger_loss = "allow"``."""
    stage = staged(strict(10 * BOUND), budget=PortBudget(on_ledger_loss="allow"))
    stage.budgets.available = False
    _, upstream = begin(stage, request(BODY))
    assert figures(stage) == (0, 0)
    upstream.receive(response(ANSWER))
    stage.turn()
    assert figures(stage) == (USED, 0)


def test_what_is_known_to_be_used_up_is_refused_without_it() -> None:
    """Under ``allow`` too: use only grows."""
    stage = staged(strict(BOUND), budget=PortBudget(on_ledger_loss="allow"))
    allowance(stage).used_elsewhere = BOUND
    stage.budgets.available = False
    assert refused(call(stage))[1]["code"] == "hard-cap-exceeded"


def test_a_ledger_that_does_not_answer() -> None:
    """A call waits for it for a moment only; then the port's rule decides."""
    rules: list[tuple[OnLedgerLoss, str | None]] = [("deny", "ledger_unavailable"), ("allow", None)]
    for rule, code in rules:
        stage = staged(strict(BOUND), budget=PortBudget(on_ledger_loss=rule), admission_wait=0.0)
        mute = allowance(stage)
        mute.reserve = lambda amount, now: None  # type: ignore[method-assign]
        mute.ask = lambda amount, answered: lambda: None  # type: ignore[method-assign]
        client = call(stage)
        assert client.take() == b""
        stage.clock.advance(LEDGER_WAIT)
        stage.turn()
        assert (refused(client)[1]["code"] if code else None) == code
        assert len(stage.wires.dialled) == (code is None)


# -- every way out


def ways_out() -> list[tuple[str, Any, tuple[int, int]]]:
    """Name, what happens to a call of `BODY` as a stream, and what strict and learned are charged.

    The estimate of what was delivered depends on its text: -1 is "something, and less than was reserved".
    """

    def reported(stage: Stage, client: Wire, upstream: Wire) -> None:
        upstream.receive(SSE_HEAD + chunk(CHUNK) + chunk(LAST + DONE) + END)

    def without_usage(stage: Stage, client: Wire, upstream: Wire) -> None:
        upstream.receive(SSE_HEAD + chunk(CHUNK) + chunk(DONE) + END)

    def left_before_the_answer(stage: Stage, client: Wire, upstream: Wire) -> None:
        client.end()

    def left_in_the_answer(stage: Stage, client: Wire, upstream: Wire) -> None:
        upstream.receive(SSE_HEAD + chunk(CHUNK))
        client.end()

    def cut(stage: Stage, client: Wire, upstream: Wire) -> None:
        upstream.receive(SSE_HEAD + chunk(CHUNK))
        upstream.end(clean=False)

    def timed_out(stage: Stage, client: Wire, upstream: Wire) -> None:
        stage.wait(stage.port.settings.first_byte_timeout + 2)

    def drained(stage: Stage, client: Wire, upstream: Wire) -> None:
        upstream.receive(SSE_HEAD + chunk(CHUNK))
        for each in list(stage.port.calls):
            each.drained()

    def an_error(stage: Stage, client: Wire, upstream: Wire) -> None:
        upstream.receive(response(b'{"error":{}}', head=b"HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\n"))

    def overloaded(stage: Stage, client: Wire, upstream: Wire) -> None:
        upstream.receive(response(b"", head=b"HTTP/1.1 529 Over\r\n"))

    def not_http(stage: Stage, client: Wire, upstream: Wire) -> None:
        upstream.receive(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")

    return [
        ("reported", reported, (USED, USED)),
        ("without usage", without_usage, (BOUND, -1)),
        ("left before the answer", left_before_the_answer, (BOUND, -1)),
        ("left in the answer", left_in_the_answer, (BOUND, -1)),
        ("cut", cut, (BOUND, -1)),
        ("timed out", timed_out, (BOUND, -1)),
        ("drained", drained, (BOUND, -1)),
        ("an error", an_error, (0, 0)),
        ("overloaded", overloaded, (0, 0)),
        ("not HTTP", not_http, (BOUND, -1)),
    ]


@pytest.mark.parametrize(("name", "happens", "charged"), ways_out(), ids=[name for name, _, _ in ways_out()])
@pytest.mark.parametrize("mode", ["strict", "learned"])
def test_every_way_out_is_settled(name: str, happens: Any, charged: tuple[int, int], mode: str) -> None:
    """Once, by the table; nothing stays reserved."""
    body = b'{"model":"gpt-4o-mini","max_tokens":100,"stream":true,"messages":[]}'
    stage = staged(strict(10_000) if mode == "strict" else learned(10_000))
    client, upstream = begin(stage, request(body))
    _, reserved = figures(stage)
    assert reserved > 0
    happens(stage, client, upstream)
    stage.turn()
    used, left = figures(stage)
    assert left == 0
    expected = charged[mode == "learned"]
    if expected == BOUND:
        assert used == reserved
    elif expected < 0:
        assert 0 < used < reserved
    else:
        assert used == expected


def test_never_handed_over() -> None:
    """No connection: nothing was used."""
    stage = staged(strict(10_000))
    stage.wires.refuse = OSError("refused")
    client = call(stage)
    assert split(client.take())[0].startswith(b"HTTP/1.1 502")
    assert figures(stage) == (0, 0)


def test_a_defect_in_the_record_gives_nothing_away(monkeypatch: pytest.MonkeyPatch, logged_failures: Any) -> None:
    """Nobody knows what it used: the reservation is charged."""
    stage = staged(learned(10_000))
    _, upstream = begin(stage, request(BODY))
    _, reserved = figures(stage)

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("awfproxy.server.call.record_lines", broken)
    upstream.receive(response(ANSWER))
    stage.turn()
    assert figures(stage) == (reserved, 0)
    assert len(logged_failures.flush(RuntimeError)) == 1


def test_work_in_the_background_is_charged_with_the_answer_that_shows_its_end() -> None:
    """Learned: then, as reported, and once."""
    stage = staged(learned(10_000))
    call(stage, b'{"model":"m","background":true}', path=b"/v1/responses")
    assert figures(stage)[1] > 0
    stage.upstream.receive(response(b'{"id":"resp_1","object":"response","model":"m","status":"queued","usage":null}'))
    stage.turn()
    assert figures(stage) == (0, 0)
    done = b'{"id":"resp_1","object":"response","model":"m","status":"completed","usage":%b}'
    usage = b'{"input_tokens":9,"output_tokens":12,"total_tokens":21}'
    for _ in range(2):
        call(stage, b"", path=b"/v1/responses/resp_1", method=b"GET")
        stage.upstream.receive(response(done % usage))
        stage.turn()
    assert figures(stage) == (21, 0)


def test_of_a_strict_budget_it_is_charged_what_goes_beyond_the_number_reserved() -> None:
    """The number is charged at the beginning, since nobody may ever ask for the end."""
    stage = staged(strict(10_000, unbounded=15))
    call(stage, b'{"model":"m","background":true}', path=b"/v1/responses")
    stage.upstream.receive(response(b'{"id":"resp_1","object":"response","model":"m","status":"queued","usage":null}'))
    stage.turn()
    assert figures(stage) == (15, 0)
    call(stage, b"", path=b"/v1/responses/resp_1", method=b"GET")
    usage = b'{"input_tokens":9,"output_tokens":12,"total_tokens":21}'
    done = b'{"id":"resp_1","object":"response","model":"m","status":"completed","usage":%b}' % usage
    stage.upstream.receive(response(done))
    stage.turn()
    assert figures(stage) == (21, 0)


# -- the soft cap


def test_a_soft_cap_refuses_nothing_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a header once more than it is used, and once in the log for each window; both within a sweep."""
    said: list[int] = []
    monkeypatch.setattr(Shared, "soft_cap_passed", lambda shared, allowance, standing: said.append(standing.used))
    stage = staged(strict(10_000, soft_cap_tokens=USED))

    def head() -> bytes:
        client = call(stage)
        stage.upstream.receive(response(ANSWER))
        stage.turn()
        stage.entrance.sweep(stage.clock.seconds())
        return split(client.take())[0]

    heads = [head() for _ in range(4)]
    assert [b"X-AWF-Budget" in each for each in heads] == [False, False, True, True]
    assert b"\r\nX-AWF-Budget: soft-cap; used=42; cap=21" in heads[2]
    assert said == [42]
    stage.clock.advance(86_400)
    assert [b"X-AWF-Budget" in head() for _ in range(3)] == [False, False, True]
    assert said == [42, 42]


def test_the_upstream_does_not_speak_of_our_budget() -> None:
    """A header of that name in its answer goes no further."""
    stage = staged(strict(10_000))
    client = call(stage)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-AWF-Budget: soft-cap; used=1; cap=0\r\n"
    stage.upstream.receive(response(ANSWER, head=head))
    stage.turn()
    assert b"X-AWF-Budget" not in client.take()


def test_how_budgets_stand_is_shown() -> None:
    """For `/reflect` and the gauges: as of the last look."""
    stage = nested(5_000, 4_000, 3_000)
    call(stage, **MINE)
    stage.entrance.sweep(stage.clock.seconds())
    tally = stage.port.tally.budgets
    assert {key: (each.limit, each.used, each.reserved, each.remaining) for key, each in tally.items()} == {
        ("port", ""): (5_000, 0, BOUND, 5_000 - BOUND),
        ("user", "alice"): (4_000, 0, BOUND, 4_000 - BOUND),
        ("feature", "review"): (3_000, 0, BOUND, 3_000 - BOUND),
    }
    shown = stage.port.reflect()["budgets"]
    assert shown["user alice"]["limit"] == 4_000
    assert next(iter(shown)) == "port"


# -- batches


BATCHES = [
    (b"/v1/messages/batches", b'{"requests":[{"custom_id":"a","params":{"model":"m","max_tokens":5,"messages":[]}}]}'),
    (b"/v1/batches", b'{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h"}'),
    (b"/v1beta/models/gemini-2.5-flash:batchGenerateContent", b'{"batch":{"display_name":"b"}}'),
]
#: OpenAI's tells of usage from the beginning, of which there is none yet
BATCH = b'{"id":"batch_1","object":"batch","status":"validating","usage":{"input_tokens":0,"output_tokens":0,"total_tokens":0}}'


@pytest.mark.parametrize(("path", "body"), BATCHES)
def test_a_batch_has_no_upper_bound(path: bytes, body: bytes) -> None:
    """Strict: refused, and nothing goes out."""
    stage = staged(strict(1_000_000))
    client = call(stage, body, path=path)
    head, error = refused(client)
    assert head.startswith(b"HTTP/1.1 429")
    assert error["code"] == "estimate-unbounded" and "a batch" in error["message"]
    assert not stage.wires.dialled and figures(stage) == (0, 0)


@pytest.mark.parametrize(("path", "body"), BATCHES)
def test_a_batch_is_charged_what_was_reserved_for_it(path: bytes, body: bytes) -> None:
    """Its results are files, fetched later if ever: what they used is never seen."""
    stage = staged(strict(10_000, unbounded=4_000))
    for used in (4_000, 8_000):
        call(stage, body, path=path)
        stage.upstream.receive(response(BATCH))
        stage.turn()
        assert figures(stage) == (used, 0)
    assert refused(call(stage, body, path=path))[1]["code"] == "estimated-exceeds-cap"
    assert not usages(stage)
    assert {(line["usage_source"], line["usage_reason"]) for line in requests(stage)[:2]} == {("none", "background")}


def test_a_batch_that_is_not_taken_costs_nothing() -> None:
    """The provider says no."""
    stage = staged(strict(10_000, unbounded=4_000))
    call(stage, b"{}", path=b"/v1/batches")
    stage.upstream.receive(response(b'{"error":{}}', head=b"HTTP/1.1 400 Bad Request\r\n"))
    stage.turn()
    assert figures(stage) == (0, 0)


def test_learned_a_batch_is_charged_nothing() -> None:
    """And let in as long as the budget is not spent, however long it is."""
    stage = staged(learned(50_000))
    long = b'{"requests":[%b]}' % b",".join([BATCHES[0][1]] * 10_000)
    call(stage, long, path=b"/v1/messages/batches")
    assert 0 < figures(stage)[1] < 6_000
    stage.upstream.receive(response(BATCH))
    stage.turn()
    assert figures(stage) == (0, 0)
    allowance(stage).used_elsewhere = 50_000
    assert refused(call(stage, BATCHES[0][1], path=b"/v1/messages/batches"))[1]["code"] == "hard-cap-exceeded"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (b"GET", b"/v1/batches/batch_1"),
        (b"GET", b"/v1/messages/batches/msgbatch_1/results"),
        (b"POST", b"/v1/messages/batches/msgbatch_1/cancel"),
        (b"POST", b"/v1beta/batches/b:cancel"),
    ],
)
def test_looking_at_a_batch_and_ending_it_are_free(method: bytes, path: bytes) -> None:
    """At the cap too."""
    stage = staged(strict(0))
    call(stage, b"", path=path, method=method)
    assert stage.upstream.take().startswith(method)
    assert figures(stage) == (0, 0)


# -- what nobody knows to keep a limit


def test_a_limit_that_a_server_may_not_know_bounds_nothing() -> None:
    """On a generic port; OpenAI keeps it."""
    body = b'{"model":"llama9","max_completion_tokens":10,"messages":[]}'
    for provider, keyless, let_in in (("openai", False, True), ("generic", True, False)):
        stage = staged(strict(10_000), provider=provider, keyless=keyless)
        client = call(stage, body)
        assert bool(stage.wires.dialled) is let_in
        assert let_in or refused(client)[1]["code"] == "estimate-unbounded"


# -- defects


def test_a_defect_in_withdrawing_loses_no_record(monkeypatch: pytest.MonkeyPatch, logged_failures: Any) -> None:
    """The client leaves while its call waits for a budget, and that breaks."""
    stage = staged(strict(BOUND))
    call(stage)
    waits = call(stage)
    assert len(requests(stage)) == 0

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("awfproxy.server.admitted.Waiting.cancel", broken)
    waits.end()
    stage.turn()
    (record,) = requests(stage)
    assert record["outcome"] == "client_left"
    assert len(logged_failures.flush(RuntimeError)) == 1

"""Sends the demonstration's calls, and remembers what is known of each: what records and reports are compared with."""

from __future__ import annotations

import http.client
from typing import Any

import msgspec

from awfproxy.simulator.encoders import decode
from awfproxy.simulator.site import MAX_DECODED

#: Seconds that one call may take.
CALL_TIMEOUT = 20.0
#: Bytes of a stream's line: an event with a whole answer in it.
LINE_MAX = 1 << 22

COMPLETE = "complete"
CLIENT_LEFT = "client_left"
UPSTREAM_CUT = "upstream_cut"


class Sent(msgspec.Struct, frozen=True):
    """One call that was made."""

    #: what record and ledger are matched by (``X-Request-ID``)
    name: str
    title: str
    #: how it ended, in the words of a record
    outcome: str
    #: of a run: its label, the agent's session and the number of the turn; "" and 0: of none
    run: str = ""
    session: str = ""
    turn: int = 0
    #: why it is not as it should be; "": it is
    problem: str = ""


class Answered(msgspec.Struct, frozen=True):
    """What came of one call."""

    outcome: str
    status: int = 0
    headers: dict[str, str] = {}
    body: bytes = b""
    problem: str = ""


def send(
    port: int,
    path: str,
    body: dict[str, Any] | None,
    headers: dict[str, str],
    *,
    leave_bytes: int | None = None,
    leave_events: int = 0,
    broken: bool = False,
) -> Answered:
    """Make one call.

    :param body: None: a GET
    :param leave_bytes: give up after that many bytes of the answer
    :param leave_events: give up after that many events of the stream
    :param broken: the answer is to break off
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_TIMEOUT)
    try:
        data = None if body is None else msgspec.json.encode(body)
        connection.request("GET" if body is None else "POST", path, data, headers)
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        problem = "" if response.status == 200 else f"answered {response.status}"
        if leave_bytes is not None or leave_events:
            said = response.read(leave_bytes) if leave_bytes is not None else _events(response, leave_events)
            return Answered(CLIENT_LEFT, response.status, told, said, problem)
        try:
            said = response.read()
        except (OSError, http.client.IncompleteRead) as error:
            return Answered(UPSTREAM_CUT, response.status, told, b"", "" if broken else f"broke off: {error}")
        if broken:
            problem = problem or "did not break off"
        said = decode(said, told.get("content-encoding", ""), MAX_DECODED)
        return Answered(COMPLETE, response.status, told, said, problem)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Answered("", problem=f"{type(error).__name__}: {error}")
    finally:
        connection.close()


def _events(response: http.client.HTTPResponse, count: int) -> bytes:
    """The first events of a stream."""
    read = []
    while count and (line := response.readline(LINE_MAX)):
        read.append(line)
        count -= not line.strip()
    return b"".join(read)


class Caller:
    """Makes the calls of one run.

    :param ports: of the proxy, by provider
    """

    def __init__(self, ports: dict[str, int], run: str) -> None:
        self._ports = ports
        self.run = run
        self.sent: list[Sent] = []

    def call(
        self,
        provider: str,
        path: str,
        body: dict[str, Any],
        headers: dict[str, str],
        *,
        title: str,
        session: str = "",
        turn: int = 0,
        leave_events: int = 0,
        broken_after: int = 0,
    ) -> Answered:
        """One call; what is wrong with it stands in `sent`.

        :param leave_events: give up after that many events of the stream, of which no more come
        :param broken_after: the answer breaks off after that many
        """
        name = f"{self.run}-{len(self.sent):03d}"
        headers = headers | {"X-Request-ID": name, "x-awf-run": self.run, "Content-Type": "application/json"}
        if leave_events:
            headers["x-sim-stall"] = str(leave_events)
        if broken_after:
            headers["x-sim-cut"] = str(broken_after)
        answered = send(
            self._ports[provider], path, body, headers, leave_events=leave_events, broken=bool(broken_after)
        )
        self.sent.append(Sent(name, title, answered.outcome, self.run, session, turn, answered.problem))
        return answered


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The events of a whole stream."""
    lines = (line[6:] for line in body.split(b"\n") if line.startswith(b"data: "))
    return [msgspec.json.decode(line) for line in lines if line != b"[DONE]"]

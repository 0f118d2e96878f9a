"""The report of turns: records and agents' logs in, rows out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Final

from awfproxy.report.lines import Lines, find_files
from awfproxy.report.reading import USAGE, USAGE_BUT
from awfproxy.report.turns.agent_logs import read_agent_logs
from awfproxy.report.turns.calls import read_calls
from awfproxy.report.turns.matching import match
from awfproxy.report.turns.proxy_turns import tell_turns
from awfproxy.report.turns.sessions import put_together
from awfproxy.report.turns.side_inputs import Happened, SideInputs, firewall_line, mcp_line, safe_output_line
from awfproxy.report.turns.turn_rows import Row, rows_of_logs, rows_of_records

if TYPE_CHECKING:
    from awfproxy.report.costs import Costs
    from awfproxy.report.filters import Filters

#: by the name that a row's `beside` has: how a line of such a log is read
SIDES: Final[Mapping[str, Callable[[bytes], Happened | None]]] = {
    "squid": firewall_line,
    "audit": firewall_line,
    "mcp": mcp_line,
    "safe_outputs": safe_output_line,
}

#: of agents' logs without any: all calls would be unmatched
NO_TURNS: Final = (
    "No turns were found in the agents' logs. Without --agent-log turns are told by the records alone."
)


class Turns:
    """The rows, and what was left out of them."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        #: files that were read as logs of agents
        self.agent_logs: list[str] = []
        #: whole sentences
        self.remarks: list[str] = []
        #: whether there was anything to tell turns by; if not, there are no rows
        self.told = True

    @property
    def found(self) -> bool:
        """Whether there are any calls."""
        return any(row["calls"] for row in self.rows)


def turns(
    paths: Sequence[str],
    agent_logs: Sequence[str] = (),
    sides: Mapping[str, Sequence[str]] | None = None,
    *,
    filters: Filters | None = None,
    costs: Costs | None = None,
    stdin: IO[bytes] | None = None,
) -> Turns:
    """
    :param paths: files and folders of records, or "-".
    :param agent_logs: files and folders of agents' logs; none: turns by what the records alone say.
    :param sides: files of other logs, by names in `SIDES`.
    :param filters: which calls; None: all.
    :param costs: the prices; None: rows say nothing of money.
    :param stdin: what "-" means; the process's own standard input if None.
    """
    report = Turns()
    lines = Lines(find_files(paths, USAGE, USAGE_BUT), stdin)
    read = read_calls(lines, filters, costs)
    read.remarks.too_long += lines.too_long
    read.remarks.troubles += lines.troubles
    report.remarks += read.remarks.sentences()
    if agent_logs:
        logs = read_agent_logs(agent_logs, stdin)
        report.agent_logs = [log.path for log in logs.logs]
        report.remarks += logs.remarks()
        sessions = put_together(logs.logs)
        if not sessions:
            report.remarks.append(NO_TURNS)
            report.told = False
            return report
        report.rows = rows_of_logs(read.calls, sessions, match(read.calls, sessions), money=costs is not None)
    else:
        report.rows = rows_of_records(read.calls, tell_turns(read.calls), money=costs is not None)
    if sides:
        beside = SideInputs(report.rows)
        for kind, files in sides.items():
            log = Lines(files, stdin)
            beside.add(kind, map(SIDES[kind], log))
            report.remarks += log.troubles
        beside.write()
        report.remarks += beside.remarks()
    return report

"""Readers of agents' logs: the shapes that docs/turns.md names, made up here."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.lines import LINE_MAX
from awfproxy.report.turns.agent_events import AgentLog, Prompt, Step, Usage
from awfproxy.report.turns.agent_logs import DETECT_LINES, AgentLogs, read_agent_logs
from awfproxy.report.turns.claude_log import ClaudeLog
from awfproxy.report.turns.codex_log import CodexLog
from awfproxy.report.turns.copilot_debug import CopilotDebug
from awfproxy.report.turns.copilot_events import CopilotEvents

SECRET = "the words of a person"


def read(folder: Path, *lines: Any, name: str = "log.jsonl") -> AgentLogs:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return read_agent_logs([str(path)])


def steps(found: AgentLogs) -> list[Step]:
    return [event for log in found.logs for event in log.events if isinstance(event, Step)]


def prompts(found: AgentLogs) -> list[Prompt]:
    return [event for log in found.logs for event in log.events if isinstance(event, Prompt)]


def claude(kind: str, message: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": kind, "sessionId": "s1", "timestamp": "2026-03-01T10:00:00.000Z", "message": message, **more}


def answer(*blocks: dict[str, Any], name: str = "msg_1", output: int = 40) -> dict[str, Any]:
    usage = {"input_tokens": 5, "output_tokens": output, "cache_read_input_tokens": 900}
    usage |= {"cache_creation_input_tokens": 95}
    return {"id": name, "model": "claude-x", "role": "assistant", "usage": usage, "content": list(blocks)}


TEXT = {"type": "text", "text": SECRET}


class TestClaude:
    def test_lines_of_one_message_are_one_call(self, tmp_path: Path) -> None:
        """Content blocks come in lines of their own, each with the usage of the whole call."""
        tool = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": SECRET}}
        other = {"type": "tool_use", "id": "toolu_2", "name": "bad name\x1b", "input": {}}
        found = read(
            tmp_path,
            claude("user", {"role": "user", "content": SECRET}, uuid="u1"),
            claude("assistant", answer(TEXT, output=2), requestId="req_1"),
            claude("assistant", answer(tool), requestId="req_1", timestamp="2026-03-01T10:00:02.000Z"),
            claude("assistant", answer(other), requestId="req_1"),
            claude("user", {"role": "user", "content": [{"type": "tool_result", "content": SECRET}]}),
        )
        assert len(prompts(found)) == 1
        (step,) = steps(found)
        assert step.usage == Usage(1000, 900, 95, 40)
        assert step.tools == {"toolu_1": "Bash", "toolu_2": "?"}
        assert step.ids == ("req_1", "msg_1")
        assert step.begin is not None and step.end is not None and step.end - step.begin == 2.0
        assert not found.remarks()

    def test_what_the_agent_writes_in_the_persons_name_is_no_prompt(self, tmp_path: Path) -> None:
        """Results, reminders, outputs of commands, interruptions and summaries begin no turn; a question does."""
        not_asked = (
            {"message": {"role": "user", "content": "<local-command-stdout>x</local-command-stdout>"}},
            {"message": {"role": "user", "content": "[Request interrupted by user]"}},
            {"message": {"role": "user", "content": "x"}, "isMeta": True},
            {"message": {"role": "user", "content": "x"}, "isCompactSummary": True},
            {"message": {"role": "user", "content": "x"}, "toolUseResult": {"stdout": "x"}},
            {"message": {"role": "user", "content": [{"type": "tool_result"}, {"type": "text", "text": "x"}]}},
        )
        lines = [claude("user", **more) for more in not_asked]
        asked = claude("user", {"role": "user", "content": [{"type": "text", "text": "what?"}, {"type": "image"}]})
        found = read(tmp_path, *lines, asked)
        assert len(prompts(found)) == 1

    def test_a_slash_command_is_a_prompt_if_the_model_is_asked(self, tmp_path: Path) -> None:
        """A prompt of the person's own, or a skill, has its message first; what the agent does itself, its name."""
        review = "<command-message>review is running</command-message>\n<command-name>/review</command-name>"
        model = "<command-name>/model</command-name>\n<command-message>model</command-message>"
        text = "<local-command-caveat>x</local-command-caveat>"
        found = read(
            tmp_path,
            claude("user", {"role": "user", "content": review}, uuid="u1"),
            claude("user", {"role": "user", "content": [{"type": "text", "text": "x"}]}, uuid="u2", isMeta=True),
            claude("assistant", answer(TEXT)),
            claude("user", {"role": "user", "content": text}, uuid="u3"),
            claude("user", {"role": "user", "content": model}, uuid="u4"),
            claude("user", {"role": "user", "content": [{"type": "text", "text": review}]}, uuid="u5"),
        )
        assert [prompt.key for prompt in prompts(found)] == ["u1", "u5"]

    def test_messages_that_the_agent_made_up_are_no_calls(self, tmp_path: Path) -> None:
        """Errors stand in the log as messages of a synthetic model."""
        found = read(tmp_path, claude("assistant", answer(TEXT) | {"model": "<synthetic>"}))
        assert steps(found) == []

    def test_sub_agents_are_told_by_their_id_or_by_the_chain_of_their_lines(self, tmp_path: Path) -> None:
        """Newer versions name them; in older ones each line names the one before it."""
        found = read(
            tmp_path,
            claude("user", {"role": "user", "content": "x"}, isSidechain=True, agentId="a1", uuid="1"),
            claude("assistant", answer(TEXT, name="m1"), isSidechain=True, agentId="a1", uuid="2"),
            claude("user", {"role": "user", "content": "x"}, isSidechain=True, uuid="3", parentUuid=None),
            claude("assistant", answer(TEXT, name="m2"), isSidechain=True, uuid="4", parentUuid="3"),
            claude("assistant", answer(TEXT, name="m3"), isSidechain=True, uuid="5", parentUuid="4"),
        )
        assert [step.subagent for step in steps(found)] == ["a1", "3", "3"]

    def test_stream_json_has_no_times(self, tmp_path: Path) -> None:
        """What `claude --output-format stream-json` prints, among other output of the run."""
        found = read(
            tmp_path,
            "npm warn something",
            {"type": "system", "subtype": "init", "session_id": "s9"},
            {"type": "assistant", "session_id": "s9", "message": answer(TEXT), "parent_tool_use_id": None},
            {
                "type": "assistant",
                "session_id": "s9",
                "message": answer(TEXT, name="m2"),
                "parent_tool_use_id": "toolu_7",
            },
            {"type": "result", "session_id": "s9", "usage": {"input_tokens": 10}},
            name="agent-stdio.log",
        )
        assert [(step.session, step.subagent, step.end) for step in steps(found)] == [
            ("s9", None, None),
            ("s9", "toolu_7", None),
        ]


def codex(kind: str, payload: dict[str, Any], second: int = 0) -> dict[str, Any]:
    return {"timestamp": f"2026-03-01T10:00:{second:02}.000Z", "type": kind, "payload": payload}


def counted(last: tuple[int, int, int] | None, total: tuple[int, int, int] | None, second: int) -> dict[str, Any]:
    names = ("input_tokens", "cached_input_tokens", "output_tokens")
    info = {
        name: dict(zip(names, counts, strict=True))
        for name, counts in (("last_token_usage", last), ("total_token_usage", total))
        if counts is not None
    }
    return codex("event_msg", {"type": "token_count", "info": info or None}, second)


class TestCodex:
    def test_counts_repeated_for_rate_limits_are_one_call(self, tmp_path: Path) -> None:
        """The same total again is the same call; tools stand before their call's counts."""
        found = read(
            tmp_path,
            codex("session_meta", {"id": "t1", "source": "cli"}),
            codex("event_msg", {"type": "task_started", "turn_id": "turn-1"}, 1),
            codex("turn_context", {"turn_id": "turn-1", "model": "gpt-x"}, 1),
            codex("event_msg", {"type": "user_message", "message": SECRET}, 1),
            codex("response_item", {"type": "function_call", "name": "exec_command", "call_id": "c1"}, 5),
            codex("response_item", {"type": "local_shell_call", "call_id": "c2"}, 5),
            counted(None, None, 5),
            counted((100, 80, 9), (100, 80, 9), 6),
            counted((100, 80, 9), (100, 80, 9), 7),
            counted((200, 100, 5), (300, 180, 14), 9),
        )
        assert [(prompt.turn_id, prompt.key) for prompt in prompts(found)] == [("turn-1", "turn-1")]
        first, second = steps(found)
        assert (first.usage, second.usage) == (Usage(100, 80, None, 9), Usage(200, 100, None, 5))
        assert first.tools == {"c1": "exec_command", "c2": "local_shell"}
        assert first.model == "gpt-x" and first.turn_id == "turn-1"

    def test_totals_alone_give_counts_and_tell_what_is_missing(self, tmp_path: Path) -> None:
        """Without last counts the totals' growth is the call's; where it grew by more, lines are missing."""
        found = read(
            tmp_path,
            codex("session_meta", {"id": "t1"}),
            counted(None, (100, 0, 10), 1),
            counted(None, (250, 0, 30), 2),
            counted((50, 0, 5), (400, 0, 45), 3),
        )
        assert [step.usage for step in steps(found)] == [
            Usage(100, 0, None, 10),
            Usage(150, 0, None, 20),
            Usage(50, 0, None, 5),
        ]
        assert steps(found)[2].missing == Usage(100, 0, None, 10)

    def test_records_of_usage_name_the_response(self, tmp_path: Path) -> None:
        """Newer versions have them beside the counts of before: one call, with its id."""
        usage = {"input_tokens": 100, "cached_input_tokens": 0, "output_tokens": 10}
        record = {"turn_id": "turn-9", "response_id": "resp_1", "usage": usage, "thread_token_usage": usage}
        found = read(
            tmp_path,
            codex("session_meta", {"id": "t1"}),
            counted((100, 0, 10), (100, 0, 10), 1),
            codex("token_usage_record", record, 1),
        )
        (step,) = steps(found)
        assert step.ids == ("resp_1",)

    def test_a_forked_thread_begins_with_a_copy(self, tmp_path: Path) -> None:
        """What is written in the first second of a fork was another thread's; its totals go on."""
        found = read(
            tmp_path,
            codex("session_meta", {"id": "t2", "forked_from_id": "t1"}),
            codex("session_meta", {"id": "t1"}),
            codex("event_msg", {"type": "task_started", "turn_id": "old"}),
            counted((100, 0, 10), (100, 0, 10), 0),
            codex("event_msg", {"type": "task_started", "turn_id": "new"}, 9),
            counted((70, 0, 7), (170, 0, 17), 12),
        )
        assert [(step.session, step.usage, step.missing) for step in steps(found)] == [
            ("t2", Usage(70, 0, None, 7), None)
        ]
        assert [prompt.turn_id for prompt in prompts(found)] == ["new"]

    def test_without_turn_ids_each_message_of_the_person_begins_one(self, tmp_path: Path) -> None:
        """Older versions name no turns."""
        ask = codex("event_msg", {"type": "user_message", "message": SECRET})
        found = read(tmp_path, codex("session_meta", {"id": "t1"}), ask, counted((9, 0, 1), None, 2), ask)
        assert [prompt.turn_id for prompt in prompts(found)] == [None, None]


def copilot(kind: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": kind, "data": data, "id": kind, "timestamp": "2026-03-01T10:00:00.000Z", **more}


class TestCopilot:
    def test_chunks_of_one_answer_are_one_call(self, tmp_path: Path) -> None:
        """Messages with the same completion id; its usage comes in an event of its own where the SDK is asked."""
        ids = {"apiCallId": "chatcmpl-1", "requestId": "0A:1B", "clientRequestId": "cr-1", "interactionId": "i-1"}
        tool = {"toolRequests": [{"toolCallId": "call_1", "name": "bash"}]}
        found = read(
            tmp_path,
            copilot("session.start", {"sessionId": "s1", "selectedModel": "m"}),
            copilot("user.message", {"content": SECRET, "interactionId": "i-1"}),
            copilot("user.message", {"content": SECRET, "source": "skill-pdf"}),
            copilot("assistant.turn_start", {"turnId": "0"}),
            copilot("assistant.message", {"messageId": "a", "content": SECRET, **ids, "chunkIndex": 0}),
            copilot("assistant.message", {"messageId": "b", **ids, **tool, "outputTokens": 50}),
            copilot("assistant.usage", {"apiCallId": "chatcmpl-1", "inputTokens": 900, "outputTokens": 50}),
            copilot("tool.execution_start", {"toolCallId": "call_1", "toolName": "bash"}),
            copilot("tool.execution_start", {"toolCallId": "call_2", "toolName": "view"}),
            copilot("session.shutdown", {"modelMetrics": {}}),
        )
        assert [prompt.turn_id for prompt in prompts(found)] == ["i-1"]
        (step,) = steps(found)
        assert step.usage == Usage(900, None, None, 50)
        assert step.ids == ("0A:1B", "cr-1", "chatcmpl-1")
        assert step.turn_id == "i-1" and step.model == "m"
        assert step.tools == {"call_1": "bash", "call_2": "view"}

    def test_a_session_without_a_beginning_is_called_by_its_folder(self, tmp_path: Path) -> None:
        """A file that was cut at its front; a sub-agent's events carry its id."""
        event = copilot("assistant.message", {"messageId": "a", "outputTokens": 5}, agentId="g1")
        found = read(tmp_path, event, name="11-22/events.jsonl")
        assert [(step.session, step.subagent) for step in steps(found)] == [("11-22", "g1")]

    def test_debug_logs_hold_whole_answers(self, tmp_path: Path) -> None:
        """Indented JSON over many lines, each with the head of a log line or none."""
        body = {
            "id": "chatcmpl-1",
            "model": "m",
            "choices": [{"message": {"content": SECRET, "tool_calls": [{"id": "c", "function": {"name": "bash"}}]}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 60}},
        }
        head = "2026-03-01T10:00:00.000Z [DEBUG] "
        lines = json.dumps(body, indent=2).splitlines()
        other = json.dumps(body | {"id": "chatcmpl-2"}, indent=2).splitlines()
        found = read(
            tmp_path,
            "2026-03-01T09:59:00.000Z [INFO] Workspace initialized: aa-bb (checkpoints: 0)",
            head + "response (Request-ID req-1):",
            head + "data:",
            *(head + line for line in lines),
            "2026-03-01T10:00:00.000Z [INFO] --- End of group ---",
            head + "response (Request-ID null):",
            head + "data:",
            *other,
            head + "Sending request",
            name="process-1.log",
        )
        one, two = steps(found)
        assert (one.session, one.ids, one.usage) == ("aa-bb", ("req-1", "chatcmpl-1"), Usage(100, 60, None, 7))
        assert one.tools == {"c": "bash"} and one.end is not None
        assert two.ids == ("chatcmpl-2",)


def test_nothing_that_was_said_is_kept(tmp_path: Path) -> None:
    """Events hold ids, names, counts and times, and not a word of any prompt, answer or argument."""
    found = read(
        tmp_path,
        claude("user", {"role": "user", "content": SECRET}, cwd=SECRET, gitBranch=SECRET),
        claude("assistant", answer(TEXT, {"type": "tool_use", "name": "Bash", "input": {"x": SECRET}})),
    )
    assert len(steps(found)) == 1
    assert SECRET not in repr(found)


def test_bad_lines_are_counted_by_what_is_wrong_and_stop_nothing(tmp_path: Path) -> None:
    """Torn, of a type not known, too long: told in whole sentences."""
    found = read(
        tmp_path,
        claude("assistant", answer(TEXT), requestId="req_1"),
        '{"type": "assistant", "mess',
        {"type": "quux", "sessionId": "s1"},
        "x" * (LINE_MAX + 1),
        claude("assistant", answer(TEXT, name="m2")),
    )
    assert len(steps(found)) == 2
    assert found.left_out == {"broken": 1, "unknown": 1, "too long": 1}
    assert len(found.remarks()) == 3


def test_folders_are_searched_and_files_that_are_no_logs_are_told_only_if_named(tmp_path: Path) -> None:
    """The format is told by what stands in a file, after whatever was printed before the agent began."""
    noise = ["starting"] * (DETECT_LINES - 1)
    read(tmp_path, *noise, claude("assistant", answer(TEXT)), name="a/agent.log")
    read(tmp_path, *noise, "more", claude("assistant", answer(TEXT)), name="b/late.log")
    read(tmp_path, {"unrelated": 1}, name="c/other.jsonl")
    found = read_agent_logs([str(tmp_path)])
    assert [Path(log.path).name for log in found.logs] == ["agent.log"] and not found.remarks()
    named = read_agent_logs([str(tmp_path / "c" / "other.jsonl")])
    assert named.logs == [] and "no log of an agent" in named.remarks()[0]


READERS = (ClaudeLog, CodexLog, lambda: CopilotEvents("p"), lambda: CopilotDebug("p"))
WORDS = ("type", "user", "assistant", "message", "payload", "data", "sessionId", "usage", "id", "event_msg", "turn_id")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)
LINES = st.lists(st.binary(max_size=80) | VALUES.map(lambda value: json.dumps(value).encode()), max_size=12)


@given(st.sampled_from(READERS), LINES)
def test_no_line_makes_a_reader_fail(make: Any, lines: list[bytes]) -> None:
    """Any bytes and any JSON get a verdict."""
    reader: AgentLog = make()
    for number, line in enumerate(lines, 1):
        assert reader.feed(line, number) in ("read", "passed", "unknown", "broken")
    reader.finish()


@given(st.lists(st.binary(max_size=60), max_size=8).map(b"\n".join))
def test_no_file_makes_reading_fail(tmp_path_factory: Any, content: bytes) -> None:
    """Any bytes in a named file."""
    path = tmp_path_factory.mktemp("logs") / "x.log"
    path.write_bytes(content)
    assert isinstance(read_agent_logs([str(path)]).remarks(), list)

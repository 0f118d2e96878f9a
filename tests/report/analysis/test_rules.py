"""Each rule at its edges: what is found, what is not, and with which figures."""

from __future__ import annotations

import random
from typing import Any

import pytest

from awfproxy.report.analysis.analysis import Analysis, Finding
from awfproxy.report.analysis.thresholds import Thresholds
from awfproxy.report.analysis.tool_calls import elsewhere, fetches, reads_files
from tests.report.analysis.traffic import (
    CLAUDE,
    GPT,
    START,
    Agent,
    Record,
    analysed,
    brooding,
    growing,
    guessed,
    overequipped,
    refused,
    trifling,
    uncached,
)


@pytest.fixture
def dice() -> random.Random:
    return random.Random(7)


def the(analysis: Analysis, code: str) -> Finding:
    """The one finding there is."""
    (finding,) = analysis.findings
    assert finding.code == code
    return finding


def none(records: list[Record], **options: Any) -> bool:
    return not analysed(records, **options).findings


def test_growth_is_what_is_above_the_threshold(dice: random.Random) -> None:
    """Summed over the calls, and priced as far as it was read from the cache."""
    records = growing(dice)
    prompts = [
        each["input_tokens"] + each["cache_read_tokens"] + each["cache_write_tokens"] for each in records
    ]
    finding = the(analysed(records), "context-growth")
    assert finding.amounts.saved_tokens == sum(max(prompt - 60_000, 0) for prompt in prompts)
    assert finding.evidence[0].figures["largest_prompt"] == max(prompts)
    assert finding.cases == 1


def test_the_largest_prompt_is_not_that_of_the_dearest_call(dice: random.Random) -> None:
    """The last call reads the longest prompt from the cache; one before it paid for all of a shorter one."""
    agent = Agent(dice, prompt=8_000)
    for cached in (None, None, 90_000, 0, None):
        agent.cached = agent.cached if cached is None else cached
        agent.call(adds=30_000)
        agent.use("Bash")
    finding = next(each for each in analysed(agent.records).findings if each.code == "context-growth")
    assert finding.evidence[0].request_ids == (agent.records[3]["request_id"],)
    assert finding.evidence[0].figures["largest_prompt"] == 8_000 + 4 * 30_000


def test_a_long_first_prompt_is_no_growth(dice: random.Random) -> None:
    """Three times as much is allowed."""
    assert none(Agent(dice, prompt=100_000).work(12).records)


def test_growth_thresholds_can_be_set(dice: random.Random) -> None:
    """Higher ones find nothing."""
    assert none(growing(dice), limits=Thresholds(growth_tokens=500_000))


def test_a_call_with_another_result_is_no_repetition(dice: random.Random) -> None:
    """Whoever runs the tests after each change does not repeat itself."""
    agent = Agent(dice).work(2)
    call = agent.hash()
    for _ in range(6):
        agent.use(("Bash", call, agent.hash()))
        agent.call()
    assert none(agent.records)


def test_the_same_result_of_another_call_is_no_repetition(dice: random.Random) -> None:
    """Many tools answer "done"."""
    agent = Agent(dice).work(2)
    done = agent.hash()
    for _ in range(6):
        agent.use(("Edit", agent.hash(), done))
        agent.call()
    assert none(agent.records)


def test_another_conversation_may_make_the_same_call(dice: random.Random) -> None:
    """Only within one is it a repetition."""
    same = ("Bash", "aa" * 8, "bb" * 8)
    records = []
    for _ in range(4):
        agent = Agent(dice).work(2)
        agent.use(same)
        records += agent.work(2).records
    assert none(records)


def test_a_request_sent_again_tells_its_calls_again(dice: random.Random) -> None:
    """That is no repetition, and neither is it a retry where the first one was answered."""
    agent = Agent(dice).work(3)
    for _ in range(3):
        agent.call(adds=0)
    assert none(agent.records)


def test_a_conversation_that_is_rewound_begins_anew(dice: random.Random) -> None:
    """What is told again then was told before."""
    agent = Agent(dice)
    agent.call()
    agent.use(("Bash", "aa" * 8, "bb" * 8))
    agent.call()
    agent.work(4)
    agent.messages, agent.newest = 3, [("Bash", "aa" * 8, "bb" * 8)]
    agent.call()
    assert none(agent.records)


def test_a_part_of_a_turn_that_repeats_is_a_part_of_what_it_added(dice: random.Random) -> None:
    """One of two calls: half of the tokens that came to the prompt."""
    agent = Agent(dice).work(2)
    same = ("Bash", agent.hash(), agent.hash())
    agent.use(same)
    agent.call()
    agent.use(same, "Edit")
    agent.call(adds=1_000)
    finding = the(analysed(agent.records), "repeated-tool-calls")
    assert finding.amounts.saved_tokens == 500
    assert finding.evidence[0].figures == {"tool": "Bash", "times": 2, "calls_of_turn": 2}


def test_calls_and_results_that_do_not_pair_say_nothing(dice: random.Random) -> None:
    """As where hashes were left out of a long turn."""
    agent = Agent(dice).work(2)
    same = ("Bash", agent.hash(), agent.hash())
    for _ in range(4):
        agent.use(same)
        agent.call(hints={"tool_result_hashes": [agent.hash(), same[2]]})
    assert none(agent.records)


@pytest.mark.parametrize(
    ("tool", "reads", "looks_up", "far"),
    [
        ("Read", True, True, False),
        ("read_file", True, True, False),
        ("mcp__filesystem__read_text_file", True, True, False),
        ("view", True, True, False),
        ("Grep", False, True, False),
        ("list_directory", False, True, False),
        ("mcp__github__list_issues", False, True, True),
        ("github-get_pull_request", False, True, True),
        ("issue_read", False, True, True),
        ("WebFetch", False, True, True),
        ("web_search", False, True, True),
        ("Bash", False, False, False),
        ("Edit", False, False, False),
        ("create_issue", False, False, False),
        ("mcp__github__create_issue", False, False, False),
        ("NotebookRead", False, True, False),
        ("ToolSearch", False, True, False),
        ("get_", False, True, True),
        ("?", False, False, False),
        ("", False, False, False),
    ],
)
def test_what_a_tool_does_is_told_by_its_name(tool: str, reads: bool, looks_up: bool, far: bool) -> None:
    """Names of the tools of Claude Code, Copilot CLI, Gemini CLI and GitHub's MCP server."""
    assert (reads_files(tool), fetches(tool), elsewhere(tool)) == (reads, looks_up, far)


def _begins_with(dice: random.Random, *tools: str, **fields: Any) -> list[Record]:
    agent = Agent(dice, prompt=6_000)
    for tool in tools:
        agent.call(output=80, **fields)
        agent.use(tool)
    return agent.work(3).records


def test_fetching_at_the_beginning_is_found(dice: random.Random) -> None:
    """Two calls that only fetch, of another system; saved is less than they cost, for they filled the cache."""
    finding = the(analysed(_begins_with(dice, "mcp__github__list_issues", "WebFetch")), "deterministic-retrieval")
    assert finding.sure == 50 and finding.amounts.calls == 2
    assert 0 < finding.amounts.saved_pico < finding.amounts.pico


def test_fetching_that_needs_thought_is_not(dice: random.Random) -> None:
    """One call alone, files of the machine, reasoning, a tool that does something: none of these is."""
    assert none(_begins_with(dice, "mcp__github__list_issues"))
    assert none(_begins_with(dice, "Read", "Grep", "Read"))
    assert none(_begins_with(dice, "mcp__github__list_issues", "WebFetch", reasoning_tokens=40))
    assert none(_begins_with(dice, "mcp__github__list_issues", "mcp__github__create_issue", "WebFetch"))


def test_tools_unused_are_those_never_called_in_the_run(dice: random.Random) -> None:
    """Their share of the tools' size, in each call."""
    finding = the(analysed(overequipped(dice)), "unused-tool-schemas")
    assert finding.evidence[0].figures["never_called"] == 15
    assert finding.evidence[0].figures["offered"] == 20
    # 20 tools of 900 bytes, 4.5 bytes a token: 4,000 tokens in each of 12 calls
    assert finding.amounts.saved_tokens == 12 * 4_000 * 15 // 20
    assert finding.sure == 70


def test_tools_are_not_judged_where_calls_stay_with_the_provider(dice: random.Random) -> None:
    """A request that goes on from a stored answer does not say what was called."""
    records = overequipped(dice)
    records[5]["hints"]["previous_response_id_hash"] = "cc" * 8
    assert none(records)


def test_a_broken_cache_costs_the_difference(dice: random.Random) -> None:
    """What was written again, at the rate of writing instead of reading."""
    agent = Agent(dice).work(5)
    agent.cached, agent.system = 0, agent.hash()
    agent.call(adds=0)
    finding = the(analysed(agent.records), "cache-prefix-break")
    before, after = agent.records[-2:]
    lost = before["cache_read_tokens"] + before["cache_write_tokens"]
    assert finding.amounts.tokens == lost and finding.amounts.saved_tokens == 0
    # Sonnet 4.5: $3.75 a million tokens written, $0.30 read
    assert finding.amounts.saved_pico == pytest.approx(lost * 3_450_000, rel=0.01)
    assert after["request_id"] == finding.evidence[0].request_ids[0]
    assert finding.evidence[0].figures["in_cache"] == lost


def test_two_models_in_turns_each_have_their_cache(dice: random.Random) -> None:
    """The first call of the second one breaks the prefix; after that both read theirs."""
    agent = Agent(dice).work(4)
    caches = {agent.model: agent.cached, "claude-haiku-4-5-20251001": 0}
    for number in range(6):
        agent.model = list(caches)[1 - number % 2]
        agent.cached = caches[agent.model]
        agent.use("Bash")
        agent.call()
        caches[agent.model] = agent.cached
    finding = the(analysed(agent.records), "cache-prefix-break")
    assert [case.figures["cause"] for case in finding.evidence] == ["model"]


def test_an_hour_is_kept_for_an_hour(dice: random.Random) -> None:
    """Where it was written for that, a pause of ten minutes is no cause."""
    for usage, cause in ((None, "idle"), ({"cache_creation": {"ephemeral_1h_input_tokens": 5}}, "unknown")):
        agent = Agent(dice)
        agent.call(usage=usage)
        agent.use("Bash")
        agent.now += 600
        agent.cached = 0
        agent.call()
        finding = the(analysed(agent.records), "cache-prefix-break")
        assert finding.evidence[0].figures["cause"] == cause


def test_models_that_cache_by_themselves_need_no_asking(dice: random.Random) -> None:
    """OpenAI's do, and a prompt that was never read from the cache there is nobody's fault."""
    agent = Agent(dice, speaks=GPT, prompt=8_000)
    agent.caches = False
    assert none(agent.work(8).records)


def test_no_cache_is_found_on_claude_only_where_it_would_be_read(dice: random.Random) -> None:
    """Not in short prompts, not where pauses are longer than the cache lives, not where the record does not say."""
    assert the(analysed(uncached(dice)), "no-prompt-caching").sure == 90
    assert none(uncached(dice), limits=Thresholds(uncached_prompt=100_000))
    assert none(uncached(dice), limits=Thresholds(cache_seconds=0))
    records = uncached(dice)
    for record in records:
        record["unknown"] = ["cache_read_tokens", "cache_write_tokens"]
    assert none(records)


def test_a_retry_is_paid_for_twice(dice: random.Random) -> None:
    """The first attempt is what it cost too much; of three attempts the first two."""
    agent = Agent(dice).work(20)
    for _ in range(2):
        agent.call(adds=0, outcome="client_left", usage_source="partial")
    agent.call(adds=0)
    finding = the(analysed(agent.work(20).records), "paid-retries")
    assert finding.cases == 2 and finding.sure == 90
    assert finding.amounts.saved_pico == finding.amounts.pico > 0


def test_a_retry_gets_back_what_it_reads_from_the_cache(dice: random.Random) -> None:
    """What the failed call wrote is not lost: only what the retry would have paid as well is."""
    agent = Agent(dice).work(20)
    failed = agent.call(adds=30_000, output=10, outcome="upstream_cut", usage_source="partial")
    agent.cached = agent.prompt - 8
    agent.call(adds=0)
    finding = the(analysed(agent.records), "paid-retries")
    written = failed["cache_write_tokens"]
    # Sonnet 4.5: $3.75 a million tokens written, $0.30 read
    assert written > 29_000
    assert finding.amounts.pico - finding.amounts.saved_pico == written * 3_450_000
    assert finding.amounts.saved_pico > 0
    assert finding.amounts.tokens == agent.prompt + 10
    assert finding.amounts.tokens - finding.amounts.saved_tokens == written


def test_attempts_get_back_no_more_than_was_brought(dice: random.Random) -> None:
    """Of three attempts the first wrote the cache and the second read it: the third gives nothing back for that one."""
    agent = Agent(dice).work(20)
    agent.call(adds=30_000, output=10, outcome="upstream_cut", usage_source="partial")
    agent.cached = agent.prompt - 8
    second = agent.call(adds=0, output=10, outcome="upstream_cut", usage_source="partial")
    agent.call(adds=0)
    finding = the(analysed(agent.records), "paid-retries")
    of_second = next(each for each in finding.evidence if each.request_ids[0] == second["request_id"])
    # $0.30 a million tokens read, $3.75 the written ones, $15 the generated ones
    assert of_second.saved_pico == second["cache_read_tokens"] * 300_000 + 8 * 3_750_000 + 10 * 15_000_000
    assert of_second.saved_tokens == of_second.tokens


@pytest.mark.parametrize(
    "other",
    [
        {"provider": "openai", "model": "gpt-5.2-2025-12-11", "port": "openai", "path": "/v1/chat/completions"},
        {"port": "anthropic-2"},
        {"model": "claude-haiku-4-5-20251001"},
        {"path": "/v1/chat/completions"},
    ],
    ids=["provider", "port", "model", "api"],
)
def test_the_same_question_to_somebody_else_is_no_retry(dice: random.Random, other: dict[str, Any]) -> None:
    """The first call was given up; nothing says that the other one is there because of it."""
    agent = Agent(dice).work(20)
    agent.call(adds=0, outcome="client_left", usage_source="partial")
    agent.call(adds=0, **other)
    assert the(analysed(agent.records), "aborted-but-billed").cases == 1


@pytest.mark.parametrize("other", [{"provider": "openai", "port": "openai"}, {"model": "claude-haiku-4-5-20251001"}])
def test_asking_somebody_else_too_repeats_no_calls_of_tools(dice: random.Random, other: dict[str, Any]) -> None:
    """Two that are asked the same each time, both with success."""
    agent = Agent(dice)
    for _ in range(5):
        agent.call()
        agent.call(adds=0, **other)
        agent.use("Bash")
    assert none(agent.records)


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"model": "claude-sonnet-4-5"}, {}),
        ({"model": "unknown"}, {}),
        (
            {"path": "/v1beta/models/gemini-2.5-pro:streamGenerateContent"},
            {"path": "/v1beta/models/gemini-2.5-pro:generateContent"},
        ),
        ({"path": "/of/nobody"}, {"path": "/of/nobody"}),
    ],
    ids=["alias", "no model", "not as a stream", "unknown API"],
)
def test_a_retry_may_be_written_otherwise(dice: random.Random, first: dict[str, Any], again: dict[str, Any]) -> None:
    """A call that was cut off has the request's name of the model; and a client may give up streaming."""
    agent = Agent(dice).work(20)
    agent.call(adds=0, outcome="client_left", usage_source="partial", **first)
    agent.call(adds=0, **again)
    assert the(analysed(agent.records), "paid-retries").cases == 1


def test_a_retry_that_comes_late_is_none(dice: random.Random) -> None:
    """Then the first one was given up."""
    agent = Agent(dice).work(20)
    agent.call(adds=0, outcome="client_left", usage_source="partial")
    agent.now += 1_000
    agent.call(adds=0)
    finding = the(analysed(agent.records), "aborted-but-billed")
    assert finding.cases == 1 and finding.evidence[0].figures["outcome"] == "client_left"


def test_calls_without_a_conversation_can_be_aborted(dice: random.Random) -> None:
    """Of AWF's own records nobody knows; ours say how they ended."""
    agent = Agent(dice, run=None)
    agent.call(outcome="client_left", usage_source="partial")
    records = agent.records
    del records[0]["hints"]
    records += [dict(record, request_id=f"x{n}", outcome="complete", usage_source="reported") for n in range(12) for record in records[:1]]
    assert the(analysed(records), "aborted-but-billed").cases == 1


def test_estimated_figures_are_less_sure(dice: random.Random) -> None:
    """Of the same abort."""
    agent = Agent(dice).work(20)
    agent.call(outcome="client_left", usage_source="estimated", unknown=["cache_read_tokens", "cache_write_tokens"])
    assert the(analysed(agent.records), "aborted-but-billed").sure == 50


def test_a_small_call_needs_a_smaller_sibling(dice: random.Random) -> None:
    """The candidate is named; the smallest has none, and neither has a model without a price."""
    finding = the(analysed(trifling(dice)), "model-downgrade")
    assert finding.evidence[0].figures["smaller_model"] == "gpt-5-mini" and finding.sure == 30
    for model in ("gpt-5-mini-2025-08-07", "gpt-5-nano", "nobody-knows-1"):
        assert none([record | {"model": model} for record in trifling(dice)])
    assert none(trifling(dice), costs=None)


@pytest.mark.parametrize(
    ("provider", "model", "sibling"),
    [
        (*CLAUDE, "claude-haiku-4-5"),
        ("anthropic", "claude-opus-4-1-20250805", "claude-haiku-4-5"),
        ("openai", "gpt-4.1-2025-04-14", "gpt-4.1-mini"),
        ("openai", "gpt-4o-2024-08-06", "gpt-4o-mini"),
        ("openai", "gpt-5.4", "gpt-5.4-mini"),
        ("gemini", "gemini-2.5-pro", "gemini-3-flash-preview"),
    ],
)
def test_siblings(dice: random.Random, provider: str, model: str, sibling: str) -> None:
    """Of each family, the newest that is priced."""
    records = [record | {"model": model, "provider": provider} for record in trifling(dice)]
    assert the(analysed(records), "model-downgrade").evidence[0].figures["smaller_model"] == sibling


def test_reasoning_is_saved_by_half(dice: random.Random) -> None:
    """An assumption that can be changed."""
    records = brooding(dice)
    finding = the(analysed(records), "reasoning-heavy")
    thought = sum(record["reasoning_tokens"] for record in records)
    assert finding.amounts.tokens == thought
    assert abs(finding.amounts.saved_tokens - thought // 2) <= len(records)
    assert the(analysed(brooding(dice), limits=Thresholds(reasoning_saved=0)), "reasoning-heavy").amounts.saved_tokens == 0


def test_estimates_are_told_from_a_share_on(dice: random.Random) -> None:
    """Nothing is saved, so the total is nothing."""
    analysis = analysed(guessed(dice))
    finding = the(analysis, "estimated-share")
    assert finding.severity == "high" and finding.amounts.saved_pico == 0
    assert analysis.total.saved_tokens == analysis.total.saved_pico == 0
    assert none(guessed(dice)[:9])


def test_refusals_count_from_the_second_on() -> None:
    """By port, user, run and reason; other refusals are none of these."""
    many = [refused(f"r{number}", START + number, run="a") for number in range(11)]
    assert the(analysed(many), "cap-refusals").evidence[0].figures["refused"] == 11
    assert none(many[:10])
    assert none([record | {"port": f"port-{number}"} for number, record in enumerate(many)])
    assert none([record | {"refusal": "provider_not_configured"} for record in many])
    assert none([many[0]] * 30)  # the same one


def test_refusals_are_of_the_calls_that_were_asked_for() -> None:
    """By the filters, as in all reports."""
    from awfproxy.report.filters import Filters

    many = [refused(f"r{number}", START + number, run="a") for number in range(20)]
    assert none(many, filters=Filters(members={"run": ["b"]}))
    assert not none(many, filters=Filters(members={"run": ["a"]}))


def test_conversations_of_stored_answers_are_followed(dice: random.Random) -> None:
    """Each request names the answer before it, and has few messages."""
    agent = Agent(dice, speaks=GPT, prompt=8_000, tools=())
    answer = None
    for _ in range(8):
        hints = {"messages": 1, "conversation_hash": None, "session": None, "response_id_hash": agent.hash()}
        record = agent.call(adds=15_000, hints=hints)
        if answer is not None:
            record["hints"]["previous_response_id_hash"] = answer
        answer = record["hints"]["response_id_hash"]
    assert the(analysed(agent.records), "context-growth").cases == 1


def test_a_record_with_broken_hints_counts_all_the_same(dice: random.Random) -> None:
    """Its figures are right, and only its hints are passed over."""
    records = Agent(dice).work(6).records
    whole = analysed(records).whole
    for record in records:
        record["hints"] = {"messages": "many", "tools_called": 5}
    found = analysed(records)
    assert found.whole == whole
    assert found.of_conversations == 0
    assert any("Nothing is known of the conversation of" in note for note in found.notes)


def test_a_model_without_a_price_is_not_free(dice: random.Random) -> None:
    """Tokens are told, money is not known."""
    records = [record | {"model": "nobody-knows-1"} for record in growing(dice)]
    analysis = analysed(records)
    finding = the(analysis, "context-growth")
    assert finding.amounts.saved_tokens > 0 and finding.amounts.unpriced == finding.amounts.calls
    assert finding.evidence[0].saved_pico is None
    assert finding.severity == "high"


def test_severity_goes_by_the_share_saved(dice: random.Random) -> None:
    """And what is not sure enough is never high."""
    records = growing(dice)
    free = Thresholds(severity_saved=0)
    assert the(analysed(records, limits=free), "context-growth").severity == "high"
    # A large part of next to nothing is not high; where nothing has a price, the share alone counts.
    dear = Thresholds(severity_saved=10**6)
    assert the(analysed(records, limits=dear), "context-growth").severity == "medium"
    assert the(analysed(records, limits=dear, costs=None), "context-growth").severity == "high"
    assert the(analysed(records, limits=Thresholds(severity_high=1)), "context-growth").severity == "medium"
    limits = Thresholds(severity_high=1, severity_medium=1)
    assert the(analysed(records, limits=limits), "context-growth").severity == "low"
    assert the(analysed(brooding(dice)), "reasoning-heavy").severity == "medium"


def test_records_without_times_are_read(dice: random.Random) -> None:
    """What goes by time says nothing of them."""
    records = growing(dice)
    for record in records:
        del record["timestamp"], record["admitted_at"]
    analysis = analysed(records)
    assert analysis.whole.calls == len(records) and analysis.first == ""

"""Conversations whose prompts grow far beyond their first."""

from __future__ import annotations

from typing import Final

from awfproxy.report.analysis.board import Board
from awfproxy.report.analysis.codes import CONTEXT_GROWTH
from awfproxy.report.analysis.conversations import Conversation
from awfproxy.report.analysis.groups import Group
from awfproxy.report.analysis.steps import Step
from awfproxy.report.analysis.thresholds import Thresholds

#: percent
SURE: Final = 60


def seen(conversation: Conversation, step: Step) -> None:
    """Takes note of how long its prompts get, of requests that are sent again too."""
    if step.exact and step.prompt is not None and step.prompt > conversation.largest_prompt:
        conversation.largest_prompt = step.prompt


def grown(conversation: Conversation, step: Step, limits: Thresholds) -> None:
    """Looks whether the prompt is longer than it should be; its figures are the provider's final ones."""
    if step.prompt is None:
        return
    conversation.calls += 1
    if conversation.first_prompt is None:
        conversation.first_prompt = step.prompt
    allowed = max(limits.growth_tokens, int(limits.growth_ratio * conversation.first_prompt))
    over = step.prompt - allowed
    if over <= 0 or conversation.calls < limits.growth_calls:
        return
    if conversation.growth is None:
        conversation.growth = Group(CONTEXT_GROWTH)
    money = step.cheapest(over)
    conversation.growth.claim(step, step.claim(over, money, over, money))


def conversation_done(board: Board, conversation: Conversation) -> None:
    """What it came to."""
    group = conversation.growth
    if group is None or group.example is None:
        return
    first, largest = conversation.first_prompt or 0, conversation.largest_prompt
    board.conclude(group, SURE, first_prompt=first, largest_prompt=largest)

"""Tools as agents offer them: names of real ones, with descriptions as long as theirs."""

from __future__ import annotations

from typing import Any

#: What Claude Code offers by itself, of which a workflow allows a part.
OWN = ("Read", "Edit", "Write", "Bash", "Glob", "Grep", "WebFetch", "WebSearch", "TodoWrite", "NotebookEdit", "Task")
#: A part of what GitHub's MCP server offers.
GITHUB = tuple(
    f"mcp__github__{name}"
    for name in (
        *("list_issues", "get_issue", "add_issue_comment", "create_issue", "update_issue", "search_issues"),
        *("get_workflow_run", "get_job_logs", "list_workflows", "list_workflow_runs", "rerun_failed_jobs"),
        *("create_pull_request", "list_pull_requests", "merge_pull_request", "request_copilot_review"),
        *("list_commits", "get_commit", "list_branches", "create_branch", "push_files", "create_or_update_file"),
        *("list_releases", "get_latest_release", "list_tags", "search_code", "search_users", "fork_repository"),
    )
)

_ABOUT = (
    "{name} does one thing and says what came of it . Give paths and numbers as they are , not as you remember them . "
    "Use it where the task needs it , once , and keep what it told you . Do not use it to wait for something , and do "
    "not use it where another tool has the answer already . It fails with a reason : read that before you try again . "
    "What it answers may be cut : ask for the part that you need . It never changes more than it was told to change ."
)


def schema_of(tool: str, schema: str) -> dict[str, Any]:
    """A tool's definition.

    :param schema: the member that has the schema: ``input_schema`` (Anthropic), ``parameters`` (OpenAI)
    """
    text = {"type": "string", "description": "What it is about , as the person said it"}
    number = {"type": "integer", "description": "Where to begin , or which one"}
    members = {"type": "object", "properties": {"about": text, "from": number}, "required": ["about"]}
    return {"name": tool, "description": _ABOUT.format(name=tool), schema: members}

"""Two runs of one workflow: as somebody wrote it first, and after the findings of the first run were mended.

What is to be found is known, because it was put there: `Run.findings` names every finding and how many cases it has,
and the demonstration fails where the report finds another one, or one less.
"""

from __future__ import annotations

from awfproxy.simulator.demo.toolbox import GITHUB, OWN
from awfproxy.simulator.demo.work import Run, Script, Session, Step, Turn, page

SONNET = "claude-sonnet-4-5"
CODEX = "gpt-5.2-codex"

_GUIDE = page("How this repository is worked on", 2_400)
_PARSER = Step("Read", {"about": "src/parser.py"}, page("src/parser.py", 6_000))
_RUNNING = Step("mcp__github__get_workflow_run", {"about": "nightly", "from": 77}, page("in progress", 160))
_COMMENT = Step("mcp__github__add_issue_comment", {"about": "101", "body": "A duplicate of 77 ."}, "commented")
_EDIT = Step("Edit", {"about": "src/parser.py", "from": 412}, "412 lines , 1 changed")
_PULL_REQUEST = Step("mcp__github__create_pull_request", {"about": "Parser : keep the last line"}, "opened 103")
_LABELS = "Answer with one label for the issue : bug , feature , question or docs ."
_ISSUES = tuple(f"Issue {number} : the lamp {number} goes out when it rains" for number in range(101, 113))
_QUESTIONS = ("What is new ?", "What was mended ?", "What may break ?", "Who helped ?")
_CODE = ("shell", "apply_patch", "update_plan", "view_image")


def _issue(number: int) -> Step:
    return Step("mcp__github__get_issue", {"about": "lighthouse", "from": number}, page(f"issue {number}", 1_600))


def _documentation(*more: Turn) -> tuple[Turn, ...]:
    """What Codex is asked in both runs."""
    find = Step("shell", {"about": "rg -n lamp docs"}, page("docs", 900))
    write = Step("apply_patch", {"about": "docs/lamp.md : the new option"}, "done")
    cut = Step("apply_patch", {"about": "docs/lamp.md : half of it"}, "done")
    return (Turn("Describe the new option of the lamp .", (find, write)), *more, Turn("Make it shorter .", (cut,)))


def _notes(*, cached: bool) -> Script:
    changes = page("All changes since the last release", 5_200)
    return Script(SONNET, "release-notes", changes, _QUESTIONS, 80, conversation="release-notes", cached=cached)


FIRST = Run(
    "nightly-1",
    (
        Session(
            "claude-code",
            "5b1c9f0e-7a34-4d2b-9c61-0f2e8d4a7b11",
            SONNET,
            "triage",
            _GUIDE,
            OWN + GITHUB,
            (
                # What is fetched first could have been fetched by a step of the workflow, before the agent began.
                Turn(
                    "Triage the issues that came since yesterday .",
                    (
                        Step("mcp__github__list_issues", {"about": "lighthouse"}, page("open issues", 2_400)),
                        *(_issue(101), _issue(102)),
                        *(_PARSER, _COMMENT),
                    ),
                ),
                # It waits by asking, reads a whole log, and the file once more; one answer breaks off.
                Turn(
                    "Why does the nightly build fail ?",
                    (
                        *(_RUNNING, _RUNNING, _RUNNING),
                        Step("mcp__github__get_job_logs", {"about": "nightly", "from": 77}, page("log of 77", 36_000)),
                        Step(_PARSER.tool, _PARSER.arguments, _PARSER.result, broken_after=8),
                    ),
                ),
                Turn(
                    "Mend it and open a pull request .",
                    (_EDIT, Step("Bash", {"about": "pytest -v"}, page("tests", 12_000)), _PULL_REQUEST),
                ),
            ),
            clock=True,
        ),
        Session(
            "codex",
            "019a2f4c-51d7-7e30-8b92-6c0d3e5f7a21",
            CODEX,
            "documentation",
            page("How documentation is written", 1_600),
            _CODE,
            _documentation(Turn("Now rewrite everything as a poem .", words=400, left_after=120)),
        ),
        Script(SONNET, "labels", _LABELS, _ISSUES, 2),
        _notes(cached=False),
    ),
    {
        "context-growth": 1,
        "repeated-tool-calls": 2,
        "reread-files": 1,
        "deterministic-retrieval": 1,
        "unused-tool-schemas": 1,
        "cache-prefix-break": 2,
        "no-prompt-caching": 1,
        "paid-retries": 1,
        "aborted-but-billed": 1,
        "model-downgrade": 1,
    },
)

_ALLOWED = ("Read", "Edit", "Bash", "mcp__github__add_issue_comment", "mcp__github__create_pull_request")

SECOND = Run(
    "nightly-2",
    (
        Session(
            "claude-code",
            "c27d4e80-1f95-4b6a-8e03-9a5b7c1d2f64",
            SONNET,
            "triage",
            _GUIDE,
            _ALLOWED,
            (
                Turn(
                    "Triage these issues , which a step before you fetched .\n" + page("issues", 3_200),
                    (_PARSER, _COMMENT),
                ),
                Turn(
                    "Why does the nightly build fail ? The last lines of its log are these .\n" + page("log", 1_600),
                ),
                # The file once more: that is left.
                Turn(
                    "Mend it and open a pull request .",
                    (_EDIT, _PARSER, Step("Bash", {"about": "pytest -q"}, page("tests", 400)), _PULL_REQUEST),
                ),
            ),
        ),
        Session(
            "codex",
            "019a3481-9be6-7c52-a1f4-2d7e8b9c0a35",
            CODEX,
            "documentation",
            page("How documentation is written", 1_600),
            _CODE,
            _documentation(),
        ),
        Script(SONNET, "labels", _LABELS, _ISSUES, 2),
        _notes(cached=True),
    ),
    {"reread-files": 1, "model-downgrade": 1},
)

RUNS = (FIRST, SECOND)

"""`qb task transcript`: readable, folded, and harmless whatever the agent wrote."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from qb.cli.transcript import show
from qb.contract.logs import StoredSession
from qb.contract.parts import Part, parts_of
from qb.contract.tasks import Task
from tests.cli.conftest import FakeApi, Qb

TASK = "3f2a0000-0000-4000-8000-000000000001"
PARTS = [
    {"type": "reasoning", "data": {"thinking": "First I look\nat the file."}},
    {"type": "text", "data": {"text": "Reading it.\nOne moment."}},
    {"type": "tool_call", "data": {"id": "c1", "name": "view", "input": '{"path": "sales.csv"}'}},
    {"type": "finish", "data": {"reason": "tool_use"}},
]
RESULT = [{"type": "tool_result", "data": {"tool_call_id": "c1", "content": "id,name\n" * 400}}]


def session(*messages: Any, **more: Any) -> StoredSession:
    listed = [
        {"id": f"m{number}", "role": role, "content": content, "model": "m", "created_at": 1_769_860_800}
        for number, (role, content) in enumerate(messages)
    ]
    base = {"id": "s1", "task_id": TASK, "title": "Weekly sales", "prompt_tokens": 16_000, "completion_tokens": 2_240}
    base |= {"cost": 0.0412, "message_count": len(listed), "stale": False, "received_at": "now", "messages": listed}
    return StoredSession(**(base | more))


def printed(*sessions: StoredSession, full: bool = False, wide: bool = False, terminal: bool = False) -> str:
    out = io.StringIO()
    show(list(sessions), Console(file=out, force_terminal=terminal, width=80, highlight=False), full=full, wide=wide)
    return out.getvalue()


TALK = session(("user", "Read sales.csv"), ("assistant", json.dumps(PARTS)), ("tool", json.dumps(RESULT)))


def test_a_transcript_reads_from_top_to_bottom_with_tools_folded_to_a_line() -> None:
    assert printed(TALK).splitlines() == [
        "Weekly sales  s1  3 messages, 18,240 tokens, $0.04",
        "",
        "user",
        "  Read sales.csv",
        "",
        "assistant",
        "  ~ First I look at the file.",
        "  Reading it.",
        "  One moment.",
        '  > view {"path": "sales.csv"}',
        "",
        "tool",
        "  < " + ("id,name " * 400)[:195] + "\u2026",
    ]


def test_unfolded_everything_is_there_whole() -> None:
    lines = printed(TALK, full=True).splitlines()
    assert lines[lines.index("assistant") + 1 :][:2] == ["  ~ First I look", "    at the file."]
    assert sum("id,name" in line for line in lines) == 400


def test_in_a_terminal_a_folded_line_takes_one_line() -> None:
    text = printed(TALK, terminal=True)
    assert "\x1b[" in text
    assert sum("id,name" in line for line in text.splitlines()) == 1


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_nothing_an_agent_wrote_steers_the_terminal(terminal: bool, full: bool) -> None:
    evil = "a\x1b[31mb\x07\u202ec\x9b2Jd\r[bold]e[/bold]"
    parts = [{"type": kind, "data": {"text": evil, "thinking": evil, "name": evil, "input": evil, "content": evil}}
             for kind in ("text", "reasoning", "tool_call", "tool_result", evil)]  # fmt: skip
    text = printed(
        session((evil, json.dumps(parts)), ("user", evil), title=evil, id=evil),
        full=full, wide=True, terminal=terminal,
    )  # fmt: skip
    for control in ("\x1b[31m", "\x07", "\u202e", "\x9b", "\r"):
        assert control not in text
    assert "[bold]e[/bold]" in text


def test_a_stale_session_says_that_it_does_not_count() -> None:
    assert "not counted" in printed(session(stale=True)).splitlines()[0]


def test_wide_adds_time_and_model() -> None:
    assert "user  2026-01-31 12:00:00  m" in printed(session(("user", "x")), wide=True)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, []),
        ("", []),
        ("plain", [Part("text", "plain")]),
        ('{"a": 1}', [Part("text", '{"a": 1}')]),
        ("[1, 2]", [Part("text", "[1, 2]")]),
        ("[" * 100_000, [Part("text", "[" * 100_000)]),
        ("[]", []),
        ('[{"type": "text"}]', []),
        ('[{"type": "text", "data": "x"}]', []),
        ('[{"type": "tool_call", "data": {"name": "ls", "input": {"a": 1}}}]', [Part("tool_call", 'ls {"a": 1}')]),
        ('[{"type": "tool_result", "data": {"is_error": true, "content": "no"}}]', [Part("error", "no")]),
        ('[{"type": "finish", "data": {"reason": "canceled"}}]', [Part("note", "ended: canceled")]),
        ('[{"type": "binary", "data": {}}]', [Part("note", "[binary]")]),
        ("[{}]", [Part("note", "[None]")]),
        (
            '[{"type":"text","data":{"text":"a"}},{"type":"tool_result","data":{"content":"id,to',
            [Part("text", "a"), Part("tool_result", "id,to")],
        ),
        ('[{"type": "text", "data": {"text": "a \\ud83', [Part("text", "a ")]),
        ('[{"type": "text", "data": {"text": "a"', [Part("text", "a")]),
        ('[{"type": "text", "data": {"text": "a"}', [Part("text", "a")]),
        ('[{"type" of text', [Part("text", '[{"type" of text')]),
    ],
)
def test_content_of_any_shape_is_read(content: str | None, parts: list[Part]) -> None:
    assert list(parts_of(content)) == parts


def test_the_command_prints_people_and_machines_their_own(
    qb: Qb, connected: FakeApi, make_task: Callable[..., Task]
) -> None:
    connected.answers("GET", f"/tasks/{TASK}", make_task(TASK))
    connected.answers("GET", f"/logs/{TASK}", [TALK])
    assert "  Read sales.csv\n" in qb("task", "transcript", TASK).out
    assert json.loads(qb("task", "transcript", TASK, "-o", "json").out)[0]["id"] == "s1"
    assert qb("task", "transcript", TASK, "-o", "id").out == "s1\n"


def test_no_transcript_is_said_to_a_person_and_is_nothing_to_a_pipe(
    qb: Qb, connected: FakeApi, make_task: Callable[..., Task]
) -> None:
    connected.answers("GET", f"/tasks/{TASK}", make_task(TASK))
    connected.answers("GET", f"/logs/{TASK}", [])
    assert qb("task", "transcript", TASK).out == ""
    assert "no transcript" in qb("task", "transcript", TASK, tty=True).out

"""`qb task transcript`: what the agent was asked, thought, did and said."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qb.cli.options import Format, Output, TaskId, examples
from qb.contract.parts import Part, parts_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from qb.contract.logs import StoredSession

_FOLDED = 200
"""Characters of a folded line where nothing tells the width."""

_STYLES = {"user": "bold cyan", "assistant": "bold green", "system": "bold magenta", "tool": "bold yellow"}
_MARKS = {"tool_call": "> ", "tool_result": "< ", "error": "! ", "reasoning": "~ ", "note": "- "}
_MARK_STYLES = {"tool_call": "yellow", "tool_result": "dim", "error": "red", "reasoning": "dim italic", "note": "dim"}


def register(app: typer.Typer) -> None:
    """Add the command to `qb task`."""
    app.command(
        epilog=examples(
            "qb task transcript 3f2a", "qb task transcript 3f2a --full | less", "qb task transcript 3f2a -o json"
        )
    )(transcript)


def transcript(
    ctx: typer.Context,
    task: TaskId,
    full: Annotated[bool, typer.Option("--full", help="Show thoughts, tool calls and their results whole.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Show the agent's own log: its sessions, message by message.

    Thoughts, tool calls and results take one line each, unless --full is given. -o wide adds times and models.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.output import emit_data
    from qb.cli.terminal import is_terminal

    with connected(ctx) as client:
        sessions = client.logs(lookup.task_id(client, task))
    if output is Format.ID:
        for session in sessions:
            typer.echo(session.id)
    elif not output.for_people:
        emit_data([session.model_dump(mode="json") for session in sessions], output)
    elif sessions:
        from rich.console import Console

        show(sessions, Console(highlight=False, markup=False), full=full, wide=output is Format.WIDE)
    elif is_terminal():
        typer.echo("no transcript: the agent's log has not come back, or it kept none")


def show(sessions: "list[StoredSession]", console: "Console", *, full: bool, wide: bool) -> None:
    """Print sessions for reading; nothing in them steers the terminal."""
    for number, session in enumerate(sessions):
        if number:
            console.print()
        _line(console, _heading(session))
        for message in session.messages or []:
            _message(console, message, full=full, wide=wide)


def _heading(session: "StoredSession") -> "Text":
    from rich.text import Text

    from qb.cli.terminal import one_line

    tokens = session.prompt_tokens + session.completion_tokens
    facts = f"{session.message_count} messages, {tokens:,} tokens, ${session.cost:.2f}"
    text = Text(one_line(session.title or "untitled"), style="bold")
    text.append(f"  {one_line(session.id)}  {facts}", style="not bold dim")
    if session.parent_session_id:
        text.append("  a sub-agent's, in its parent's cost", style="not bold dim")
    if session.stale:
        text.append("  older than the task: not counted", style="not bold red")
    return text


def _message(console: "Console", message: dict[str, Any], *, full: bool, wide: bool) -> None:
    from rich.text import Text

    from qb.cli.terminal import one_line

    role = one_line(str(message.get("role") or "unknown"))
    title = Text(role, style=_STYLES.get(role, "bold"))
    if wide:
        facts = [_time(message.get("created_at")), message.get("model"), message.get("provider")]
        title.append("".join(f"  {one_line(str(fact))}" for fact in facts if fact), style="not bold dim")
    parts = list(parts_of(message.get("content")))
    if not parts:
        return
    console.print()
    _line(console, title)
    for part in parts:
        _part(console, part, full=full)


def _part(console: "Console", part: Part, *, full: bool) -> None:
    from rich.text import Text

    from qb.cli.terminal import cut, inert, one_line

    mark, style = _MARKS.get(part.kind, ""), _MARK_STYLES.get(part.kind, "")
    if part.kind == "text" or full:
        for number, line in enumerate(inert(part.text).strip("\n").split("\n")):
            _line(console, Text(f"  {mark if not number else ' ' * len(mark)}{line}".rstrip(), style=style))
        return
    room = console.width if console.is_terminal else _FOLDED
    # what is not shown is not even looked at: a tool's result may be megabytes
    start = one_line(part.text[: 4 * room])
    _line(console, Text(f"  {mark}{cut(start, max(room - 4, 20))}", style=style))


def _line(console: "Console", text: "Text") -> None:
    # a terminal wraps words; what is piped keeps its lines
    console.print(text, soft_wrap=not console.is_terminal)


def _time(value: object) -> str:
    from datetime import UTC, datetime

    if not isinstance(value, int) or value <= 0:
        return ""
    # Crush's own clocks differ in their unit: above 10^11 it is milliseconds
    seconds = value / 1000 if value > 10**11 else value
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return ""

"""`qb task create`: a task, a schedule of tasks, or one task for each node."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qb.cli import group as groups
from qb.cli import task as tasks
from qb.cli.environment import environment
from qb.cli.exits import CliError, Exit
from qb.cli.options import Format, Output, byte_count, coming, duration, examples, pairs
from qb.cli.sections import Sectioned
from qb.cli.task_body import body_of, limits_of, prompt_of

if TYPE_CHECKING:
    from qb.client import QbClient
    from qb.contract.scheduling import Group
    from qb.contract.tasks import TaskCreate

_GETS, _WHERE, _WHEN, _STARTS = "What it gets", "Where it runs", "When it runs", "How long, how often"


def register(app: typer.Typer) -> None:
    """Add the command to `qb task`."""
    app.command(
        cls=Sectioned,
        epilog=examples(
            'qb task create "Summarise sales.csv" --file sales.csv --follow',
            'qb task create "Check the backups" --to "client-acme-*" --timeout 30m',
            'qb task create "Update yourself" --each "client-*" --follow',
            'qb task create "Report" --cron "0 9 * * 1-5" --time-zone Europe/Berlin',
            'qb task create "Send the report" --after 3f2a',
            "qb task create - --tag site=berlin -o id < prompt.txt",
        ),
    )(create)


def create(
    ctx: typer.Context,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the agent should do; - reads it from stdin.")],
    file: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Attach a file (repeatable).", rich_help_panel=_GETS)
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Only nodes whose name matches.", rich_help_panel=_WHERE)
    ] = None,
    node: Annotated[
        str | None, typer.Option(metavar="NODE", help="Only this node: name, id, or its start.", rich_help_panel=_WHERE)
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="Only nodes with this tag (repeatable).", rich_help_panel=_WHERE),
    ] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only nodes that can do this (repeatable).", rich_help_panel=_WHERE),
    ] = None,
    each: Annotated[
        str | None,
        typer.Option(
            metavar="GLOB", help="One task for each node whose name matches, as a group.", rich_help_panel=_WHERE
        ),
    ] = None,
    priority: Annotated[
        int, typer.Option(metavar="N", help="Higher goes first, -1000 to 1000.", rich_help_panel=_WHEN)
    ] = 0,
    timeout: Annotated[
        int | None,
        typer.Option(
            parser=duration,
            metavar="TIME",
            help="Stop the task after 30m, 2h, 90s, ...; default 1h.",
            rich_help_panel=_STARTS,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            parser=coming, metavar="TIME", help="Not before: 2h from now, 2026-01-31T09:00, ...", rich_help_panel=_WHEN
        ),
    ] = None,
    expires_in: Annotated[
        int | None,
        typer.Option(
            parser=duration, metavar="TIME", help="Give up when no node took it for this long.", rich_help_panel=_WHEN
        ),
    ] = None,
    cron: Annotated[
        str | None,
        typer.Option(
            metavar="CRON", help="Make it a schedule: five cron fields, as 0 9 * * 1-5.", rich_help_panel=_WHEN
        ),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Zone of --cron, as Europe/Berlin; default UTC.", rich_help_panel=_WHEN),
    ] = None,
    missed_runs: Annotated[
        str | None,
        typer.Option(
            metavar="skip|once", help="Runs missed while the server was down: default skip.", rich_help_panel=_WHEN
        ),
    ] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK", help="Start when this task has succeeded (repeatable).", rich_help_panel=_WHEN),
    ] = None,
    on_failure: Annotated[
        str | None,
        typer.Option(
            metavar="cancel|run", help="What if a task of --after fails: default cancel.", rich_help_panel=_WHEN
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A short name for listings.", rich_help_panel=_GETS)
    ] = None,
    max_attempts: Annotated[
        int,
        typer.Option(metavar="N", help="Start it again after a failure, N starts at most.", rich_help_panel=_STARTS),
    ] = 1,
    backoff: Annotated[
        int | None,
        typer.Option(
            parser=duration,
            metavar="TIME",
            help="Wait before a second start, twice as long each time.",
            rich_help_panel=_STARTS,
        ),
    ] = None,
    retry_on: Annotated[
        list[str] | None,
        typer.Option(metavar="REASON", help="Start again only after this (repeatable).", rich_help_panel=_STARTS),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="Container image, instead of the node's own.", rich_help_panel=_WHERE),
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(parser=byte_count, metavar="SIZE", help="Memory at most, as 512M or 2G.", rich_help_panel=_GETS),
    ] = None,
    cpus: Annotated[
        float | None, typer.Option(metavar="N", help="Processor cores at most, as 0.5.", rich_help_panel=_GETS)
    ] = None,
    pids: Annotated[int | None, typer.Option(metavar="N", help="Processes at most.", rich_help_panel=_GETS)] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Hand over this variable of yours (repeatable).", rich_help_panel=_GETS),
    ] = None,
    env_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Hand over its lines of NAME=VALUE.", rich_help_panel=_GETS)
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Refuse it where an older node that may take it lacks what it asks; not for a cancel: see --needs.",
            rich_help_panel=_WHERE,
        ),
    ] = False,
    needs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="cancel|time_limit",
            help="Refuse it where an older node that may take it cannot do this (repeatable).",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it until it has ended.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Create a task.

    With --follow the exit code is 0 when the task succeeds and 7 when it does not.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected

    if cron and follow:
        raise CliError("a schedule never ends: --follow cannot watch it", "leave --follow out", Exit.USAGE)
    given: dict[str, Any] = {
        "prompt": prompt_of(prompt),
        "title": title,
        "target_node_name": to,
        "target_tags": pairs(tag, "--tag"),
        "capabilities": capability,
        "each": each,
        "priority": priority,
        "timeout_seconds": timeout,
        "scheduled_for": at,
        "queue_timeout_seconds": expires_in,
        "recurrence": cron,
        "time_zone": time_zone,
        "missed_runs": missed_runs,
        "on_failure": on_failure,
        "max_attempts": max_attempts,
        "backoff_seconds": backoff,
        "retry_on": retry_on,
        "image": image,
        "env": environment(env, env_file, os.environ),
        "limits": limits_of(memory, cpus, pids),
        "strict": strict or None,
        "needs": needs,
    }
    paths = file or []
    body = body_of({name: value for name, value in given.items() if value is not None}, paths)
    with connected(ctx) as client:
        if node is not None:
            body.target_node_id = lookup.node(client, node).id
        body.depends_on = [lookup.task_id(client, other) for other in after or ()] or None
        body.files = [client.upload(path).filename for path in paths] or None
        _made(client, body, output, follow=follow)


def _made(client: "QbClient", body: "TaskCreate", output: Format, *, follow: bool) -> None:
    from qb.contract.tasks import GroupCreate

    if isinstance(body, GroupCreate):
        made = client.create_group(body)
        _warn(made.warnings)
        group: Group = made
        if follow:
            group = groups.until_ended(client, group.id, None)
        groups.shown(group, output)
        if follow:
            groups.verdict(group)
        return
    task = client.create_task(body)
    _warn(task.warnings)
    if follow:
        tasks.followed(client, task, output)
    else:
        tasks.listed([task], output)


def _warn(warnings: list[str]) -> None:
    from qb.cli.terminal import one_line

    for warning in warnings:
        typer.echo(f"warning: {one_line(warning)}", err=True)

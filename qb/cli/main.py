"""The `qb` command: every noun in one place, and the outermost loop that turns errors into exit codes."""

import os
import sys
from contextlib import suppress
from typing import Annotated

import typer
from typer.main import get_command

from qb import __version__
from qb.cli import (
    audit,
    dashboard,
    database,
    demo,
    doctor,
    group,
    init,
    inventory,
    key,
    mcp,
    node,
    node_change,
    provision,
    schedule,
    serve,
    task,
    task_answer,
    task_cleanup,
    task_create,
    task_list,
    task_record,
    task_waiting,
    token,
    transcript,
    version,
    webhook,
)
from qb.cli.exits import CliError, Exit, Misuse
from qb.cli.options import examples

app = typer.Typer(
    help="All-Time Quarterback: run LLM agents in containers on your own machines.\n\n"
    "The key comes from QB_API_KEY or the profile, never from the command line, where others could read it.",
    epilog=examples(
        "qb init --data-dir ~/qb && qb serve --data-dir ~/qb",
        'qb task create "Summarise sales.csv" --file sales.csv --follow',
        "qb --profile lab node list",
    ),
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"qb {__version__}")
        raise typer.Exit


@app.callback()
def root(
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Address of the orchestrator; else QB_URL or the profile's.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which profile to use; else QB_PROFILE_NAME or 'default'.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that go before the command."""


app.command(epilog=examples("qb init --data-dir ~/qb", "qb --profile lab init --data-dir /srv/qb --json"))(init.init)
app.command(
    epilog=examples(
        "qb serve --data-dir ~/qb",
        "qb serve --data-dir ~/qb --host 127.0.0.1 --host 10.88.0.1 --port 9000",
    )
)(serve.serve)
app.command(epilog=examples("qb doctor", "qb doctor --data-dir ~/qb", "qb doctor -o json"))(doctor.doctor)
task_create.register(task.app)
task_list.register(task.app)
task.register(task.app)
task_waiting.register(task.app)
task_record.register(task.app)
transcript.register(task.app)
task_cleanup.register(task.app)
task_answer.register(task.app)
app.add_typer(task.app, name="task")
node_change.register(node.app)
app.add_typer(group.app, name="group")
app.add_typer(schedule.app, name="schedule")
app.add_typer(node.app, name="node")
app.add_typer(inventory.app, name="inventory")
app.add_typer(key.app, name="key")
app.add_typer(token.app, name="token")
app.command(epilog=examples("qb audit", "qb audit --action credential_refused -o wide"))(audit.audit)
app.command(epilog=examples("qb provision --check", "qb provision --limit 'berlin-*'"))(provision.provision)
app.add_typer(database.app, name="db")
app.add_typer(dashboard.app, name="dashboard")
app.add_typer(webhook.app, name="webhook")
app.command(epilog=examples("qb version", "qb version -o json"))(version.version)
mcp.register(app)
demo.register(app)


def run() -> None:
    """Console entry point. Errors are one line and a hint on stderr, never a traceback (QB_DEBUG=1 shows it)."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code = _answer()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader has gone; what is still buffered goes nowhere, quietly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.FAILURE
    sys.exit(code)


def _answer() -> int:
    try:
        return int(get_command(app).main(prog_name="qb", standalone_mode=False) or 0)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except CliError as error:
        return _complain(error)
    except typer.TyperException as error:
        return _complain(_usage(error))
    except typer.Abort:
        return Exit.INTERRUPTED
    except Exception as error:
        # the outermost loop: a bug, too, is told in one line
        if os.environ.get("QB_DEBUG"):
            raise
        name = type(error).__name__
        return _complain(CliError(f"unexpected {name}: {error}", "set QB_DEBUG=1 to see where, and report it"))


def _usage(error: typer.TyperException) -> CliError:
    ctx = getattr(error, "ctx", None)
    command = ctx.command_path if ctx else "qb"
    hint = f"see `{command} --help`"
    if isinstance(error, Misuse):
        return CliError(error.message, hint, Exit.USAGE)
    message = _message(error)
    if any(f"No such option: {option}" in message for option in ("--url", "--profile")):
        hint = "it goes before the command: qb --url URL task list"
    elif "No such option: --api-key" in message:
        hint = "set QB_API_KEY instead: others can read a command line"
    return CliError(message[:1].lower() + message[1:].rstrip("."), hint, Exit(error.exit_code))


def _message(error: typer.TyperException) -> str:
    from pydantic import ValidationError

    if isinstance(error, typer.BadParameter) and isinstance(error.__cause__, ValidationError):
        from qb.cli.wording import worded

        error.message = worded(error.__cause__.errors()[0])
    return error.format_message()


def _complain(error: CliError) -> int:
    with suppress(BrokenPipeError):
        # group without a command: the help it prints is the whole message
        if error.message.startswith("usage:"):
            sys.stderr.write(error.message.replace("usage:", "Usage:", 1) + "\n")
        else:
            sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        sys.stderr.flush()
    return error.exit_code

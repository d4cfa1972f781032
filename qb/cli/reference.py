"""docs/cli.md, written from the program itself: `python -m qb.cli.reference > docs/cli.md`."""

import sys
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from qb.cli.exits import Exit
from qb.cli.main import app

_INTRO = """\
# The `qb` command

Written by `python -m qb.cli.reference > docs/cli.md` from the program's own help; change it there.

The orchestrator's address is `--url`, else `QB_URL`, else the profile's; the key is `QB_API_KEY`, else the
profile's. Profiles are in `profile.toml` of your configuration folder (`QB_PROFILE` names another file), which
`qb init` writes; `--profile` or `QB_PROFILE_NAME` chooses one. `QB_CA_FILE` is a CA for a server with a private one.

`-o table` is for reading and fits the terminal; piped, nothing is cut and nothing is coloured. `-o wide` has all
columns, `-o json` and `-o yaml` all fields, `-o id` one id a line.

| exit code | meaning |
|---|---|
"""

_MEANING = {
    Exit.OK: "it worked; with `--follow` and `wait`: the task succeeded",
    Exit.FAILURE: "it did not work; stderr says why and what mends it",
    Exit.USAGE: "the command line, or a value in it, cannot be",
    Exit.DENIED: "the key is missing, not known, or not for this",
    Exit.NOT_FOUND: "there is no such task, node or file",
    Exit.CONFLICT: "it is not in a state that allows this",
    Exit.TASK_FAILED: "the task ended in error, or was cancelled",
    Exit.TIMED_OUT: "what was waited for has not happened in time",
    Exit.INTERRUPTED: "Ctrl-C",
}


def pages() -> Iterator[tuple[str, str]]:
    """Every command's full name and help page, 80 columns wide, parents first."""
    yield from _walk(get_command(app), None, "qb")


def _walk(command: Any, parent: Any, name: str) -> Iterator[tuple[str, str]]:
    ctx = command.context_class(
        command, info_name=name, parent=parent, terminal_width=80, help_option_names=["-h", "--help"]
    )
    yield ctx.command_path, command.get_help(ctx)
    shown = {name: each for name, each in getattr(command, "commands", {}).items() if not each.hidden}
    for child, subcommand in sorted(shown.items()):
        yield from _walk(subcommand, ctx, child)


def document() -> str:
    """The whole of docs/cli.md."""
    codes = "".join(f"| {code.value} | {_MEANING[code]} |\n" for code in Exit)
    parts = [f"\n## `{name}`\n\n```text\n{page.strip()}\n```\n" for name, page in pages()]
    return _INTRO + codes + "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(document())

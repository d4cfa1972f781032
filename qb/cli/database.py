"""`qb db`: the control plane's data on disk.

With init.py, serve.py and data_dir.py all of the command line that reaches the server's packages.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from qb.cli.data_dir import DataDir, explained, option
from qb.cli.exits import CliError
from qb.cli.options import Format, Output, examples

app = typer.Typer(
    help="The control plane's data on disk: backups, restores, checks.",
    epilog=examples("qb db backup ~/backups/monday.tar --data-dir ~/qb", "qb db check --data-dir ~/qb"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog=examples("qb db migrate --data-dir ~/qb"))
def migrate(data_dir: DataDir, output: Output = Format.TABLE) -> None:
    """Bring the database up to date.

    While no server runs; `qb serve` does so by itself.
    """
    with explained():
        from qb.service import maintenance

        applied = maintenance.migrate(data_dir)
    words = f"applied: {', '.join(applied)}" if applied else "the database is up to date"
    _answer({"applied": applied}, [words], output)


@app.command(
    epilog=examples("qb db backup ~/backups/monday.tar --data-dir ~/qb", "qb db backup /mnt/backups/qb-$(date +%F)")
)
def backup(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A new directory, or a new file named *.tar.")],
    data_dir: DataDir,
    output: Output = Format.TABLE,
) -> None:
    """Back the whole control plane up, while it serves.

    Databases, secret and files. Whoever has the backup can act as the server: keep it as safe as the server itself.
    """
    with explained():
        from qb.service.backup import backup as run

        made = run(data_dir, target, now=datetime.now(UTC))
    data = {"backup": str(made.place), "blobs": made.blobs, "bytes": made.size}
    _answer(data, [f"{made.place}: files: {made.blobs}, bytes: {made.size}"], output)


@app.command(
    epilog=examples(
        "qb db restore ~/backups/monday.tar --data-dir ~/qb-new",
        "qb db restore file:///srv/qb --parts ~/backups/monday --data-dir ~/qb",
    )
)
def restore(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A backup, or the URL of a replica.")],
    data_dir: DataDir,
    parts: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With a replica: where secret and blobs/ are.")
    ] = None,
    cancel_pending: Annotated[
        bool, typer.Option("--cancel-pending", help="Cancel what was pending: it may have run since.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Make a new data directory from a backup or a replica.

    Nodes go on with their keys. Tasks that were pending wait 75 s after the first start for a node to say that it
    runs them, and are then run; those that ended since the backup was made would run again: --cancel-pending.
    """
    with explained():
        from qb.service import restore as restoring

        now = datetime.now(UTC)
        if "://" in source:
            if parts is None:
                raise CliError("a replica holds the databases only", "name with --parts where secret and blobs/ are")
            restored = restoring.from_replica(source, parts, data_dir, now=now, cancel_pending=cancel_pending)
        else:
            restored = restoring.from_backup(Path(source), data_dir, now=now, cancel_pending=cancel_pending)
    lines = [
        f"{data_dir}: restored as epoch {restored.epoch}" + (f", from {restored.made_at}" if restored.made_at else "")
    ]
    if restored.pending:
        lines.append(f"{restored.pending} pending tasks will run, unless their nodes hold them already")
    if restored.cancelled:
        lines.append(f"{restored.cancelled} pending tasks were cancelled")
    lines.append(f"Next: qb serve {option(data_dir)}")
    data = {
        "data_dir": str(data_dir),
        "epoch": restored.epoch,
        "made_at": restored.made_at,
        "pending": restored.pending,
        "cancelled": restored.cancelled,
    }
    _answer(data, lines, output)


@app.command(epilog=examples("qb db check --data-dir ~/qb", "qb db check --data-dir ~/qb -o json"))
def check(data_dir: DataDir, output: Output = Format.TABLE) -> None:
    """Look the databases and files over.

    It changes nothing, and the server may run.
    """
    with explained():
        from qb.service.checking import check as run

        found = run(data_dir)
    data = {"tasks": found.tasks, "blobs": found.blobs, "problems": found.problems, "notes": found.notes}
    lines = [*found.problems, *(f"note: {note}" for note in found.notes)]
    if not found.problems:
        lines.append(f"{data_dir}: sound, {found.tasks} tasks, files: {found.blobs}")
    _answer(data, lines, output)
    if found.problems:
        count = len(found.problems)
        raise CliError(f"{data_dir}: {count} problem{'s' if count > 1 else ''}", "restore a backup made before")


def _answer(data: dict[str, object], lines: list[str], output: Format) -> None:
    from qb.cli.output import emit_data
    from qb.cli.terminal import one_line

    if output.for_people:
        for line in lines:
            typer.echo(one_line(line))
    elif output is Format.ID:
        typer.echo(str(next(iter(data.values()))))
    else:
        emit_data(data, output)

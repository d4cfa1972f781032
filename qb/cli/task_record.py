"""`qb task logs|events|artifacts`: what a task left behind."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qb.cli.exits import CliError, Exit
from qb.cli.options import Format, Output, TaskId, examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qb.client import QbClient
    from qb.contract.tasks import Artifact, OutputLine

_PAGE = 1000


def register(app: typer.Typer) -> None:
    """Add the three commands to `qb task`."""
    app.command(
        epilog=examples("qb task logs 3f2a", "qb task logs 3f2a -f", "qb task logs 3f2a 2>/dev/null | grep total")
    )(logs)
    app.command(epilog=examples("qb task events 3f2a", "qb task events 3f2a -o wide"))(events)
    app.command(epilog=examples("qb task artifacts 3f2a", "qb task artifacts 3f2a --download results"))(artifacts)


def logs(
    ctx: typer.Context,
    task: TaskId,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the task has ended.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Print what the container printed.

    Its stdout goes to stdout, its stderr to stderr. -o wide adds time, attempt and stream; -o json with -f prints one
    object a line.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.output import emit_data, emit_line

    with connected(ctx) as client:
        task_id = lookup.ending_task_id(client, task) if follow else lookup.task_id(client, task)
        lines = _following(client, task_id) if follow else _pages(client, task_id)
        if output.for_people:
            for line in lines:
                _print(line, wide=output is Format.WIDE)
        elif output is Format.ID:
            for line in lines:
                typer.echo(line.id)
        elif follow:
            for line in lines:
                emit_line(line.model_dump(mode="json"))
        else:
            emit_data([line.model_dump(mode="json") for line in lines], output)


def events(ctx: typer.Context, task: TaskId, output: Output = Format.TABLE) -> None:
    """Show a task's history, the oldest event first."""
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.output import show_many
    from qb.cli.views import EVENTS

    with connected(ctx) as client:
        history = client.task_events(lookup.task_id(client, task))
    show_many(history, EVENTS, output, now=datetime.now(UTC), empty="no events")


def artifacts(
    ctx: typer.Context,
    task: TaskId,
    download: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save the files in this directory; it is made when missing.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """List the files that a task left, or download them.

    A file that is there already is never overwritten with other content.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.output import show_many
    from qb.cli.views import ARTIFACTS

    with connected(ctx) as client:
        task_id = lookup.task_id(client, task)
        found = client.artifacts(task_id)
        if download is not None:
            _save(client, task_id, found, download)
    show_many(found, ARTIFACTS, output, now=datetime.now(UTC), key="name", empty="no artifacts")


def _pages(client: "QbClient", task_id: str) -> "Iterator[OutputLine]":
    after = 0
    while page := client.task_output(task_id, after=after, limit=_PAGE):
        yield from page
        after = page[-1].id


def _following(client: "QbClient", task_id: str) -> "Iterator[OutputLine]":
    from contextlib import closing

    from qb.cli.feed import Feed, Lost
    from qb.cli.terminal import one_line

    with closing(Feed(lambda after: client.follow_output(task_id, after=after))) as feed:
        for entry in feed:
            if isinstance(entry, Lost):
                typer.echo(f"{one_line(str(entry.error))}: trying again", err=True)
            elif entry is not None:
                yield entry


def _print(line: "OutputLine", *, wide: bool) -> None:
    from qb.cli.terminal import inert, is_terminal
    from qb.contract.states import Stream

    # what is not the container's own stdout is not data: where output is cut, that is said on stderr too
    stream = sys.stdout if wide or line.stream is Stream.STDOUT else sys.stderr
    text = inert(line.text) if is_terminal(stream) else line.text
    if wide:
        text = f"{line.at}  {line.attempt}  {line.stream}  " + text.rstrip("\n") + "\n"
    stream.write(text)
    stream.flush()


def _save(client: "QbClient", task_id: str, found: "list[Artifact]", folder: Path) -> None:
    from qb.contract.text import check_file_name

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for artifact in found:
            # the name comes over the network: it must not lead out of the folder
            _save_one(client, task_id, artifact, folder / check_file_name(artifact.name))
    except ValueError as error:
        raise CliError(f"an artifact has a name that is no file name: it {error}", "download it by hand") from error
    except OSError as error:
        raise CliError(f"cannot write to {folder}: {error.strerror or error}", "name another directory") from error


def _save_one(client: "QbClient", task_id: str, artifact: "Artifact", target: Path) -> None:
    import hashlib
    from tempfile import NamedTemporaryFile

    if target.exists():
        with target.open("rb") as there:
            if hashlib.file_digest(there, "sha256").hexdigest() == artifact.checksum:
                return
        raise CliError(f"{target} exists and differs", "name another directory", Exit.CONFLICT)
    digest = hashlib.sha256()
    with NamedTemporaryFile(dir=target.parent, prefix=".qb-", delete=False) as draft:
        place = Path(draft.name)
        try:
            with client.get_artifact(task_id, artifact.name) as chunks:
                for chunk in chunks:
                    digest.update(chunk)
                    draft.write(chunk)
            draft.flush()
            if digest.hexdigest() != artifact.checksum:
                raise CliError(f"{artifact.name} arrived damaged: its checksum differs", "download it again")
            # a temporary file is private; what the person asked for follows their umask
            place.chmod(0o666 & ~_umask())
            place.replace(target)
        finally:
            place.unlink(missing_ok=True)


def _umask() -> int:
    import os

    mask = os.umask(0o077)
    os.umask(mask)
    return mask

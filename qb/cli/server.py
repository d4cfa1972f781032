"""`qb init` and `qb serve`: the only commands that reach the server's own packages.

They are imported when a command runs, so that the rest of `qb` works where only the client is installed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from qb.cli.exits import CliError, Exit
from qb.cli.options import byte_count, duration

DEFAULT_PORT = 8080
DataDir = Annotated[
    Path, typer.Option(metavar="DIR", help="Where the control plane keeps everything.", envvar="QB_DATA_DIR")
]


def init(
    ctx: typer.Context,
    data_dir: DataDir,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help=f"Address to write in the profile; default http://127.0.0.1:{DEFAULT_PORT}."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a profile that leads to another server.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a data directory, and print its keys.

    An admin key and a registration token are shown this once. The key also goes into your profile file (mode
    0600), so that `qb` works at once. `qb --profile NAME init` chooses the profile; one that leads to another
    server is left alone without --force.
    """
    from qb.cli.profile import Profile, profile_path, read_profiles, write_profile

    address = (url or _root(ctx, "url") or f"http://127.0.0.1:{DEFAULT_PORT}").rstrip("/")
    name = _root(ctx, "profile") or os.environ.get("QB_PROFILE_NAME") or "default"
    path = profile_path(os.environ)
    known = read_profiles(path).get(name)
    keep = known is not None and known.url != address and not force
    with explained():
        from qb.service.setup import initialise

        made = initialise(data_dir, now=datetime.now(UTC))
    problem: CliError | None = None
    if not keep:
        try:
            write_profile(path, name, Profile(address, made.admin_key))
        except CliError as error:
            # the keys exist only here: they are printed before this is told
            problem = error
    written = not keep and problem is None
    if json:
        from qb.cli.output import emit_line

        emit_line(
            {
                "data_dir": str(data_dir.resolve()),
                "url": address,
                "admin_key": made.admin_key,
                "registration_token": made.registration_token,
                "profile": name if written else None,
                "profile_file": str(path) if written else None,
            }
        )
    else:
        typer.echo(f"Data directory      {data_dir}")
        typer.echo(f"Admin key           {made.admin_key}")
        typer.echo(f"Registration token  {made.registration_token}")
        typer.echo("Both are shown this once: keep them safe.\n")
        if written:
            typer.echo(f"Profile {name!r} for {address} is written to {path}.")
        typer.echo(f"Next: qb serve --data-dir {data_dir}")
    if keep and known:
        typer.echo(
            f"note: profile {name!r} in {path} still leads to {known.url}; "
            f"use the new key through QB_URL and QB_API_KEY, or put it into another profile",
            err=True,
        )
    if problem:
        raise problem


def serve(
    data_dir: DataDir,
    host: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="Address to listen on (repeatable); default 127.0.0.1.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port; 0 takes a free one.")] = DEFAULT_PORT,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Address at which nodes reach this server.")] = None,
    agent_url: Annotated[str | None, typer.Option(metavar="URL", help="Address at which containers reach it.")] = None,
    dashboard_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Address of the Datasette dashboard.")
    ] = None,
    keyless_reports: Annotated[
        bool, typer.Option("--keyless-reports", help="Take reports without a key: generation A sends none.")
    ] = False,
    metrics_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="One line: the key that /metrics asks for; else it is open.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND=DAYS", help="Retention, as output=7 or tasks=forever (repeatable)."),
    ] = None,
    webhook_network: Annotated[
        list[str] | None,
        typer.Option(metavar="CIDR", help="Private network that webhooks may lead to (repeatable)."),
    ] = None,
    replicate: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send every change there with Litestream, as file:///srv/replica."),
    ] = None,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Log every request, not refusals alone.")
    ] = False,
    crush_server_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Address of a Crush server, which tasks link their session to.")
    ] = None,
    crush_session_path: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Where a session is there; default /sessions/{session}."),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="CIDR", help="Believe X-Forwarded-For from there alone (repeatable)."),
    ] = None,
    file_limit: Annotated[
        int | None, typer.Option(parser=byte_count, metavar="SIZE", help="Largest file or artifact taken; default 1G.")
    ] = None,
    task_limit: Annotated[
        int | None,
        typer.Option(
            parser=byte_count, metavar="SIZE", help="Largest sum of a task's files, and of its artifacts; default 4G."
        ),
    ] = None,
    storage_limit: Annotated[
        int | None,
        typer.Option(parser=byte_count, metavar="SIZE", help="Largest sum of all files and artifacts; default 64G."),
    ] = None,
    output_limit: Annotated[
        int | None,
        typer.Option(parser=byte_count, metavar="SIZE", help="What is kept of a task's output; default 256M."),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CA of push nodes that have a private one.", exists=True)
    ] = None,
    loopback_nodes: Annotated[
        bool, typer.Option("--loopback-nodes", help="Let push nodes be on this machine.")
    ] = False,
    dispatch_user: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whom to log in as where Ansible brings tasks; default qb-runner."),
    ] = None,
    dispatch_launcher: Annotated[
        str | None, typer.Option(metavar="PATH", help="What it runs there; default: what the role runner installs.")
    ] = None,
    upload_grace: Annotated[
        int | None,
        typer.Option(parser=duration, metavar="TIME", help="How long an upload waits for its task; default 1d."),
    ] = None,
) -> None:
    """Serve a data directory: the control plane.

    Until SIGTERM or Ctrl-C; SIGHUP lets a new worker take over.
    """
    with explained():
        from qb.domain.destinations import Policy
        from qb.domain.operations import Operations
        from qb.domain.retention import Retention
        from qb.service import replication

        if replicate is not None:
            replication.checked_url(replicate)
            replication.program()

        operations = Operations(
            metrics_key_file=metrics_key_file,
            webhook_networks=Policy.of(webhook_network or ()),
            retention=Retention.of(keep or ()),
            log_requests=log_requests,
            replicate=replicate,
            dispatch_user=dispatch_user,
            dispatch_launcher=dispatch_launcher,
        )
        from qb.api.server import ServeSettings
        from qb.api.server import serve as run
        from qb.domain.quotas import Quotas

        quotas = {
            "file": file_limit,
            "task": task_limit,
            "total": storage_limit,
            "output": output_limit,
            "unused": upload_grace,
        }
        run(
            ServeSettings(
                data_dir=data_dir,
                trusted_proxies=tuple(trusted_proxy or ()),
                hosts=tuple(host or ["127.0.0.1"]),
                port=port,
                url=url,
                agent_url=agent_url,
                dashboard_url=dashboard_url,
                keyless_reports=keyless_reports,
                operations=operations,
                crush_server_url=crush_server_url,
                **({} if crush_session_path is None else {"crush_session_path": crush_session_path}),
                node_ca_file=ca_file,
                loopback_nodes=loopback_nodes,
                quotas=Quotas(**{name: value for name, value in quotas.items() if value is not None}),
            )
        )


def check_database(data_dir: Path) -> str:
    """What is found in `data_dir`, in words. Raises CliError when it cannot be served from."""
    hint = "put it back from a backup: qb.db, keys.db, secret and blobs/ together"
    missing = [part for part in ("qb.db", "keys.db", "secret", "blobs") if not (data_dir / part).exists()]
    if len(missing) == 4:
        raise CliError(f"{data_dir} holds no control plane", f"make one: qb init --data-dir {data_dir}")
    if missing:
        raise CliError(f"{', '.join(missing)} missing in {data_dir}", hint)
    for part in ("keys.db", "secret"):
        if (data_dir / part).stat().st_mode & 0o077:
            raise CliError(f"{data_dir / part} can be read by others", f"chmod 600 {data_dir / part}")
    import sqlite3

    with explained():
        from qb.store.database import connect

        try:
            connection = connect(data_dir / "qb.db", read_only=True)
            try:
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                tasks = connection.execute("SELECT count(*) FROM tasks").fetchone()[0]
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise CliError(f"{data_dir / 'qb.db'} cannot be read: {error}", hint) from error
    if verdict != "ok":
        raise CliError(f"{data_dir / 'qb.db'} is damaged: {verdict}", hint)
    return f"{data_dir}: sound, {tasks} tasks"


@contextmanager
def explained() -> Iterator[None]:
    from qb.cli.refusals import BY_CODE

    try:
        from qb.domain.errors import QuarterbackError
    except ImportError as error:
        raise _not_installed(error) from error
    try:
        yield
    except QuarterbackError as error:
        answer = BY_CODE[error.code]
        # the server's own messages already tell the mend
        raise CliError(str(error), None, answer.exit_code) from error
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    except OSError as error:
        raise CliError(f"{error.filename or 'the data directory'}: {error.strerror or error}", None) from error


def _not_installed(error: ImportError) -> CliError:
    return CliError(
        f"the server's part is not installed here ({error.name} is missing)",
        "pip install 'all-time-quarterback[server]'",
        Exit.FAILURE,
    )


def _root(ctx: typer.Context, option: str) -> str | None:
    value = ctx.find_root().params.get(option)
    return str(value) if value else None

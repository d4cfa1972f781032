"""`qb serve`: the control plane."""

from pathlib import Path
from typing import Annotated

import typer

from qb.cli.data_dir import DEFAULT_PORT, DataDir, explained
from qb.cli.options import byte_count, duration


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
        from qb.api.server import ServeSettings
        from qb.api.server import serve as run
        from qb.domain.destinations import Policy
        from qb.domain.operations import Operations
        from qb.domain.quotas import Quotas
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

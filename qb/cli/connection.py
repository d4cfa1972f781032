"""A client for the orchestrator that the options, the environment or the profile name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from qb.cli.profile import Settings, settings
from qb.cli.refusals import explained
from qb.client import QbClient


@contextmanager
def connected(ctx: typer.Context) -> Iterator[QbClient]:
    """Yield a client; it is closed after. What it raises comes out as CliError."""
    known = current(ctx)
    with explained(), open_client(known) as client:
        yield client


def open_client(known: Settings, *, timeout: float = 30.0) -> QbClient:
    """A client for `known`; the caller closes it. Raises ClientError for an address that cannot be."""
    return QbClient(known.url, api_key=known.api_key, ca_file=known.ca_file, timeout=timeout)


def current(ctx: typer.Context) -> Settings:
    """The settings of this invocation."""
    chosen = ctx.find_root().params
    return settings(os.environ, url=chosen.get("url"), name=chosen.get("profile"))

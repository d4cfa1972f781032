"""The reporter's process: serve until the agent is gone, then flush."""

import logging
import os
import signal
import sys
import time
from datetime import UTC, datetime

import anyio
from anyio import to_thread
from mcp.server import MCPServer
from mcp.server.stdio import stdio_server

from mcp_status.asking import Asking
from mcp_status.extra_tools import ExtraTools
from mcp_status.reporter import Reporter
from mcp_status.server import build_server
from mcp_status.settings import Settings, Unconfigured
from mcp_status.tools import Tools
from mcp_status.wire import Wire
from qb.client.errors import ClientError

_log = logging.getLogger("mcp_status")


def serve(settings: Settings | Unconfigured, wire: Wire) -> int:
    """Serve until the wire ends or SIGTERM comes; returns the exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="mcp_status: %(levelname)s: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    reporter = _reporter(settings)
    if isinstance(reporter, Unconfigured):
        _log.warning("not configured: %s", " ".join(reporter.problems))
    tools = Tools(reporter, lambda: datetime.now(UTC))
    extras = ExtraTools(reporter, Asking(reporter) if isinstance(reporter, Reporter) else None)
    anyio.run(_until_the_wire_ends, build_server(tools, extras), wire, reporter)
    # clients send SIGTERM soon after closing stdin; the flush may still need its seconds
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _flush(reporter)
    return 0


def _reporter(settings: Settings | Unconfigured) -> Reporter | Unconfigured:
    if isinstance(settings, Unconfigured):
        return settings
    try:
        return Reporter(settings, lambda: time.time_ns() // 1_000_000)
    except ClientError as error:
        return Unconfigured((f"The settings cannot be used: {error}.",))


async def _until_the_wire_ends(server: MCPServer[None], wire: Wire, reporter: Reporter | Unconfigured) -> None:
    reads, writes = (anyio.wrap_file(each) for each in wire.streams())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_leave_on_sigterm, reporter)
        async with stdio_server(reads, writes) as (received, sent):
            # `run_stdio_async` does this, too, but takes no streams
            inner = server._lowlevel_server
            await inner.run(received, sent, inner.create_initialization_options())
        tasks.cancel_scope.cancel()


async def _leave_on_sigterm(reporter: Reporter | Unconfigured) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            await to_thread.run_sync(_flush, reporter)
            # the thread that reads stdin cannot be interrupted, so no ordinary exit
            os._exit(0)


def _flush(reporter: Reporter | Unconfigured) -> None:
    left = reporter.close() if isinstance(reporter, Reporter) else 0
    if left:
        _log.error("%d reports, files or logs could not be delivered", left)

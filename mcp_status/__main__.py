"""Command line of the status reporter: an MCP server on stdin and stdout, or a check for a person."""

import argparse
import gc
import os
import sys
from pathlib import Path

from mcp_status.settings import overlaid, read_env_file, read_settings
from mcp_status.wire import Wire
from qb.imports import leave_out

USAGE = 2
NEEDLESS = ("rich", "uvicorn")
"""What the SDK loads where it is there, and does without where it is not: 4 MB for pretty logs and serving HTTP."""


def main(argv: list[str] | None = None) -> int:
    """Run the reporter; returns the exit code: 0 well, 1 a check failed, 2 usage."""
    options = _options(argv)
    environ = dict(os.environ)
    if options.env_file:
        try:
            environ = overlaid(environ, read_env_file(options.env_file))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            print(f"mcp_status: cannot read {options.env_file}: {reason}", file=sys.stderr)
            print("Hint: --env-file takes a file of NAME=VALUE lines.", file=sys.stderr)
            return USAGE
    settings = read_settings(environ)
    if options.check:
        from mcp_status.check import run_check

        return run_check(settings, print)
    wire = Wire()
    wire.greet()
    # loading makes a great many objects and no garbage
    gc.disable()
    leave_out(NEEDLESS)
    from mcp_status.stdio import serve

    gc.freeze()
    gc.enable()
    return serve(settings, wire)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mcp_status",
        description="MCP server (stdio) with which an agent reports on its task.",
        epilog="Settings: ORCHESTRATOR_URL, TASK_ID or JOB_ID, NODE_API_KEY. "
        "Example: python -m mcp_status --check --env-file .env",
    )
    parser.add_argument("--check", action="store_true", help="say whether reports would get through, and leave")
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="read NAME=VALUE lines; they win over the environment"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

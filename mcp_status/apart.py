"""Sends Crush's log from a process of its own: it takes many times the log's size, and the reporter must stay small.

The reporter writes one line of JSON to it, the request, and reads one back. It ends when its stdin does: it never
outlives the reporter.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from mcp_status.crush_log import LogsSent, NoTranscript, Wanted
from mcp_status.settings import Settings
from qb.client.errors import BadAnswer, ClientError, Refused, Unreachable
from qb.contract.errors import ErrorCode

COMMAND = (sys.executable, "-m", "mcp_status.apart")
MARGIN = 2.0
"""Seconds that it may take beyond its time, to say so itself."""

_KINDS: dict[str, type[ClientError]] = {each.__name__: each for each in (NoTranscript, Unreachable, BadAnswer)}


def send_logs_apart(settings: Settings, wanted: Wanted, seconds: float) -> LogsSent:
    """As `send_logs` does in this process. Raises ClientError."""
    request = {
        "settings": [settings.url, settings.task_id, settings.api_key, settings.ca_file],
        "folders": [str(folder.absolute()) for folder in settings.crush_folders],
        "wanted": [wanted.since, wanted.session_id],
        "seconds": seconds,
    }
    until = time.monotonic() + seconds + MARGIN
    try:
        with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            timer = threading.Timer(seconds + MARGIN, process.kill)
            timer.daemon = True
            timer.start()
            try:
                answer = _exchange(process.stdin, process.stdout, json.dumps(request).encode() + b"\n")
            finally:
                timer.cancel()
                process.kill()
    except OSError as error:
        raise Unreachable(f"the log cannot be sent: {error}") from error
    if answer.endswith(b"\n"):
        return _outcome(json.loads(answer))
    if time.monotonic() >= until:
        raise Unreachable("the log took too long to send")
    raise ClientError(f"the log cannot be read: what reads it ended with {process.returncode}")


def _exchange(to: IO[bytes] | None, back: IO[bytes] | None, request: bytes) -> bytes:
    if to is None or back is None:
        return b""
    # not closed, as `communicate` would: the end of its stdin would end the process
    to.write(request)
    to.flush()
    return back.readline()


def _outcome(told: dict[str, Any]) -> LogsSent:
    if "refused" in told:
        status, code, detail, retry_after = told["refused"]
        raise Refused(status, ErrorCode(code) if code else None, detail, retry_after)
    if "problem" in told:
        kind, text = told["problem"]
        raise _KINDS.get(kind, ClientError)(text)
    return LogsSent(Path(told.pop("database")), **told)


def main() -> None:
    """The process: read the request, send, answer."""
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_reporter, daemon=True).start()
    print(json.dumps(_answer(request)), flush=True)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    from mcp_status.crush import send_logs
    from mcp_status.reporter import connect

    settings, wanted = Settings(*request["settings"]), Wanted(*request["wanted"])
    folders = [Path(folder) for folder in request["folders"]]
    try:
        with connect(settings, timeout=request["seconds"]) as client:
            sent = send_logs(client, settings.task_id, folders, wanted, request["seconds"])
    except Refused as error:
        return {"refused": [error.status, error.code, error.detail, error.retry_after]}
    except ClientError as error:
        return {"problem": [type(error).__name__, str(error)]}
    return {
        "database": str(sent.database),
        "sessions": sent.sessions,
        "messages": sent.messages,
        "tokens": sent.tokens,
        "cost": sent.cost,
    }


def _end_with_the_reporter() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()

"""`python -m mcp_status --check`: tell a person whether this reporter would work, and the mend if not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mcp_status.reporter import connect
from mcp_status.settings import Settings, Unconfigured
from qb.client.api import QbClient
from qb.client.errors import ClientError, Refused

CHECK_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result; `mend` says what to do about a failure."""

    name: str
    ok: bool
    text: str
    mend: str = ""


def run_check(settings: Settings | Unconfigured, say: Callable[[str], None]) -> int:
    """Say each finding; returns 0 when all is well, 1 when a check failed. Changes nothing on the server."""
    failed = 0
    for finding in findings(settings):
        say(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name}: {finding.text}")
        if not finding.ok:
            failed += 1
            if finding.mend:
                say(f"      mend: {finding.mend}")
    say("All good: reports will get through." if not failed else f"{failed} of the checks failed.")
    return 1 if failed else 0


def findings(settings: Settings | Unconfigured) -> Iterator[Finding]:
    """Look at the settings, then the orchestrator, then the key; stop where nothing further can be known."""
    if isinstance(settings, Unconfigured):
        for problem in settings.problems:
            said, _, mend = problem.partition(": ")
            yield Finding("settings", False, said, mend or "set it in the container's environment.")
        return
    yield Finding("settings", True, f"task {settings.task_id} at {settings.url}, with {_kind(settings.api_key)}")
    try:
        client = connect(settings, timeout=CHECK_TIMEOUT)
    except ClientError as error:
        yield Finding("orchestrator", False, str(error), "correct ORCHESTRATOR_URL or QB_CA_FILE.")
        return
    with client:
        answers = _orchestrator(client)
        yield answers
        if answers.ok:
            yield _key(client, settings.task_id)


def _orchestrator(client: QbClient) -> Finding:
    try:
        health = client.health()
    except Refused as error:
        mend = "look at the orchestrator's own log; or the address leads elsewhere: correct ORCHESTRATOR_URL."
        return Finding("orchestrator", False, f"GET /health answered {error.status}: {error.detail}", mend)
    except ClientError as error:
        mend = (
            "start it (`qb serve`), or correct ORCHESTRATOR_URL; in a container 127.0.0.1 is the container itself, "
            "the host is host.containers.internal."
        )
        return Finding("orchestrator", False, str(error), mend)
    return Finding("orchestrator", True, f"answers, status {health.status}, version {health.version}")


def _key(client: QbClient, task_id: str) -> Finding:
    try:
        task = client.task(task_id)
    except Refused as error:
        return _refused_key(error)
    except ClientError as error:
        return Finding("key", False, str(error), "try again; if it stays so, look at the orchestrator's log.")
    text = f"accepted; the task is {task.status}, attempt {task.attempt}"
    if task.status.terminal:
        mend = "none needed if the work is over; else make the task anew: reports on an ended one are refused."
        return Finding("key", False, f"accepted, but the task has ended ({task.status})", mend)
    return Finding("key", True, text)


def _refused_key(error: Refused) -> Finding:
    if error.status == 403:
        # a node's key, as older runners hand it over: known, but not for reading tasks
        return Finding("key", True, "known, but no task's token: whether it holds this task is not for it to ask")
    mend = {
        401: "NODE_API_KEY is wrong, revoked or expired: copy it again, or start the task anew for a fresh one.",
        404: "TASK_ID and NODE_API_KEY belong to different tasks, or the task was removed: take both from one run.",
    }.get(error.status, "look at the orchestrator's log.")
    return Finding("key", False, f"the orchestrator answered {error.status}: {error.detail}", mend)


def _kind(key: str) -> str:
    kinds = {"qbt_": "a task token", "qbn_": "a node's key", "qba_": "an admin's key"}
    return kinds.get(key[:4], "a key of unknown kind")

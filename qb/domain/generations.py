"""Which older client a node runs, as its requests tell (wire.md, "Client generations").

No old client says what it is. Each sign fits some generations; a node keeps the one it is known as while that fits,
and else becomes the one that promises least: who is taken for C is never sent a task twice, and may yet prove to be D.
"""

from dataclasses import dataclass
from enum import StrEnum

from qb.contract.states import Generation

REPORTER_AGENT = "victoria-terminal/"
"""User-Agent of generation D's reporter begins so; its runner's does not."""

OLD, A, B, C, D, E = Generation.OLD, Generation.A, Generation.B, Generation.C, Generation.D, Generation.E

REDELIVERED = frozenset({D, E})
"""To these a reply that was lost is sent again: had it arrived, they would have said so by their next heartbeat."""


class Sign(StrEnum):
    """What an old client did that tells something of it."""

    REGISTERED_PUSH = "registered_push"
    REGISTERED_PULL = "registered_pull"
    FOREIGN_NODE_ID = "foreign_node_id"
    OWN_NODE_ID = "own_node_id"
    NAMED_WHEN_IDLE = "named_when_idle"
    JOB_REPORT = "job_report"
    REPORTER_REPORT = "reporter_report"
    RUNNER_RUNNING = "runner_running"
    RUNNER_SESSION = "runner_session"
    RUNNER_VERDICT = "runner_verdict"


@dataclass(frozen=True, slots=True)
class _Meaning:
    fits: frozenset[Generation]
    least: Generation


MEANINGS: dict[Sign, _Meaning] = {
    Sign.REGISTERED_PUSH: _Meaning(frozenset({B}), B),
    Sign.REGISTERED_PULL: _Meaning(frozenset({OLD, B, C, D, E}), OLD),
    Sign.FOREIGN_NODE_ID: _Meaning(frozenset({A, B}), B),
    Sign.OWN_NODE_ID: _Meaning(frozenset({C, D, E}), C),
    Sign.NAMED_WHEN_IDLE: _Meaning(frozenset({D, E}), D),
    Sign.JOB_REPORT: _Meaning(frozenset({OLD, A, B, C}), C),
    Sign.REPORTER_REPORT: _Meaning(frozenset({D}), D),
    Sign.RUNNER_RUNNING: _Meaning(frozenset({E}), E),
    Sign.RUNNER_SESSION: _Meaning(frozenset({E}), E),
    Sign.RUNNER_VERDICT: _Meaning(frozenset({D, E}), D),
}


def learn(known: Generation, sign: Sign) -> Generation:
    """What the node is taken for after the sign."""
    meaning = MEANINGS[sign]
    return known if known in meaning.fits else meaning.least


def heartbeat_sign(*, own_id: bool | None, idle: bool, names_task: bool) -> Sign | None:
    """What a heartbeat tells. `own_id` None: it carries no node id."""
    if idle and names_task:
        return Sign.NAMED_WHEN_IDLE
    if own_id is None:
        return None
    return Sign.OWN_NODE_ID if own_id else Sign.FOREIGN_NODE_ID


def report_sign(*, job_id: bool, user_agent: str | None, status: str | None) -> Sign | None:
    """What a report with the node's key tells. `status` None: it is a session."""
    if job_id:
        return Sign.JOB_REPORT
    if by_reporter(job_id=job_id, user_agent=user_agent):
        return Sign.REPORTER_REPORT
    if status is None:
        return Sign.RUNNER_SESSION
    return {"running": Sign.RUNNER_RUNNING, "success": Sign.RUNNER_VERDICT, "error": Sign.RUNNER_VERDICT}.get(status)


def by_reporter(*, job_id: bool, user_agent: str | None) -> bool:
    """Whether the container's reporter speaks, where runner and reporter have one key: no old runner sends job_id."""
    return job_id or (user_agent or "").startswith(REPORTER_AGENT)

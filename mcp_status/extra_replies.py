"""What the tools beside the reports answer: whether the orchestrator supports them, and what to do next."""

from typing import Any

from pydantic import BaseModel, Field

from mcp_status.delivery import Outcome, Receipt
from mcp_status.settings import Unconfigured


class ExtraReply(BaseModel):
    """What these replies share."""

    configured: bool = Field(description="false: no orchestrator is set up; work on without it")
    supported: bool = Field(default=True, description="false: this orchestrator cannot do it; do not call it again")
    advice: str = Field(description="what to do next")


class LogsReply(ExtraReply):
    """Reply of submit_crush_logs."""

    delivered: bool = Field(default=False, description="the orchestrator has the log")
    queued: bool = Field(default=False, description="being sent in the background: do not repeat it")
    database: str | None = Field(default=None, description="where the log was found")
    sessions: list[str] = Field(default=[], description="ids of the sessions that were sent")
    messages: int = 0
    tokens: int = 0
    cost: float = Field(default=0.0, description="US dollars, all sessions together")


class ArtifactReply(ExtraReply):
    """Reply of attach_artifact."""

    delivered: bool = Field(default=False, description="the orchestrator has the file")
    queued: bool = Field(default=False, description="being sent in the background: leave the file in place")
    name: str | None = None
    size: int | None = Field(default=None, description="bytes")


class AnswerReply(ExtraReply):
    """Reply of ask_operator."""

    answered: bool = Field(default=False, description="true: `answer` holds the operator's words")
    answer: str | None = Field(default=None, description="the operator's answer, in the operator's own words")
    waiting: bool = Field(default=False, description="true: nobody has answered yet, and there is time left")
    remaining_seconds: int | None = Field(default=None, description="seconds that the question still waits")
    cancel_requested: bool = Field(default=False, description="true: stop working, an operator cancelled the task")
    question_id: str | None = None


class MetricReply(ExtraReply):
    """Reply of log_metric."""

    delivered: bool = Field(default=False, description="the orchestrator has the point")
    queued: bool = Field(default=False, description="kept, and delivered in the background: do not repeat it")
    name: str | None = None
    value: float | None = None
    count: int | None = Field(default=None, description="points of this metric so far")


def without(unconfigured: Unconfigured) -> str:
    """What to do where no orchestrator is set up."""
    return "Not connected to an orchestrator: carry on without it. " + " ".join(unconfigured.problems)


def unsupported(what: str) -> str:
    """What to do where the orchestrator is too old."""
    return f"This orchestrator does not support {what}: carry on without it, and do not try again."


def advice(receipt: Receipt[Any], done: str) -> str:
    """What became of something sent, in a sentence."""
    if receipt.outcome is Outcome.DELIVERED:
        return f"{done} Carry on."
    if receipt.outcome is Outcome.QUEUED:
        why = f" ({receipt.problem})" if receipt.problem else ""
        return f"Kept, and sent in the background{why}. Do not repeat it; carry on."
    return f"Not taken: {receipt.problem}. Carry on without it, or mend what the reason names."

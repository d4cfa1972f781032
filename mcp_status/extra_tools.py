"""The tools beside the reports: Crush's log, files, questions to the operator, figures."""

import asyncio
from concurrent.futures import Future
from pathlib import Path
from typing import Annotated, Any, TypeVar

from anyio import to_thread
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field, ValidationError

from mcp_status.artifacts import NoFile, check_path
from mcp_status.asking import Asking, Pending
from mcp_status.delivery import Outcome, Receipt
from mcp_status.extra_replies import AnswerReply, ArtifactReply, LogsReply, MetricReply, advice, unsupported, without
from mcp_status.reporter import Reporter
from mcp_status.settings import Unconfigured
from mcp_status.support import lacks_route, lacks_route_after
from qb.client.errors import ClientError
from qb.contract.questions import MAX_PATIENCE, MOST_OPTIONS, OPTION_CHARS, QUESTION_CHARS

QUICK = 1.5
LARGE = 20.0
"""Seconds that a tool waits for the orchestrator, before it answers `queued`."""

T = TypeVar("T")
SessionId = Annotated[
    str | None, Field(description="one session, with its sub-agents'; by default all that began with this task")
]
FilePath = Annotated[str, Field(description="a file, absolute or from this server's working directory")]
Asked = Annotated[
    str,
    Field(description="one question that can be answered without seeing your work", max_length=QUESTION_CHARS),
]
Options = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=OPTION_CHARS)]] | None,
    Field(description="the answers you expect; the operator may give another", max_length=MOST_OPTIONS),
]
Patience = Annotated[int, Field(description="seconds until you would go on without an answer", ge=1, le=MAX_PATIENCE)]
MetricName = Annotated[str, Field(description="short and always the same, such as rows_read or score")]


class ExtraTools:
    """The four tools; an older orchestrator is told politely. Their docstrings are what the model reads."""

    def __init__(self, reporter: Reporter | Unconfigured, asking: Asking | None) -> None:
        self._reporter = reporter
        self._asking = asking

    async def submit_crush_logs(self, session_id: SessionId = None) -> LogsReply:
        """Send Crush's own log of this task (prompts, steps, cost) to the people who wait for it.

        report_complete and report_error do this by themselves: call it only to show the log in the middle of a long
        task, or a session that is not this task's.
        """
        if isinstance(self._reporter, Unconfigured):
            return LogsReply(configured=False, advice=without(self._reporter))
        receipt = await _receipt(self._reporter.send_logs(session_id), LARGE)
        if await _lacks(self._reporter, receipt):
            return LogsReply(configured=True, supported=False, advice=unsupported("transcripts"))
        reply = LogsReply(configured=True, advice=advice(receipt, "The log is delivered."), **_outcome(receipt))
        if (sent := receipt.answer) is None:
            return reply
        told = {"sessions": sent.sessions, "messages": sent.messages, "tokens": sent.tokens, "cost": sent.cost}
        return reply.model_copy(update={"database": str(sent.database), **told})

    async def attach_artifact(self, path: FilePath) -> ArtifactReply:
        """Hand over a file as a result of this task: a report, a table, a picture.

        Not needed for what you leave in the folder TASK_OUTPUT_DIR, which is collected at the end. Not for
        secrets, and not for every intermediate file. A file of the same name replaces the one before.
        """
        if isinstance(self._reporter, Unconfigured):
            return ArtifactReply(configured=False, advice=without(self._reporter))
        try:
            check_path(Path(path))
        except NoFile as error:
            raise ToolError(f"{error}.") from None
        receipt = await _receipt(self._reporter.files.offer(Path(path)), LARGE)
        if await _lacks(self._reporter, receipt):
            text = unsupported("files from the agent") + " Leave it in TASK_OUTPUT_DIR, if that is set."
            return ArtifactReply(configured=True, supported=False, advice=text)
        kept = receipt.answer
        return ArtifactReply(
            configured=True,
            name=kept.name if kept else Path(path).name,
            size=kept.size if kept else None,
            advice=advice(receipt, "The file is delivered."),
            **_outcome(receipt),
        )

    async def ask_operator(
        self,
        question: Asked,
        options: Options = None,
        timeout: Patience = 600,  # noqa: ASYNC109 - the model's word: how long the question stands, not this call
    ) -> AnswerReply:
        """Ask the person who is responsible for this task, and wait for the answer.

        Only for what you must not decide yourself: something irreversible, a missing permission, two readings of the
        task that lead to different work. Not for progress, and not for what you can find out. The task's own time
        limit goes on while you wait. When the reply says waiting, call this again with the same words.
        """
        if isinstance(self._reporter, Unconfigured) or self._asking is None:
            text = without(self._reporter) if isinstance(self._reporter, Unconfigured) else ""
            return AnswerReply(configured=False, advice=text)
        if not question.strip() or "\x00" in question:
            raise ToolError("question is empty, or holds a NUL: say what the operator should decide.")
        try:
            pending = await self._asking.ask(question, options or [], timeout)
        except ClientError as error:
            if await to_thread.run_sync(lacks_route_after, self._reporter, error):
                return AnswerReply(configured=True, supported=False, advice=_decide(unsupported("questions")))
            return AnswerReply(configured=True, advice=_decide(f"The question could not be asked: {error}."))
        return _answer(pending, self._asking.left(pending))

    async def log_metric(self, name: MetricName, value: float) -> MetricReply:
        """Log a figure that says how the work goes or what it came to: rows read, score, euros saved.

        Log the same name again as it changes; the last value counts, least and most are kept. Not for text, and
        not more often than every few seconds.
        """
        if isinstance(self._reporter, Unconfigured):
            return MetricReply(configured=False, advice=without(self._reporter))
        try:
            sending = self._reporter.log_metric(name, value)
        except ValidationError as error:
            first = error.errors()[0]
            rule = "a name has at most 64 letters, digits, spaces and _.:/%-; a value is a finite number"
            raise ToolError(f"{first['loc'][0]}: {first['msg']}; {rule}.") from None
        receipt = await _receipt(sending, QUICK)
        if await _lacks(self._reporter, receipt):
            return MetricReply(configured=True, supported=False, advice=unsupported("metrics"))
        count = receipt.answer.count if receipt.answer else None
        text = advice(receipt, "Logged.")
        return MetricReply(configured=True, name=name, value=value, count=count, advice=text, **_outcome(receipt))


async def _receipt(sending: "Future[Receipt[T]]", seconds: float) -> Receipt[T]:
    try:
        return await asyncio.wait_for(asyncio.wrap_future(sending), seconds)
    except TimeoutError:
        return Receipt(Outcome.QUEUED, problem="it takes its time")


async def _lacks(reporter: Reporter, receipt: Receipt[Any]) -> bool:
    return receipt.status is not None and await to_thread.run_sync(lacks_route, reporter, receipt)


def _outcome(receipt: Receipt[Any]) -> dict[str, Any]:
    return {
        "delivered": receipt.outcome is Outcome.DELIVERED,
        "queued": receipt.outcome is Outcome.QUEUED,
    }


def _decide(why: str) -> str:
    return f"{why} Take the safer way, and say in your report what you would have asked."


def _answer(pending: Pending, left: int) -> AnswerReply:
    asked = pending.asked
    reply = AnswerReply(configured=True, question_id=asked.id if asked else None, advice="")
    if asked is None:
        text = _decide("The question could not be asked: the orchestrator does not answer.")
        return reply.model_copy(update={"advice": text})
    if asked.answer is not None:
        text = f"{asked.answered_by or 'The operator'} has answered: act on it."
        return reply.model_copy(update={"answered": True, "answer": asked.answer, "advice": text})
    if asked.cancel_requested:
        text = "An operator has cancelled this task: stop now, start nothing new."
        return reply.model_copy(update={"cancel_requested": True, "advice": text})
    if not asked.open or not left:
        return reply.model_copy(update={"advice": _decide("Nobody has answered in time.")})
    text = "Nobody has answered yet: call ask_operator again with the same words to go on waiting."
    return reply.model_copy(update={"waiting": True, "remaining_seconds": left, "advice": text})

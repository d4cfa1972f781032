"""What an agent and its operator say to each other during a task: questions, answers, metrics."""

from falcon.asgi import Request, Response

from qb.api.media import read_model, reply
from qb.contract.questions import AnswerGiven, QuestionAsk
from qb.contract.task_metrics import MetricLog
from qb.service.core import Core
from qb.service.questions import Questions as QuestionService
from qb.service.task_metrics import TaskMetrics as MetricService


class Questions:
    """/tasks/{task_id}/questions, /{question_id} below it, and /answer below that"""

    def __init__(self, core: Core) -> None:
        self._service = QuestionService(core)

    async def on_post(self, req: Request, resp: Response, task_id: str) -> None:
        """Ask the operator; the same `key` again is the same question."""
        body = await read_model(req, QuestionAsk)
        reply(resp, await self._service.ask(req.context.identity, task_id, body), 201)

    async def on_get(self, req: Request, resp: Response, task_id: str) -> None:
        """The task's questions, the oldest first."""
        reply(resp, await self._service.of_task(task_id))

    async def on_get_one(self, req: Request, resp: Response, task_id: str, question_id: str) -> None:
        """One question; the agent looks here for its answer."""
        reply(resp, await self._service.one(req.context.identity, task_id, question_id))

    async def on_post_answer(self, req: Request, resp: Response, task_id: str, question_id: str) -> None:
        """Answer a question that is open."""
        body = await read_model(req, AnswerGiven)
        reply(resp, await self._service.answer(req.context.actor, task_id, question_id, body))


class TaskMetrics:
    """/tasks/{task_id}/metrics"""

    def __init__(self, core: Core) -> None:
        self._service = MetricService(core)

    async def on_post(self, req: Request, resp: Response, task_id: str) -> None:
        """Log one point."""
        body = await read_model(req, MetricLog)
        reply(resp, await self._service.log(req.context.identity, task_id, body), 201)

    async def on_get(self, req: Request, resp: Response, task_id: str) -> None:
        """The task's metrics by name: last value, count, least and most."""
        reply(resp, await self._service.of_task(task_id))

"""What an agent and an operator say to each other during a task: questions, answers, metrics."""

from qb.client.transport import Transport
from qb.contract.questions import AnswerGiven, Question, QuestionAsk
from qb.contract.task_metrics import MetricLog, TaskMetric


class Dialogue:
    """The calls, over the connection of a QbClient. Raises ClientError and nothing else."""

    def __init__(self, wire: Transport) -> None:
        self._wire = wire

    def ask(self, task_id: str, body: QuestionAsk, *, timeout: float = 10) -> Question:
        """Ask the operator; the same key again is the same question."""
        return self._wire.model(Question, "ask_question", {"task_id": task_id}, body=body, timeout=timeout)

    def question(self, task_id: str, question_id: str, *, timeout: float = 10) -> Question:
        """One question, with its answer if there is one."""
        parts = {"task_id": task_id, "question_id": question_id}
        return self._wire.model(Question, "show_question", parts, timeout=timeout)

    def questions(self, task_id: str) -> list[Question]:
        """The task's questions, oldest first."""
        return self._wire.models(Question, "list_questions", {"task_id": task_id})

    def answer(self, task_id: str, question_id: str, body: AnswerGiven) -> Question:
        """Answer a question that is open."""
        return self._wire.model(
            Question, "answer_question", {"task_id": task_id, "question_id": question_id}, body=body
        )

    def log_metric(self, task_id: str, body: MetricLog, *, timeout: float = 10) -> TaskMetric:
        """Add a point to a metric; returns the metric."""
        return self._wire.model(TaskMetric, "log_metric", {"task_id": task_id}, body=body, timeout=timeout)

    def metrics(self, task_id: str) -> list[TaskMetric]:
        """The task's metrics by name."""
        return self._wire.models(TaskMetric, "list_metrics", {"task_id": task_id})

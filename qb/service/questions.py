"""Questions that an agent asks its operator and the answers, for which it polls: so any node will do."""

import sqlite3
from typing import Any
from uuid import uuid4

from qb.contract.questions import MOST_OPEN, MOST_QUESTIONS, AnswerGiven, QuestionAsk
from qb.contract.routes import Caller
from qb.contract.states import Reporter
from qb.domain.errors import AlreadyEnded, Conflict, NotFound, StaleAttempt
from qb.domain.times import after, iso
from qb.service.audit import Actor
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.speakers import attempt_of
from qb.store import events, questions, tasks


class Questions:
    """Use cases about questions."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def ask(self, identity: Identity, task_id: str, body: QuestionAsk) -> dict[str, Any]:
        """Keep a question; returns Question. The same key of an attempt is the same question.

        Raises NotFound for a foreign task, StaleAttempt, AlreadyEnded, and Conflict when too many were asked.
        """
        moment, question_id = self._core.clock(), str(uuid4())
        now = iso(moment)

        def work(db: sqlite3.Connection) -> dict[str, Any]:
            attempt = current_attempt(db, identity, task_id, body.attempt, self._core)
            known = questions.by_key(db, task_id, attempt, body.key, now=now)
            if known is not None:
                return known
            _check_room(db, task_id, attempt, now)
            asked = {
                "id": question_id,
                "task_id": task_id,
                "attempt": attempt,
                "key": body.key,
                "question": body.question,
                "options": body.options,
                "asked_at": now,
                "expires_at": after(moment, body.timeout_seconds),
            }
            questions.add(db, asked)
            source = Reporter.AGENT if identity.caller is Caller.AGENT else Reporter.RUNNER
            _event(db, asked, "question", source, body.question, now=now, node_id=identity.node_id)
            return _there(questions.one(db, task_id, question_id, now=now), question_id)

        asked = await self._core.writer.run(work)
        self._core.hub.publish(task_id)
        return asked

    async def one(self, identity: Identity, task_id: str, question_id: str) -> dict[str, Any]:
        """The question, with its answer if there is one. Raises NotFound, for a foreign task too."""
        moment = self._core.clock()

        def read(db: sqlite3.Connection) -> dict[str, Any]:
            if identity.caller in (Caller.AGENT, Caller.NODE):
                attempt_of(db, identity, task_id, None, now=moment)
            return _there(questions.one(db, task_id, question_id, now=iso(moment)), question_id)

        return await self._core.readers.run(read)

    async def of_task(self, task_id: str) -> list[dict[str, Any]]:
        """The task's questions, the oldest first. Raises NotFound."""
        now = iso(self._core.clock())

        def read(db: sqlite3.Connection) -> list[dict[str, Any]]:
            if tasks.get(db, task_id) is None:
                raise NotFound(f"no task {task_id}")
            return questions.of_task(db, task_id, now=now)

        return await self._core.readers.run(read)

    async def answer(self, actor: Actor, task_id: str, question_id: str, body: AnswerGiven) -> dict[str, Any]:
        """Answer a question that is open; returns it. Raises NotFound, and Conflict for one that is not open."""
        now, by = iso(self._core.clock()), actor.identity.name

        def work(db: sqlite3.Connection) -> dict[str, Any]:
            question = _there(questions.one(db, task_id, question_id, now=now), question_id)
            if not question["open"]:
                raise Conflict(f"question {question_id} waits for no answer: {_why_closed(question)}")
            questions.answer(db, question_id, body.answer, by=by, now=now)
            _event(db, question, "answer", Reporter.OPERATOR, body.answer, now=now)
            return _there(questions.one(db, task_id, question_id, now=now), question_id)

        answered = await self._core.writer.run(work)
        self._core.hub.publish(task_id)
        return answered


def current_attempt(db: sqlite3.Connection, identity: Identity, task_id: str, said: int | None, core: Core) -> int:
    """The attempt that the caller speaks for, which must be the task's last, and not over.

    Raises NotFound for a foreign task, StaleAttempt and AlreadyEnded.
    """
    attempt = attempt_of(db, identity, task_id, said, now=core.clock())
    row = tasks.get(db, task_id)
    if row is None:
        raise NotFound(f"no task {task_id}")
    if attempt != row["attempt"]:
        raise StaleAttempt(f"attempt {attempt} of task {task_id} is over: stop working on it")
    if row["completed_at"] is not None:
        raise AlreadyEnded(f"task {task_id} has ended ({row['status']})")
    return attempt


def _check_room(db: sqlite3.Connection, task_id: str, attempt: int, now: str) -> None:
    asked, unanswered = questions.counts(db, task_id, attempt, now=now)
    if unanswered >= MOST_OPEN:
        raise Conflict(f"{unanswered} questions of task {task_id} wait already: wait for an answer before asking more")
    if asked >= MOST_QUESTIONS:
        raise Conflict(f"task {task_id} has asked {asked} questions: no task may ask more")


def _why_closed(question: dict[str, Any]) -> str:
    if question["answer"] is not None:
        return f"{question['answered_by']} has answered it"
    return "its time is over, or the task has ended"


def _event(
    db: sqlite3.Connection,
    question: dict[str, Any],
    kind: str,
    source: Reporter,
    text: str,
    *,
    now: str,
    node_id: str | None = None,
) -> None:
    events.add(
        db,
        task_id=question["task_id"],
        attempt=question["attempt"],
        at=now,
        kind=kind,
        source=source,
        node_id=node_id,
        message=text,
        detail={"question": question["id"]} | ({"options": question["options"]} if kind == "question" else {}),
    )


def _there(question: dict[str, Any] | None, question_id: str) -> dict[str, Any]:
    if question is None:
        raise NotFound(f"no question {question_id}")
    return question

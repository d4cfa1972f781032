"""Questions that an agent asks its operator in the middle of a task, and their answers."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from qb.contract.text import MESSAGE_CHARS, NO_NUL, Id

QUESTION_CHARS = 2000
OPTION_CHARS = 200
MOST_OPTIONS = 20
MOST_OPEN = 5
MOST_QUESTIONS = 200
MAX_PATIENCE = 24 * 3600


def _said(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty: say something")
    return value


Asked = Annotated[str, StringConstraints(max_length=QUESTION_CHARS, pattern=NO_NUL), AfterValidator(_said)]
Option = Annotated[str, StringConstraints(min_length=1, max_length=OPTION_CHARS, pattern=NO_NUL)]
Answer = Annotated[str, StringConstraints(max_length=MESSAGE_CHARS, pattern=NO_NUL), AfterValidator(_said)]


class QuestionAsk(BaseModel):
    """Body of POST /tasks/{id}/questions. One `key` (the asker's own) makes one question, however often it is sent.

    `options` are what the asker expects; an answer may be another.
    """

    question: Asked
    key: Id
    options: list[Option] = Field(default=[], max_length=MOST_OPTIONS)
    timeout_seconds: int = Field(default=600, ge=1, le=MAX_PATIENCE)
    attempt: int | None = Field(default=None, ge=1)


class AnswerGiven(BaseModel):
    """Body of POST /tasks/{id}/questions/{question_id}/answer."""

    answer: Answer


class Question(BaseModel):
    """A question as the API shows it. `open`: the asker still waits. `cancel_requested` is the task's."""

    id: str
    task_id: str
    attempt: int
    question: str
    options: list[str] = []
    asked_at: str
    expires_at: str
    open: bool
    answer: str | None = None
    answered_at: str | None = None
    answered_by: str | None = None
    cancel_requested: bool = False

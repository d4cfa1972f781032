"""`qb task answer`: what agents ask in the middle of their tasks, and the operator's answers."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qb.cli.exits import CliError, Exit
from qb.cli.options import Format, Output, TaskId, examples

if TYPE_CHECKING:
    from qb.contract.questions import Question


def register(app: typer.Typer) -> None:
    """Add the command to `qb task`."""
    app.command(
        epilog=examples(
            "qb task answer 3f2a", 'qb task answer 3f2a "yes, but keep a copy"', "qb task answer 3f2a no --question 7c"
        )
    )(answer)


def answer(
    ctx: typer.Context,
    task: TaskId,
    text: Annotated[str | None, typer.Argument(metavar="ANSWER", help="What to answer; without, list.")] = None,
    question: Annotated[
        str | None, typer.Option(metavar="ID", help="Which question, where several wait: the start of its id.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Answer what a task's agent asks, or list its questions.

    The agent has the answer within seconds. Its options are what it expects; any other answer is taken too.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.output import show_many
    from qb.cli.refusals import checked
    from qb.cli.views import QUESTIONS
    from qb.contract.questions import AnswerGiven

    with connected(ctx) as client:
        task_id = lookup.task_id(client, task)
        asked = client.dialogue.questions(task_id)
        if text is not None:
            with checked({"answer": "ANSWER"}):
                body = AnswerGiven(answer=text)
            asked = [client.dialogue.answer(task_id, _one(asked, task_id, question).id, body)]
    show_many(asked, QUESTIONS, output, now=datetime.now(UTC), empty="no questions")


def _one(asked: "list[Question]", task_id: str, given: str | None) -> "Question":
    found = [each for each in asked if each.open and (given is None or each.id.startswith(given.lower()))]
    if len(found) == 1:
        return found[0]
    hint = f"`qb task answer {task_id}` lists its questions"
    if not found:
        which = "no question" if given is None else f"no question {given}"
        raise CliError(f"{which} of task {task_id} waits for an answer", hint, Exit.NOT_FOUND)
    listed = ", ".join(each.id[:8] for each in found)
    raise CliError(f"{len(found)} questions wait: {listed}", "say which one: --question ID", Exit.USAGE)

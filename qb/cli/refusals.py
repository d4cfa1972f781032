"""Errors of the client as errors of the command: one table, tested to be total."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pydantic import ValidationError

from qb.cli.exits import CliError, Exit, Misuse
from qb.cli.terminal import one_line
from qb.cli.wording import option, worded
from qb.client import BadAnswer, BadAssignment, BadCaFile, BadCredential, ClientError, Refused, Unreachable
from qb.contract.errors import ErrorCode


class Answer(NamedTuple):
    """What the shell and the person are told."""

    exit_code: Exit
    hint: str | None = None


_KEY = "set QB_API_KEY, or choose a profile with --profile; `qb doctor` tells which key is used"
_CA = "name the certificate of the orchestrator's CA in QB_CA_FILE, or as ca_file in the profile"
_LATER = "the same command may succeed in a moment"
_SERVER_LOG = "the server's log tells more"
_VERSIONS = "`qb doctor` compares the versions of both sides"

BY_CODE: dict[ErrorCode, Answer] = {
    ErrorCode.MALFORMED: Answer(Exit.FAILURE, _VERSIONS),
    ErrorCode.INVALID: Answer(Exit.USAGE),
    ErrorCode.TOO_LARGE: Answer(Exit.USAGE),
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: Answer(Exit.FAILURE, _VERSIONS),
    ErrorCode.UNAUTHENTICATED: Answer(Exit.DENIED, _KEY),
    ErrorCode.FORBIDDEN: Answer(Exit.DENIED, "this needs another key: " + _KEY),
    ErrorCode.NOT_FOUND: Answer(Exit.NOT_FOUND, "`qb task list` and `qb node list` show what there is"),
    ErrorCode.METHOD_NOT_ALLOWED: Answer(Exit.FAILURE, _VERSIONS),
    ErrorCode.CONFLICT: Answer(Exit.CONFLICT),
    ErrorCode.STALE_ATTEMPT: Answer(Exit.CONFLICT),
    ErrorCode.ALREADY_ENDED: Answer(Exit.CONFLICT, "`qb task show TASK` tells how it ended"),
    ErrorCode.CHECKSUM_MISMATCH: Answer(Exit.FAILURE, "the bytes changed on the way: try once more"),
    ErrorCode.RANGE_NOT_SATISFIABLE: Answer(Exit.FAILURE, _VERSIONS),
    ErrorCode.REGISTRATION_OFF: Answer(Exit.FAILURE, "`qb init` prints a registration token"),
    ErrorCode.PRECONDITION_FAILED: Answer(Exit.CONFLICT, "somebody changed it meanwhile: look at it again"),
    ErrorCode.RATE_LIMITED: Answer(Exit.FAILURE, _LATER),
    ErrorCode.OVERLOADED: Answer(Exit.FAILURE, _LATER),
    ErrorCode.STORAGE_FULL: Answer(Exit.FAILURE, "make room on the orchestrator's disk, then try again"),
    ErrorCode.INTERNAL: Answer(Exit.FAILURE, _SERVER_LOG),
}

BY_STATUS: dict[int, Answer] = {
    400: Answer(Exit.FAILURE, _VERSIONS),
    401: BY_CODE[ErrorCode.UNAUTHENTICATED],
    403: BY_CODE[ErrorCode.FORBIDDEN],
    404: BY_CODE[ErrorCode.NOT_FOUND],
    409: BY_CODE[ErrorCode.CONFLICT],
    422: BY_CODE[ErrorCode.INVALID],
}

BY_KIND: dict[type[ClientError], Answer] = {
    Unreachable: Answer(Exit.FAILURE, "is it running (`qb serve`), and is QB_URL right? `qb doctor` looks"),
    BadCaFile: Answer(Exit.FAILURE, _CA),
    BadCredential: Answer(Exit.DENIED, _KEY),
    BadAnswer: Answer(Exit.FAILURE, "does QB_URL lead to the orchestrator? `qb doctor` looks"),
    BadAssignment: Answer(Exit.FAILURE, _VERSIONS),
    Refused: Answer(Exit.FAILURE, _SERVER_LOG),
    ClientError: Answer(Exit.FAILURE),
}


def answer_to(error: ClientError) -> Answer:
    """The row for `error`: by its code, else by its HTTP status, else by its class."""
    if isinstance(error, Refused):
        if error.code is not None:
            return BY_CODE[error.code]
        if error.status in BY_STATUS:
            return BY_STATUS[error.status]
    return next(BY_KIND[kind] for kind in type(error).__mro__ if kind in BY_KIND)


def as_cli_error(error: ClientError) -> CliError:
    """`error` in the words of the command line."""
    answer = answer_to(error)
    return CliError(one_line(str(error)), answer.hint, answer.exit_code)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what the client raises inside into CliError."""
    try:
        yield
    except ClientError as error:
        raise as_cli_error(error) from error


@contextmanager
def checked(names: dict[str, str]) -> Iterator[None]:
    """Turn a model's refusal of a value into Misuse; `names` maps fields to options."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        raise Misuse(f"{option(first, names)}: {worded(first)}") from error

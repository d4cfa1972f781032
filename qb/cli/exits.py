"""What `qb` answers to the shell, and the one kind of error that a command ends with."""

from enum import IntEnum

import typer


class Exit(IntEnum):
    """Exit codes. Scripts rely on them: they only ever get company."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    DENIED = 4
    NOT_FOUND = 5
    CONFLICT = 6
    TASK_FAILED = 7
    TIMED_OUT = 8
    INTERRUPTED = 130


class CliError(Exception):
    """Ends the command: `message` names the thing and the reason, `hint` the mend."""

    def __init__(self, message: str, hint: str | None = None, exit_code: Exit = Exit.FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class Misuse(typer.BadParameter):
    """A value that an option cannot have; `message` begins with the option. Its hint is the command's help."""


class TimedOut(CliError):
    """What was waited for did not happen in time; it may still."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint, Exit.TIMED_OUT)

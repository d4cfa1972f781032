"""What can go wrong with a call: one tree, rooted in ClientError."""

from qb.contract.errors import ErrorCode


class ClientError(Exception):
    """A call that did not succeed."""


class Unreachable(ClientError):
    """The orchestrator did not answer: nothing listens, or it took too long."""


class BadCaFile(ClientError):
    """The file of the CA to believe cannot be used: nothing was sent. The message names it."""


class BadCredential(ClientError):
    """A key or token that no request can carry: nothing was sent. The message does not show it."""


class BadAnswer(ClientError):
    """Something answered, but not as the orchestrator would."""


class BadAssignment(BadAnswer):
    """An assignment came that cannot be read; it names its task, so that the refusal can be reported."""

    def __init__(self, message: str, task_id: str, attempt: int) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.attempt = attempt


class Refused(ClientError):
    """The orchestrator answered with an error. `status` is HTTP's, `code` from the closed enum when known."""

    def __init__(self, status: int, code: ErrorCode | None, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status >= 500 or self.status in (408, 425, 429)

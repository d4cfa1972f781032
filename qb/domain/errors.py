"""Everything that can be wrong with a request, as one tree. Each class carries its wire code."""

from typing import ClassVar

from qb.contract.errors import ErrorCode


class QuarterbackError(Exception):
    """Root of the tree. The message names the thing, the reason and the mend."""

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    retry_after: int = 1
    """Seconds after which to try again, where the answer is 429 or 503."""


class Malformed(QuarterbackError):
    """The body is not the JSON, or the bytes, that it should be."""

    code = ErrorCode.MALFORMED


class Invalid(QuarterbackError):
    """The request can be read, but says something that cannot be."""

    code = ErrorCode.INVALID


class TooLarge(QuarterbackError):
    """The body is larger than its limit."""

    code = ErrorCode.TOO_LARGE


class UnsupportedMediaType(QuarterbackError):
    """The body comes in a form that the route does not take."""

    code = ErrorCode.UNSUPPORTED_MEDIA_TYPE


class Unauthenticated(QuarterbackError):
    """No credential, or one that is not known or no longer valid."""

    code = ErrorCode.UNAUTHENTICATED


class Forbidden(QuarterbackError):
    """The credential is good, but not for this."""

    code = ErrorCode.FORBIDDEN


class NotFound(QuarterbackError):
    """There is no such thing, or none that the caller may know of."""

    code = ErrorCode.NOT_FOUND


class Conflict(QuarterbackError):
    """The thing is not in a state that allows this."""

    code = ErrorCode.CONFLICT


class StaleAttempt(Conflict):
    """A report from an attempt that is no longer the authoritative one."""

    code = ErrorCode.STALE_ATTEMPT


class AlreadyEnded(Conflict):
    """A report about a task that has ended another way."""

    code = ErrorCode.ALREADY_ENDED


class PreconditionFailed(QuarterbackError):
    """The thing has changed since the caller read it."""

    code = ErrorCode.PRECONDITION_FAILED


class RateLimited(QuarterbackError):
    """The caller's key has used up its requests."""

    code = ErrorCode.RATE_LIMITED

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ChecksumMismatch(QuarterbackError):
    """The bytes received are not those that were announced."""

    code = ErrorCode.CHECKSUM_MISMATCH


class RangeNotSatisfiable(QuarterbackError):
    """A part of a file is asked for that the file does not have."""

    code = ErrorCode.RANGE_NOT_SATISFIABLE


class RegistrationOff(QuarterbackError):
    """There is no registration token that could let a node in."""

    code = ErrorCode.REGISTRATION_OFF
    retry_after = 60


class Overloaded(QuarterbackError):
    """A bounded queue is full; the same request may succeed shortly."""

    code = ErrorCode.OVERLOADED


class StorageFull(QuarterbackError):
    """The disk or the database has no room left; nothing was stored."""

    code = ErrorCode.STORAGE_FULL


class RefusedDestination(Invalid):
    """An address that the server does not connect to on somebody's word."""


class Unreachable(QuarterbackError):
    """What the server was to connect to cannot be found or does not answer. Never the answer to a request."""

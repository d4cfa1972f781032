"""What an error looks like on the wire: an RFC 9457 problem document with a code from a closed enum."""

from enum import StrEnum

from pydantic import BaseModel

PROBLEM_TYPE = "application/problem+json"


class ErrorCode(StrEnum):
    """Every code an error answer can carry."""

    MALFORMED = "malformed"
    INVALID = "invalid"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    STALE_ATTEMPT = "stale_attempt"
    ALREADY_ENDED = "already_ended"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    REGISTRATION_OFF = "registration_off"
    PRECONDITION_FAILED = "precondition_failed"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    STORAGE_FULL = "storage_full"
    INTERNAL = "internal"


class Problem(BaseModel):
    """An RFC 9457 problem document. Old clients read `detail` alone."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: ErrorCode
    request_id: str | None = None

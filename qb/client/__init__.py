"""The one HTTP client of the API, used by the CLI, the runner and the status reporter."""

from qb.client.api import QbClient
from qb.client.errors import BadAnswer, BadAssignment, BadCaFile, BadCredential, ClientError, Refused, Unreachable

__all__ = [
    "BadAnswer",
    "BadAssignment",
    "BadCaFile",
    "BadCredential",
    "ClientError",
    "QbClient",
    "Refused",
    "Unreachable",
]

"""The one HTTP client of the API, used by the CLI, the runner and the status reporter."""

from qb.client.api import QbClient
from qb.client.errors import BadAnswer, ClientError, Refused, Unreachable

__all__ = ["BadAnswer", "ClientError", "QbClient", "Refused", "Unreachable"]

"""Figures that an agent logs about its task: rows read, score, euros saved."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

MOST_NAMES = 100
MOST_POINTS = 10_000
METRIC_NAME = r"^[A-Za-z0-9_.:/% -]+$"
MetricName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=METRIC_NAME)]


class MetricLog(BaseModel):
    """Body of POST /tasks/{id}/metrics: one point. The same `seq` of an attempt again is a duplicate."""

    name: MetricName
    value: float = Field(allow_inf_nan=False)
    seq: int = Field(ge=0, lt=1 << 63)
    attempt: int | None = Field(default=None, ge=1)


class TaskMetric(BaseModel):
    """One metric of a task: its last value, and how it went."""

    name: str
    value: float
    count: int
    least: float
    most: float
    first_at: str
    last_at: str

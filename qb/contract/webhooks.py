"""Outgoing webhooks: who is told of what happens to tasks, and what is sent."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from qb.contract.states import ENDS, WebhookEvent
from qb.contract.text import NO_NUL, Text

SIGNATURE_HEADER = "X-QB-Signature"
"""``t=UNIX_SECONDS,v1=HEX``: HMAC-SHA256 with the webhook's secret over ``UNIX_SECONDS.BODY``."""

EVENT_HEADER = "X-QB-Event"
DELIVERY_HEADER = "X-QB-Delivery"


class WebhookCreate(BaseModel):
    """Body of POST /webhooks. No redirect is followed; private addresses are refused unless a setting allows them."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=NO_NUL)]
    events: list[WebhookEvent] = Field(default=list(ENDS), min_length=1, max_length=len(WebhookEvent))
    description: Text | None = None


class Webhook(BaseModel):
    """A webhook. `waiting`, `delivered` and `failed` count deliveries; `dropped` those that found the queue full."""

    id: str
    url: str
    events: list[WebhookEvent]
    description: str | None = None
    created_at: str
    created_by: str
    waiting: int = 0
    delivered: int = 0
    failed: int = 0
    dropped: int = 0
    last_error: str | None = None


class WebhookCreated(Webhook):
    """Reply to POST /webhooks: the secret that signs is shown this once."""

    secret: str


class Delivery(BaseModel):
    """What is sent. Deliveries may come twice and out of order: `id` stays the same, `event_id` counts up."""

    id: str
    type: WebhookEvent
    event_id: int
    at: str
    task_id: str
    title: str | None = None
    status: str
    attempt: int
    node_id: str | None = None
    reason: str | None = None
    message: str | None = None

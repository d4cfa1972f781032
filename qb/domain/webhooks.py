"""How a webhook's deliveries are signed and spaced. Pure functions."""

import hashlib
import hmac

PAUSES = (10.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 3600.0 * 3, 3600.0 * 6)
"""Seconds before each further try; after the last the delivery is given up, about eleven hours on."""


def signature(secret: str, body: bytes, moment: int) -> str:
    """``t=MOMENT,v1=HEX``, HMAC-SHA256 over ``MOMENT.BODY``: a receiver refuses an old moment, and so a replay."""
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256)
    return f"t={moment},v1={mac.hexdigest()}"


def pause(tries: int) -> float | None:
    """Seconds until the next try after `tries` of them failed; None: give up."""
    return PAUSES[tries - 1] if tries <= len(PAUSES) else None


def event_name(kind: str, status: str) -> str:
    """What a webhook calls an event of this kind that left the task in this status."""
    return "task.created" if kind == "created" else f"task.{status}"

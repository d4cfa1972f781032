"""Random credentials: how one is made, and what is stored of it."""

import hashlib
import secrets

ADMIN, SCOPED, REGISTRATION = "qba_", "qbk_", "qbr_"
PREFIX_CHARS = 12
"""So much of a credential is shown in listings and in the audit log."""

MAX_CREDENTIAL = 1024


def new_secret(prefix: str) -> str:
    """A fresh credential of 256 random bits."""
    return prefix + secrets.token_urlsafe(32)


def digest(credential: str) -> str:
    """What is stored of a credential: its SHA-256 in hex."""
    return hashlib.sha256(credential.encode()).hexdigest()

"""What the audit log knows of, as closed vocabularies."""

from enum import StrEnum


class Action(StrEnum):
    """What the audit log knows of."""

    KEY_CREATED = "key_created"
    KEY_CHANGED = "key_changed"
    KEY_ROTATED = "key_rotated"
    KEY_REVOKED = "key_revoked"
    KEY_REMOVED = "key_removed"
    TOKEN_CREATED = "token_created"  # noqa: S105 - an act, not a password
    TOKEN_REMOVED = "token_removed"  # noqa: S105 - an act, not a password
    NODE_CREATED = "node_created"
    NODE_CHANGED = "node_changed"
    NODE_REMOVED = "node_removed"
    NODE_KEY_ROTATED = "node_key_rotated"
    NODE_DRAINED = "node_drained"
    NODE_RESUMED = "node_resumed"
    PROVISIONED = "provisioned"
    TASK_CANCELLED = "task_cancelled"
    TASKS_REMOVED = "tasks_removed"
    WEBHOOK_CREATED = "webhook_created"
    WEBHOOK_REMOVED = "webhook_removed"
    CREDENTIAL_REFUSED = "credential_refused"


class Outcome(StrEnum):
    """How it ended."""

    DONE = "done"
    REFUSED = "refused"

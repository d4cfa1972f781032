"""What the options with a few values may be."""

from enum import StrEnum


class WorkspaceMode(StrEnum):
    """How tasks share the Victoria home."""

    SHARED = "shared"
    TASK = "task"


class PullPolicy(StrEnum):
    """When an image is fetched."""

    MISSING = "missing"
    ALWAYS = "always"
    NEVER = "never"


class RootFs(StrEnum):
    """Whether a container may write outside of the places that are meant for it."""

    READ_ONLY = "read-only"
    WRITABLE = "writable"

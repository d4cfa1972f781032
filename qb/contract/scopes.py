"""What an API key may be and do, as closed vocabularies."""

from enum import StrEnum


class Role(StrEnum):
    """What an API key is: the operator's, or that of an external system with just the scopes it was given."""

    ADMIN = "admin"
    SCOPED = "scoped"


class Scope(StrEnum):
    """What a scoped key may do, always with its own tasks and uploads alone."""

    TASKS_READ = "tasks:read"
    TASKS_CREATE = "tasks:create"
    TASKS_CANCEL = "tasks:cancel"
    FILES = "files"
    IMAGE = "image"
    ENV = "env"


USUAL_SCOPES = (Scope.TASKS_READ, Scope.TASKS_CREATE, Scope.TASKS_CANCEL, Scope.FILES)
"""What a scoped key may do when nothing else was said: choosing images and environments is not among it."""

"""What somebody may do once signed in to the dashboard."""

from enum import StrEnum


class Role(StrEnum):
    """datasette/metadata.yml says what follows from each."""

    VIEWER = "viewer"
    """Pages, canned queries and the tables that they are drawn from."""
    ANALYST = "analyst"
    """SQL of their own too."""

"""Why a runner does not start."""


class CannotStart(Exception):
    """Something the runner needs is not there; the message says what to do."""

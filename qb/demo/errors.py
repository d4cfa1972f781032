"""What can keep the demo from running."""


class DemoError(Exception):
    """The message names the thing, the reason and the mend."""

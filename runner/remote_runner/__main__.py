"""``python -m remote_runner``: see runner.py."""

import os
import sys
import warnings

NEEDLESS = ("rich", "greenlet", "charset_normalizer", "chardet")
"""What structlog and requests load where it is there, and do without where it is not.

They are for pretty tracebacks, for logs of greenlets and for texts of unknown encoding: podman answers in UTF-8.
"""


def _main() -> None:
    for name in NEEDLESS:
        # None bars an import (the language reference, "The module cache"); together they would take 9 MiB
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
    from remote_runner.runner import main

    status = main(sys.argv[1:])
    sys.stderr.flush()
    # threads may still wait in a long poll, and must not hold up the end
    os._exit(status)


if __name__ == "__main__":
    _main()

"""``python -m remote_runner``: see runner.py."""

import os
import sys
import warnings

from qb.imports import leave_out

NEEDLESS = ("rich", "greenlet", "charset_normalizer", "chardet")
"""What structlog and requests load where it is there, and do without where it is not.

9 MiB for pretty tracebacks, logs of greenlets and texts of unknown encoding: podman answers in UTF-8.
"""


def _main() -> None:
    leave_out(NEEDLESS)
    warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
    from remote_runner.runner import main

    status = main(sys.argv[1:])
    sys.stderr.flush()
    # threads may still wait in a long poll, and must not hold up the end
    os._exit(status)


if __name__ == "__main__":
    _main()

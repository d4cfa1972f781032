"""``python -m remote_runner``: see runner.py."""

import os
import sys


def _main() -> None:
    # structlog loads rich for pretty tracebacks, which a runner never prints: without it there are 5 MiB less
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    from remote_runner.runner import main

    status = main(sys.argv[1:])
    sys.stderr.flush()
    # threads may still wait in a long poll, and must not hold up the end
    os._exit(status)


if __name__ == "__main__":
    _main()

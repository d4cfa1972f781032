"""What the process is told from outside: to end, to end at once, to take its settings anew."""

import signal
import threading


class Signals:
    """SIGTERM and SIGINT ask for the end, a second one for haste; SIGHUP asks to reload."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.ending = False
        self.hurried = threading.Event()
        self.reload = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._reload)

    def _end(self, *_: object) -> None:
        if self.ending:
            self.hurried.set()
        self.ending = True
        self.woken.set()

    def _reload(self, *_: object) -> None:
        self.reload = True
        self.woken.set()

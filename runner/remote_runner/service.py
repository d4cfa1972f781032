"""The runner as a service: its threads, its signs of life, and an end in which nothing is lost."""

import threading
import time
from collections.abc import Callable

import structlog

from remote_runner.errors import CannotStart
from remote_runner.executor import Executor
from remote_runner.intake import Intake
from remote_runner.reporter import Reporter
from remote_runner.signals import Signals
from remote_runner.systemd import Notifier
from remote_runner.tools import Tools

TICK = 1.0
LETTING_GO = 2.0
log = structlog.get_logger()


class PartDied(CannotStart):
    """A thread of the runner has ended by itself: whoever looks after the service starts it anew."""


class Service:
    """Runs the parts until a signal, or until the one task of --once is over."""

    def __init__(
        self,
        tools: Tools,
        executor: Executor,
        intake: Intake,
        reporter: Reporter,
        signals: Signals,
        notifier: Notifier,
    ) -> None:
        self._tools = tools
        self._executor = executor
        self._intake = intake
        self._reporter = reporter
        self._signals = signals
        self._notifier = notifier
        self._threads: list[threading.Thread] = []

    def join(self) -> bool:
        """Join the fleet, for as long as it takes; False when a signal came first. Raises JoinRefused."""
        joined = threading.Event()

        def listen() -> None:
            while not joined.is_set():
                if self._signals.woken.wait(TICK) and not joined.is_set():
                    self._tools.stop.set()
                    return

        threading.Thread(target=listen, name="signals", daemon=True).start()
        try:
            return self._tools.membership.join(self._tools.stop)
        finally:
            joined.set()

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Begin a part on a thread of its own."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def run(self, readable: Callable[[], bool]) -> None:
        """Serve until it is time to end; `readable` says whether new settings could be taken. Raises PartDied."""
        self._notifier.ready()
        log.info("serving", mode=self._tools.config.mode, slots=self._tools.config.slots)
        while not self._over(readable):
            self._tell()
        if self._signals.ending:
            self._drain()
        self._tools.stop.set()
        self._let_go()

    def _over(self, readable: Callable[[], bool]) -> bool:
        signals = self._signals
        signals.woken.wait(min(TICK, self._notifier.watchdog_seconds or TICK))
        signals.woken.clear()
        if signals.ending:
            return True
        if signals.reload:
            signals.reload = readable()
            if signals.reload:
                log.info("reloading; containers run on")
                self._notifier.reloading()
                return True
        return self._intake.closed.is_set() and not self._tools.journal.held()

    def _tell(self) -> None:
        held = len(self._tools.journal.held())
        drain = ", draining" if self._intake.draining.is_set() else ""
        self._notifier.status(f"{held} of {self._tools.config.slots} slots in use{drain}")
        for thread in self._threads:
            if not thread.is_alive():
                raise PartDied(f"{thread.name} has died; its containers run on, start the runner again")
        self._notifier.alive()

    def _drain(self) -> None:
        """Take nothing more, and give what runs its time; a second signal ends that."""
        seconds = self._tools.config.drain_seconds
        self._notifier.stopping(seconds)
        self._intake.closed.set()
        until = time.monotonic() + seconds
        left = self._tools.journal.held()
        if left and seconds:
            log.info("draining", tasks=len(left), seconds=seconds)
        while self._tools.journal.held() and time.monotonic() < until:
            if self._signals.hurried.wait(0.1):
                return

    def _let_go(self) -> None:
        log.info("ending", left_to_run=len(self._tools.journal.held()))
        self._executor.join(LETTING_GO)
        # a report on its way may end; a long poll is simply hung up
        self._reporter.wake()
        self._intake.taken.set()  # which the heartbeat waits for
        self._threads[0].join(LETTING_GO)
        if self._tools.config.mode == "run-once":
            self._threads[1].join(LETTING_GO)

"""One runner, put together from its parts: from its command line to its end."""

import contextlib
import shutil
import signal
import sys
import threading
from collections.abc import Sequence

import structlog

from qb.client import ClientError, QbClient
from remote_runner.attempt import Tools
from remote_runner.config import Config, parse
from remote_runner.engine import Engine, EngineError, EngineUnavailable
from remote_runner.executor import Executor
from remote_runner.heartbeat import beat
from remote_runner.intake import Intake
from remote_runner.journal import Journal
from remote_runner.membership import JoinRefused, Membership, boot_id
from remote_runner.podman_service import PodmanService, users_socket
from remote_runner.pull import poll
from remote_runner.reporter import Reporter
from remote_runner.statedir import StateDir, StateError
from remote_runner.workspace import Workspace

LETTING_GO = 2.0
log = structlog.get_logger()


class CannotStart(Exception):
    """Something the runner needs is not there; the message says what to do."""


def main(argv: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; the exit status."""
    config = parse(argv)
    _log_to_stderr()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        with StateDir(config.state_dir) as state, contextlib.ExitStack() as owned:
            _serve(config, state, stop, owned)
    except (CannotStart, StateError, JoinRefused, ClientError) as error:
        print(f"remote_runner: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(config: Config, state: StateDir, stop: threading.Event, owned: contextlib.ExitStack) -> None:
    if not (config.registration_token or config.api_key or state.identity(config.orchestrator_url)):
        raise CannotStart("this node has no key yet: give --registration-token or --api-key")
    engine = _engine(config, owned)
    limits = _limits_work(engine)
    ca_file = str(config.ca_file) if config.ca_file else None
    client = owned.enter_context(QbClient(config.orchestrator_url, ca_file=ca_file))
    boot = boot_id()
    membership = Membership(client, config, state, limits=limits, boot=boot)
    journal = Journal(state.path / "journal.db")
    owned.callback(journal.close)
    workspace = Workspace(config.victoria_home)
    reporter = Reporter(client, journal, membership, workspace, config.poll_interval)
    tools = Tools(
        config,
        client,
        membership,
        journal,
        engine,
        workspace,
        logs=state.logs,
        runner_id=state.runner_id,
        boot_id=boot,
        limits_work=limits,
        stop=stop,
        outbox_filled=reporter.wake,
    )
    executor = Executor(tools)
    intake = Intake(journal, executor, boot)
    owned.callback(stop.set)
    # Containers don't wait for the orchestrator: what was left is taken up before this node has joined.
    executor.recover()
    if not membership.join(stop):
        return
    threads = [
        threading.Thread(target=reporter.run, args=(stop, executor.settled), name="reporter", daemon=True),
        threading.Thread(target=beat, args=(tools, executor, intake), name="heartbeat", daemon=True),
        threading.Thread(target=poll, args=(tools, intake), name="poll", daemon=True),
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    log.info("ending; containers are left to run")
    executor.join(LETTING_GO)
    # a report on its way may end; a long poll is simply hung up
    reporter.wake()
    threads[0].join(LETTING_GO)


def _engine(config: Config, owned: contextlib.ExitStack) -> Engine:
    url = users_socket()
    if url is None:
        command = shutil.which(config.container_runtime)
        if command is None:
            raise CannotStart(
                f"{config.container_runtime} is not installed; install podman (Debian: apt-get install podman)"
            )
        service = PodmanService(command, config.state_dir)
        owned.callback(service.stop)
        if not service.start():
            raise CannotStart(f"{command} system service does not start; run '{command} info' to see why")
        url = service.url
    engine = Engine(url)
    owned.callback(engine.close)
    return engine


def _limits_work(engine: Engine) -> bool:
    try:
        return engine.limits_work()
    except (EngineError, EngineUnavailable) as error:
        raise CannotStart(f"podman does not work: {error}") from error


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )

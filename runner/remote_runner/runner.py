"""One runner, put together from its parts: from its command line to its end."""

import contextlib
import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from qb.client import ClientError
from qb.contract.push import Handed
from remote_runner import logs
from remote_runner.backoff import Backoff
from remote_runner.config import Config, ConfigError, parse, read
from remote_runner.confinement import metadata_open
from remote_runner.engine import Engine
from remote_runner.errors import CannotStart
from remote_runner.executor import Executor
from remote_runner.heartbeat import beat
from remote_runner.images import Images
from remote_runner.intake import Intake
from remote_runner.journal import Journal
from remote_runner.journal_file import NoRoom
from remote_runner.membership import JoinRefused, Membership, boot_id, open_client
from remote_runner.once import hand_over, read_handed
from remote_runner.podman_api import EngineError, EngineUnavailable, PodmanApi
from remote_runner.podman_service import PodmanService, users_socket
from remote_runner.pull import poll
from remote_runner.reporter import Reporter
from remote_runner.service import Service
from remote_runner.signals import Signals
from remote_runner.statedir import StateDir, StateError
from remote_runner.systemd import Notifier
from remote_runner.tools import Tools
from remote_runner.workspaces import Workspaces, sweep_regularly

PODMAN_PATIENCE = 20.0
log = structlog.get_logger()


def main(argv: Sequence[str]) -> int:
    """Do what the command line says; for `pull` and `push` until SIGTERM or SIGINT. The exit status."""
    config = parse(argv)
    if config.mode == "status":
        from remote_runner.status import tell

        return tell(config)
    if config.mode == "doctor":
        from remote_runner.doctor import examine

        return examine(config)
    logs.configure()
    signals = Signals()
    try:
        with StateDir(config.state_dir) as state, contextlib.ExitStack() as owned:
            _run(config, state, signals, owned, _readable(argv))
    except (CannotStart, StateError, JoinRefused, ClientError) as error:
        print(f"remote_runner: {error}", file=sys.stderr)
        return 1
    if signals.reload and not signals.ending:
        _again(argv)
    return 0


def _readable(argv: Sequence[str]) -> Callable[[], bool]:
    def check() -> bool:
        try:
            read(argv)
        except ConfigError as error:
            log.error("the settings are not taken anew", error=str(error))
            return False
        return True

    return check


def _again(argv: Sequence[str]) -> None:
    """Become a new runner with the settings as they are now: it takes up the containers, as after any restart."""
    # until the new one listens, another SIGHUP must not end it; what is ignored stays so through exec
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "remote_runner", *argv])  # noqa: S606  the very program that runs


def _run(
    config: Config, state: StateDir, signals: Signals, owned: contextlib.ExitStack, readable: Callable[[], bool]
) -> None:
    handed = read_handed(config.assignment) if config.assignment else None
    if handed is not None:
        config = replace(config, api_key=handed.api_key)
    known = state.identity(config.orchestrator_url)
    if not (config.registration_token or config.api_key or known):
        raise CannotStart("this node has no key yet: give --registration-token or --api-key")
    if config.mode == "push" and not (config.advertise_url or config.api_key):
        raise CannotStart("the control plane must know where this node is: give --advertise-url")
    if reason := metadata_open(config):
        log.warning(reason)
    stop = threading.Event()
    podman = _podman(config, owned)
    engine = Engine(podman)
    limits = _limits_work(engine, signals)
    client = owned.enter_context(open_client(config))
    boot = boot_id()
    membership = Membership(client, config, state, limits=limits, boot=boot)
    journal = _journal(state, owned)
    workspaces = Workspaces(
        config.victoria_home,
        config.workspace,
        state.path / "workspaces",
        config.template,
        config.container_runtime,
    )
    reporter = Reporter(client, journal, membership, workspaces, config.poll_interval)
    tools = Tools(
        config,
        client,
        membership,
        journal,
        engine,
        Images(podman, config.pull, config.registry_auth_file),
        workspaces,
        logs=state.logs,
        runner_id=state.runner_id,
        boot_id=boot,
        limits_work=limits,
        stop=stop,
        outbox_filled=reporter.wake,
    )
    executor = Executor(tools)
    intake = Intake(journal, executor, boot, once=config.once)
    owned.callback(stop.set)
    service = Service(tools, executor, intake, reporter, signals, Notifier())
    transport = _transport(tools, intake, owned, handed)
    # Containers don't wait for the orchestrator: what was left is taken up before this node has joined.
    executor.recover()
    if service.join():
        service.start("reporter", lambda: reporter.run(stop, executor.settled))
        service.start("heartbeat", lambda: beat(tools, intake))
        service.start(config.mode, transport)
        service.start("sweep", lambda: sweep_regularly(workspaces, journal, config.keep_workspaces, stop))
        service.run(readable)


def _transport(tools: Tools, intake: Intake, owned: contextlib.ExitStack, handed: Handed | None) -> Callable[[], None]:
    """What brings assignments: asking for them, or an open door."""
    if tools.config.assignment:
        path = tools.config.assignment
        return lambda: hand_over(handed, path, tools, intake)
    if tools.config.mode != "push":
        return lambda: poll(tools, intake)
    # a pull runner shall not carry the weight of a web server
    from remote_runner.push import PushServer

    server = PushServer(tools, intake)
    server.listen()
    owned.callback(server.close)
    return server.serve


def _journal(state: StateDir, owned: contextlib.ExitStack) -> Journal:
    path = state.path / "journal.db"
    try:
        journal = Journal(path)
    except (sqlite3.Error, NoRoom, OSError) as error:
        mend = "make room on its disk, or move it away and with it what is not reported yet"
        raise CannotStart(f"{path} cannot be opened: {error}; {mend}") from error
    owned.callback(journal.close)
    return journal


def _podman(config: Config, owned: contextlib.ExitStack) -> PodmanApi:
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
    api = PodmanApi(url)
    owned.callback(api.close)
    return api


def _limits_work(engine: Engine, signals: Signals) -> bool:
    """What podman says of limits. On a busy machine it fails now and then: it is asked for a while."""
    backoff, until = Backoff(2.0), time.monotonic() + PODMAN_PATIENCE
    while True:
        try:
            return engine.limits_work()
        except (EngineError, EngineUnavailable) as error:
            if signals.ending or time.monotonic() > until:
                raise CannotStart(f"podman does not work: {error}") from error
            log.warning("podman does not work yet", error=str(error))
        signals.woken.wait(backoff.next())
        if not signals.ending:
            signals.woken.clear()

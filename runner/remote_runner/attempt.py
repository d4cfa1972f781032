"""One attempt, from its files to its verdict, on a thread of its own. It knows no transport of assignments."""

import threading
from typing import Any

import structlog

from qb.client import Refused
from qb.contract.logs import Session, SessionUpload
from qb.contract.states import Reason
from qb.contract.tasks import StatusReport
from remote_runner import verdict
from remote_runner.asked import Asked
from remote_runner.bridge import keep_address
from remote_runner.confinement import block_metadata, confinement, limits_hold, shares_our_network
from remote_runner.container import Container
from remote_runner.diskwatch import DiskWatch
from remote_runner.download import download
from remote_runner.engine import ContainerState, ImageMissing
from remote_runner.images import ImageDetails, is_pinned
from remote_runner.journal_file import NoRoom
from remote_runner.launch import container_spec
from remote_runner.news import News
from remote_runner.output import OutputPump
from remote_runner.podman_api import EngineError
from remote_runner.records import Entry, Phase
from remote_runner.room import when_there_is_room
from remote_runner.tools import Tools
from remote_runner.transcript import read_transcript

DOWNLOAD_PATIENCE = 600.0
log = structlog.get_logger()


class Dropped(Exception):
    """The orchestrator gives no permit: the attempt is not ours any more."""


class Attempt:
    """Runs what `entry` names, from the phase it had reached."""

    def __init__(self, entry: Entry, tools: Tools) -> None:
        self.key = entry.key
        self._entry = entry
        self._tools = tools
        self._log = log.bind(task=entry.key.task_id, attempt=entry.key.attempt)
        self._cancelled = threading.Event()
        self._halt = threading.Event()
        if entry.cancelled:
            self._cancelled.set()
            self._halt.set()
        self._container = Container(tools.engine, entry.key.container, tools.pid_path(entry.key), tools.stop)
        self._output = OutputPump(
            entry, tools.log_path(entry.key), tools.journal, tools.config.spool_limit, tools.outbox_filled
        )
        self._workspace = tools.workspaces.of(entry.key)
        self._asked = Asked(tools, self._stop_if_cancelled, self._log)
        self._disk = DiskWatch(self._workspace, entry.key.short, tools.config.out_limit)
        self._began = 0.0

    def cancel(self) -> None:
        """Stop it, and say so in the verdict."""
        if not self._cancelled.is_set():
            self._log.info("to be cancelled")
            try:
                self._tools.journal.cancel(self.key)
            except NoRoom as error:
                # the orchestrator says it again to a runner that dies before the end
                self._log.warning("the cancel is not journalled", error=str(error))
            self._cancelled.set()
            self._halt.set()

    def run(self) -> None:
        """See the attempt through to a verdict in the outbox. Raises Stopped or Dropped."""
        try:
            report = self._through()
        except verdict.Failure as failure:
            report = verdict.failed(self.key, failure.reason, failure.message)
        except NoRoom as error:
            # while it ran only output is written, which makes way by itself: its program has not begun
            report = verdict.failed(self.key, Reason.LAUNCH_FAILED, f"the node's disk is full: {error}")
        finally:
            self._output.close()
        if report.reason is Reason.CANCELLED_BY_OPERATOR:
            self._prove_removal(report)
        self._finish(report)
        self._tools.outbox_filled()
        self._log.info("ended", status=report.status, reason=report.reason, exit_code=report.exit_code)

    def _finish(self, report: StatusReport) -> None:
        journal, artifacts = self._tools.journal, self._artifacts()
        sessions = [SessionUpload(task_id=self.key.task_id, attempt=self.key.attempt, session=s) for s in self._said()]
        try:
            journal.finish(self.key, report, sessions=sessions, artifacts=artifacts)
        except NoRoom as error:
            self._log.warning("the agent's log makes way for the verdict", error=str(error))
            when_there_is_room(lambda: journal.finish(self.key, report, artifacts=artifacts), self._tools.stop)

    def _prove_removal(self, report: StatusReport) -> None:
        # what podman knows goes with the container, and the runner may die before the verdict is journalled
        when_there_is_room(lambda: self._tools.journal.exited(self.key, report.exit_code), self._tools.stop)
        if not self._container.remove():
            report.message = "the container was stopped, and podman cannot remove it: see the node's log"

    def _through(self) -> StatusReport:
        if self._entry.phase in (Phase.INTENT, Phase.PERMITTED):
            self._prepare()
            self._launch()
        elif self._entry.boot_id != self._tools.boot_id:
            self._note(self._container.state())
            self._output.drain()
            raise verdict.Failure(Reason.NODE_REBOOTED, "the node was started anew while the container ran")
        else:
            state = self._container.state()
            self._log.info("taken up again", container=state.status if state else "gone")
            if state and state.created and not self._cancelled.is_set():
                self._container.start(self._before_its_program)
        return self._see_through()

    def _prepare(self) -> None:
        assignment, tools = self._entry.assignment, self._tools
        if assignment.limits and not tools.limits_work:
            raise verdict.Failure(
                Reason.REFUSED_BY_NODE, "the task asks for limits, and cgroups do not work on this node"
            )
        image = assignment.image or tools.config.container_image
        if tools.config.require_digest and not is_pinned(image):
            message = f"this node runs only images named by digest (NAME@sha256:...), and {image} is not"
            raise verdict.Failure(Reason.REFUSED_BY_NODE, message)
        try:
            tools.workspaces.prepare(self.key)
        except OSError as error:
            message = f"cannot make the task's folder in {self._workspace.home}: {error.strerror or error}"
            raise verdict.Failure(Reason.LAUNCH_FAILED, message) from error
        if assignment.files:
            self._asked.patiently(
                lambda: download(tools.client, assignment, self._workspace, self.key.short), DOWNLOAD_PATIENCE
            )

    def _launch(self) -> None:
        journal, tools = self._tools.journal, self._tools
        try:
            spec = container_spec(
                self._entry.assignment,
                self.key,
                tools.config,
                self._workspace,
                tools.runner_id,
                tools.log_path(self.key),
            )
        except (OSError, UnicodeError) as error:
            message = f"cannot read {tools.config.env_file}: {error}"
            raise verdict.Failure(Reason.LAUNCH_FAILED, message) from error
        # before the permit, with which the task's time begins
        details = self._fetched(spec["image"])
        self._ask_permit()
        journal.advance(self.key, Phase.PERMITTED)
        self._create(spec, details)
        self._stop_if_cancelled()
        journal.advance(self.key, Phase.STARTED)
        self._container.start(self._before_its_program)
        self._log.info("started", container=self.key.container)

    def _create(self, spec: dict[str, Any], details: ImageDetails) -> None:
        image = spec["image"]
        try:
            self._container.create(spec | confinement(self._tools.config, details))
        except ImageMissing:
            # what was known of the image is out of date: it was removed since
            self._tools.images.forget(image)
            details = self._fetched(image)
            try:
                self._container.create(spec | confinement(self._tools.config, details))
            except ImageMissing as error:
                raise verdict.Failure(Reason.LAUNCH_FAILED, str(error)) from error

    def _fetched(self, image: str) -> ImageDetails:
        """The image, fetched if need be; the task hears how that goes."""
        news = News(self._tools.client, self.key, self._stop_if_cancelled)
        try:
            return self._container.steadily(lambda: self._tools.images.ready(image, news.say))
        except EngineError as error:
            raise verdict.Failure(Reason.LAUNCH_FAILED, str(error)) from error
        except Refused as error:
            raise Dropped(error.detail) from error

    def _before_its_program(self, pid: int) -> None:
        limits = self._entry.assignment.limits
        if limits and not limits_hold(pid):
            message = "the task asks for limits, and podman gave the container no cgroup to hold them"
            raise verdict.Failure(Reason.REFUSED_BY_NODE, message)
        if shares_our_network(pid):
            return
        keep_address(pid)
        if not self._tools.config.metadata:
            block_metadata(pid)

    def _ask_permit(self) -> None:
        request = verdict.permit_request(self.key)
        try:
            task = self._asked.patiently(lambda: self._tools.client.report_status(request))
        except Refused as error:
            raise Dropped(error.detail) from error
        if task.cancel_requested:
            self.cancel()
        self._stop_if_cancelled()

    def _see_through(self) -> StatusReport:
        state = self._container.follow(self._watch, self._halt)
        overrun = self._halt.is_set() and not self._cancelled.is_set()
        if self._halt.is_set():
            self._container.end(self._tools.config.stop_grace)
            state = self._container.state() or state
        self._output.drain()
        self._note(state)
        code = state.exit_code if state else self._entry.exit_code
        if self._cancelled.is_set():
            return verdict.failed(self.key, Reason.CANCELLED_BY_OPERATOR, "the container was stopped and removed", code)
        if overrun or self._disk.size() > self._tools.config.out_limit:
            return verdict.too_much_out(self.key, self._tools.config.out_limit, code)
        if state is None:
            message = "the container is gone: something other than this runner removed it"
            raise verdict.Failure(Reason.LAUNCH_FAILED, message)
        return verdict.of_exit(self.key, self._entry.assignment, state)

    def _watch(self) -> bool:
        if self._disk.exceeded():
            self._log.warning("too much in the out folder", limit=self._tools.config.out_limit)
            self._halt.set()
        return self._output.pump()

    def _note(self, state: ContainerState | None) -> None:
        self._began = state.began if state else 0.0

    def _said(self) -> list[Session]:
        if not self._began:
            return []
        return read_transcript(self._workspace, self._began, self._tools.logs)

    def _artifacts(self) -> list[tuple[str, str]]:
        if self._disk.size() > self._tools.config.out_limit:
            return []
        try:
            return self._workspace.artifacts(self.key.short)
        except OSError as error:
            self._log.warning("cannot read the task's out folder", error=str(error))
            return []

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise verdict.Failure(Reason.CANCELLED_BY_OPERATOR, "cancelled before the container was started")

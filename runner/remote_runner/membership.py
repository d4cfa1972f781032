"""The node's place in the fleet: joining it, and joining again when its key stops working."""

import os
import platform
import threading
from pathlib import Path

import structlog

from qb import __version__
from qb.client import ClientError, QbClient, Refused
from qb.contract.nodes import Register
from qb.contract.states import WIRE, NodeMode
from remote_runner.backoff import Backoff
from remote_runner.config import Config
from remote_runner.failpoints import around_request
from remote_runner.statedir import Identity, StateDir, StateError
from remote_runner.trouble import Trouble

ANSWER_LIMIT = 4 << 20
"""Bytes: the longest prompt, a hundred files and a full environment stay well below."""

log = structlog.get_logger()


class JoinRefused(Exception):
    """The orchestrator doesn't take this node; the message says what to change."""


def open_client(config: Config, *, registration_token: str | None = None) -> QbClient:
    """A client of the orchestrator that takes answers of a runner's size only; the caller closes it."""
    return QbClient(
        config.orchestrator_url,
        registration_token=registration_token,
        ca_file=str(config.ca_file) if config.ca_file else None,
        answer_limit=ANSWER_LIMIT,
        around=around_request,
    )


def boot_id() -> str:
    """Which boot of this machine this is; tests name a file of their own."""
    return Path(os.environ.get("QB_BOOT_ID_FILE", "/proc/sys/kernel/random/boot_id")).read_text().strip()


class Membership:
    """Keeps `client` speaking with a key that works. Thread-safe."""

    def __init__(self, client: QbClient, config: Config, state: StateDir, *, limits: bool, boot: str) -> None:
        self._client = client
        self._config = config
        self._state = state
        self._lock = threading.Lock()
        known = state.identity(config.orchestrator_url)
        same = known if known and known.name == config.name else None
        self._key = same.api_key if same else config.api_key
        if self._key:
            client.use_key(self._key)
        self._body = Register(
            hostname=platform.node() or config.name,
            os_type=platform.system().lower(),
            name=config.name,
            mode=NodeMode.PULL if config.mode == NodeMode.PULL else NodeMode.PUSH,
            api_endpoint=config.advertise_url if config.mode == NodeMode.PUSH else None,
            capabilities=list(config.capabilities) or None,
            tags=dict(config.tags) or None,
            wire=WIRE,
            runner_version=__version__,
            slots=config.slots,
            arch=platform.machine(),
            boot_id=boot,
            limits=limits,
        )

    @property
    def key(self) -> str | None:
        """The node's key, once there is one."""
        return self._key

    def join(self, stop: threading.Event) -> bool:
        """Register, for as long as it takes; False when told to stop first. Raises JoinRefused."""
        backoff = Backoff(self._config.poll_interval)
        trouble = Trouble("cannot register yet")
        while not stop.is_set():
            try:
                self._register()
                return True
            except ClientError as error:
                trouble.note(error)
            stop.wait(backoff.next())
        return False

    def renew(self, failed: str | None) -> bool:
        """`failed` was answered 401: get another key. False when there is no way, or not now."""
        with self._lock:
            if self._key != failed:
                return True
            try:
                self._by_token()
            except (ClientError, JoinRefused) as error:
                log.warning("the node's key is refused, and registering again failed", error=str(error))
                return False
            except StateError as error:
                log.error("the node has a new key, which the next start will not know", error=str(error))
            return True

    def _register(self) -> None:
        with self._lock:
            if self._key and self._by_key():
                return
            self._by_token()

    def _by_key(self) -> bool:
        """Tell the orchestrator what this node is now; False when the key is refused."""
        try:
            self._keep(self._client)
        except Refused as error:
            if error.status == 401:
                return self._fall_back()
            if error.transient:
                raise
            log.info("the orchestrator knows this key but takes no registration with it", error=str(error))
        return True

    def _fall_back(self) -> bool:
        given = self._config.api_key
        if given and given != self._key:
            self._key = given
            self._client.use_key(given)
            return self._by_key()
        return False

    def _by_token(self) -> None:
        token, url = self._config.registration_token, self._config.orchestrator_url
        if not token:
            raise JoinRefused(f"{url} refuses this node's key; give a --registration-token or another --api-key")
        with open_client(self._config, registration_token=token) as client:
            try:
                self._keep(client)
            except Refused as error:
                if error.transient:
                    raise
                raise JoinRefused(
                    f"{url} does not take this node: {error.detail}; check the registration token and --name"
                ) from error

    def _keep(self, client: QbClient) -> None:
        node = client.register(self._body)
        self._key = node.api_key
        self._client.use_key(node.api_key)
        self._state.remember(Identity(self._config.orchestrator_url, node.name, node.id, node.api_key))
        log.info("registered", node=node.name, node_id=node.id)

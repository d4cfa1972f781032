"""`qb serve`: gunicorn with one uvicorn worker, on sockets made here.

This process checks what it is asked for, opens the sockets and becomes the arbiter (qb.api.arbiter). A worker whose
arbiter is gone ends at once, so that no orphan keeps the port and the data directory.
"""

import os
import pickle
import shlex
import socket
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog

from qb.api.addresses import networks
from qb.api.connections import BACKLOG, raise_file_limit
from qb.api.logs import configure
from qb.contract.addresses import web_address
from qb.domain.destinations import Policy
from qb.domain.errors import Conflict, Invalid, NotFound
from qb.domain.links import SESSION_PATH, checked_path
from qb.domain.operations import Operations
from qb.domain.quotas import Quotas
from qb.domain.retention import Retention
from qb.store.lock import Lock

LOCK_PATIENCE = 2.0
"""Seconds for a server that was just killed to be gone."""

IP_FREEBIND = 15
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How to serve a data directory. Port 0 takes a free one, the same on every host.

    `url` is where nodes reach this server, `agent_url` where containers do; both have a default that suits one
    machine.
    """

    data_dir: Path
    hosts: tuple[str, ...] = ("127.0.0.1",)
    port: int = 8080
    url: str | None = None
    agent_url: str | None = None
    dashboard_url: str | None = None
    crush_server_url: str | None = None
    crush_session_path: str = SESSION_PATH
    keyless_reports: bool = False
    trusted_proxies: tuple[str, ...] = ()
    node_ca_file: Path | None = None
    loopback_nodes: bool = False
    operations: Operations = field(default_factory=Operations)
    quotas: Quotas = field(default_factory=Quotas)


def serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT; does not return while serving.

    Raises NotFound for a data directory that was not made by `qb init`, Conflict for one that is served already or
    a port in use, Invalid for an address that cannot be.
    """
    configure()
    networks(settings.trusted_proxies)
    _check_urls(settings)
    checked_path(settings.crush_session_path)
    _check(settings.data_dir)
    Lock(settings.data_dir).check(wait=LOCK_PATIENCE)
    sockets = listen(settings.hosts, settings.port)
    port: int = sockets[0].getsockname()[1]
    raise_file_limit()
    structlog.get_logger().info("listening", hosts=list(settings.hosts), port=port, url=_url(settings, port))
    _become_arbiter(settings, port, sockets)


def _become_arbiter(settings: ServeSettings, port: int, sockets: list[socket.socket]) -> None:
    """Leave everything that was imported behind: the same process, which runs qb.api.arbiter from now on."""
    for opened in sockets:
        opened.set_inheritable(True)
    binds = [f"fd://{opened.fileno()}" for opened in sockets]
    # Plain values: a worker of a later release makes its own settings of them.
    note = _inherited(pickle.dumps({"binds": binds, "settings": {"port": port, "serve": asdict(settings)}}))
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-P", "-m", "qb.api.arbiter", str(note), str(settings.data_dir)]
    os.execv(sys.executable, command)  # noqa: S606


def _inherited(content: bytes) -> int:
    """A file of this content that has no name, for the program that this process becomes; takes no room on a disk."""
    if sys.platform == "linux":
        number = os.memfd_create("qb-serve", 0)
    else:
        number, path = tempfile.mkstemp()
        os.unlink(path)  # noqa: PTH108 - as mkstemp gave it
        os.set_inheritable(number, True)
    with open(number, "wb", closefd=False) as file:
        file.write(content)
    return number


def _check(data_dir: Path) -> None:
    if not (data_dir / "qb.db").is_file():
        raise NotFound(
            f"{data_dir} holds no control plane: make one with `qb init --data-dir {shlex.quote(str(data_dir))}`"
        )
    for part in ("keys.db", "secret"):
        if not (data_dir / part).is_file():
            raise NotFound(f"{data_dir} is incomplete, {part} is missing: put it back from a backup")
    if not os.access(data_dir, os.W_OK):
        raise Invalid(f"{data_dir} cannot be written: serve as the user that owns it")


def listen(hosts: tuple[str, ...], port: int) -> list[socket.socket]:
    """Listening sockets, one for each host, all on one port. Raises Conflict or Invalid; then none is left open."""
    sockets: list[socket.socket] = []
    try:
        for host in hosts:
            sockets.append(_listen(host, port))
            port = sockets[0].getsockname()[1]
    except (Conflict, Invalid):
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise Invalid(f"cannot listen on {host!r}: it is no address of this machine") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        elif sys.platform == "linux":
            # podman makes its bridge with the first container: its address may not exist yet
            listener.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise Conflict(
            f"cannot listen on {host}:{port} ({reason}): choose another --port, or stop what uses it"
        ) from error
    return listener


def _check_urls(settings: ServeSettings) -> None:
    """What nodes and containers are told must be an address that they can call. Raises Invalid."""
    for option, url in (("--url", settings.url), ("--agent-url", settings.agent_url)):
        if url is not None:
            try:
                web_address(url)
            except ValueError as error:
                raise Invalid(f"{option}: {url[:200]!r} {error}") from error


def _url(settings: ServeSettings, port: int) -> str:
    if settings.url:
        return settings.url.rstrip("/")
    host = settings.hosts[0]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound to
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _agent_url(settings: ServeSettings, port: int) -> str:
    """127.0.0.1 in a container is the container's own: there the host has a name."""
    if settings.agent_url:
        return settings.agent_url.rstrip("/")
    url = _url(settings, port)
    if urlsplit(url).hostname in _LOOPBACK:
        return f"http://host.containers.internal:{urlsplit(url).port or 80}"
    return url


def application(plain: dict[str, Any]) -> Any:
    """The application of what `serve` was given, as plain values; called in the worker."""
    from qb.api.app import create_app
    from qb.service.core import Settings

    given, port = dict(plain["serve"]), plain["port"]
    operations = dict(given["operations"])
    operations |= {
        "webhook_networks": Policy(**operations["webhook_networks"]),
        "retention": Retention(**operations["retention"]),
    }
    given |= {"operations": Operations(**operations), "quotas": Quotas(**given["quotas"])}
    settings = ServeSettings(**given)
    own = {name: given[name] for name in given.keys() - {"hosts", "port", "url", "agent_url"}}
    return create_app(Settings(url=_url(settings, port), agent_url=_agent_url(settings, port), **own))

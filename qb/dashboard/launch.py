"""How Datasette is started: one command line for `qb dashboard`, `qb up`, the tests and a unit."""

import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from qb.dashboard.place import DashboardError, Place

_FIRST_TO_GO = 500
"""Of the kernel's scale from -1000 to 1000."""
_OWN = frozenset(("-", "assets", "audit", "node", "qb", "task", "tasks", "trends"))
"""How the paths of its pages begin."""


def configuration() -> Path:
    """The folder with metadata, settings, templates, plugins and static files. Raises DashboardError without one.

    In a wheel it is `site` beside this file, in a checkout `datasette`.
    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "site", here.parents[2] / "datasette"):
        if (folder / "metadata.yml").is_file():
            return folder
    raise DashboardError("the dashboard's configuration is missing here: install all-time-quarterback[dashboard] anew")


def command(place: Place, *, host: str, port: int, url: str) -> list[str]:
    """Datasette over qb.db, live and read-only; to be run in the data directory.

    Datasette puts the path into a URI as it is: the name alone has nothing that means something else there.
    """
    config = configuration()
    line = [sys.executable, "-P", "-m", "datasette", "serve", place.database.name, "-h", host, "-p", str(port)]
    line += ["--metadata", str(config / "metadata.yml"), "--template-dir", str(config / "templates")]
    line += ["--plugins-dir", str(config / "plugins"), "--static", f"assets:{config / 'static'}"]
    settings = json.loads((config / "settings.json").read_text("utf-8"))
    if url.startswith("https:"):
        settings["force_https_urls"] = "on"
    settings["base_url"] = _base(url)
    for name, value in settings.items():
        line += ["--setting", name, str(value)]
    return line


def environment(place: Place, around: Mapping[str, str]) -> dict[str, str]:
    """What Datasette gets beside its command line, where everybody could read the secret."""
    return {**around, "DATASETTE_SECRET": place.secret()}


def become(data_dir: Path, *, host: str, port: int, url: str | None) -> NoReturn:
    """Turn this process into the dashboard. Raises DashboardError where it cannot be started."""
    place = Place.of(data_dir)
    address = (url or f"http://{_reachable(host)}:{port}").rstrip("/")
    line = command(place, host=host, port=port, url=address)
    around = environment(place, os.environ)
    # a start that fails must not move the links that `qb dashboard open` makes
    _check_free(host, port)
    place.note_address(address)
    os.chdir(place.database.parent)
    give_way()
    os.execve(line[0], line, around)  # noqa: S606 - a fixed program, and no shell is wanted


def _base(url: str) -> str:
    """The path that every page is under, with a slash at its end. Raises DashboardError for one of its own pages'."""
    path = urlsplit(url).path.rstrip("/")
    if path.strip("/") in _OWN:
        why = f"under {path} its own pages of that name could not be told from the others"
        raise DashboardError(f"{why}: choose another path, such as /dashboard")
    return f"{path}/"


def _check_free(host: str, port: int) -> None:
    """Raise DashboardError where Datasette, which opens its socket by itself in a second, could not listen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise DashboardError(f"cannot listen on {host!r}: it is no address of this machine") from error
    for family, kind, protocol, _, address in found:
        try:
            probe = socket.socket(family, kind, protocol)
        except OSError:  # a kernel without IPv6, say: Datasette passes it over too
            continue
        with probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(address)
            except OSError as error:
                why = f"cannot listen on {host}, port {port} ({error.strerror})"
                raise DashboardError(f"{why}: choose another --port, or stop what uses it") from error


def give_way() -> None:
    """From now on this process gets the processor time that others of its session or unit leave, and they do not wait.

    A niceness would not do: a thread of the control plane that wakes beside a busy reader of a *higher* niceness still
    waits up to a tick of the kernel's clock for it now and then, beside one that is idle by policy hardly ever.
    """
    with suppress(PermissionError):  # where a unit forbids the call, the unit says what it wants
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):  # when memory runs out it is the dashboard that goes, and not the control plane beside it
        score = Path("/proc/self/oom_score_adj")
        score.write_text(str(max(int(score.read_text()), _FIRST_TO_GO)))


def _reachable(host: str) -> str:
    """An address to open in a browser on this machine."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host

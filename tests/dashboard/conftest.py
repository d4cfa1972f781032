"""A real Datasette process over a temporary data directory."""

import importlib.util
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import httpx2
import pytest

from qb.dashboard.links import link
from qb.dashboard.place import Place
from qb.dashboard.roles import Role
from qb.demo.fleet import dashboard_command
from qb.store.database import connect
from qb.store.migrations import migrate

START_SECONDS = 120
"""The dashboard only has the time that nobody else wants, and tests are many."""


@dataclass(frozen=True)
class Dashboard:
    """A running dashboard and the database that it shows."""

    url: str
    data_dir: Path
    http: httpx2.Client
    tasks: dict[str, str]
    seeder: ModuleType
    process: int

    def link(self, role: Role = Role.ANALYST, name: str = "operator") -> str:
        """A link that signs a browser in."""
        return link(self.data_dir, name, role, now=datetime.now(UTC))

    @contextmanager
    def visitor(self, role: Role | None = None) -> Iterator[httpx2.Client]:
        """Another browser, signed in with a role, or not at all."""
        with httpx2.Client(base_url=self.url, timeout=10, trust_env=False) as http:
            if role is not None:
                assert http.get(self.link(role, role.value)).status_code == 302
            yield http

    def page(self, path: str = "/") -> httpx2.Response:
        """GET a page."""
        return self.http.get(path)


@contextmanager
def served(data_dir: Path, *, seeded: bool) -> Iterator[Dashboard]:
    """Run it over a new data directory until the test is over; fails with its log when no answer comes."""
    seeder = _seeder()
    tasks = _prepare(data_dir, seeder if seeded else None)
    with over(data_dir, tasks, seeder) as running:
        yield running


@contextmanager
def over(
    data_dir: Path,
    tasks: dict[str, str],
    seeder: ModuleType,
    *,
    path: str = "",
    url: str = "",
    env: dict[str, str] | None = None,
) -> Iterator[Dashboard]:
    """Run it over a data directory that is there, signed in as analyst; its log is datasette.log there.

    `path` is where browsers find it on its host, `url` its whole address there, `env` the environment of its process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = data_dir / "datasette.log"
    here = f"http://127.0.0.1:{port}"
    command = dashboard_command(data_dir, port) + (["--url", url or here + path] if url or path else [])
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=data_dir, env=env)
    with httpx2.Client(base_url=here, timeout=START_SECONDS, trust_env=False) as http:
        try:
            _await_answer(http, process, log)
            running = Dashboard(here, data_dir, http, tasks, seeder, process.pid)
            if not url:
                http.get(running.link())
            yield running
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def _await_answer(http: httpx2.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            http.get("/-/healthz")
        except httpx2.TransportError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"Datasette did not answer:\n{log.read_text()}")


def _prepare(data_dir: Path, seeder: ModuleType | None) -> dict[str, str]:
    # keys.db lies beside qb.db, as it does in the control plane's data directory
    (data_dir / "keys.db").write_bytes(b"SQLite format 3\0 a key nobody may read")
    migrate(data_dir / "qb.db")
    if seeder is None:
        return {}
    db = connect(data_dir / "qb.db")
    try:
        named: dict[str, str] = seeder.seed(db)
    finally:
        db.close()
    return named


def _seeder() -> ModuleType:
    # test folders are no packages: what they share is loaded by its path
    spec = importlib.util.spec_from_file_location("dashboard_seed", Path(__file__).with_name("seed.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A dashboard over the seeded fleet; a test may add rows."""
    with served(tmp_path_factory.mktemp("seeded"), seeded=True) as running:
        yield running


@pytest.fixture(scope="module")
def empty_dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A dashboard over a database that `qb init` has just made."""
    with served(tmp_path_factory.mktemp("empty"), seeded=False) as running:
        yield running


@pytest.fixture(scope="module")
def dashboard_over() -> Callable[..., AbstractContextManager[Dashboard]]:
    """Runs a dashboard over the data directory of a control plane; `path`, `url` and `env` as in `over`."""
    return lambda data_dir, **more: over(data_dir, {}, _seeder(), **more)


@pytest.fixture
def seeded(tmp_path: Path) -> Path:
    """A data directory with the seeded fleet, for a dashboard that a test starts by itself."""
    _prepare(tmp_path, _seeder())
    return tmp_path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A data directory in which nothing runs."""
    (tmp_path / "qb.db").touch()
    return Place.of(tmp_path)

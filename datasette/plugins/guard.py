"""What keeps the dashboard read-only and shut in: what connections may do, and headers on every reply."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import uvicorn.config
from datasette import hookimpl
from datasette.database import Database, connections
from datasette.plugins import pm

from qb.dashboard import costs, gate
from qb.dashboard.pages.reading import PATTERN_BYTES

App = Callable[..., Awaitable[None]]

# No page runs a script of its own text. Vega brings the style of its charts; pages without any send a stricter policy.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
}
_INTERNAL = "_internal"
"""Datasette's own in-memory catalogue, which it must be able to write."""
_SHUT = frozenset(
    "idempotency_keys replaced_keys webhook_cursor webhook_deliveries sqlite_dbpage dbstat sqlite_stmt".split()
)
"""Tables that nobody reads here: whose requests were repeated, what was sent to whom; the file's bare pages, and what
others asked on the same connection."""
_PRAGMAS = frozenset(
    "compile_options data_version database_list encoding foreign_key_list function_list index_info index_list "
    "index_xinfo page_count page_size query_only recursive_triggers schema_version table_info table_list "
    "table_xinfo".split()
)
"""What Datasette asks, and its SQL pages allow; all else could change how the connection behaves."""
_FIXED = frozenset(("query_only", "schema_version", "recursive_triggers", "encoding", "page_size"))
"""Pragmas that may be asked, and not set."""
_REFUSED_ACTIONS = frozenset((sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH))
_REFUSED_FUNCTIONS = frozenset(("load_extension", "printf", "format", "fts3_tokenizer", "json_patch"))
"""`printf('%.*c', 900000000, 'x')` works on for minutes: the time limit only counts between a statement's steps."""

_CHARTS = "datasette-dashboards"
for plugin, distribution in pm.list_plugin_distinfo():
    # datasette-auth-passwords would bring a door of its own, datasette-render-markdown make links and images of values,
    # datasette-leaflet a script for every page
    if distribution.project_name != _CHARTS and pm.is_registered(plugin):
        pm.unregister(plugin)


@hookimpl
def prepare_connection(conn: sqlite3.Connection, database: str) -> None:
    """Refuse writes on every connection to a file, and leave checkpoints to the one writer, the control plane."""
    if database != _INTERNAL:
        conn.execute("PRAGMA wal_autocheckpoint = 0")
        conn.execute("PRAGMA query_only = ON")
        conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, costs.VALUE)
        conn.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES)
        costs.bound_functions(conn)
        conn.set_authorizer(_verdict)


class Open(Database):
    """A database whose questions are bounded, and whose shut tables are on no list: Datasette would count them."""

    def connect(self, write: bool = False) -> costs.Connection:
        """A connection that cannot write, to the file that is there now."""
        uri = f"{Path(self.path).as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False, factory=costs.Connection)
        connection.file = self._file()
        self._all_file_connections.append(connection)
        return connection

    async def execute_fn(self, fn: Callable[[Any], Any]) -> Any:
        """What `fn` answers of a connection."""
        request = gate.current.get()
        steps = costs.steps(request.args) if request is not None else 0

        def bounded(connection: Any) -> Any:
            if connection.file != self._file():
                connection = self._anew(connection)
            connection.steps, connection.row_factory = steps, costs.Measured()
            return fn(connection)

        return await super().execute_fn(bounded)

    def _file(self) -> tuple[int, int] | None:
        """Which file has the database's name; None where none has."""
        try:
            found = Path(self.path).stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _anew(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """This thread's connection from now on: after a restore another file has the name, and the old is history."""
        anew = self.connect()
        self.ds._prepare_connection(anew, self.name)
        setattr(connections, self.name, anew)
        self._all_file_connections.remove(connection)
        connection.close()
        return anew

    async def table_names(self) -> list[str]:
        """The names of the others."""
        return [name for name in await super().table_names() if name.lower() not in _SHUT]


@hookimpl
def startup(datasette: Any) -> None:
    """Put such a one in the place of each database that is a file, and have the heads of requests bounded."""
    # httptools keeps a head however long it grows, from whoever sends it; h11 ends at 64 KiB
    uvicorn.config.HTTP_PROTOCOLS["auto"] = uvicorn.config.HTTP_PROTOCOLS["h11"]
    with closing(sqlite3.connect(":memory:")) as any_connection:
        any_connection.execute(f"PRAGMA hard_heap_limit = {costs.HELD}")
    for name, given in datasette.databases.items():
        if given.path is not None:
            datasette.remove_database(name)
            # the folder may be given another name and place while the dashboard is in it
            path = str(Path(given.path).absolute())
            datasette.add_database(Open(datasette, path=path, is_mutable=given.is_mutable), name=name)


@hookimpl(trylast=True)
def asgi_wrapper() -> Callable[[App], App]:
    """Add the headers, outermost, to replies that do not bring their own."""

    def wrap(app: App) -> App:
        async def guarded(scope: dict[str, Any], receive: Any, send: Any) -> None:
            async def send_with_headers(message: dict[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    headers = list(message.get("headers", []))
                    present = {bytes(name).lower() for name, _ in headers}
                    headers += [item for item in _HEADERS.items() if item[0] not in present]
                    message = {**message, "headers": headers}
                await send(message)

            await app(scope, receive, send_with_headers)

        return guarded

    return wrap


def _verdict(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    return sqlite3.SQLITE_DENY if _refused(action, first or "", second) else sqlite3.SQLITE_OK


def _refused(action: int, first: str, second: str | None) -> bool:
    if action in _REFUSED_ACTIONS:
        return True
    if action == sqlite3.SQLITE_READ:
        return first.lower() in _SHUT
    if action == sqlite3.SQLITE_PRAGMA:
        name = first.lower()
        return name not in _PRAGMAS or (second is not None and name in _FIXED)
    return action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _REFUSED_FUNCTIONS

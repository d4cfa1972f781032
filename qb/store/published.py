"""Settings of the server that whoever reads the database must know: the API's replies, and the dashboard."""

import sqlite3

CRUSH_SERVER_URL = "crush_server_url"
"""Where the agents' sessions can be looked at; without a trailing slash."""

_GET = "SELECT value FROM published_settings WHERE name = ?"
_PUT = """
INSERT INTO published_settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


def get(db: sqlite3.Connection, name: str) -> str | None:
    """The setting, or None."""
    row = db.execute(_GET, (name,)).fetchone()
    return None if row is None else row["value"]


def put(db: sqlite3.Connection, name: str, value: str | None) -> None:
    """Publish the setting."""
    db.execute(_PUT, (name, value))

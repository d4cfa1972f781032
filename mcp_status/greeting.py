"""The reply to a client's first message, given before the MCP SDK is loaded: that takes most of a second.

It is the SDK's own reply, word for word (the tests compare them). The SDK is then shown the same message, so that it
knows the client, and its reply is held back. What is not exactly a sound `initialize` of a known version is left to it.
"""

import json
from dataclasses import dataclass
from typing import Any

from mcp_status.instructions import INSTRUCTIONS, NAME
from qb import __version__

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Those of the handshake; later ones have no `initialize`."""

CAPABILITIES = {
    "prompts": {"listChanged": False},
    "resources": {"listChanged": False, "subscribe": False},
    "tools": {"listChanged": False},
}


@dataclass(frozen=True, slots=True)
class Greeting:
    """`line` answers the request of that id."""

    id: str | int
    line: bytes


def greet(line: bytes) -> Greeting | None:
    """The reply to `line`, the first of a client; None where it is for the SDK to say."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not _sound(message):
        return None
    result = {
        "capabilities": CAPABILITIES,
        "instructions": INSTRUCTIONS,
        "protocolVersion": message["params"]["protocolVersion"],
        "serverInfo": {"name": NAME, "version": __version__},
    }
    reply = {"jsonrpc": "2.0", "id": message["id"], "result": result}
    return Greeting(message["id"], json.dumps(reply, separators=(",", ":")).encode() + b"\n")


def _sound(message: Any) -> bool:
    if not isinstance(message, dict) or set(message) != {"jsonrpc", "id", "method", "params"}:
        return False
    params = message["params"]
    return (
        message["jsonrpc"] == "2.0"
        and message["method"] == "initialize"
        and type(message["id"]) in (str, int)
        and isinstance(params, dict)
        and params.get("protocolVersion") in VERSIONS
        and isinstance(params.get("capabilities"), dict)
        and _names(params.get("clientInfo"))
    )


def _names(client: Any) -> bool:
    return isinstance(client, dict) and all(isinstance(client.get(each), str) for each in ("name", "version"))

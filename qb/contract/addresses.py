"""How a node is reached: over HTTP, or by Ansible with the few connection variables that the registry keeps.

Ansible would run what some variables hold on the machine that it runs on (proxy commands, templates), so names are a
closed list and values are plain. Secrets have no place here: use SSH keys and Ansible Vault.
"""

import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from qb.contract.text import Text

_PLAIN = re.compile(r"[A-Za-z0-9_./~@:+][A-Za-z0-9_./~@:+-]*").fullmatch
_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]*").fullmatch
_CONNECTIONS = frozenset({"ssh", "local"})
Value = str | int | bool


def _port(value: Value) -> bool:
    return str(value).isdecimal() and 0 < int(value) < 65536


def _word(value: Value) -> bool:
    return isinstance(value, str) and bool(_PLAIN(value)) and len(value) <= 255


VARIABLES: dict[str, tuple[Callable[[Value], bool], str]] = {
    "ansible_user": (_word, "a user's name"),
    "ansible_port": (_port, "a port, 1 to 65535"),
    "ansible_connection": (lambda value: value in _CONNECTIONS, "ssh or local"),
    "ansible_python_interpreter": (_word, "a path"),
    "ansible_ssh_private_key_file": (_word, "a path"),
    "ansible_become": (lambda value: isinstance(value, bool), "true or false"),
    "ansible_become_user": (_word, "a user's name"),
    "ansible_become_method": (_word, "a word, such as sudo"),
}
"""Each variable that the registry keeps: what its value must be, as a test and in words."""


def _checked(variables: dict[str, Value]) -> dict[str, Value]:
    for name, value in variables.items():
        if name not in VARIABLES:
            raise ValueError(f"{name} is none that the registry keeps: choose from {', '.join(sorted(VARIABLES))}")
        fits, words = VARIABLES[name]
        if not fits(value):
            raise ValueError(f"{name} must be {words}")
    return variables


def _reachable(text: str) -> str:
    if len(text) > 255 or not _HOST(text):
        raise ValueError("must be a host name or an IP address")
    return text


def web_address(text: str) -> str:
    """Return `text` when it is an http or https URL that can be called; raise ValueError when not."""
    example = "write for example http://node-1:8080"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"is no http or https URL with a host: {example}")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"holds a user name or password, which would be shown and logged: {example}")
    if not text.isascii() or any(ord(char) <= 0x20 or ord(char) == 0x7F for char in text):
        raise ValueError(f"holds blanks, control or non-ASCII characters: {example}")
    return text


Endpoint = Annotated[Text, AfterValidator(web_address)]
"""Where a push node is reached over HTTP: what the server could not call is refused when it is written down."""

Address = Annotated[str, AfterValidator(_reachable)]
AnsibleVariables = Annotated[dict[str, Value], AfterValidator(_checked)]

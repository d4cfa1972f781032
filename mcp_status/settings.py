"""What the reporter must know: where the orchestrator is, which task is its own, and the key to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from qb.contract.credentials import NO_KEY, can_be_sent

URL = "ORCHESTRATOR_URL"
TASK_NAMES = ("JOB_ID", "TASK_ID")
KEY = "NODE_API_KEY"
CA_FILE = "QB_CA_FILE"
VICTORIA_HOME = "/workspace/Victoria"


@dataclass(frozen=True, slots=True)
class Settings:
    """A complete configuration. `ca_file` is for an orchestrator with a private CA; `crush_folders` may hold a log."""

    url: str
    task_id: str
    api_key: str
    ca_file: str | None = None
    crush_folders: tuple[Path, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return f"Settings(url={self.url!r}, task_id={self.task_id!r}, api_key=...)"


@dataclass(frozen=True, slots=True)
class Unconfigured:
    """Why there are no settings: one sentence for each, with its mend."""

    problems: tuple[str, ...]


def read_settings(environ: Mapping[str, str]) -> Settings | Unconfigured:
    """Return the settings in `environ`, or everything that is wrong with them. Empty counts as unset."""
    values = {name: environ.get(name, "").strip() for name in (URL, *TASK_NAMES, KEY, CA_FILE)}
    task_id = values["TASK_ID"] or values["JOB_ID"]
    problems = [*_url_problems(values[URL]), *_task_problems(values), *_key_problems(values[KEY])]
    if values[CA_FILE] and not Path(values[CA_FILE]).is_file():
        problems.append(f"{CA_FILE} names {values[CA_FILE]}, which is not a file here: mount it, or unset it.")
    if problems:
        return Unconfigured(tuple(problems))
    return Settings(values[URL].rstrip("/"), task_id, values[KEY], values[CA_FILE] or None, crush_folders(environ))


def crush_folders(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where Crush may keep its log, in the order of looking: Victoria's home, this folder, the XDG data folder."""
    data = environ.get("XDG_DATA_HOME") or f"{environ.get('HOME') or '~'}/.local/share"
    home = Path(environ.get("VICTORIA_HOME") or VICTORIA_HOME)
    return home / ".crush", Path(".crush"), Path(data).expanduser() / "crush"


def read_env_file(path: Path) -> dict[str, str]:
    """Return the ``NAME=VALUE`` lines of a .env file; `export` and quotes around a value are allowed.

    Raises OSError when it cannot be read, ValueError when it is not text or a line is not an assignment.
    """
    values = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.removeprefix("export ").partition("=")
        if not equals or not name.strip():
            raise ValueError(f"line {number} is not NAME=VALUE")
        values[name.strip()] = _unquoted(value.strip())
    return values


def overlaid(environ: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """`environ` with `values`, which win; either of a task's names wins over both."""
    names_task = any(values.get(name) for name in TASK_NAMES)
    kept = {name: value for name, value in environ.items() if not (names_task and name in TASK_NAMES)}
    return kept | dict(values)


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value


def _url_problems(url: str) -> list[str]:
    if not url:
        return [f"{URL} is not set: give the orchestrator's address, such as http://host:8000."]
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    return [] if usable else [f"{URL} is {url!r}, not an http or https address such as http://host:8000."]


def _task_problems(values: Mapping[str, str]) -> list[str]:
    given = {values[name] for name in TASK_NAMES if values[name]}
    if not given:
        return ["Neither TASK_ID nor JOB_ID is set: give the id of the task."]
    if len(given) > 1:
        both = " and ".join(f"{name}={values[name]}" for name in TASK_NAMES)
        return [f"{both} name different tasks: set one of them, or both alike."]
    task_id = given.pop()
    # the wire's own limit (qb.contract.text.Id), said here as a setting's problem
    if len(task_id) > 64:
        return [f"The task's id is {len(task_id)} characters long: no task has an id over 64."]
    return []


def _key_problems(key: str) -> list[str]:
    if not key:
        return [f"{KEY} is not set: give the task's token, which the runner hands to the container."]
    if not can_be_sent(key):
        return [f"{KEY} {NO_KEY}."]
    return []

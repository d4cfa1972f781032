"""Which orchestrator and which key: from options, the environment, or a profile file of mode 0600."""

import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qb.cli.exits import CliError, Exit

DEFAULT_NAME = "default"
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Profile:
    """One orchestrator as this user reaches it. `url` has no trailing slash."""

    url: str
    api_key: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class Settings(Profile):
    """What a command works with; `source` says in words where the address came from, `key_source` the key."""

    source: str = ""
    key_source: str = ""

    @property
    def key_begin(self) -> str:
        """As much of the key as listings show, which tells one from another; of an odd, short one less."""
        key = self.api_key or ""
        return f"{key[:_SHOWN] if len(key) >= 2 * _SHOWN else key[: _SHOWN // 3]}…"


def profile_path(env: Mapping[str, str]) -> Path:
    """Where profiles are kept: $QB_PROFILE, or profile.toml in the user's configuration folder."""
    if env.get("QB_PROFILE"):
        return Path(env["QB_PROFILE"]).expanduser()
    from platformdirs import user_config_path

    return user_config_path("qb") / "profile.toml"


def read_profiles(path: Path) -> dict[str, Profile]:
    """Every profile in the file by name; none when there is no file. Raises CliError for a broken one."""
    hint = f"mend {path}, or set QB_PROFILE to another file"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CliError(f"cannot read the profile file {path}: {error}", hint) from error
    tables = document.get("profiles", {})
    if not isinstance(tables, dict):
        raise CliError(f"the profile file {path} has no table [profiles.NAME]", hint)
    return {name: _profile(path, name, table, hint) for name, table in tables.items()}


def _profile(path: Path, name: str, table: object, hint: str) -> Profile:
    if not isinstance(table, dict) or not isinstance(table.get("url"), str):
        raise CliError(f"profile {name!r} in {path} has no url", hint)
    known = {key: table[key] for key in ("api_key", "ca_file") if isinstance(table.get(key), str)}
    return Profile(url=table["url"].rstrip("/"), **known)


def write_profile(path: Path, name: str, profile: Profile) -> None:
    """Add or replace one profile; the file is replaced as a whole and only its owner can read it."""
    profiles = {**read_profiles(path), name: profile}
    lines = ["# Orchestrators that `qb` knows. The keys in it are secrets."]
    for key, entry in profiles.items():
        lines += ["", f"[profiles.{_quoted(key)}]", f"url = {_quoted(entry.url)}"]
        lines += [f"api_key = {_quoted(entry.api_key)}"] if entry.api_key else []
        lines += [f"ca_file = {_quoted(entry.ca_file)}"] if entry.ca_file else []
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # mkstemp makes the file 0600 from its first moment
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".profile-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            Path(draft).replace(path)
        finally:
            Path(draft).unlink(missing_ok=True)  # it holds keys
    except OSError as error:
        raise CliError(
            f"cannot write the profile file {path}: {error.strerror or error}", "set QB_PROFILE to another path"
        ) from error


def _quoted(text: str) -> str:
    # a JSON string is a TOML basic string, apart from DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def settings(env: Mapping[str, str], *, url: str | None = None, name: str | None = None) -> Settings:
    """What applies now: --url, then QB_URL, then the profile; the key is QB_API_KEY, then the profile's.

    A profile's key goes to that profile's own address only. Raises CliError when no address is known, or the
    profile that was asked for is not there.
    """
    path = profile_path(env)
    chosen = name or env.get("QB_PROFILE_NAME") or DEFAULT_NAME
    profiles = read_profiles(path)
    profile = profiles.get(chosen)
    address = (url or env.get("QB_URL") or "").rstrip("/")
    asked = name or env.get("QB_PROFILE_NAME")
    if profile is None and env.get("QB_PROFILE") and not path.exists() and (asked or not address):
        raise CliError(
            f"the profile file {path} is missing, which QB_PROFILE names",
            "name another, set QB_URL and QB_API_KEY, or run `qb init --data-dir DIR`, which writes it",
            Exit.USAGE,
        )
    if profile is None and asked:
        known = ", ".join(sorted(profiles)) or "none"
        raise CliError(f"there is no profile {chosen!r} in {path}", f"known profiles: {known}", Exit.USAGE)
    key = env.get("QB_API_KEY") or None
    ca_file = env.get("QB_CA_FILE") or None
    if address and (profile is None or profile.url != address):
        return Settings(address, key, ca_file, "--url" if url else "QB_URL", "QB_API_KEY" if key else "")
    if profile is None:
        raise CliError(
            "no orchestrator is configured",
            "set QB_URL and QB_API_KEY, or run `qb init --data-dir DIR`, which writes a profile",
            Exit.USAGE,
        )
    source = f"profile {chosen!r} in {path}"
    key_source = "QB_API_KEY" if key else source
    return Settings(profile.url, key or profile.api_key, ca_file or profile.ca_file, source, key_source)

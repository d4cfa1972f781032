"""Collect what a node needs to install All-Time Quarterback into one archive, on the machine that runs Ansible.

Prints one JSON object: `fingerprint` names the content, `archive` is the file. The wheels are for the node's Python and
architecture; requirements.txt in the archive holds their locked versions and hashes. What is there is used again.
"""

import argparse
import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

SOURCES = ("qb", "runner", "mcp_status", "datasette")
FILES = ("pyproject.toml", "README.md", "LICENSE", "playbooks/dispatch.yml")
NEWEST_GLIBC = 36
OLDEST_GLIBC = 5
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def main() -> None:
    arguments = _arguments()
    cache = arguments.cache
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        # every host of a play asks at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        wheel = _own_wheel(arguments.checkout, cache)
        parts = _dependencies(arguments, wheel, cache)
        answer = _archive(arguments, wheel, parts, cache)
    print(json.dumps(answer))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--extras", required=True)
    parser.add_argument("--python", required=True, help="as 3.11")
    parser.add_argument("--arch", required=True, help="as x86_64")
    parser.add_argument("--offline", choices=("yes", "no"), default="yes")
    return parser.parse_args()


def _own_wheel(checkout: Path, cache: Path) -> Path:
    """The project's own wheel, built anew when its sources have changed."""
    digest = hashlib.sha256()
    for path in _sources(checkout):
        digest.update(f"{path.relative_to(checkout)}\0".encode() + path.read_bytes())
    folder = cache / f"own-{digest.hexdigest()[:16]}"
    if not folder.is_dir():
        draft = _draft(folder)
        _run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(draft), str(checkout))
        draft.rename(folder)
    return next(folder.glob("*.whl"))


def _sources(checkout: Path) -> Iterator[Path]:
    yield from (checkout / name for name in FILES)
    for name in SOURCES:
        yield from sorted(each for each in (checkout / name).rglob("*") if each.is_file() and each.suffix != ".pyc")


def _dependencies(arguments: argparse.Namespace, wheel: Path, cache: Path) -> Path:
    """A folder with the wheels that the extras need, and requirements.txt with their hashes."""
    lock = (arguments.checkout / "requirements.lock").read_text("utf-8")
    project = (arguments.checkout / "pyproject.toml").read_text("utf-8")
    asked = f"{lock}\0{project}\0{arguments.extras}\0{arguments.python}\0{arguments.arch}"
    folder = cache / f"needs-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    draft = _draft(folder)
    pins = re.findall(r"^[A-Za-z0-9][^\\#\n]*", lock, re.MULTILINE)
    (draft / "constraints.txt").write_text("\n".join(pin.strip() for pin in pins) + "\n", "utf-8")
    command = [*PIP, "download", "--dest", str(draft), "--only-binary=:all:", "--implementation=cp"]
    command += [f"--python-version={arguments.python}", "--constraint", str(draft / "constraints.txt")]
    # pip takes only the platforms that are named: a newer glibc runs what was built for an older one
    for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1):
        command += ["--platform", f"manylinux_2_{minor}_{arguments.arch}"]
    command += ["--platform", f"manylinux2014_{arguments.arch}", "--platform", f"linux_{arguments.arch}"]
    _run(*command, f"{wheel}[{arguments.extras}]")
    (draft / wheel.name).unlink(missing_ok=True)
    (draft / "constraints.txt").unlink()
    (draft / "requirements.txt").write_text(_locked(lock, draft), "utf-8")
    draft.rename(folder)
    return folder


def _locked(lock: str, folder: Path) -> str:
    """The parts of the lock file that tell version and hashes of the wheels in `folder`."""
    there = {_pin(*path.name.split("-")[:2]) for path in folder.glob("*.whl")}
    kept = []
    for part in re.split(r"\n(?=[A-Za-z0-9])", lock):
        name, _, rest = part.partition("==")
        version = re.split(r"[\s;\\]", rest, maxsplit=1)[0]
        if (pin := _pin(name, version)) in there:
            hashes = re.findall(r"--hash=\S+", part)
            kept.append(" \\\n    ".join([f"{pin[0]}=={version}", *hashes]))
            there.discard(pin)
    if there:
        raise SystemExit(f"requirements.lock tells no hashes of {sorted(there)}: make it anew with `make lock`")
    return "\n".join(kept) + "\n"


def _pin(name: str, version: str) -> tuple[str, str]:
    return re.sub(r"[-_.]+", "-", name).lower(), version


def _archive(arguments: argparse.Namespace, wheel: Path, parts: Path, cache: Path) -> dict[str, str]:
    """One tar file: own wheel, dashboard's configuration, requirements and, if offline, their wheels."""
    offline = arguments.offline == "yes"
    requirements = (parts / "requirements.txt").read_bytes()
    # the folder of the own wheel is named by the sources, the dashboard's configuration among them; that of the others
    # by Python and architecture, which a virtual environment is made for
    content = b"\0".join((requirements, wheel.parent.name.encode(), parts.name.encode()))
    fingerprint = hashlib.sha256(content).hexdigest()[:12]
    path = cache / f"{fingerprint}-{parts.name}-{'offline' if offline else 'index'}.tar"
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        with tarfile.open(draft, "w") as archive:
            archive.add(wheel, f"own/{wheel.name}")
            archive.add(arguments.checkout / "datasette", "datasette", filter=_unowned)
            for each in sorted(parts.iterdir()):
                if offline or each.suffix == ".txt":
                    archive.add(each, f"needs/{each.name}" if each.suffix == ".whl" else each.name)
        draft.rename(path)
    return {"fingerprint": fingerprint, "archive": str(path), "wheel": wheel.name}


def _unowned(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Configuration that everybody may read, whatever the checkout's owner and umask."""
    member.mode = 0o755 if member.isdir() else 0o644
    return None if "__pycache__" in member.name else member


def _draft(folder: Path) -> Path:
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    draft.mkdir()
    return draft


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} failed:\n{done.stderr.strip()}")


if __name__ == "__main__":
    main()

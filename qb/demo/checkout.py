"""Where the parts are that only a checkout has."""

from pathlib import Path

from qb.demo.errors import DemoError

HERE = Path(__file__).resolve().parent


def root() -> Path:
    """The checkout's top folder. Raises DemoError when the package was installed without one."""
    top = HERE.parents[1]
    if not (top / "playbooks" / "podman.yml").is_file():
        raise DemoError(
            "the demo needs the project's own folder: clone it and run `make demo` there",
        )
    return top

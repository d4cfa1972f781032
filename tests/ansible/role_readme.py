"""Each role's README, made of its argument specification. `python -m tests.ansible.role_readme [--check]`."""

import sys
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).parents[2] / "roles"


def page(role: Path) -> str:
    """The README of a role: what it does, and each variable with default and meaning."""
    spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text("utf-8"))["argument_specs"]["main"]
    lines = [
        f"# Role {role.name}",
        "",
        " ".join(spec["description"]),
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | {_default(option)} | {_meaning(option)} |" for name, option in spec["options"].items()]
    lines += [
        "",
        "Check mode works on a bare host; a second run changes nothing. Tested on Debian 12 (bookworm); names of "
        "packages are variables, but other distributions are not tested.",
        "",
        "<!-- made of meta/argument_specs.yml by `make docs` -->",
    ]
    return "\n".join(lines) + "\n"


def _default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    value = option.get("default")
    if isinstance(value, dict) and value:
        return "by os_family"
    if isinstance(value, list) and len(value) > 4:
        return f"{', '.join(value[:3])}, ..."
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value not in ("", [], {}, None) else "none"


def _meaning(option: dict[str, Any]) -> str:
    text = option["description"]
    return f"{text.rstrip('.')}: {' or '.join(option['choices'])}." if "choices" in option else str(text)


def stale() -> list[str]:
    """The roles whose README is not what their specification says."""
    roles = sorted(path.parents[1] for path in ROLES.glob("*/meta/argument_specs.yml"))
    found = []
    for role in roles:
        readme = role / "README.md"
        if not readme.exists() or readme.read_text("utf-8") != page(role):
            found.append(role.name)
    return found


if __name__ == "__main__":
    names = stale()
    if "--check" in sys.argv:
        sys.exit(f"stale: roles/{names[0]}/README.md; `make docs` writes it anew" if names else 0)
    for name in names:
        (ROLES / name / "README.md").write_text(page(ROLES / name), "utf-8")

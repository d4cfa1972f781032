"""The environment of a task, from the own variables or a file: never from the command line, which others see."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qb.cli.exits import CliError, Exit
from qb.cli.terminal import one_line


def environment(names: Sequence[str] | None, file: Path | None, own: Mapping[str, str]) -> dict[str, str] | None:
    """Variables by name from `own`, and lines of NAME=VALUE from `file`; None for none. Raises CliError."""
    found = {} if file is None else _lines(file)
    for name in names or ():
        if "=" in name:
            hint = "give the name alone and the value in your own environment, or use --env-file"
            raise CliError(f"--env {one_line(name.partition('=')[0])}: a value does not belong here", hint, Exit.USAGE)
        if name not in own:
            raise CliError(
                f"--env {one_line(name)}: there is no such variable", f"export {one_line(name)} first", Exit.USAGE
            )
        found[name] = own[name]
    return found or None


def _lines(file: Path) -> dict[str, str]:
    from pydantic import TypeAdapter

    from qb.cli.refusals import checked
    from qb.contract.text import EnvName, EnvValue

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        hint = "name a file of NAME=VALUE lines that you can read"
        raise CliError(f"--env-file: cannot read {file}: {reason}", hint, Exit.USAGE) from error
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not equals or not name:
            raise CliError(f"{file}: line {number} is no NAME=VALUE", "write one variable a line", Exit.USAGE)
        name = name.strip()
        with checked({name: f"--env-file {file}: line {number}: {one_line(name)}"}):
            TypeAdapter(dict[EnvName, EnvValue]).validate_python({name: value})
        found[name] = value
    return found

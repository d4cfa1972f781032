"""Where the control plane keeps everything, as the commands that work on it take it.

They reach the server's own packages, which are imported when a command runs: the rest of `qb` works where only the
client is installed.
"""

import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from qb.cli.exits import CliError, Exit

DEFAULT_PORT = 8080
DataDir = Annotated[
    Path, typer.Option(metavar="DIR", help="Where the control plane keeps everything.", envvar="QB_DATA_DIR")
]


def option(data_dir: Path) -> str:
    """``--data-dir DIR``, to be pasted into a shell."""
    return f"--data-dir {shlex.quote(str(data_dir))}"


def check_database(data_dir: Path) -> str:
    """What is found in `data_dir`, in words. Raises CliError when it cannot be served from."""
    hint = "put it back from a backup: qb.db, keys.db, secret and blobs/ together"
    missing = [part for part in ("qb.db", "keys.db", "secret", "blobs") if not (data_dir / part).exists()]
    if len(missing) == 4:
        raise CliError(f"{data_dir} holds no control plane", f"make one: qb init {option(data_dir)}")
    if missing:
        raise CliError(f"{', '.join(missing)} missing in {data_dir}", hint)
    for part in ("keys.db", "secret"):
        if (data_dir / part).stat().st_mode & 0o077:
            raise CliError(f"{data_dir / part} can be read by others", f"chmod 600 {shlex.quote(str(data_dir / part))}")
    import sqlite3

    with explained():
        from qb.store import copies
        from qb.store.database import connect

        try:
            with closing(connect(data_dir / "qb.db", read_only=True)) as db:
                verdict, tasks = copies.glance(db)
        except sqlite3.Error as error:
            raise CliError(f"{data_dir / 'qb.db'} cannot be read: {error}", hint) from error
    if verdict != "ok":
        raise CliError(f"{data_dir / 'qb.db'} is damaged: {verdict}", hint)
    return f"{data_dir}: sound, {tasks} tasks"


@contextmanager
def explained() -> Iterator[None]:
    """Say what the server's packages raise as the command line does. Raises CliError."""
    from qb.cli.refusals import BY_CODE

    try:
        from qb.domain.errors import QuarterbackError
    except ImportError as error:
        raise _not_installed(error) from error
    try:
        yield
    except QuarterbackError as error:
        answer = BY_CODE[error.code]
        # the server's own messages already tell the mend
        raise CliError(str(error), None, answer.exit_code) from error
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    except OSError as error:
        raise CliError(f"{error.filename or 'the data directory'}: {error.strerror or error}", None) from error


def _not_installed(error: ImportError) -> CliError:
    return CliError(
        f"the server's part is not installed here ({error.name} is missing)",
        "pip install 'all-time-quarterback[server]'",
        Exit.FAILURE,
    )

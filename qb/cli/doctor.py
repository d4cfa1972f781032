"""`qb doctor`: is everything here that is needed, and if not, what mends it."""

from pathlib import Path
from typing import Annotated

import typer

from qb.cli.data_dir import DEFAULT_PORT
from qb.cli.exits import CliError, Exit
from qb.cli.options import Format, Output


def doctor(
    ctx: typer.Context,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Check this control plane's database too.", envvar="QB_DATA_DIR")
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, metavar="N", help="The port that `qb serve` would use here.")
    ] = DEFAULT_PORT,
    output: Output = Format.TABLE,
) -> None:
    """Find what is wrong, and say what mends it.

    It looks at podman, ports, database, clock and versions, and whether the orchestrator accepts your key. Each
    failure says what mends it. The exit code is 1 when anything failed.
    """
    from qb.cli.checks import Outcome, examine
    from qb.cli.output import emit_data
    from qb.cli.terminal import one_line

    findings = []
    for finding in examine(ctx.find_root().params, data_dir, port):
        findings.append(finding)
        if output.for_people:
            typer.echo(f"{finding.outcome:<5} {finding.check:<13} {one_line(finding.found)}")
            if finding.mend:
                typer.echo(f"{'':<5} {'':<13} mend: {one_line(finding.mend)}")
    failed = [finding.check for finding in findings if finding.outcome is Outcome.FAIL]
    if output is Format.ID:
        typer.echo("\n".join(failed), nl=bool(failed))
    elif not output.for_people:
        emit_data([finding.as_data() for finding in findings], output)
    if failed:
        raise CliError(f"failed: {', '.join(failed)}", "each one says above what mends it", Exit.FAILURE)

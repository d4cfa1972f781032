"""What the page of a row needs beside the row: which other tables its reader may look at."""

from collections.abc import Awaitable, Callable
from typing import Any

from datasette import hookimpl


@hookimpl
def extra_template_vars(
    view_name: str | None, database: str | None, request: Any, datasette: Any
) -> dict[str, Callable[[str], Awaitable[bool]]]:
    """`may_see(table)` for the template of a row."""

    async def may_see(table: str) -> bool:
        permissions = [("view-table", (database, table)), ("view-database", database), "view-instance"]
        visible, _ = await datasette.check_visibility(request.actor, permissions=permissions)
        return bool(visible)

    return {"may_see": may_see} if view_name == "row" else {}

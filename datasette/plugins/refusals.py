"""What readers ask for and tables do not offer: their mistake, with a way out, and no fault of the dashboard's."""

from datasette import hookimpl
from datasette.views.base import DatasetteError

_SORTING = ("Cannot sort table by", "Cannot use _sort")
_WAY_OUT = "a large table is sorted by what has an index, and by one column: those whose headings are links"


@hookimpl(tryfirst=True)
def handle_exception(exception: Exception) -> None:
    """Turn the error for a sorting that is not offered into a 400 that says what is."""
    if isinstance(exception, DatasetteError) and exception.message.startswith(_SORTING):
        exception.status = 400
        exception.message = f"{exception.message}: {_WAY_OUT}"

"""What a model refuses a value for, in the words and units that a command line has."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qb.cli.durations import written as duration
from qb.cli.sizes import written as size
from qb.cli.terminal import one_line
from qb.contract.mismatches import WORDS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_UNITS: dict[str, Callable[[float], str]] = {
    "_seconds": duration,
    "_days": lambda days: f"{days:g}d",
    "_mb": lambda megabytes: f"{size(int(megabytes) << 20)} (a number alone is bytes)",
}
"""How people write what a field holds, by the end of its name."""

_BOUNDS = {
    "greater_than_equal": ("ge", "must be at least"),
    "greater_than": ("gt", "must be more than"),
    "less_than_equal": ("le", "must be at most"),
    "less_than": ("lt", "must be less than"),
}
_NUMBERS = {"int_parsing": "must be a whole number", "float_parsing": "must be a number"}


def worded(error: "ErrorDetails") -> str:
    """One error of pydantic's, without the option that it is about."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{words} {_unit(error['loc'])(context[bound])}"
    if kind == "string_pattern_mismatch" and context["pattern"] in WORDS:
        return WORDS[context["pattern"]]
    if kind in ("enum", "literal_error"):
        choices = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        return f"{one_line(str(error['input']))[:100]!r} is not one of {choices}"
    if kind in ("string_too_short", "string_too_long"):
        return _length(context)
    if kind == "too_long":
        return f"may be given {context['max_length']} times at most"
    if kind in _NUMBERS:
        return _NUMBERS[kind]
    message = error["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:] if message.startswith("Input ") else message


def option(error: "ErrorDetails", names: Mapping[str, str]) -> str:
    """The option that an error is about; `names` maps fields to options. Of pairs, with the name of the pair."""
    loc = error["loc"]
    whole = ".".join(map(str, loc))
    if whole in names or not loc:
        return names.get(whole, "")
    field = str(loc[0])
    entry = f" {one_line(loc[1])[:100]}" if len(loc) > 1 and isinstance(loc[1], str) and loc[1] != "[key]" else ""
    return names.get(field, field) + entry


def _unit(loc: tuple[int | str, ...]) -> Callable[[float], str]:
    field = str(loc[-1]) if loc else ""
    return next((write for end, write in _UNITS.items() if field.endswith(end)), _number)


def _number(number: float) -> str:
    return str(int(number) if number == int(number) else number)


def _length(context: Mapping[str, Any]) -> str:
    if "max_length" in context:
        return f"must have at most {context['max_length']} characters"
    least = context["min_length"]
    return "must not be empty" if least == 1 else f"must have at least {least} characters"

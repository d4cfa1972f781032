"""The pieces of a transcript's message: Crush's JSON parts taken apart, any other text as it stands."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

LONGEST_ESCAPE = len("\\ud83d")
"""Characters of JSON that a cut may go through."""


class Part(NamedTuple):
    """One piece of a message. `kind` is text, tool_call, tool_result, error, reasoning or note."""

    kind: str
    text: str


def parts_of(content: str | None) -> Iterator[Part]:
    """The pieces of a message: of Crush's JSON where it is that, or began as that, else the text as it stands."""
    try:
        found = json.loads(content) if content else []
    except (ValueError, RecursionError):
        found = _of_a_beginning(content or "")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        yield Part("text", content or "")
        return
    for each in found:
        data = each.get("data")
        part = _part_of(str(each.get("type")), data if isinstance(data, dict) else {})
        if part is not None:
            yield part


def _of_a_beginning(content: str) -> Any:
    """What a page that reads no more than so many characters has of a long message; None where it is none."""
    if not content.startswith('[{"type"'):
        return None
    for end in range(len(content), len(content) - LONGEST_ESCAPE, -1):
        for closing in ('"}}]', "}}]", "}]", "]"):
            try:
                return json.loads(content[:end] + closing)
            except (ValueError, RecursionError):
                continue
    return None


def _part_of(kind: str, data: dict[str, Any]) -> Part | None:
    if kind == "text":
        text = _plain(data.get("text"))
        return Part("text", text) if text.strip() else None
    if kind == "reasoning":
        thought = _plain(data.get("thinking") or data.get("text"))
        return Part("reasoning", thought) if thought.strip() else None
    if kind == "tool_call":
        return Part("tool_call", f"{_plain(data.get('name'))} {_plain(data.get('input'))}".strip())
    if kind == "tool_result":
        return Part("error" if data.get("is_error") else "tool_result", _plain(data.get("content")) or "(nothing)")
    if kind == "finish":
        reason = _plain(data.get("reason"))
        ordinary = reason in ("", "end_turn", "stop", "tool_use")
        return None if ordinary else Part("note", f"ended: {reason} {_plain(data.get('message'))}".strip())
    return Part("note", f"[{kind}]")


def _plain(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

"""Tables for a terminal of 80 columns; the same data whole for programs."""

import json
from typing import Any

import pytest
import yaml

from qb.cli.terminal import cut, inert, one_line, width
from qb.contract.states import TaskStatus

ONE = "3f2a0000-0000-4000-8000-000000000001"
LONG = "word " * 60
EVIL = "\x1b]0;owned\x07\x9b31m\u202eabc\r\x7f"


@pytest.fixture
def tasks(connected: Any, make_task: Any) -> Any:
    running = {"status": TaskStatus.RUNNING, "assigned_node_name": "client-acme-berlin-17.example", "progress": 40}
    connected.answers("GET", "/tasks", [make_task(ONE, prompt=LONG + EVIL, **running), make_task("77" + ONE[2:])])
    return connected


def test_a_table_fits_80_columns_of_a_terminal(qb: Any, tasks: Any) -> None:
    lines = qb("task", "list", tty=True).out.splitlines()
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].endswith("…")


def test_short_ids_in_a_table_still_tell_the_rows_apart(qb: Any, connected: Any, make_task: Any) -> None:
    connected.answers("GET", "/tasks", [make_task(f"3f2a0000-0{digit}") for digit in "01"])
    lines = qb("task", "list", tty=True).out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["3f2a0000-00", "3f2a0000-01"]


def test_a_pipe_gets_everything_uncut_and_uncoloured(qb: Any, tasks: Any) -> None:
    out = qb("task", "list").out
    assert ONE in out
    assert LONG.strip() in out
    assert "\x1b" not in out


def test_json_is_whole_and_escapes_what_steers_terminals(qb: Any, tasks: Any) -> None:
    out = qb("task", "list", "-o", "json").out
    assert json.loads(out)[0]["prompt"] == LONG + EVIL
    assert not set("\x1b\x07\x9b\u202e\r\x7f") & set(out)


def test_yaml_is_whole_and_escapes_what_steers_terminals(qb: Any, tasks: Any) -> None:
    out = qb("task", "list", "-o", "yaml").out
    assert yaml.safe_load(out)[0]["prompt"] == LONG + EVIL
    assert not set("\x1b\x07\x9b\u202e\r\x7f") & set(out)


def test_id_prints_one_id_a_line(qb: Any, tasks: Any) -> None:
    assert qb("task", "list", "-o", "id").out == f"{ONE}\n77{ONE[2:]}\n"


def test_show_wraps_and_leaves_out_what_is_empty(qb: Any, connected: Any, make_task: Any) -> None:
    connected.answers("GET", f"/tasks/{ONE}", make_task(ONE, prompt=LONG * 5 + EVIL))
    out = qb("task", "show", ONE, tty=True).out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "…" in out
    assert "Result" not in out
    assert inert(LONG * 5 + EVIL) in qb("task", "show", ONE).out


def test_wide_shows_every_field(qb: Any, connected: Any, make_task: Any) -> None:
    task = make_task(ONE, title="T", target_tags={"site": "acme"})
    connected.answers("GET", f"/tasks/{ONE}", task)
    out = qb("task", "show", ONE, "-o", "wide").out
    assert all(name in out for name, value in task.model_dump().items() if value not in (None, [], {}))


def test_an_empty_listing_says_so_to_people_and_nothing_to_programs(qb: Any, connected: Any) -> None:
    connected.answers("GET", "/tasks", [])
    assert qb("task", "list", tty=True).out == "no tasks\n"
    assert qb("task", "list").out == ""
    assert json.loads(qb("task", "list", "-o", "json").out) == []


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert inert("a\tb\nc\r\nd") == "a\tb\nc\nd"
    assert inert("\x1b[2J\x07\x7f\x9b\u202e\ud800") == "␛[2J␇␡" + "\ufffd" * 3
    assert one_line(" a\n\tb\r") == "a b"


def test_east_asian_text_is_cut_by_cells() -> None:
    assert width(cut("漢字" * 10, 9)) <= 9
    assert cut("short", 9) == "short"

"""Every help page has an example, and docs/cli.md is what the program says."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qb.cli.reference import document, pages

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
PAGES = dict(pages())


def test_every_command_of_the_program_is_walked() -> None:
    wanted = {"init", "serve", "doctor", "version", "up", "demo", "mcp", "task", "node"}
    wanted |= {f"task {verb}" for verb in "create list show wait watch cancel transcript logs events artifacts".split()}
    wanted |= {"task why", "task retry", *(f"group {verb}" for verb in "list show wait cancel".split())}
    wanted |= {f"schedule {verb}" for verb in "list show remove".split()}
    wanted |= {f"node {verb}" for verb in "list show add drain resume".split()}
    assert {f"qb {name}" for name in wanted} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_help_page_says_what_it_does_and_has_an_example_of_itself(name: str) -> None:
    page = PAGES[name]
    examples = page.partition("Examples:\n")[2]
    own = "qb" if name == "qb" else name
    assert re.search(rf"\b{re.escape(own)}\b", examples), page
    assert re.search(r"^  [A-Z]", page.partition("\n")[2], re.MULTILINE), page
    assert all(len(line) <= 80 for line in page.splitlines()), page


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if "\nCommands:\n" in page])
def test_what_a_group_says_of_its_commands_is_not_cut(name: str) -> None:
    commands = PAGES[name].partition("\nCommands:\n")[2].partition("\n\n")[0]
    assert not [line for line in commands.splitlines() if line.endswith("...")]


def test_the_reference_is_fresh() -> None:
    assert DOCS.read_text() == document(), "run: python -m qb.cli.reference > docs/cli.md"


def test_help_imports_nothing_slow() -> None:
    script = (
        "import sys\nfrom qb.cli import main\nsys.argv = ['qb', '--help']\n"
        "try:\n    main.run()\nexcept SystemExit:\n    pass\n"
        "slow = {'pydantic', 'httpx2', 'rich', 'tabulate', 'yaml', 'falcon', 'sqlite3'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Usage: qb" in ran.stdout


def test_a_group_without_a_command_prints_its_help(qb: Any) -> None:
    ran = qb("task")
    assert ran.code == 2
    assert "Usage: qb task" in ran.out + ran.err
    assert "error:" not in ran.err


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["task", "list", "--url", "http://x"], "before the command"),
        (["task", "list", "--api-key", "k"], "QB_API_KEY"),
        (["task", "lst"], "qb task --help"),
        (["task", "list", "-o", "xml"], "qb task list --help"),
        (["task", "list", "extra"], "qb task list --help"),
    ],
)
def test_a_command_line_that_cannot_be_is_one_line_and_a_hint(qb: Any, args: list[str], hint: str) -> None:
    ran = qb(*args)
    assert ran.code == 2
    error, told = ran.err.splitlines()
    assert error.startswith("error: ")
    assert told.startswith("hint: ")
    assert hint in told

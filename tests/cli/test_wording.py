"""What is wrong with a value is said in the words and units of the command line, and which help tells more."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from qb.contract.keys import KeyChange, KeyCreate, TokenCreate
from qb.contract.mismatches import WORDS
from qb.contract.nodes import NodeChange, NodeCreate
from qb.contract.questions import AnswerGiven
from qb.contract.tasks import GroupCreate
from qb.contract.text import ENV_NAME, NO_CONTROL, NO_NUL
from qb.contract.webhooks import WebhookCreate

TASK, KEY = ("task", "create", "x"), ("key", "create", "x")
LINE = WORDS[NO_CONTROL]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((*TASK, "--memory", "4096"), "--memory: must be at least 16M (a number alone is bytes)"),
        ((*TASK, "--memory", "9T"), "--memory: must be at most 4T (a number alone is bytes)"),
        ((*TASK, "--timeout", "999999999d"), "--timeout: must be at most 30d"),
        ((*TASK, "--backoff", "2h"), "--backoff: must be at most 1h"),
        ((*TASK, "--cpus", "0"), "--cpus: must be more than 0"),
        ((*TASK, "--pids", "9999999"), "--pids: must be at most 4194304"),
        ((*TASK, "--title", "a\nb"), f"--title: {LINE}"),
        ((*TASK, "--title", ""), "--title: must not be empty"),
        ((*TASK, "--tag", "a\nb=x"), f"--tag a b: {LINE}"),
        ((*TASK, "--needs", "x"), "--needs: 'x' is not one of cancel, time_limit"),
        ((*KEY, "--expires", "99999999d"), "--expires: must be at most 36500d"),
        (("key", "create", "x" * 256), "NAME: must have at most 255 characters"),
        (("task", "list", "--limit", "0"), "invalid value for '--limit': must be at least 1"),
        (("task", "list", "--limit", "x"), "invalid value for '--limit': must be a whole number"),
        (("task", "list", "--status", "bogus"), "invalid value for '--status': 'bogus' is not one of 'pending', "),
    ],
)
def test_a_limit_is_said_as_people_write_it(qb: Any, connected: Any, args: tuple[str, ...], said: str) -> None:
    ran = qb(*args)
    assert ran.code == 2
    first, hint = ran.err.splitlines()
    assert first.startswith(f"error: {said}")
    assert hint == f"hint: see `qb {args[0]} {args[1]} --help`"
    assert connected.seen == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1A=secret", f"1A: {WORDS[ENV_NAME]}"),
        ("A=secret" + "x" * 32_768, "A: must have at most 32768 characters"),
        ("A=secret\0", f"A: {WORDS[NO_NUL]}"),
    ],
)
def test_a_variable_that_cannot_be_is_named_with_its_file(
    qb: Any, connected: Any, tmp_path: Path, line: str, said: str
) -> None:
    file = tmp_path / "my.env"
    file.write_text(f"# ours\n{line}\n")
    ran = qb(*TASK, "--env-file", str(file))
    assert ran.code == 2
    assert ran.err.startswith(f"error: --env-file {file}: line 2: {said}\nhint: see `qb task create --help`")
    assert "secret" not in ran.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--env-file", "/nope"), "--env-file: cannot read /nope: No such file or directory\nhint: name a file"),
        (("--env-file", "/"), "--env-file: cannot read /: Is a directory\nhint: name a file"),
        (("--env", "NO_SUCH"), "--env NO_SUCH: there is no such variable\nhint: export NO_SUCH first"),
    ],
)
def test_variables_that_cannot_be_had_are_a_slip_in_the_command(
    qb: Any, connected: Any, args: tuple[str, ...], said: str
) -> None:
    ran = qb(*TASK, *args)
    assert (ran.code, connected.seen) == (2, [])
    assert ran.err.startswith(f"error: {said}")


def _patterns(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
        # names of pairs have their pattern as a key
        names = set(schema.get("patternProperties", {}))
        return own.union(names, *map(_patterns, schema.values()))
    return set().union(*map(_patterns, schema)) if isinstance(schema, list) else set()


@pytest.mark.parametrize(
    "model", [GroupCreate, KeyCreate, KeyChange, TokenCreate, NodeCreate, NodeChange, WebhookCreate, AnswerGiven]
)
def test_every_pattern_that_a_command_meets_has_words(model: type[BaseModel]) -> None:
    found = _patterns(model.model_json_schema())
    assert found
    assert found <= set(WORDS)

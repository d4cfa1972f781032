from pathlib import Path

import pytest

from mcp_status.settings import Settings, Unconfigured, read_env_file, read_settings

GOOD = {"ORCHESTRATOR_URL": "http://quarterback:8000/", "TASK_ID": "t1", "NODE_API_KEY": "qbt_k"}


def _problems(environ: dict[str, str]) -> str:
    found = read_settings(environ)
    assert isinstance(found, Unconfigured)
    return " ".join(found.problems)


def test_all_three_settings_make_a_configuration() -> None:
    assert read_settings(GOOD) == Settings("http://quarterback:8000", "t1", "qbt_k")


def test_job_id_is_another_name_for_task_id() -> None:
    environ = {"ORCHESTRATOR_URL": "http://q:1", "JOB_ID": "t1", "NODE_API_KEY": "k"}
    assert read_settings(environ) == Settings("http://q:1", "t1", "k")
    assert read_settings(GOOD | {"JOB_ID": "t1"}) == read_settings(GOOD)


def test_task_id_and_job_id_that_differ_are_named() -> None:
    assert "JOB_ID=t2 and TASK_ID=t1 name different tasks" in _problems(GOOD | {"JOB_ID": "t2"})


def test_everything_that_is_missing_is_told_at_once() -> None:
    text = _problems({"NODE_API_KEY": "  "})
    assert "ORCHESTRATOR_URL" in text and "TASK_ID" in text and "NODE_API_KEY" in text


@pytest.mark.parametrize("url", ["quarterback:8000", "ftp://q", "http://", "http://q:99999", "http://[::1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    assert "ORCHESTRATOR_URL is" in _problems(GOOD | {"ORCHESTRATOR_URL": url})


def test_a_key_with_a_line_break_is_refused() -> None:
    assert "NODE_API_KEY holds characters" in _problems(GOOD | {"NODE_API_KEY": "qbt_a\nb"})


def test_a_ca_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "QB_CA_FILE names" in _problems(GOOD | {"QB_CA_FILE": str(tmp_path / "none.pem")})


def test_the_key_stays_out_of_the_representation() -> None:
    assert "qbt_k" not in repr(read_settings(GOOD))


def test_an_env_file_may_have_comments_exports_and_quotes(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# settings\n\nexport A=1\nB = 'two words'\nC=x=y\nD=\n")
    assert read_env_file(file) == {"A": "1", "B": "two words", "C": "x=y", "D": ""}


def test_a_line_that_assigns_nothing_is_refused_by_number(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1\nnonsense\n")
    with pytest.raises(ValueError, match="line 2 is not NAME=VALUE"):
        read_env_file(file)

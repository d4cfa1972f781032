"""Which orchestrator and which key a command uses."""

from pathlib import Path

import pytest

from qb.cli.exits import CliError
from qb.cli.profile import Profile, profile_path, read_profiles, settings, write_profile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "profile.toml"


@pytest.fixture
def env(path: Path) -> dict[str, str]:
    return {"QB_PROFILE": str(path)}


def test_profiles_survive_the_file(path: Path) -> None:
    odd = Profile('http://x/"é\\', "key\x7f\n", "/ca")
    write_profile(path, "my lab", odd)
    write_profile(path, "default", Profile("http://y"))
    assert read_profiles(path) == {"my lab": odd, "default": Profile("http://y")}
    assert [each.name for each in path.parent.iterdir()] == ["profile.toml"]


def test_only_the_owner_can_read_the_keys(path: Path) -> None:
    write_profile(path, "default", Profile("http://y", "k"))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failing_write_leaves_no_key_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(CliError, match="No space left"):
        write_profile(path, "default", Profile("http://qb:1", "qba_secret"))
    assert list(path.parent.iterdir()) == []


def test_the_profile_answers_when_nothing_else_does(path: Path, env: dict[str, str]) -> None:
    write_profile(path, "default", Profile("http://y", "k", "/ca"))
    known = settings(env)
    assert (known.url, known.api_key, known.ca_file) == ("http://y", "k", "/ca")


def test_the_environment_goes_before_the_profile(path: Path, env: dict[str, str]) -> None:
    write_profile(path, "default", Profile("http://y", "k"))
    known = settings(env | {"QB_URL": "http://z/", "QB_API_KEY": "other"})
    assert (known.url, known.api_key) == ("http://z", "other")


def test_a_profiles_key_never_goes_to_another_server(path: Path, env: dict[str, str]) -> None:
    write_profile(path, "default", Profile("http://y", "k"))
    assert settings(env | {"QB_URL": "http://z"}).api_key is None
    assert settings(env, url="http://z").api_key is None
    assert settings(env, url="http://y/").api_key == "k"


def test_a_profile_is_chosen_by_option_or_environment(path: Path, env: dict[str, str]) -> None:
    write_profile(path, "lab", Profile("http://lab"))
    write_profile(path, "default", Profile("http://y"))
    assert settings(env, name="lab").url == "http://lab"
    assert settings(env | {"QB_PROFILE_NAME": "lab"}).url == "http://lab"
    with pytest.raises(CliError, match="no profile 'nix'"):
        settings(env, name="nix")


@pytest.mark.parametrize(("more", "name"), [({}, None), ({}, "lab"), ({"QB_PROFILE_NAME": "lab", "QB_URL": "x"}, None)])
def test_a_profile_file_that_is_missing_is_told(
    path: Path, env: dict[str, str], more: dict[str, str], name: str | None
) -> None:
    with pytest.raises(CliError) as raised:
        settings(env | more, name=name)
    assert raised.value.message == f"the profile file {path} is missing, which QB_PROFILE names"
    assert "QB_URL" in str(raised.value.hint)


def test_a_profile_file_that_is_missing_is_not_missed_where_all_is_given(env: dict[str, str]) -> None:
    assert settings(env | {"QB_URL": "http://z"}).url == "http://z"


def test_without_any_setting_the_error_names_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(CliError, match="no orchestrator") as raised:
        settings({})
    assert "QB_URL" in str(raised.value.hint)
    assert "qb init" in str(raised.value.hint)


@pytest.mark.parametrize("text", ["[", "profiles = 3", "[profiles.default]\napi_key = 'k'", "[profiles]\ndefault = 1"])
def test_a_broken_file_is_told_and_left_alone(path: Path, env: dict[str, str], text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(CliError, match=r"profile"):
        settings(env)
    with pytest.raises(CliError):
        write_profile(path, "default", Profile("http://y"))
    assert path.read_text() == text


def test_the_file_is_in_the_users_configuration_folder() -> None:
    assert profile_path({}).parts[-2:] == ("qb", "profile.toml")

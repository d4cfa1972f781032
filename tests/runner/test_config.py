"""Settings: a flag before the environment, the environment before the file, and mistakes told in one line."""

import json
from pathlib import Path

import pytest

from remote_runner.config import ConfigError, parse, read

URL = ("--orchestrator-url", "https://qb.example")
FILE = """
orchestrator_url = "https://file.example/"
slots = 4
workspace = "task"
container_image = "localhost/file"
capabilities = ["gpu", "big-disk"]
[tags]
site = "acme"
floor = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A settings file."""
    (tmp_path / "runner.toml").write_text(FILE)
    return str(tmp_path / "runner.toml")


def test_a_flag_counts_before_the_environment_and_that_before_the_file(file: str) -> None:
    environ = {"QB_RUNNER_SLOTS": "2", "QB_RUNNER_CONTAINER_IMAGE": "localhost/env"}
    config = read(["pull", "--config", file, "--slots", "8"], environ)
    assert (config.slots, config.container_image, config.orchestrator_url) == (
        8,
        "localhost/env",
        "https://file.example",
    )
    assert read(["pull", "--config", file], environ).slots == 2
    assert read(["pull"], {"QB_RUNNER_CONFIG": file}).slots == 4


def test_tags_and_capabilities_come_from_all_three(file: str) -> None:
    config = read(["pull", "--config", file], {})
    assert (config.tags, config.capabilities) == ({"site": "acme", "floor": "3"}, ("gpu", "big-disk"))
    environ = {"QB_RUNNER_TAGS": "a=1, b=2", "QB_RUNNER_CAPABILITIES": "fast"}
    config = read(["pull", *URL], environ)
    assert (config.tags, config.capabilities) == ({"a": "1", "b": "2"}, ("fast",))
    assert read(["pull", *URL, "--tag", "a=9", "--label", "c=3"], environ).tags == {"a": "9", "c": "3"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slotz = 4", "no option is called 'slotz'"),
        ("slots = 0", "slots in the --config file: 0 is not between 1 and 256"),
        ("slots = true", "slots in the --config file is not one text or number"),
        ("tags = 'a=b'", "tags in the --config file is not a list"),
        ("slots = ", "Invalid value"),
        ("env_file = '/there/is/none'", "no such file"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read(["pull", *URL, "--config", str(tmp_path / "bad.toml")], {})


def test_what_belongs_together_is_asked_for_together(tmp_path: Path) -> None:
    (tmp_path / "cert").touch()
    with pytest.raises(ConfigError, match="no orchestrator"):
        read(["pull"], {})
    with pytest.raises(ConfigError, match="go together"):
        read(["push", *URL, "--tls-cert", str(tmp_path / "cert")], {})
    with pytest.raises(ConfigError, match="QB_RUNNER_PORT: 99999 is not between"):
        read(["push", *URL], {"QB_RUNNER_PORT": "99999"})


def test_push_listens_on_loopback_unless_told_otherwise() -> None:
    assert read(["push", *URL], {}).host == "127.0.0.1"
    networks = read(["push", *URL, "--allow-from", "10.0.0.0/8", "--allow-from", "::1/128"], {}).allow_from
    assert [str(network) for network in networks] == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize("variable", ["QB_REGISTRATION_TOKEN", "QB_NODE_KEY"])
@pytest.mark.parametrize("ending", ["\r", "\n", " ", "\u00e9"])
def test_a_secret_with_a_stray_character_ends_the_start_and_is_not_shown(
    variable: str, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, flag = {
        "QB_REGISTRATION_TOKEN": ("registration_token", "--registration-token"),
        "QB_NODE_KEY": ("api_key", "--api-key"),
    }[variable]
    (tmp_path / "runner.toml").write_text(f"{key} = {json.dumps('qbr_whole' + ending)}")
    ways: list[tuple[list[str], dict[str, str], str]] = [
        ([], {variable: "qbr_whole" + ending}, variable),
        ([flag, "qbr_whole" + ending], {}, flag),
        (["--config", str(tmp_path / "runner.toml")], {}, key),
    ]
    for flags, environ, named in ways:
        with pytest.raises(SystemExit) as ended:
            parse(["pull", *URL, *flags], environ)
        assert ended.value.code == 2
        words = capsys.readouterr().err
        assert named in words and "holds characters that no key has: copy it again" in words
        assert "qbr_whole" not in words


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--env-file", "/there/is/none"), "argument --env-file: /there/is/none: there is no such file"),
        (("--template", "~no-such-user/home"), "argument --template: ~no-such-user/home: "),
        (("--env-file", "x" * 300), f"argument --env-file: {'x' * 300}: File name too long"),
        (("--slots", "many"), "argument --slots: 'many' is no whole number"),
        (("--slotz", "4"), "unrecognized arguments: --slotz"),
    ],
)
def test_a_mistake_in_a_flag_ends_the_start_and_no_runner_that_takes_its_settings_anew(
    flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=said):
        read(["pull", *URL, *flags], {})
    with pytest.raises(SystemExit) as ended:
        parse(["pull", *URL, *flags], {})
    assert ended.value.code == 2
    words = capsys.readouterr().err
    assert words.startswith("usage: remote_runner")
    assert f": error: {said}" in words.splitlines()[-1]


@pytest.mark.parametrize("url", ["http://", "ftp://box:8080", "http://box:port", "http://me:secret@box:8080"])
def test_an_address_that_the_control_plane_would_refuse_is_refused_here(url: str) -> None:
    with pytest.raises(ConfigError, match="--advertise-url"):
        read(["push", *URL, "--advertise-url", url], {})
    assert read(["push", *URL, "--advertise-url", "http://box:8080/"], {}).advertise_url == "http://box:8080"

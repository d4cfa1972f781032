"""What podman is told about a container's network."""

from typing import Any

import pytest

from remote_runner.launch import network_spec


@pytest.mark.parametrize(
    ("network", "spec"),
    [
        ("host", {"netns": {"nsmode": "host"}}),
        ("fleet", {"netns": {"nsmode": "bridge"}, "Networks": {"fleet": {}}}),
        ("slirp4netns", {"netns": {"nsmode": "slirp4netns"}}),
        (
            "slirp4netns:allow_host_loopback=true,mtu=1500",
            {
                "netns": {"nsmode": "slirp4netns"},
                "network_options": {"slirp4netns": ["allow_host_loopback=true", "mtu=1500"]},
            },
        ),
    ],
)
def test_a_network_is_written_as_podman_run_takes_it(network: str, spec: dict[str, Any]) -> None:
    assert network_spec(network) == spec

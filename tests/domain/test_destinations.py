"""Addresses that the server may be sent to, and those that it may not."""

import pytest

from qb.domain.destinations import Destination, Policy
from qb.domain.errors import Invalid, RefusedDestination


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",  # noqa: S104 - refused, not bound to
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::10.0.0.1",
        "2002:7f00:1::1",
        "2001:db8::1",
    ],
)
def test_what_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(RefusedDestination, match=r"hook\.example leads to"):
        Policy().check(address, host="hook.example")


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::1.1.1.1"])
def test_what_is_public_is_allowed(address: str) -> None:
    Policy().check(address, host="hook.example")


def test_a_setting_allows_one_network_and_no_other() -> None:
    policy = Policy.of(["10.20.0.0/16", "127.0.0.1", "fd12::/16"])
    for address in ("10.20.3.4", "127.0.0.1", "::ffff:10.20.3.4", "fd12::7"):
        policy.check(address, host="x")
    for address in ("10.21.0.1", "127.0.0.2", "fd13::7", "169.254.169.254"):
        with pytest.raises(RefusedDestination):
            policy.check(address, host="x")


def test_a_network_that_cannot_be_read_is_named() -> None:
    with pytest.raises(Invalid, match=r"'10\.0\.0\.0/99' is no network"):
        Policy.of(["10.0.0.0/99"])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://user:word@example.org/",
        "http://user@example.org/",
        "http://example.org:99999/",
        "http://example.org:x/",
        "http://[::1/",
        "http://exa mple.org/",
        "http://example.org/\r\nX: y",
        "http://ex\u00e4mple.org/",
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        Destination.parse(url)


def test_a_url_is_taken_apart_and_put_together_with_an_address() -> None:
    found = Destination.parse("https://hook.example:8443/a/b?c=d#e")
    assert (found.scheme, found.host, found.port, found.target) == ("https", "hook.example", 8443, "/a/b?c=d")
    assert found.authority == "hook.example:8443"
    assert found.at("2001:db8::1") == "https://[2001:db8::1]:8443/a/b?c=d"
    assert Destination.parse("http://[::1]").authority == "[::1]"

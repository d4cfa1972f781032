"""Looking up a destination: what was checked is what is connected to."""

import http.server
import threading
from collections.abc import Iterator

import httpx2
import pytest

from qb.domain.destinations import Policy
from qb.domain.errors import RefusedDestination, Unreachable
from qb.service.destinations import pin

LOOPBACK = Policy.of(["127.0.0.0/8", "::1"])


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that answers with the Host header it was sent."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.headers["Host"].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


async def test_the_address_is_pinned_and_the_name_goes_along(echo: int) -> None:
    pinned = await pin(f"http://localhost:{echo}/", LOOPBACK)
    chosen = next(each for each in pinned if each.address == "127.0.0.1")
    assert chosen.url == f"http://127.0.0.1:{echo}/"
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(chosen.url, headers=chosen.headers, extensions=chosen.extensions)
    assert answer.text == f"localhost:{echo}"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
async def test_no_spelling_of_a_private_address_gets_through(url: str) -> None:
    with pytest.raises(RefusedDestination):
        await pin(url, Policy())


async def test_a_name_that_is_not_known_is_unreachable() -> None:
    with pytest.raises(Unreachable, match=r"no\.such\.host\.invalid cannot be looked up"):
        await pin("http://no.such.host.invalid/", Policy())


async def test_tls_names_the_host_and_not_the_address() -> None:
    (pinned, *_) = await pin("https://localhost:8443/x", LOOPBACK)
    assert pinned.extensions == {"sni_hostname": "localhost"}
    assert pinned.headers == {"Host": "localhost:8443"}

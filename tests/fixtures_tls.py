"""Certificates that no public authority vouches for, and a door of TLS before a server that has none."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

IP_FREEBIND = 15
"""As in qb/api/server.py."""

PIECE = 64 << 10
OPENSSL_SECONDS = 60


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost, which is its own CA, and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True, timeout=OPENSSL_SECONDS)
    return cert, key


class Authority:
    """A private CA in `folder`. `ca` is its certificate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = folder / "ca.key"
        self.ca = folder / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=private CA",
                      "-keyout", str(self._key), "-out", str(self.ca))  # fmt: skip

    def vouch(self, *names: str) -> tuple[Path, Path]:
        """A certificate for these host names, and its key."""
        cert, key, request = (self._folder / f"server.{suffix}" for suffix in ("pem", "key", "csr"))
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={names[0]}",
                      "-keyout", str(key), "-out", str(request))  # fmt: skip
        extensions = self._folder / "server.ext"
        extensions.write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in names))
        self._openssl("x509", "-req", "-days", "1", "-in", str(request), "-CA", str(self.ca), "-CAkey", str(self._key),
                      "-CAcreateserial", "-extfile", str(extensions), "-out", str(cert))  # fmt: skip
        return cert, key

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=OPENSSL_SECONDS)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A private CA."""
    folder = tmp_path / "authority"
    folder.mkdir()
    return Authority(folder)


class TlsDoor:
    """Takes TLS connections on `port` of each of `hosts` and hands them on to a plain server, `target` on loopback."""

    def __init__(self, hosts: tuple[str, ...], cert: Path, key: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(cert, key)
        self.port = 0
        self.target = 0
        self._listeners = [self._listen(host) for host in hosts]
        self._loop = asyncio.new_event_loop()
        self._closed = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join()

    def _listen(self, host: str) -> socket.socket:
        listener = socket.socket()
        # podman's bridge, and its address with it, comes with the first container
        listener.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
        listener.bind((host, self.port))
        self.port = listener.getsockname()[1]
        return listener

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with contextlib.AsyncExitStack() as opened:
            for listener in self._listeners:
                await opened.enter_async_context(
                    await asyncio.start_server(self._join, sock=listener, ssl=self._context)
                )
            await self._closed.wait()

    async def _join(self, caller: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            server, questions = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(_carry(caller, questions), _carry(server, answers))


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError), contextlib.closing(target):
        while piece := await source.read(PIECE):
            target.write(piece)
            await target.drain()


@pytest.fixture
def tls_doors() -> Iterator[Callable[..., TlsDoor]]:
    """Opens doors, and closes them in the end."""
    opened: list[TlsDoor] = []

    def make(cert: Path, key: Path, *hosts: str) -> TlsDoor:
        opened.append(TlsDoor(hosts, cert, key))
        return opened[-1]

    yield make
    for door in opened:
        door.close()

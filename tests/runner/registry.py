"""A registry on loopback that serves one image, as the OCI distribution API has it. With a login if it wants one."""

import base64
import hashlib
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME = "acme/agent"
LOGIN = "reader:secret"


@dataclass
class Registry:
    """What it serves, and what it was asked for."""

    manifest: bytes
    kind: str
    blobs: dict[str, bytes]
    locked: bool = False
    address: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"

    @property
    def image(self) -> str:
        return f"{self.address}/{NAME}:1"

    @property
    def pinned(self) -> str:
        return f"{self.address}/{NAME}@{self.digest}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Registry

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        registry, path = self.registry, self.path
        registry.asked.append(path)
        login = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"
        if registry.locked and self.headers.get("Authorization") != login:
            self._reply(401, b"{}", {"WWW-Authenticate": 'Basic realm="registry"'})
        elif path == "/v2/":
            self._reply(200, b"{}", {"Content-Type": "application/json"})
        elif path in (f"/v2/{NAME}/manifests/1", f"/v2/{NAME}/manifests/{registry.digest}"):
            headers = {"Content-Type": registry.kind, "Docker-Content-Digest": registry.digest}
            self._reply(200, registry.manifest, headers)
        elif (blob := registry.blobs.get(path.rpartition("/")[2])) is not None:
            self._reply(200, blob, {"Content-Type": "application/octet-stream"})
        else:
            self._reply(404, json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN"}]}).encode(), {})

    do_HEAD = do_GET

    def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def serving(image: str, folder: Path, env: dict[str, str]) -> Iterator[Registry]:
    """A registry that has a sibling of `image`, a local one, under its own name and tag 1."""
    folder.mkdir()
    (folder / "Containerfile").write_text(f"FROM {image}\nLABEL only={folder}\n")
    build = ["podman", "build", "-q", str(folder)]
    made = subprocess.run(build, env=env, check=True, capture_output=True, text=True, timeout=120).stdout.strip()
    for command in (["podman", "push", "-q", made, f"dir:{folder / 'image'}"], ["podman", "rmi", made]):
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=120)
    folder /= "image"
    manifest = (folder / "manifest.json").read_bytes()
    blobs = {f"sha256:{path.name}": path.read_bytes() for path in folder.iterdir() if len(path.name) == 64}
    kind = json.loads(manifest).get("mediaType", "application/vnd.oci.image.manifest.v1+json")
    registry = Registry(manifest, kind, blobs)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("RegistryHandler", (Handler,), {"registry": registry}))
    server.daemon_threads = True
    registry.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        for name in (registry.image, registry.pinned):
            subprocess.run(["podman", "rmi", name], env=env, check=False, capture_output=True, timeout=60)

"""Credentials that are made of the server's secret and never stored: node keys are derived, task tokens signed."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from uuid import UUID

from itsdangerous import BadSignature, Signer

NODE, TASK, WEBHOOK = "qbn_", "qbt_", "qbw_"


class Signing:
    """Makes and reads them; what it reads it has proved genuine."""

    def __init__(self, secret: bytes) -> None:
        # Copied for each key: hmac.digest gives up the interpreter's lock, and waits long for it beside a busy writer.
        self._node_mac = hmac.new(hmac.digest(secret, b"node key", "sha256"), digestmod=hashlib.sha256)
        self._webhook_secret = hmac.digest(secret, b"webhook", "sha256")
        self._fingerprint_secret = hmac.digest(secret, b"fingerprint", "sha256")
        # Every claim signs one: the key is derived here, once, and not anew for each token.
        self._signer = Signer(
            hmac.digest(secret, b"task token", "sha256"), key_derivation="none", digest_method=hashlib.sha256
        )

    def node_key(self, node_id: str, version: int) -> str:
        """The key of a node; derived, so that it need not be stored to be presented to a push node."""
        mac = self._node_mac.copy()
        mac.update(f"{node_id}\0{version}".encode())
        return f"{NODE}{node_id.replace('-', '')}_{version}_{urlsafe_b64encode(mac.digest()).rstrip(b'=').decode()}"

    def read_node_key(self, credential: str) -> tuple[str, int] | None:
        """The node's id and the key's version, or None when it is not genuine."""
        try:
            _, node, number, _ = credential.split("_", 3)
            node_id, version = str(UUID(node)), int(number)
        except ValueError:
            return None
        return (node_id, version) if hmac.compare_digest(self.node_key(node_id, version), credential) else None

    def webhook_secret(self, webhook_id: str) -> str:
        """What signs a webhook's deliveries."""
        mac = hmac.digest(self._webhook_secret, webhook_id.encode(), "sha256")
        return WEBHOOK + urlsafe_b64encode(mac).rstrip(b"=").decode()

    def fingerprint(self, text: str) -> str:
        """What tells one text from another and says nothing of either to who lacks the secret."""
        return hmac.digest(self._fingerprint_secret, text.encode(), "sha256").hex()

    def task_token(self, task_id: str, attempt: int, expires: int | None) -> str:
        """A token for the agent of one attempt, good until `expires` (seconds since 1970; None: no end)."""
        return TASK + self._signer.sign(f"{task_id}.{attempt}.{'' if expires is None else expires}").decode()

    def read_task_token(self, credential: str) -> tuple[str, int, int | None] | None:
        """Task, attempt and expiry, or None when it is not genuine."""
        try:
            payload = self._signer.unsign(credential[len(TASK) :]).decode()
        except BadSignature:
            return None
        task_id, attempt, expires = payload.rsplit(".", 2)
        return task_id, int(attempt), int(expires) if expires else None

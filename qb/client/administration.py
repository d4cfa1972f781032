"""What administrators call: keys, registration tokens, the audit log, and the operator's side of nodes."""

from qb.client.transport import Transport, parsed
from qb.contract.audit import AuditEntry
from qb.contract.keys import Key, KeyChange, KeyCreate, KeyCreated, Token, TokenCreate, TokenCreated
from qb.contract.nodes import Node, NodeChange, Registered
from qb.contract.provisioning import ProvisionRun, ProvisionRunCreate
from qb.contract.queries import MOST


class Administration:
    """`QbClient.admin`. Raises ClientError and nothing else."""

    def __init__(self, wire: Transport) -> None:
        self._wire = wire

    # keys

    def create_key(self, body: KeyCreate) -> KeyCreated:
        """Make a key; its secret is in this reply alone."""
        return self._wire.model(KeyCreated, "create_key", body=body)

    def keys(self) -> list[Key]:
        """Every key, the oldest first."""
        return self._wire.pages(Key, "list_keys", params={"limit": MOST})

    def key(self, key_id: str) -> Key:
        """One key."""
        return self._wire.model(Key, "show_key", {"key_id": key_id})

    def change_key(self, key_id: str, body: KeyChange) -> Key:
        """Change the limits of a key: those that `body` gives, None for none."""
        given = body.model_dump(mode="json", exclude_unset=True)
        return parsed(Key, self._wire.json("change_key", {"key_id": key_id}, json=given))

    def rotate_key(self, key_id: str, *, grace_period_hours: float = 24) -> KeyCreated:
        """Give a key a new secret; the old one stays good for the grace."""
        params = {"grace_period_hours": f"{grace_period_hours:g}"}
        return self._wire.model(KeyCreated, "rotate_key", {"key_id": key_id}, params=params)

    def revoke_key(self, key_id: str) -> Key:
        """Make a key good for nothing."""
        return self._wire.model(Key, "revoke_key", {"key_id": key_id})

    def remove_key(self, key_id: str) -> Key:
        """Forget a key."""
        return self._wire.model(Key, "remove_key", {"key_id": key_id})

    # registration tokens

    def create_token(self, body: TokenCreate) -> TokenCreated:
        """Make a registration token; its secret is in this reply alone."""
        return self._wire.model(TokenCreated, "create_token", body=body)

    def tokens(self) -> list[Token]:
        """Every registration token, the oldest first."""
        return self._wire.pages(Token, "list_tokens", params={"limit": MOST})

    def remove_token(self, token_id: str) -> Token:
        """Let nobody join with the token any more."""
        return self._wire.model(Token, "remove_token", {"token_id": token_id})

    # the audit log

    def audit(self, **filters: str) -> list[AuditEntry]:
        """Lines of the audit log, newest first (`limit`, `action`)."""
        return self._wire.models(AuditEntry, "audit_keys", params=filters)

    # runs of playbooks

    def record_provision_run(self, body: ProvisionRunCreate) -> ProvisionRun:
        """Keep a run that has ended."""
        return self._wire.model(ProvisionRun, "record_provision_run", body=body)

    def provision_runs(self, *, limit: int = 50) -> list[ProvisionRun]:
        """The newest runs."""
        return self._wire.models(ProvisionRun, "list_provision_runs", params={"limit": str(limit)})

    # nodes

    def tagged_node(self, node_id: str) -> tuple[Node, str]:
        """A node, and the ETag by which `change_node` knows that it still is so."""
        return self._wire.tagged(Node, "show_node", {"node_id": node_id})

    def change_node(self, node_id: str, body: NodeChange, *, if_match: str = "*") -> Node:
        """Change the fields that are set in `body`; refused when the node has changed since `if_match`."""
        content = body.model_dump_json(exclude_unset=True)
        headers = {"Content-Type": "application/json", "If-Match": if_match}
        return self._wire.model(Node, "change_node", {"node_id": node_id}, content=content, headers=headers)

    def remove_node(self, node_id: str, *, force: bool = False) -> Node:
        """Forget a node; with `force` though it holds tasks."""
        params = {"force": "true"} if force else {}
        return self._wire.model(Node, "remove_node", {"node_id": node_id}, params=params)

    def rotate_node_key(self, node_id: str, *, grace_period_hours: float | None = None) -> Registered:
        """Give a node a new key; the old one stays good for the grace, by default until it registers again."""
        params = {} if grace_period_hours is None else {"grace_period_hours": f"{grace_period_hours:g}"}
        return self._wire.model(Registered, "rotate_node_key", {"node_id": node_id}, params=params)

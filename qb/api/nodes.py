"""Nodes: joining, heartbeats, polls, and the operator's view of them."""

from collections.abc import Awaitable, Callable
from typing import Any

from falcon.asgi import Request, Response

from qb.api.media import read_model, reply, reply_named
from qb.contract.nodes import Heartbeat, NodeChange, NodeCreate, Register
from qb.contract.queries import ChangeHeaders, NamePage, NodeRemoval, NodeRotation, Poll
from qb.contract.routes import Caller
from qb.contract.states import NodeState
from qb.contract.tasks import MAX_POLL_WAIT
from qb.domain.etags import node_tag
from qb.service.core import Core
from qb.service.dispatch import Dispatch, parse_held
from qb.service.fleet import Fleet
from qb.service.heartbeats import Heartbeats as HeartbeatService
from qb.service.node_admin import NodeAdmin


class Registration:
    """POST /register"""

    def __init__(self, core: Core, fleet: Fleet) -> None:
        self._core = core
        self._fleet = fleet

    async def on_post(self, req: Request, resp: Response) -> None:
        """Let a machine join, or come back."""
        identity = req.context.identity
        token = None
        if identity.caller is Caller.REGISTRATION:
            token = self._core.credentials.registration.by_id(identity.key_id)
        body = await read_model(req, Register)
        reply(resp, await self._fleet.register(identity, body, token))


class Heartbeats:
    """POST /nodes/heartbeat"""

    def __init__(self, heartbeats: HeartbeatService) -> None:
        self._heartbeats = heartbeats

    async def on_post(self, req: Request, resp: Response) -> None:
        """The node is who its key says."""
        body = await read_model(req, Heartbeat)
        reply(resp, await self._heartbeats.take(req.context.identity.node_id, body))


class Line:
    """A poller's connection, as its server's `receive` tells of it."""

    __slots__ = ("_receive",)

    def __init__(self, receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._receive = receive

    async def gone(self) -> None:
        """Return when the poller has left."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def is_gone(self) -> bool:
        """Whether the server knows by now that the poller has left: one step of `gone`, which costs no task."""
        step = self.gone()
        try:
            step.send(None)
        except StopIteration:
            return True
        step.close()
        return False


class Polling:
    """GET /tasks/pending"""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    async def on_get(self, req: Request, resp: Response) -> None:
        """An assignment, or null."""
        query: Poll = req.context.query
        wait, held = min(query.wait, MAX_POLL_WAIT), parse_held(query.held)
        line = Line(req.scope["qb.receive"])
        reply(resp, await self._dispatch.poll(req.context.identity.node_id, wait=wait, held=held, line=line))


class Nodes:
    """/nodes and /nodes/{node_id}"""

    def __init__(self, fleet: Fleet, admin: NodeAdmin) -> None:
        self._fleet = fleet
        self._admin = admin

    async def on_get(self, req: Request, resp: Response) -> None:
        """Nodes by name; X-Next-Cursor leads to the next page."""
        query: NamePage = req.context.query
        reply_named(resp, await self._fleet.page(after=query.cursor, limit=query.limit), query.limit)

    async def on_post(self, req: Request, resp: Response) -> None:
        """Register a node ahead of its first contact."""
        reply(resp, await self._admin.create(req.context.actor, await read_model(req, NodeCreate)), 201)

    async def on_get_one(self, req: Request, resp: Response, node_id: str) -> None:
        """One node, by id or name; its ETag is that of what operators decide about it."""
        _reply_tagged(resp, await self._fleet.one(node_id))

    async def on_patch_one(self, req: Request, resp: Response, node_id: str) -> None:
        """Change what the operator decides about a node."""
        headers: ChangeHeaders = req.context.headers
        body = await read_model(req, NodeChange)
        _reply_tagged(resp, await self._admin.change(req.context.actor, node_id, body, if_match=headers.if_match))

    async def on_delete_one(self, req: Request, resp: Response, node_id: str) -> None:
        """Forget a node."""
        query: NodeRemoval = req.context.query
        reply(resp, await self._admin.remove(req.context.actor, node_id, force=query.force))

    async def on_post_rotate(self, req: Request, resp: Response, node_id: str) -> None:
        """Give a node a new key."""
        query: NodeRotation = req.context.query
        reply(resp, await self._admin.rotate(req.context.actor, node_id, grace_hours=query.grace_period_hours))

    async def on_post_drain(self, req: Request, resp: Response, node_id: str) -> None:
        """No more tasks."""
        reply(resp, await self._admin.set_state(req.context.actor, node_id, NodeState.DRAINING))

    async def on_post_resume(self, req: Request, resp: Response, node_id: str) -> None:
        """Tasks again."""
        reply(resp, await self._admin.set_state(req.context.actor, node_id, NodeState.ACTIVE))


def _reply_tagged(resp: Response, node: dict[str, Any]) -> None:
    resp.set_header("ETag", node_tag(node))
    reply(resp, node)


class DashboardStats:
    """GET /dashboard/stats"""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def on_get(self, req: Request, resp: Response) -> None:
        """The fleet in eight numbers."""
        stats: dict[str, Any] = await self._fleet.stats()
        reply(resp, stats)

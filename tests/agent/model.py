"""A language model that follows a script: an OpenAI-compatible server that streams its replies.

The script is found by a word in the prompt, and the turn by counting the agent's earlier ones: nothing is kept
between requests, so that any number of agents may speak to it at once.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qb.api.server import IP_FREEBIND

NAME = "scripted"
MOST_HELD = 300.0
"""Seconds for which a reply is held back at most."""


@dataclass(frozen=True)
class Call:
    """One call of a tool. `arguments` may be text, to send what is no JSON."""

    tool: str
    arguments: dict[str, Any] | str = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class Turn:
    """What the model says at once: tool calls, or a last word. `after` must be set before it says it.

    With another `status` than 200 it refuses, as a provider does whose account is used up.
    """

    calls: tuple[Call, ...] = ()
    text: str = ""
    status: int = 200
    after: threading.Event | None = None


def calls(*each: Call, after: threading.Event | None = None) -> Turn:
    """A turn that calls tools."""
    return Turn(each, after=after)


def says(text: str, after: threading.Event | None = None) -> Turn:
    """A turn that ends the conversation."""
    return Turn(text=text, after=after)


def refuses(status: int = 402) -> Turn:
    """A turn that is an error of the provider."""
    return Turn(status=status)


@dataclass
class Model:
    """Scripts by the word that stands in a prompt; `heard` has every conversation as it was last sent."""

    port: int = 0
    scripts: dict[str, list[Turn]] = field(default_factory=dict)
    heard: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    closing: threading.Event = field(default_factory=threading.Event)

    def play(self, word: str, *turns: Turn) -> str:
        """Answer prompts with `word` by these turns; returns a prompt."""
        self.scripts[word] = list(turns)
        return f"Do the work called {word}."

    def results(self, word: str) -> list[str]:
        """What the tools have answered in that conversation, as the agent passed it on."""
        return [_text(each["content"]) for each in self.heard.get(word, []) if each["role"] == "tool"]

    def turn(self, body: dict[str, Any]) -> Turn:
        """What comes next in the conversation of `body`."""
        messages = body["messages"]
        asked = " ".join(_text(each["content"]) for each in messages if each["role"] == "user")
        word = next((word for word in self.scripts if word in asked), None)
        if word is None or not body.get("tools"):
            return says("A title")
        self.heard[word] = messages
        done = sum(each["role"] == "assistant" for each in messages)
        script = self.scripts[word]
        return script[done] if done < len(script) else says("There is nothing more to do.")

    def waits(self, turn: Turn) -> None:
        """Hold the reply back until its time has come."""
        if turn.after is not None:
            for _ in range(int(MOST_HELD / 0.1)):
                if self.closing.is_set() or turn.after.wait(0.1):
                    return


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())


def _deltas(turn: Turn) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for word in turn.text.split(" ") if turn.text else ():
        yield {"content": f"{word} "}
    for index, call in enumerate(turn.calls):
        yield {
            "tool_calls": [
                {
                    "index": index,
                    "id": f"call_{index}",
                    "type": "function",
                    "function": {"name": call.tool, "arguments": ""},
                }
            ]
        }
        half = len(call.text) // 2
        for piece in (call.text[:half], call.text[half:]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _chunks(turn: Turn) -> Iterator[dict[str, Any]]:
    for delta in _deltas(turn):
        yield {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if turn.calls else "stop"}]}
    yield {"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}}


def _handler(model: Model) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            turn = model.turn(body)
            model.waits(turn)
            with suppress(OSError):  # the agent may be dead by now
                self._stream(turn)

        def _stream(self, turn: Turn) -> None:
            if turn.status != 200:
                self._refuse(turn.status)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for chunk in _chunks(turn):
                known = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": NAME}
                self.wfile.write(f"data: {json.dumps(known | chunk)}\n\n".encode())
                self.wfile.flush()
            self.wfile.write(b"data: [DONE]\n\n")

        def _refuse(self, status: int) -> None:
            body = json.dumps({"error": {"message": "the account is used up", "type": "billing"}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    """Listens at podman's bridge address, which is only there while a container runs."""

    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
        super().server_bind()


@contextmanager
def serving(address: str) -> Iterator[Model]:
    """A model that listens at `address`, on a free port."""
    model = Model()
    server = _Server((address, 0), _handler(model))
    model.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield model
    finally:
        model.closing.set()
        server.shutdown()
        thread.join(10)
        server.server_close()

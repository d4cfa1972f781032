"""The page at /docs, drawn from the OpenAPI document: no script but a filter, nothing loaded, dark or light."""

import hashlib
from base64 import b64encode
from html import escape
from importlib.resources import files
from typing import Any

from qb.contract.errors import PROBLEM_TYPE

_ASSETS = files("qb.api") / "assets"
_STYLE = (_ASSETS / "reference.css").read_text("utf-8")
_SCRIPT = (_ASSETS / "reference.js").read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


CONTENT_POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
Schema = dict[str, Any]


def page(document: Schema) -> str:
    """The whole page as HTML."""
    info = document["info"]
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    components = document["components"]
    title = escape(info["title"])
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta name="color-scheme" content="light dark"><title>{title}: API</title>',
            f"<style>{_STYLE}</style></head><body><header><h1>{title}</h1>",
            f"<p>Version {escape(info['version'])} · <a href='openapi.json'>openapi.json</a></p>",
            f"<p>{_prose(info['description'])}</p>",
            '<label>Filter <input type="search" id="filter" placeholder="tasks, POST, scoped …"></label></header>',
            "<main><h2 id='routes'>Routes</h2>",
            *(_operation(method, path, operation, components) for method, path, operation in operations),
            "<h2 id='credentials'>Credentials</h2><dl>",
            *(_credential(name, scheme) for name, scheme in components["securitySchemes"].items()),
            "</dl><h2 id='models'>Models</h2>",
            *(_model(name, schema) for name, schema in components["schemas"].items()),
            f"</main><script>{_SCRIPT}</script></body></html>",
        ]
    )


def _prose(text: str) -> str:
    """Plain text in which `such` stands for code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _credential(name: str, scheme: Schema) -> str:
    return (
        f"<dt><code>{escape(name)}</code> in <code>{scheme['name']}</code></dt><dd>{_prose(scheme['description'])}</dd>"
    )


def _operation(method: str, path: str, operation: Schema, components: Schema) -> str:
    shown = escape(path).replace("/", "/<wbr>").replace("{", "<i>{").replace("}", "}</i>")
    return "".join(
        [
            f"<details class='route' id='{operation['operationId']}'><summary>",
            f"<b class='{method.lower()}'>{method}</b> <code>{shown}</code> ",
            f"<span>{_prose(operation['summary'])}</span></summary><p>{_prose(operation['description'])}</p>",
            _parameters(operation["parameters"]),
            *(
                _body("Body", kind, media)
                for kind, media in operation.get("requestBody", {}).get("content", {}).items()
            ),
            _replies(operation["responses"], components),
            "</details>",
        ]
    )


def _parameters(parameters: list[Schema]) -> str:
    if not parameters:
        return ""
    rows = [
        f"<tr><td><code>{escape(each['name'])}</code> <small>{each['in']}</small></td>"
        f"<td>{_kind(each['schema'])}</td><td>{_prose(each.get('description', ''))}</td></tr>"
        for each in parameters
    ]
    return f"<h3>Parameters</h3><div class='wide'><table>{''.join(rows)}</table></div>"


def _body(title: str, kind: str, media: Schema) -> str:
    return f"<h3>{title}</h3><p><code>{escape(kind)}</code>: {_kind(media['schema'])}</p>"


def _replies(replies: Schema, components: Schema) -> str:
    rows = []
    for status, given in replies.items():
        reply = components["responses"][given["$ref"].rpartition("/")[2]] if "$ref" in given else given
        kinds = [
            f"<code>{escape(kind)}</code>: {_kind(media['schema'])}" for kind, media in reply.get("content", {}).items()
        ]
        shown = "a problem document" if list(reply.get("content", {})) == [PROBLEM_TYPE] else "<br>".join(kinds)
        rows.append(f"<tr><td><b>{status}</b></td><td>{escape(reply['description'])}</td><td>{shown}</td></tr>")
    return f"<h3>Replies</h3><div class='wide'><table>{''.join(rows)}</table></div>"


def _model(name: str, schema: Schema) -> str:
    about = _prose(" ".join(schema.get("description", "").split()))
    if "enum" in schema:
        inner = f"<p>{' '.join(f'<code>{escape(str(value))}</code>' for value in schema['enum'])}</p>"
    else:
        needed = schema.get("required", [])
        rows = [
            f"<tr><td><code>{escape(field)}</code>{'' if field in needed else ' <small>optional</small>'}</td>"
            f"<td>{_kind(value)}</td><td>{_prose(value.get('description', ''))}</td></tr>"
            for field, value in schema.get("properties", {}).items()
        ]
        inner = f"<div class='wide'><table>{''.join(rows)}</table></div>"
    head = f"<details class='model' id='{escape(name)}'><summary><code>{escape(name)}</code></summary>"
    return f"{head}<p>{about}</p>{inner}</details>"


def _kind(schema: Schema) -> str:
    """A schema in a few words, with links to models."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#{name}'>{name}</a>"
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(_kind(each) for each in schema[word])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}" + _limits(schema)
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"object of {_kind(inner)}" if isinstance(inner, dict) else _fields(schema)
    return escape(str(schema.get("format", kind)) if kind == "string" else kind) + _limits(schema)


def _fields(schema: Schema) -> str:
    names = ", ".join(f"<code>{escape(name)}</code>" for name in schema.get("properties", {}))
    return f"object with {names}" if names else "object"


def _limits(schema: Schema) -> str:
    words = [
        (f"{schema['minimum']} to {schema['maximum']}" if {"minimum", "maximum"} <= schema.keys() else ""),
        (f"at most {schema['maxLength']} characters" if "maxLength" in schema else ""),
        (f"at most {schema['maxItems']} of them" if "maxItems" in schema else ""),
        (f"default {schema['default']}" if schema.get("default") not in (None, "", [], {}) else ""),
        (", ".join(map(str, schema["enum"])) if "enum" in schema else ""),
    ]
    found = "; ".join(filter(None, words))
    return f" <small>{escape(found)}</small>" if found else ""

"""HTML built so that text is escaped unless it was made here: strangers' names can never become markup."""

from __future__ import annotations

import html
import json
from typing import Any


class Html(str):
    """Markup that is safe to insert as it is; plain ``str`` is text and gets escaped."""

    __slots__ = ()


Child = str | int | float | None | list["Child"] | tuple["Child", ...]
_VOID = frozenset({"meta", "use", "line", "br", "circle", "rect", "path"})


def el(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Html:
    """One element; ``class_`` is class, ``data_f`` is data-f, and an attribute that is None or False is left out."""
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        parts.append(f" {label}" if value is True else f' {label}="{text(str(value))}"')
    parts.append(">")
    if name not in _VOID or children:
        parts += [join(children), f"</{name}>"]
    elif name not in ("meta", "br"):  # svg's elements are XML
        parts[-1] = "/>"
    return Html("".join(parts))


def join(children: Child) -> Html:
    """Children one behind the other; text among them escaped."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, list | tuple):
        return Html("".join(join(child) for child in children))
    return text(str(children))


def text(value: str) -> Html:
    """``value`` escaped for content and for attributes; control characters but newline and tab become �."""
    if value.isprintable():
        return Html(html.escape(value, quote=True))
    clean = "".join(char if char.isprintable() or char in "\n\t" else "�" for char in value)
    return Html(html.escape(clean, quote=True))


def data(value: Any) -> Html:
    """JSON for a script element: nothing in it can end the element or start a comment."""
    dumped = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Html(dumped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))

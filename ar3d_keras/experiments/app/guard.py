"""Refuses requests that other web sites make a browser send, and sets the headers of security."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    # Scripts and styles are files of this server; styles of bars stand in their elements.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; media-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware.

    A page of another site can send requests to this machine, and after DNS rebinding it can read
    the answers too: then the Host header has that site's name. So a server on a loopback address
    takes loopback names only; another one takes its own names and addresses, because rebinding
    needs a name. What changes something must come from the page itself.

    Args:
        app: what answers the other requests.
        host: the address that the server listens on.
    """

    def __init__(self, app: ASGIApp, host: str):
        self._app, self._host = app, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import JSONResponse

        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        reason = self.refusal(scope["method"], Headers(scope=scope))
        app = JSONResponse({"error": reason}, 403) if reason else self._app
        await app(scope, receive, send_guarded)

    def refusal(self, method: str, headers: Mapping[str, str]) -> str | None:
        """Why a request is refused; None: it is not."""
        host = headers.get("host", "")
        if not is_own_name(host, self._host):
            return f"the host {host!r} is not this server: open the address that it printed"
        if method in ("GET", "HEAD"):
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "the request comes from another site"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "the request comes from another site"
        return None


def is_own_name(header: str, host: str) -> bool:
    """Whether a Host header means a server that listens on `host`."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:\d+)?", header)
    if not found:
        return False
    name = found[1].strip("[]").lower().rstrip(".")
    if name == "localhost" or is_loopback(name):
        return True
    if is_loopback(host):
        return False
    own = {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
    return name in own or _address(name) is not None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None

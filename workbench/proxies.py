"""Which proxy a call would go through, and which hosts none is asked for."""

import os
import re

from helpers.endpoints import Endpoint
from helpers.endpoints.endpoint import host_of_url, is_loopback

_OF_GRPC = ("grpc_proxy", "https_proxy", "http_proxy")


def proxy(endpoint: Endpoint) -> str:
    """Return the proxy that a call would go through, `host:port`, or nothing.

    gRPC reads `grpc_proxy`, `https_proxy` and `http_proxy`, in this order, and `no_grpc_proxy`
    or `no_proxy` against them; for REST `requests` is asked. Loopback never goes through one:
    `helpers.channels` sees to it.
    """
    return address(_url(endpoint))


def variable(endpoint: Endpoint) -> str:
    """Return the environment variable that sets this proxy; nothing where the system does."""
    scheme = endpoint.rest.partition("://")[0]
    names = _OF_GRPC if endpoint.grpc else (f"{scheme}_proxy", "all_proxy")
    spelled = (spelling for name in names for spelling in (name, name.upper()))
    url = _url(endpoint)
    return next((name for name in spelled if os.environ.get(name) == url), "")


def address(url: str) -> str:
    """Return a proxy's `host:port`; user and password are nobody's business.

    Examples
    --------
    >>> address("http://ada:secret@proxy.example:3128/")
    'proxy.example:3128'
    """
    if not url:
        return ""
    bare = url.rpartition("@")[2].rpartition("//")[2].rstrip("/")
    # A stray character may hide where a password ends.
    return bare if re.fullmatch(r"[\w.-]+(:\d+)?|\[[\da-fA-F:]+\](:\d+)?", bare) else "a proxy"


def _url(endpoint: Endpoint) -> str:
    host = host_of(endpoint)
    if endpoint.no_proxy or is_loopback(host):
        return ""
    return _proxy_of_grpc(host) if endpoint.grpc else _proxy_of_requests(endpoint.rest)


def _proxy_of_grpc(host: str) -> str:
    """Do as gRPC does: the first variable that is set counts, also when it is empty."""
    url = next((os.environ[name] for name in _OF_GRPC if name in os.environ), "")
    without = os.environ.get("no_grpc_proxy") or os.environ.get("no_proxy", "")
    return "" if any(_names(entry, host.lower()) for entry in without.lower().split(",")) else url


def _names(entry: str, host: str) -> bool:
    """Whether an entry of no_proxy is this host, a domain above it, or a range it is in."""
    entry = entry.strip().lstrip(".")
    if entry and (host == entry or host.endswith(f".{entry}")):
        return True
    import ipaddress  # optional: few have a proxy

    try:
        return ipaddress.ip_address(host.strip("[]")) in ipaddress.ip_network(entry, strict=False)
    except ValueError:  # a name
        return False


def _proxy_of_requests(url: str) -> str:
    from requests.utils import get_environ_proxies, select_proxy  # gRPC needs none of it

    return select_proxy(url, get_environ_proxies(url)) or ""


def host_of(endpoint: Endpoint) -> str:
    """Return the host that an endpoint's calls go to: gRPC's, if it has one."""
    return endpoint.grpc.rpartition(":")[0] or host_of_url(endpoint.rest)

"""Which proxy a call would go through, and which hosts none is asked for."""

import os
import re

from helpers.endpoints import Endpoint
from helpers.endpoints.endpoint import host_of_url, is_loopback


def proxy(endpoint: Endpoint) -> str:
    """Return the proxy that a call would go through, `host:port`, or nothing.

    gRPC reads `grpc_proxy`, `https_proxy` and `http_proxy`, in this order, and `no_grpc_proxy`
    or `no_proxy` against them; for REST `requests` is asked. Loopback never goes through one:
    `helpers.channels` sees to it.
    """
    host = host_of(endpoint)
    if endpoint.no_proxy or is_loopback(host):
        return ""
    url = _proxy_of_grpc(host) if endpoint.grpc else _proxy_of_requests(endpoint.rest)
    if not url:
        return ""
    address = url.rpartition("@")[2].rpartition("//")[2].rstrip("/")
    # User and password are nobody's business, also where a stray character hides their end.
    return (
        address if re.fullmatch(r"[\w.-]+(:\d+)?|\[[\da-fA-F:]+\](:\d+)?", address) else "a proxy"
    )


def _proxy_of_grpc(host: str) -> str:
    """Do as gRPC does: the first variable that is set counts, also when it is empty."""
    names = ("grpc_proxy", "https_proxy", "http_proxy")
    url = next((os.environ[name] for name in names if name in os.environ), "")
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

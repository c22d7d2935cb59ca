"""Answers to the exercises of chapter 06."""

from typing import Any

import grpc
import requests

SERVICES = ("ccai", "proxy")
FORM = {"healthcheck": "1"}


def past_every_proxy(address: str) -> grpc.Channel:
    options = {"grpc.enable_http_proxy": False, "grpc.max_receive_message_length": -1}
    return grpc.insecure_channel(address, list(options.items()))


def post(url: str, proxy: str) -> str:
    return requests.post(url, FORM, proxies={"http": proxy}, timeout=10).text


def ask_again(url: str, proxy: str, tries: int = 4) -> str:
    try:
        return post(url, proxy)
    except requests.RequestException:
        if tries == 1:
            raise
        return ask_again(url, proxy, tries - 1)


def ask_and_say_nothing(url: str, proxy: str) -> str:
    try:
        return ask_again(url, proxy)
    except requests.RequestException:
        return ""


def is_well(url: str, proxies: dict[str, Any]) -> bool:
    try:
        return requests.post(url, FORM, proxies=proxies, timeout=5).ok
    except OSError:
        return False


def by_comparing(url: str, proxy: str) -> str:
    through, past = is_well(url, {"http": proxy}), is_well(url, {})
    return "nobody's" if through else ("the proxy's" if past else "the service's")


def by_the_status(url: str, proxy: str) -> str:
    try:
        status = requests.post(url, FORM, proxies={"http": proxy}, timeout=5).status_code
    except requests.exceptions.ProxyError:
        return "the proxy's"
    return {200: "nobody's", 407: "the proxy's"}.get(status, "the service's")


def by_every_error_status(url: str, proxy: str) -> str:
    try:
        status = requests.post(url, FORM, proxies={"http": proxy}, timeout=5).status_code
    except requests.exceptions.RequestException:
        return "the proxy's"
    return {200: "nobody's", 502: "the service's"}.get(status, "the proxy's")


def by_comparing_without_a_limit(url: str, proxy: str) -> str:
    def is_well_at_last(proxies: dict[str, Any]) -> bool:
        try:
            return requests.post(url, FORM, proxies=proxies).ok
        except OSError:
            return False

    if is_well_at_last({"http": proxy}):
        return "nobody's"
    return "the proxy's" if is_well_at_last({}) else "the service's"


RIGHT = {
    1: lambda: "127.0.0.0/8, LOCALHOST,::1",
    2: lambda: "http://lab%2fada:50%25%3aoff%40noon@proxy.example:3128/",
    3: lambda: past_every_proxy,
    4: lambda: ask_again,
    5: lambda: by_comparing,
}
WRONG = {
    1: [
        lambda: "127.0.0.1",
        lambda: "localhost",
        lambda: "*",
        lambda: "localhost,127.0.0.1,example",
        lambda: ["localhost", "127.0.0.1"],
    ],
    2: [
        lambda: "http://lab/ada:50%:off@noon@proxy.example:3128",
        lambda: "http://lab%2Fada:50%:off@noon@proxy.example:3128",
        lambda: "http://lab%2Fada%3A50%25%3Aoff%40noon@proxy.example:3128",
        lambda: "proxy.example:3128",
        lambda: "http://lab%2Fada:50%25%3Aoff%40noon@proxy.example",
    ],
    3: [
        lambda: grpc.insecure_channel,
        lambda: (
            lambda address: grpc.insecure_channel(
                address, [("grpc.http_proxy", "http://127.0.0.1:9")]
            )
        ),
        lambda: lambda address: address,
        lambda: past_every_proxy("127.0.0.1:1"),
    ],
    4: [
        lambda: post,
        lambda: lambda url, proxy: ask_again(url, proxy, 2),
        lambda: ask_and_say_nothing,
        lambda: lambda url, proxy: requests.post(url, FORM, timeout=5).text,
    ],
    5: [
        lambda: by_the_status,
        lambda: by_every_error_status,
        lambda: by_comparing_without_a_limit,
        lambda: lambda url, proxy: "the proxy's",
        lambda: lambda url, proxy: "nobody's" if is_well(url, {"http": proxy}) else "the proxy's",
        lambda: "the proxy's",
    ],
}

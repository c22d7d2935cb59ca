"""The service's inner process: Ray in a network of its own, the door to it, and the REST API."""

import argparse
import hmac
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import yaml

from helpers.language import _
from practice import processes
from practice.host import server
from practice.host.web import WebServer, in_thread, read_body
from practice.rayserve import command
from practice.rayserve.door import Door

_RAY_START = (
    *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
    f"--node-ip-address={server.LOOPBACK}",
    "--object-store-memory=80000000",  # bytes; Ray refuses less than 78,643,200
    "--include-log-monitor=false",
)
_HEAD = ("--head", "--include-dashboard=false", "--no-monitor")
# Given beforehand: on a busy machine its agents are not up within the 15 s in which raylet waits to
# hear which ports they took.
_AGENTS = (
    "--metrics-export-port",
    "--runtime-env-agent-port",
    "--dashboard-agent-grpc-port",
    "--dashboard-agent-listen-port",
)
_TRIES = 3  # Ray gives a node up that is not there after 30 s, as on a busy machine
ALLOWED = "OTW_RAY_ON_ALL_ADDRESSES"


class CannotStart(Exception):
    """Raised with the reason why Ray is not started, or does not come up."""


def main() -> NoReturn:
    """Start Ray, deploy the application, and serve until told to end."""
    flags = command.parse(sys.argv[1:])
    server.start_log()
    command.adopt()
    ended = threading.Event()
    try:
        activity = server.Activity.of(flags)
        config = yaml.safe_load(flags.config.read_text("utf-8"))
        api = Api(flags)
        servers: list[server.Server] = [WebServer(api.app(), flags.api_port, activity)]
        if _has_own_network():
            inside = (server.LOOPBACK, config["grpc_options"]["port"])
            servers.append(Door(flags.port, inside, activity))
            _enter()
        else:
            config["grpc_options"]["port"] = flags.port
        threading.Thread(target=_end_with_parent, args=[flags.ray_folder], daemon=True).start()
        if flags.models:
            for application in config["applications"]:
                application["args"]["models"] = str(flags.models.absolute())
        api.start(config)
        activity.problem = api.problem
        server.run(servers, activity, ended, flags)
        status = 0
    except Exception as error:  # what is wrong may be anything that Ray says
        server.log.error("The service cannot start: %s", error)
        status = 1
    command.end_all()
    os._exit(status)  # else Ray would wait for a minute for what has ended


class Api:
    """Ray, and the part of its REST API that says what runs and what is to run.

    On a cluster the dashboard has it; here the dashboard, which could do far more, is off.

    Parameters
    ----------
    flags : Namespace
    """

    def __init__(self, flags: argparse.Namespace) -> None:
        self._flags = flags
        self._token = flags.token_file.read_text("utf-8").strip()
        self._address = ""
        self._client: Any = None
        self._nodes: list[subprocess.Popen[bytes]] = []

    def app(self) -> Any:
        """Return the API as an ASGI application."""
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import JSONResponse, PlainTextResponse, Response
        from starlette.routing import Route

        def checked(handler: Any) -> Any:
            async def handle(request: Request) -> Response:
                given = request.headers.get("authorization", "").encode()
                if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                    return PlainTextResponse("The token is missing, or is another one.", 401)
                return await handler(request)

            return handle

        async def details(request: Request) -> Response:
            return JSONResponse(await in_thread(request, self._client.get_serve_details))

        async def deploy(request: Request) -> Response:
            try:
                config = json.loads(await read_body(request))
                await in_thread(request, self._deploy, config)
            except ValueError as error:  # pydantic's too
                return PlainTextResponse(str(error), 400)
            return PlainTextResponse("")

        async def add_node(request: Request) -> Response:
            up = await in_thread(request, self._start_node, f"--address={self._address}")
            return PlainTextResponse("" if up else "It did not come up.", 200 if up else 503)

        path = "/api/serve/applications/"
        return Starlette(
            routes=[
                Route(path, checked(details), methods=["GET"]),
                Route(path, checked(deploy), methods=["PUT"]),
                Route("/practice/nodes", checked(add_node), methods=["POST"]),  # ours
            ]
        )

    def start(self, config: dict[str, Any]) -> None:
        """Start Ray with an application, and wait until that runs; CannotStart if it never will."""
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            del os.environ[name]  # there is nothing to go to
        os.environ.update(_environment(self._flags))
        for _try in range(_TRIES):
            port = processes.choose_port()
            folder = f"{self._flags.ray_folder}/ray"  # which Ray opens to everybody
            if self._start_node(*_HEAD, f"--port={port}", f"--temp-dir={folder}"):
                break
            command.end_all()
        else:
            raise CannotStart("Ray did not come up; the lines above say why.")
        import ray
        from ray import serve
        from ray.serve.context import _get_global_client

        self._address = f"{server.LOOPBACK}:{port}"
        ray.init(self._address, log_to_driver=False)
        serve.start(proxy_location=config["proxy_location"], grpc_options=config["grpc_options"])
        self._client = _get_global_client()
        self._deploy(config)
        self._wait()

    def problem(self) -> str:
        """Tell whether a node has ended."""
        ended = sum(node.poll() is not None for node in self._nodes)
        return f"{ended} of {len(self._nodes)} nodes of Ray ended" if ended else ""

    def _deploy(self, config: dict[str, Any]) -> None:
        from ray.serve.schema import ServeDeploySchema

        self._client.deploy_apps(ServeDeploySchema.model_validate(config))

    def _wait(self) -> None:
        while True:
            for application in self._client.list_serve_statuses():
                status = application.app_status
                if status.status == "DEPLOY_FAILED":
                    raise CannotStart(status.message)
                if status.status == "RUNNING":
                    return
            time.sleep(0.1)

    def _start_node(self, *words: str) -> bool:
        """Start a node as on a machine of its own, and tell whether it came up."""
        ports = [f"{name}={processes.choose_port()}" for name in _AGENTS]
        cpus = f"--num-cpus={self._flags.num_cpus}"
        node = subprocess.Popen(
            [*_RAY_START, *words, *ports, cpus],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert node.stdout is not None  # noqa: S101  (for mypy)
        up = any(b"Ray runtime started" in line for line in node.stdout)
        if up:
            self._nodes.append(node)
        return up


def _has_own_network() -> bool:
    if os.environ.get(ALLOWED):
        return False
    if sys.platform != "linux":
        raise CannotStart(_refused("only Linux can give it one"))
    return True


def _enter() -> None:
    from practice.rayserve import namespace

    try:
        namespace.enter()
    except OSError as error:
        raise CannotStart(_refused(str(error))) from error


def _refused(reason: str) -> str:
    return _(
        "Ray listens on all addresses of a machine, so it gets a network of its own, and here it "
        "cannot have one: {reason}. Its ports ask for a token, but your network reaches them. To "
        "start it all the same, set the environment variable {variable}=1.",
        reason=reason,
        variable=ALLOWED,
    )


def _environment(flags: argparse.Namespace) -> dict[str, str]:
    """What Ray's processes read, all of them, from their first import on."""
    folder = flags.ray_folder
    proxy = {}  # HAProxy's sockets: with a node's name the path may have 97 characters
    if _has_own_network():  # else its fixed ports could be others' already
        proxy = {
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/h/haproxy.cfg",
            "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/h/admin.sock",
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": f"{folder}/h",
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/h/server-state",
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{folder}/h/metrics.sock",
            "RAY_SERVE_HAPROXY_NBTHREAD": "1",
            # How long a replica that is to end goes on answering. On a cluster it takes 30 s until
            # every load balancer has heard of it.
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "3",
        }
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(flags.token_file.absolute()),
        "RAY_USAGE_STATS_ENABLED": "0",
        # On a busy machine an agent needs more than the 15 s that raylet waits before it ends, and
        # a proxy more than the 5 s after which it is started again.
        "RAY_agent_register_timeout_ms": "120000",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
        **proxy,
    }


def _end_with_parent(folder: Path) -> None:
    """Wait until the other side has ended, in whatever manner; then end all of this side."""
    os.read(0, 1)  # nothing ever comes but the end; sys.stdin would be locked when Python ends
    command.end_all()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()

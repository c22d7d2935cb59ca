"""Health and reflection: imported when the first client asks, because most never do."""

import functools
from collections.abc import Callable
from typing import Any

import grpc

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


def add_health(server: grpc.Server) -> None:
    """Serve `grpc.health.v1`, under the product's bare names."""

    def add(to: Any) -> None:
        from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # 20 ms

        servicer = health.HealthServicer()
        for name in ("", "ModelService", "PredictionService"):
            servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, to)

    server.add_generic_rpc_handlers([_OnDemand(HEALTH, add)])


def add_reflection(server: grpc.Server, names: list[str]) -> None:
    """Serve reflection for the services of these names, and for itself."""

    def add(to: Any) -> None:
        # 20 ms. Importing health_pb2 is what lets reflection describe its messages.
        from grpc_health.v1 import health_pb2  # noqa: F401
        from grpc_reflection.v1alpha import reflection

        reflection.enable_server_reflection([*names, REFLECTION], to)

    server.add_generic_rpc_handlers([_OnDemand(REFLECTION, add)])


class _OnDemand(grpc.GenericRpcHandler):
    """Hands the calls of one service to handlers that are made at the first of them."""

    def __init__(self, service: str, add: Callable[[Any], None]) -> None:
        self._prefix, self._add = f"/{service}/", add

    def service(self, handler_call_details: Any) -> Any:
        if not handler_call_details.method.startswith(self._prefix):
            return None
        return self._handler.service(handler_call_details)

    @functools.cached_property
    def _handler(self) -> grpc.GenericRpcHandler:
        made = _Collector()
        self._add(made)
        return made.handlers[0]


class _Collector:
    """Stands where a server is expected, and keeps the handlers that it is given."""

    def __init__(self) -> None:
        self.handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self.handlers += handlers

    def add_registered_method_handlers(self, service_name: str, handlers: Any) -> None:
        """The same handlers by another way in: the generic ones are enough."""

"""gRPC's own services beside a practice service's, made when somebody first asks for them."""

from collections.abc import Callable
from typing import Any

import grpc

_REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


class OnDemand(grpc.GenericRpcHandler):
    """Hands the calls of one service to handlers that are made at the first of them.

    Health and reflection take 20 ms each to import, and most clients never ask for them.

    Parameters
    ----------
    service : str
        Its full name.
    add : callable
        Adds it to what it is given in place of a server.
    """

    def __init__(self, service: str, add: Callable[[Any], None]) -> None:
        self._prefix = f"/{service}/"
        self._add = add
        self._handlers: list[grpc.GenericRpcHandler] = []

    def service(self, handler_call_details: Any) -> Any:
        if not handler_call_details.method.startswith(self._prefix):
            return None
        if not self._handlers:
            self._add(self)
        return self._handlers[0].service(handler_call_details)

    # What follows stands where `add` expects a server, and keeps the handlers that it is given.

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self._handlers += handlers

    def add_registered_method_handlers(self, service_name: str, handlers: Any) -> None:
        """The same handlers in another form: the generic ones are enough."""


def reflection(modules: Callable[[], list[Any]]) -> OnDemand:
    """Make what lets grpcurl and Postman list, describe and call services without a .proto file.

    Parameters
    ----------
    modules : callable
        Returns the generated modules that define the services. Their stubs import the messages
        only, and a service without its descriptor is listed but cannot be called.
    """

    def add(to: Any) -> None:
        from grpc_reflection.v1alpha import reflection as official
        from grpc_reflection.v1alpha import reflection_pb2

        files = [module.DESCRIPTOR for module in (*modules(), reflection_pb2)]
        services = [one.full_name for file in files for one in file.services_by_name.values()]
        official.enable_server_reflection(services, to)

    return OnDemand(_REFLECTION, add)

"""The form of a service of ModelArts, and the requests that it makes."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as w

from helpers import modelarts
from helpers.endpoints import Endpoint
from helpers.errors import BadInput
from helpers.images import file_bytes
from workbench.code.modelarts import preview
from workbench.explorer.calls import Request
from workbench.explorer.forms.base import OneThing
from workbench.explorer.uploads import Upload
from workbench.fields import Fields

_JSON, _FILE = "JSON", "file"


class ModelArtsForm(OneThing):
    """JSON or a file for a service; its page in ModelArts says what it takes.

    Parameters
    ----------
    endpoint : Endpoint
        Its `rest` is the service's address.
    name : str
        The service's.
    fields : Fields
    changed : callable
        Called without arguments after each change.
    """

    def __init__(
        self, endpoint: Endpoint, name: str, fields: Fields, changed: Callable[[], object]
    ) -> None:
        self.endpoint, self._target = endpoint, name
        self.ways = ("rest",) if endpoint.rest else ()  # one that is stopped has no address
        self.way = fields(w.Dropdown, "What is sent", "JSON or a file", options=[_JSON, _FILE])
        self.body = fields(
            w.Textarea,
            "JSON",
            "The request's body",
            placeholder='such as {"data": {"req_data": [{"height": 1.5}]}}',
        )
        self.field = fields(w.Text, "Field", "The form's field that has the file", value="images")
        self.upload = Upload("the service", changed)
        super().__init__(fields, modelarts.TIMEOUT, changed)
        self._watch(self.body, self.field)
        self.way.observe(lambda _: self._show_way(), "value")
        self._show_way()

    def fill(self, value: Any) -> None:
        """Give JSON, or a file by its path or bytes, from a cell."""
        if isinstance(value, dict | list):
            self.way.value, self.body.value = _JSON, json.dumps(value)
        else:
            self.way.value = _FILE
            self.upload.take([("a cell", file_bytes(value))])

    def summary(self) -> str:
        """Say what would be sent; BadInput when nothing can be."""
        given = self._given()
        if not isinstance(given, bytes):
            return "JSON"
        return f"{len(given):,} bytes of {self.upload.files[0][0]}"

    def requests(self) -> list[Request]:
        """Return the request; BadInput when it cannot be made."""
        given, endpoint, timeout = self._given(), self.endpoint, self.timeout.value
        if isinstance(given, bytes):
            name = self.field.value.strip()
            call = partial(modelarts.infer_image, endpoint, given, name=name, timeout=timeout)
            show = partial(preview, endpoint, content=given, name=name, timeout=timeout)
        else:
            call = partial(modelarts.infer_json, endpoint, given, timeout=timeout)
            show = partial(preview, endpoint, given, timeout=timeout)
        return [Request(endpoint, self._target, given, self.ways, lambda _: call(), show)]

    def _given(self) -> Any:
        if self.way.value == _FILE:
            if not self.upload.content:
                raise BadInput("There is no file yet. Choose one.")
            if not self.field.value.strip():
                raise BadInput("The file's field has no name. Write one, such as images.")
            return self.upload.content
        text = self.body.value.strip()
        if not text:
            raise BadInput("There is no JSON yet. The service's page says what it takes.")
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"This is no JSON: {error}.") from error

    def _show_way(self) -> None:
        shown = [self.body] if self.way.value == _JSON else [self.field, self.upload]
        self.children = [self.way, *shown, self.told, self.timeout]
        self._changed()

"""The form of a service of ModelArts, and the requests that it makes."""

import json
from functools import partial
from typing import Any

import ipywidgets as w

from helpers import modelarts
from helpers.errors import BadInput
from helpers.images import file_bytes
from helpers.language import _
from workbench.code.modelarts import ModelArtsWriter
from workbench.explorer.calls import Request
from workbench.explorer.forms.form import Form, read_json
from workbench.explorer.uploads import Upload

_JSON = "JSON"
_FILE = "file"


class ModelArtsForm(Form):
    """JSON or a file for a service; its page in ModelArts says what it takes."""

    TIMEOUT = modelarts.TIMEOUT

    def make(self) -> None:
        """Make the fields for both, and show those of one."""
        self.protocols = ("rest",) if self.endpoint.rest else ()  # a stopped one has no address
        self.kind = self._fields(
            w.Dropdown,
            _("What is sent"),
            _("JSON or a file"),
            changed=self._show_kind,
            options=[(_JSON, _JSON), (_("file"), _FILE)],
        )
        hint = _('such as {"data": {"req_data": [{"height": 1.5}]}}')
        self.body = self.field(w.Textarea, _JSON, _("The request's body"), placeholder=hint)
        self.name = self.field(
            w.Text, _("Field"), _("The form's field that has the file"), value="images"
        )
        self.upload = Upload(_("the service"), self._changed)
        self._show_kind()

    def fill(self, value: Any) -> None:
        """Give JSON, or a file by its path or bytes, from a cell."""
        if isinstance(value, dict | list):
            self.kind.value = _JSON
            self.body.value = json.dumps(value)
        else:
            self.kind.value = _FILE
            self.upload.take([(_("a cell"), file_bytes(value))])

    def summary(self) -> str:
        """Say what would be sent; BadInput when nothing can be."""
        payload = self._payload()
        if not isinstance(payload, bytes):
            return "JSON"
        return _("{size:,} bytes of {file}", size=len(payload), file=self.upload.files[0][0])

    def requests(self) -> list[Request]:
        """Return the request; BadInput when it cannot be made."""
        payload = self._payload()
        how: dict[str, Any] = {"timeout": self.timeout.value}
        if isinstance(payload, bytes):
            how["name"] = self.name.value.strip()
            call = partial(modelarts.infer_image, self.endpoint, payload, **how)
            writer = ModelArtsWriter(self.endpoint, content=payload, **how)
        else:
            call = partial(modelarts.infer_json, self.endpoint, payload, **how)
            writer = ModelArtsWriter(self.endpoint, payload, **how)
        return [self.request(payload, lambda protocol: call(), writer)]

    def _payload(self) -> Any:
        if self.kind.value == _FILE:
            if not self.upload.content:
                raise BadInput(_("There is no file yet. Choose one."))
            if not self.name.value.strip():
                raise BadInput(_("The file's field has no name. Write one, such as images."))
            return self.upload.content
        if not self.body.value.strip():
            raise BadInput(_("There is no JSON yet. The service's page says what it takes."))
        return read_json(self.body.value, _("This is no JSON: {error}."))

    def _show_kind(self) -> None:
        fields = [self.body] if self.kind.value == _JSON else [self.name, self.upload]
        self.children = [self.kind, *fields, self.status, self.timeout]
        self._changed()

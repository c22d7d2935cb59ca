"""What the gateway has published: the services and their two addresses each."""

from typing import NamedTuple

PREFIX = "/v1/infers"


class Published(NamedTuple):
    """A service's id, the API's id for token and signature, and the one for app credentials."""

    id: str
    app_id: str

    @property
    def path(self) -> str:
        """The path of the address that takes a token or a signature."""
        return f"{PREFIX}/{self.id}"

    @property
    def app_path(self) -> str:
        """The path of the address that takes app credentials.

        The product gives it a host name of its own, and the same path. There is one host here.
        """
        return f"{PREFIX}/{self.app_id}"


# The first id is that of the documentation's examples.
SERVICES = {
    "iris": Published(
        "eb3e0c54-3dfa-4750-af0c-95c45e5d3e83", "1f7d26a8-9c0b-4f5e-8a3d-60b2c4d8e917"
    ),
    "digits": Published(
        "6a9f3b1e-58c7-4d02-b6e4-27d1f0c93a85", "c2e84d70-13b6-49fa-9d57-8b0e6f21a4c3"
    ),
    "digits_detector": Published(
        "92d5c7e0-4b1a-4f83-8c69-e3a07f5b2d14", "07b9e5a3-d24c-4861-b7f0-5c93d1e86f2a"
    ),
}

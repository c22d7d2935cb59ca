"""Headers, metadata and client certificates: what a gateway asks for, and what may not leak."""

import asyncio
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme

from helpers import channels, endpoints, tfserving
from helpers.endpoints import Endpoint, profiles
from helpers.errors import BadInput, ConnectionFailed, NotAuthenticated, NotThisProtocol
from tests.fronts import TOKEN, Front, grpc_front, rest_front
from tests.http_answers import moved, received

FLOWER = np.array([[5.1, 3.5, 1.4, 0.2]], "float32")
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of profiles, which is not there yet."""
    monkeypatch.setenv("OTW_ENDPOINTS", str(tmp_path / "endpoints.toml"))
    return tmp_path / "endpoints.toml"


@pytest.fixture
def over_grpc(endpoint: Endpoint, tmp_path: Path) -> Iterator[Front]:
    """Return a front of gRPC that asks for TLS, a certificate and a token."""
    with grpc_front(endpoint.grpc, tmp_path) as opened:
        yield opened
    channels.close()


@pytest.fixture
def over_rest(endpoint: Endpoint, tmp_path: Path) -> Iterator[Front]:
    """Return one of REST, with a path too."""
    with rest_front(endpoint.rest, tmp_path, client_certificate=True) as opened:
        yield opened
    channels.close()


@pytest.fixture(params=["over_rest", "over_grpc"])
def front(request: pytest.FixtureRequest) -> Front:
    """Return each of them."""
    return request.getfixturevalue(request.param)


def through(front: Front, **fields: Any) -> Endpoint:
    return front.endpoint("rest" if "://" in front.address else "grpc", **fields)


def test_every_call_has_the_header_and_the_certificate(front: Front, endpoint: Endpoint) -> None:
    here = through(front, headers={**BEARER, "X-Team": "vision"})
    answer = tfserving.predict(here, {"features": FLOWER})["probabilities"]
    direct = tfserving.predict(endpoint.replace(model="iris"), {"features": FLOWER})
    assert answer == pytest.approx(direct["probabilities"], abs=1e-6)
    assert "serving_default" in tfserving.signatures(here)
    assert {one.state for one in tfserving.status(here).values()} == {"AVAILABLE"}
    assert {call["x-team"] for call in front.seen} == {"vision"}


def test_many_calls_and_async_ones_have_it_too(over_grpc: Front) -> None:
    here = through(over_grpc)
    several = tfserving.predict_many(here, [{"features": FLOWER}] * 3, progress=False)
    assert len(list(several)) == 3
    assert "probabilities" in asyncio.run(tfserving.apredict(here, {"features": FLOWER}))


def test_without_the_token_nobody_is_let_in(front: Front) -> None:
    with pytest.raises(NotAuthenticated):
        tfserving.status(through(front, headers={}))


def test_without_the_certificate_there_is_no_connection(front: Front) -> None:
    with pytest.raises(ConnectionFailed):
        tfserving.status(through(front, cert_file="", key_file=""))


def test_a_value_may_be_that_of_a_variable(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    here = through(front, headers={"Authorization": "Bearer ${TEAM_TOKEN}"})
    with pytest.raises(BadInput, match="variable TEAM_TOKEN, which is not set"):
        tfserving.status(here)
    monkeypatch.setenv("TEAM_TOKEN", "an old one")
    with pytest.raises(NotAuthenticated, match="does not accept .*: Authorization"):
        tfserving.status(here)
    monkeypatch.setenv("TEAM_TOKEN", f"{TOKEN}\n")  # as $(cat file) would not have it
    assert tfserving.status(here)
    assert "Bearer ${TEAM_TOKEN}" in repr(here)


def test_metadata_goes_to_this_machine_without_tls(endpoint: Endpoint, tmp_path: Path) -> None:
    with grpc_front(endpoint.grpc, tmp_path, tls=False) as front:
        here = front.endpoint("grpc", ca_file="", cert_file="", key_file="")
        assert tfserving.status(here)
    channels.close()


@pytest.mark.parametrize("address", [{"grpc": "models.example:8500"}, {"rest": "http://m.example"}])
def test_no_header_goes_unencrypted_to_another_machine(address: dict[str, Any]) -> None:
    opened = channels.session if "rest" in address else channels.channel
    with pytest.raises(BadInput, match="headers are sent over TLS only"):
        opened(Endpoint("tfserving", headers=BEARER, **address))


def test_no_header_goes_to_another_server(
    tls_server: Callable[[Any], str], tcp_server: Callable[[Any], str], tmp_path: Path
) -> None:
    reached: list[bytes] = []
    other = tls_server(lambda connection: reached.append(received(connection)))

    def answer(connection: Any) -> None:
        received(connection)
        connection.sendall(moved(f"https://{other}/"))

    first = tls_server(answer)
    ca_file = str(tmp_path / "ca.pem")
    here = Endpoint("tfserving", rest=f"https://{first}", ca_file=ca_file, headers=BEARER)
    with pytest.raises(NotThisProtocol, match="nothing was sent"):
        tfserving.status(here.replace(model="iris"))
    assert reached == []
    assert here.at(f"https://{first}/v1/x").headers
    assert not here.at(f"https://{other}/v1/x").headers


def test_a_netrc_file_does_not_replace_a_header(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ada password x\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with rest_front(endpoint.rest, tmp_path) as front:
        here = front.endpoint("rest")
        session = channels.session(here)
        session.trust_env = True  # as for every address that is not this machine's
        assert tfserving.status(here)
    channels.close()


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Authorization": "Bearer s3cr3t\r\nX: y"}, "has a line break"),
        ({"Authorization": ""}, "is empty"),
        ({"Authorization": "s3cr3t-é"}, "not printable ASCII"),
        ({"X Team": "a"}, "A header's name has letters"),
        ({"X-Team:": "a"}, "A header's name has letters"),
        ({"": "a"}, "A header's name has letters"),
        ({"Content-Type": "a"}, "is set by the connection itself"),
        ({"HOST": "a"}, "is set by the connection itself"),
        ({"te": "a"}, "is set by the connection itself"),
        ({"grpc-timeout": "1S"}, "is set by the connection itself"),
        ({"trace-bin": "a"}, "bytes under names that end with -bin"),
        ({"X-Team": "a", "x-team": "b"}, "is given twice"),
        ({f"X-{number}": "a" for number in range(33)}, "33 headers, and 32 at most"),
        ({"Authorization": "s3cr3t" * 3000}, "18,013 characters, and 16,000 at most"),
        ({"X-Team": 1}, "gives a text to each name"),
        ("Authorization: s3cr3t", "is a value for each name"),
    ],
)
def test_what_cannot_be_a_header_is_refused_and_not_repeated(headers: Any, reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as caught:
        Endpoint("tfserving", headers=headers)
    assert "s3cr3t" not in str(caught.value)


def test_a_value_that_comes_from_a_variable_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_TOKEN", "s3cr3t\nX: y")
    here = Endpoint("tfserving", grpc="127.0.0.1:1", headers={"X-Key": "${TEAM_TOKEN}"})
    with pytest.raises(BadInput, match="has a line break") as caught:
        channels.channel(here)
    assert "s3cr3t" not in str(caught.value)


def test_a_header_and_a_user_do_not_both_say_who_calls() -> None:
    with pytest.raises(BadInput, match="Leave one out"):
        Endpoint("tfserving", user="ada", headers={"authorization": "x"})
    with pytest.raises(BadInput, match="x-auth-token is sent by itself"):
        Endpoint("modelarts", headers={"X-Auth-Token": "x"})


def test_a_profile_has_names_and_paths_and_no_secret(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Authorization": "Bearer ${TEAM_TOKEN}", "X-Api-Key": "s3cr3t"}
    there: dict[str, Any] = {
        "rest": "https://models.example/team",
        "cert_file": "me.pem",
        "key_file": "key.pem",
    }
    profiles.save("team", Endpoint("tfserving", headers=headers, **there))
    text = own.read_text(encoding="utf-8")
    assert "s3cr3t" not in text
    loaded = endpoints.load("tfserving", "team")
    assert loaded.key_file == "key.pem"
    assert dict(loaded.headers)["Authorization"] == "Bearer ${TEAM_TOKEN}"
    monkeypatch.setenv("TEAM_TOKEN", "x")
    with pytest.raises(BadInput, match="variable OTW_HEADER_X_API_KEY, which is not set"):
        channels.session(loaded)
    monkeypatch.setenv("OTW_HEADER_X_API_KEY", "s3cr3t")
    monkeypatch.setattr(channels, "_read_client_files", lambda endpoint: None)
    assert channels.session(loaded).headers["X-Api-Key"] == "s3cr3t"
    own.write_text(f"[broken\n{text}")  # one broken profile does not take another's headers along
    good, (problem,) = profiles.read()
    assert "broken" in problem
    assert good["team"] == loaded


def test_the_environment_replaces_what_a_profile_has(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.write_text(
        '[team]\nrest = "https://m.example"\nheaders = {Authorization = "Bearer ${A}"}\n'
    )
    monkeypatch.setenv("OTW_TFSERVING_HEADERS", "X-Key: a:b\n\nX-Team: vision\n")
    monkeypatch.setenv("OTW_TFSERVING_CERT", "me.pem")
    loaded = endpoints.load("tfserving", "team")
    assert dict(loaded.headers) == {"X-Key": "a:b", "X-Team": "vision"}
    assert loaded.cert_file == "me.pem"
    monkeypatch.setenv("OTW_TFSERVING_HEADERS", "s3cr3t")
    with pytest.raises(BadInput, match="without a colon") as caught:
        endpoints.load("tfserving", "team")
    assert "s3cr3t" not in str(caught.value)


def test_nothing_that_shows_an_endpoint_shows_a_secret() -> None:
    secret = Endpoint("modelarts", token="s3cr3t", headers={"X-Key": "s3cr3t"})
    assert "s3cr3t" not in f"{secret!r} {secret.public()}"
    assert pickle.loads(pickle.dumps(secret)) == secret
    assert len({secret, secret.replace(), secret.replace(headers={})}) == 2


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        ("nowhere.pem", "", "client certificate .*nowhere.pem cannot be read"),
        ("own.pem", "nowhere.pem", "client key .*nowhere.pem cannot be read"),
        ("own.pem", "", "own.pem has no private key in PEM form"),
        ("own.pem", "other-key.pem", "no certificate and its key"),
        ("text.pem", "own-key.pem", "no certificate and its key"),
        ("own.pem", "locked.pem", "has a password. Take it off"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_refused(
    tmp_path: Path, certificate: str, key: str, reason: str
) -> None:
    for name in ("own", "other"):
        issued = trustme.CA().issue_cert(f"{name}@example.org")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}-key.pem")
    (tmp_path / "text.pem").write_text("no certificate")
    (tmp_path / "locked.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    files: dict[str, Any] = {
        "cert_file": str(tmp_path / certificate),
        "key_file": key and str(tmp_path / key),
    }
    here = Endpoint("tfserving", grpc="127.0.0.1:1", rest="https://127.0.0.1:1", **files)
    for opened in (channels.channel, channels.session):
        with pytest.raises(BadInput, match=reason):
            opened(here)


def test_a_key_alone_is_refused() -> None:
    with pytest.raises(BadInput, match="Give its file, too"):
        Endpoint("tfserving", key_file="key.pem")

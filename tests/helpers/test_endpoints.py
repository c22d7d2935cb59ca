"""Where a service is: practice, profile or environment, and every way to get it wrong."""

import json
from pathlib import Path

import pytest

from helpers import channels, endpoints
from helpers.endpoints import Endpoint, load
from helpers.endpoints import profiles as own_profiles
from helpers.endpoints.endpoint import is_loopback
from helpers.errors import BadInput, ConnectionFailed
from workbench import proxies


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path))
    entry = {
        "rest": "http://127.0.0.1:8504",
        "grpc": "127.0.0.1:8503",
        "pid": 1,
        "started": 1.0,
    }
    addresses = {"rest": entry["rest"], "grpc": entry["grpc"]}
    practice = {"kind": "tfserving", **addresses, "models": ["iris"]}
    entry["endpoints"] = {"practice": practice}
    (tmp_path / "services.json").write_text(json.dumps({"tfserving": entry}))
    return tmp_path


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "endpoints.toml"
    monkeypatch.setenv("OTW_ENDPOINTS", str(file))
    file.write_text('[mine]\ngrpc = "10.1.2.3:8500"\nmodel = "resnet"\nmodels = ["resnet"]\n')
    return file


def test_practice_is_what_the_manager_wrote(state: Path) -> None:
    assert load("tfserving") == Endpoint(
        "tfserving", rest="http://127.0.0.1:8504", grpc="127.0.0.1:8503", models=("iris",)
    )


def test_the_environment_replaces_the_practice_address(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_TFSERVING_GRPC", "localhost:9000")
    assert load("tfserving").grpc == "localhost:9000"


def test_a_profile_of_your_own(profiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load("tfserving", "mine").model == "resnet"
    monkeypatch.setenv("OTW_TFSERVING_GRPC", "localhost:9000")
    assert load("tfserving", "mine") == Endpoint(
        "tfserving", grpc="localhost:9000", model="resnet", models=("resnet",)
    )


# What an earlier version wrote: addresses, and no endpoints.
OLD = '{"tfserving": {"rest": "http://127.0.0.1:8504", "grpc": "127.0.0.1:8503", "pid": 1}}'


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{}",
        "not json",
        "[]",
        '{"tfserving": 1}',
        OLD,
        '{"tfserving": {"endpoints": {"practice": {"kind": "tfserving", "port": 8500}}}}',
    ],
)
def test_without_a_practice_service_it_says_how_to_start_one(state: Path, content) -> None:
    file = state / "services.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(ConnectionFailed, match="otw practice up tfserving"):
        load("tfserving")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no good profile 'mine' of kind 'tfserving'. Profiles: none"),
        ("[other]\n", "no good profile 'mine' .*Profiles: other"),
        ("mine = 1\n", "'mine' in endpoints.toml: this belongs to no profile"),
        ("[mine\n", "is broken: .*line 1"),
        ('[mine]\nport = "x"\n', "no field 'port'. Fields: kind, rest, grpc"),
        ('[mine]\nkind = "magic"\n', "Unknown kind 'magic'"),
        ('[mine]\ngrpc = "http://10.1.2.3"\n', "not a gRPC address"),
        ("[mine]\ngrpc = 8500\n", "'grpc' is text"),
        ('[mine]\nmodels = "resnet"\n', "'models' is a list"),
        ('[mine]\ntls = "yes"\n', "'tls' is true or false"),
        ('[mine]\nversion = "1"\n', "'version' is a whole number"),
    ],
)
def test_a_bad_profile_is_refused_with_the_reason(profiles: Path, content, reason: str) -> None:
    profiles.unlink() if content is None else profiles.write_text(content)
    with pytest.raises(BadInput, match=reason):
        load("tfserving", "mine")


def test_a_profile_that_is_not_text_is_refused(profiles: Path) -> None:
    profiles.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="cannot be read"):
        load("tfserving", "mine")


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="Known: tfserving"):
        load("tf-serving")


@pytest.mark.parametrize(
    "address",
    ["8500", ":8500", "host", "host:", "host:0", "host:65536", "host:-1", "host:http", "host:²"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="not a gRPC address"):
        Endpoint("tfserving", grpc=address)


@pytest.mark.parametrize("address", ["127.0.0.1:8500", "[::1]:8500", "models.example:443"])
def test_what_is_an_address_is_taken(address: str) -> None:
    assert Endpoint("tfserving", grpc=address).grpc == address


def test_replace_changes_a_copy() -> None:
    endpoint = Endpoint("tfserving", grpc="127.0.0.1:8500")
    assert endpoint.replace(model="digits").model == "digits"
    assert endpoint.model == ""
    with pytest.raises(BadInput, match="no field 'modle'"):
        endpoint.replace(modle="digits")


def test_a_version_and_a_label_exclude_each_other() -> None:
    with pytest.raises(BadInput, match="not both"):
        Endpoint("tfserving", version=1, version_label="stable")


def test_a_ca_file_means_tls() -> None:
    assert Endpoint("tfserving", ca_file="ca.pem").tls


def test_a_channel_is_shared() -> None:
    endpoint = Endpoint("tfserving", grpc="127.0.0.1:1")
    assert channels.channel(endpoint) is channels.channel(endpoint.replace(model="digits"))
    before = channels.channel(endpoint)
    channels.forget(endpoint)
    assert channels.channel(endpoint) is not before


def test_a_channel_needs_an_address() -> None:
    with pytest.raises(BadInput, match="no gRPC address"):
        channels.channel(Endpoint("tfserving"))


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "cannot be read"), (b"no certificate", "no certificate in PEM")]
)
def test_a_bad_ca_file_is_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput, match=reason):
        channels.channel(Endpoint("tfserving", grpc="127.0.0.1:1", ca_file=str(file)))


def test_basic_authentication_is_what_http_calls_it() -> None:
    given = []
    plugin = channels.BasicAuthenticationPlugin("Aladdin", "open sesame")
    plugin(None, lambda metadata, error: given.append((metadata, error)))
    # The example of RFC 7617, section 2.
    assert given == [((("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),), None)]


def test_a_user_without_tls_is_refused_and_a_password_is_never_shown() -> None:
    endpoint = Endpoint("tfserving", grpc="127.0.0.1:1", user="ada", password="s3cr3t")
    assert "s3cr3t" not in repr(endpoint)
    with pytest.raises(BadInput, match="over TLS only"):
        channels.channel(endpoint)


CCAI = {
    "practice": {"kind": "ccai", "rest": "http://127.0.0.1:8080", "grpc": "127.0.0.1:8081"},
    "practice-secure": {
        "kind": "ccai",
        "rest": "https://127.0.0.1:8443",
        "grpc": "127.0.0.1:8444",
        "user": "learner",
        "ca_file": "ca.pem",
    },
}


@pytest.fixture
def ccai_state(state: Path) -> Path:
    (state / "services.json").write_text(json.dumps({"ccai": {"endpoints": CCAI}}))
    secrets = {"ccai": {"practice-secure": {"password": "s3cr3t"}}}
    (state / "secrets.json").write_text(json.dumps({"endpoints": secrets}))
    return state


def test_ccai_is_there_twice(ccai_state: Path) -> None:
    assert load("ccai") == endpoints.from_mapping(CCAI["practice"], "a test")
    secure = load("ccai", "practice-secure")
    assert secure == endpoints.from_mapping(
        {**CCAI["practice-secure"], "password": "s3cr3t"}, "a test"
    )
    assert secure.tls
    assert "s3cr3t" not in repr(secure)


def test_the_secure_variables_are_for_the_secure_doors_only(
    ccai_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "OTW_CCAI_REST": "http://ai.example:8080",
        "OTW_CCAI_SECURE_GRPC": "ai.example:8081",
        "OTW_CCAI_USER": "ada",
        "OTW_CCAI_PASSWORD": "x",
        "OTW_CA": "own.pem",
    }.items():
        monkeypatch.setenv(name, value)
    assert load("ccai") == Endpoint("ccai", rest="http://ai.example:8080")
    assert load("ccai", "practice-secure") == Endpoint(
        "ccai", grpc="ai.example:8081", ca_file="own.pem", user="ada", password="x"
    )


def test_a_ccai_profile_with_tls_takes_its_password_from_the_environment(
    profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles.write_text('[mine]\nkind = "ccai"\nrest = "https://ai.example:8080"\ntls = true\n')
    monkeypatch.setenv("OTW_CCAI_USER", "ada")
    monkeypatch.setenv("OTW_CCAI_PASSWORD", "x")
    found = load("ccai", "mine")
    assert (found.rest, found.user, found.password) == ("https://ai.example:8080", "ada", "x")


@pytest.mark.parametrize("content", [None, "[]", "{}", '{"ccai": {"user": "learner"}}'])
def test_without_its_secrets_the_secure_service_counts_as_not_running(
    ccai_state: Path, content: str | None
) -> None:
    file = ccai_state / "secrets.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(ConnectionFailed, match="otw practice up ccai"):
        load("ccai", "practice-secure")


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8080",
        "ftp://h",
        "http://",
        "http://h:0",
        "http://h:x",
        "http://h:70000",
        "http://h/cgi-bin",
        "http://h/prefix/cgi-bin/",
        "http://h/prefix?a=1",
        "http://h/prefix#a",
        "http://h?a=1",
        "http://a b",
        "http://[::1",
        "grpc://h:1",
    ],
)
def test_a_bad_rest_address_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="not a REST address"):
        Endpoint("ccai", rest=url)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadInput) as caught:
        Endpoint("ccai", rest="http://ada:s3cr3t@h:8080")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://h/v1/models/m:predict", "http://h/prefix/v1/models"])
def test_a_models_address_is_refused_and_says_what_to_leave_out(url: str) -> None:
    with pytest.raises(BadInput, match="not a REST address.*without /v1/models"):
        Endpoint("tfserving", rest=url)


@pytest.mark.parametrize("kind", ["tfserving", "ccai"])
def test_an_address_may_have_a_gateways_path(kind: str) -> None:
    assert Endpoint(kind, rest="https://h:8443/a/b/").rest == "https://h:8443/a/b"


@pytest.mark.parametrize("url", ["http://h", "https://h:8443", "http://[::1]:8080", "http://h.x"])
def test_a_good_rest_address_is_taken(url: str) -> None:
    assert Endpoint("ccai", rest=url).rest == url


def test_one_session_for_all_calls_and_none_without_an_address() -> None:
    here = Endpoint("ccai", rest="http://127.0.0.1:8080")
    assert channels.session(here) is channels.session(here.replace())
    with pytest.raises(BadInput, match="no REST address"):
        channels.session(Endpoint("ccai"))
    with pytest.raises(BadInput, match="over TLS only"):
        channels.session(here.replace(user="ada", password="x"))
    with pytest.raises(BadInput, match="cannot be read"):
        channels.session(Endpoint("ccai", rest="https://h", ca_file="nowhere.pem"))


SERVICE = "https://infer.example/v1/infers/eb3e0c54-3dfa-4750-af0c-95c45e5d3e83"


@pytest.mark.parametrize("url", [SERVICE, f"{SERVICE}/predictions/poetry", "https://h:9443/v1/x"])
def test_a_modelarts_address_has_a_path(url: str) -> None:
    assert Endpoint("modelarts", rest=url).rest == url


@pytest.mark.parametrize(
    "url", [f"{SERVICE}?a=1", f"{SERVICE}#a", "https:///v1/infers/x", "https://ada:x@h/v1/infers/x"]
)
def test_a_bad_modelarts_address_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="as the service's page gives it") as caught:
        Endpoint("modelarts", rest=url)
    assert "ada:x" not in str(caught.value)


def test_iam_has_an_address_without_a_path() -> None:
    with pytest.raises(BadInput, match="not a REST address"):
        Endpoint("modelarts", rest=SERVICE, iam="https://iam.example/v3")


@pytest.mark.parametrize("way", ["token", "basic", "AppCode"])
def test_an_unknown_way_in_is_refused(way: str) -> None:
    with pytest.raises(BadInput, match="auth is signature, appcode or empty"):
        Endpoint("modelarts", rest=SERVICE, auth=way)


@pytest.mark.parametrize(
    ("way", "variables"),
    [
        ("", {"USER": "ada", "PASSWORD": "x"}),
        ("signature", {"AK": "ada", "SK": "x"}),
        ("appcode", {"APPCODE": "x"}),
    ],
)
def test_a_modelarts_profile_takes_its_secret_from_the_environment(
    profiles: Path, monkeypatch: pytest.MonkeyPatch, way: str, variables: dict[str, str]
) -> None:
    profiles.write_text(f'[cloud]\nkind = "modelarts"\nrest = "{SERVICE}"\nauth = "{way}"\n')
    for name, value in variables.items():
        monkeypatch.setenv(f"OTW_MODELARTS_{name}", value)
    found = load("modelarts", "cloud")
    user = "" if way == "appcode" else "ada"
    assert (found.rest, found.auth, found.user, found.password) == (SERVICE, way, user, "x")


@pytest.mark.parametrize(
    ("rest", "proxied"), [(SERVICE, True), ("https://127.0.0.1:9443/v1/infers/x", False)]
)
def test_the_proxy_of_a_service_with_a_path(
    monkeypatch: pytest.MonkeyPatch, rest: str, proxied: bool
) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    endpoint = Endpoint("modelarts", rest=rest)
    assert proxies.proxy(endpoint) == ("proxy.example:3128" if proxied else "")
    monkeypatch.setenv("no_proxy", "infer.example")
    assert proxies.proxy(endpoint) == ""
    assert channels.session(endpoint).trust_env is proxied


@pytest.mark.parametrize(
    ("entry", "bypassed"),
    [
        ("ai.lab.example", True),
        ("AI.Lab.Example", True),
        ("lab.example", True),
        (".lab.example", True),
        ("b.example", False),
        ("*", False),
        ("", False),
        ("x.example, lab.example", True),
    ],
)
def test_no_proxy_is_read_as_grpc_reads_it(
    monkeypatch: pytest.MonkeyPatch, entry: str, bypassed: bool
) -> None:
    monkeypatch.setenv("grpc_proxy", "http://proxy.example:3128")
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    monkeypatch.setenv("no_proxy", entry)
    endpoint = Endpoint("tfserving", grpc="ai.lab.example:8500")
    assert proxies.proxy(endpoint) == ("" if bypassed else "proxy.example:3128")


def test_a_range_in_no_proxy_counts_for_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("grpc_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "192.0.2.0/24")
    assert proxies.proxy(Endpoint("tfserving", grpc="192.0.2.7:8500")) == ""
    assert proxies.proxy(Endpoint("tfserving", grpc="192.0.3.7:8500")) == "proxy.example:3128"


def test_an_empty_variable_hides_the_others_from_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("grpc_proxy", "")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "")
    assert proxies.proxy(Endpoint("tfserving", grpc="192.0.2.7:8500")) == ""


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]"])
def test_this_machine_is_known_by_its_name(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["127.example.com", "127", "localhost.example", "128.0.0.1", ""])
def test_a_name_that_only_looks_like_this_machine_may_have_a_proxy(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "endpoint",
    [Endpoint("tfserving", grpc="192.0.2.7:8500"), Endpoint("ccai", rest="http://192.0.2.7:8080")],
)
def test_an_endpoint_can_go_past_every_proxy(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint
) -> None:
    for name in ("grpc_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "")
    assert proxies.proxy(endpoint) == "proxy.example:3128"
    past = endpoint.replace(no_proxy=True)
    assert proxies.proxy(past) == ""
    if past.rest:
        assert channels.session(endpoint).trust_env
        assert not channels.session(past).trust_env


def test_an_endpoint_made_by_hand_is_checked_too() -> None:
    with pytest.raises(BadInput, match="'version' is a whole number, not str"):
        Endpoint("tfserving", version="2")  # type: ignore[arg-type]


def test_a_profile_is_saved_in_the_state_folder_where_the_installation_is_another_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTW_ENDPOINTS", raising=False)
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(own_profiles, "_ROOT", str(tmp_path / "nothing to write to"))
    own_profiles.save("mine", Endpoint("tfserving", grpc="127.0.0.1:8500"))
    assert (tmp_path / "state" / "endpoints.toml").is_file()
    assert endpoints.load("tfserving", "mine").grpc == "127.0.0.1:8500"

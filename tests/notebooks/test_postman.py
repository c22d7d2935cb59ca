"""The Postman collection: run by newman against a service, and what its files say."""

import contextlib
import dataclasses
import json
import os
import re
import shlex
import shutil
import string
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from helpers import endpoints
from practice import launch, services, state
from practice.launch import MODELS
from practice.modelarts import account, published

ROOT = Path(__file__).parents[2]
POSTMAN = ROOT / "data" / "postman"
SHOWN = POSTMAN / "newman.txt"
COLLECTION = json.loads((POSTMAN / "modelarts.postman_collection.json").read_text(encoding="utf-8"))
ENVIRONMENT = json.loads(
    (POSTMAN / "modelarts.postman_environment.json").read_text(encoding="utf-8")
)
REQUESTS = {item["name"]: item for item in COLLECTION["item"]}
SECRETS = ("password", "sk", "appcode")
IRIS = "v1/infers/eb3e0c54-3dfa-4750-af0c-95c45e5d3e83"
BODY = (
    '{"data":{"req_data":[{"sepal_length":3,"sepal_width":1,"petal_length":2.2,"petal_width":4}]}}'
)
# Made by the vendor's own signer, with made-up keys.
AK, SK = "EXAMPLEAK00000000001", "ExampleSecretKey0000000000000000000000001"
DATE = "20260101T000000Z"
VECTORS = {
    BODY: "d20e6a7effa693da6cc03cd39dbb9eae2a70d9ce250afadff3e2ad93f7529066",
    BODY.replace("2.2", "2.3"): "ef8420e83a3ef9fbfd181665d679ffa611e20937f046e92ed35bddc6ee872375",
}


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run of newman said."""

    status: int
    output: str

    @property
    def failed(self) -> set[str]:
        """The requests for which newman lists a failure."""
        return set(re.findall(r'inside "([^"]+)"', self.output))


@pytest.fixture(scope="module")
def newman() -> str:
    """Return newman; without it the test is skipped, or fails where it is required."""
    local = ROOT / "build" / "newman" / "node_modules" / ".bin"
    found = shutil.which("newman", path=str(local)) or shutil.which("newman")
    if found:
        return found
    reason = "there is no newman. To install it: make newman"
    if os.environ.get("REQUIRE_NEWMAN"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def known() -> Iterator[dict[str, Any]]:
    """Start a service and return its addresses and who may call it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="otw-postman-")))
        own = launch.Launch(services.get("modelarts"), folder, MODELS, private=True)
        stack.callback(own.end)
        launch.bring_up([own])
        told = {
            name.lower().removeprefix("otw_modelarts_"): value
            for profile, endpoint in own.endpoints.items()
            for name, value in endpoints.variables(endpoint, profile).items()
        }
        yield {**told, "ca_file": told["otw_ca"], **state.read_secrets("modelarts", folder)}


@pytest.fixture(scope="module")
def green(newman: str, known: dict[str, Any]) -> Run:
    """Run newman as README says."""
    return run(newman, *readme_command(known))


def readme_command(known: Mapping[str, Any]) -> list[str]:
    """Return what README has to be typed after `newman`, with the service's values in it."""
    text = (POSTMAN / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"bin/newman (run [^\\\n]*(?:\\\n[^\\\n]*)+)", text)
    values = {f"OTW_MODELARTS_{key.upper()}": value for key, value in known.items()}
    filled = string.Template(command).substitute(values, OTW_CA=known["ca_file"])
    return shlex.split(filled.replace("\\\n", " "))


def run(newman: str, *arguments: str, folder: Path = ROOT) -> Run:
    """Run newman once."""
    variables = {k: v for k, v in os.environ.items() if k != "NODE_EXTRA_CA_CERTS"}
    done = subprocess.run(
        [newman, *arguments, "--color", "off"],
        cwd=folder,
        env=variables | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    return Run(done.returncode, done.stdout + done.stderr)


def filled(folder: Path, values: Mapping[str, Any]) -> str:
    """Write the environment with values in it to a file that only its owner can read."""
    path = folder / "environment.json"
    path.touch(mode=0o600)
    entries = [{**each, "value": values.get(each["key"], "")} for each in ENVIRONMENT["values"]]
    path.write_text(json.dumps({**ENVIRONMENT, "values": entries}), encoding="utf-8")
    return str(path)


def collection_run(
    newman: str, own: Path, values: Mapping[str, Any], *flags: str, folder: Path = POSTMAN
) -> Run:
    """Run the whole collection in a folder, with an environment file in one's own."""
    collection = str(POSTMAN / "modelarts.postman_collection.json")
    return run(newman, "run", collection, "-e", filled(own, values), *flags, folder=folder)


def trusting(known: Mapping[str, Any]) -> list[str]:
    return ["--ssl-extra-ca-certs", known["ca_file"]]


# Runs.


def test_every_request_is_answered_as_the_collection_expects(green: Run) -> None:
    assert green.status == 0, green.output
    assert re.findall(r"^→ (.+)$", green.output, re.M) == list(REQUESTS)


def test_a_run_shows_no_secret(green: Run, known: dict[str, Any]) -> None:
    assert not [key for key in SECRETS if known[key] in green.output]
    assert "gAAAA" not in green.output  # how a token begins


def test_the_pictures_are_found_from_the_collections_own_folder(
    newman: str, known: dict[str, Any], tmp_path: Path
) -> None:
    done = collection_run(newman, tmp_path, known, *trusting(known))
    assert done.status == 0, done.output


def test_a_picture_that_is_not_found_is_a_failure(
    newman: str, known: dict[str, Any], tmp_path: Path
) -> None:
    done = collection_run(newman, tmp_path, known, *trusting(known), folder=tmp_path)
    assert done.status == 1
    assert done.failed == {"2 Image", "3 Image, boxes"}


def test_without_the_authority_nothing_is_sent(
    newman: str, known: dict[str, Any], tmp_path: Path
) -> None:
    done = collection_run(newman, tmp_path, known)
    assert done.status == 1
    assert done.failed == set(REQUESTS)
    assert done.output.count("[errored]") == len(REQUESTS)
    assert "certificate" in done.output


@pytest.mark.parametrize(
    ("key", "failed"),
    [
        ("password", {"1 Get a token", "2 Image", "3 Image, boxes", "4 Text"}),
        ("project", {"1 Get a token", "2 Image", "3 Image, boxes", "4 Text"}),
        ("sk", {"5 Text, signed"}),
        ("ak", {"5 Text, signed"}),
        ("appcode", {"6 Text, AppCode"}),
    ],
)
def test_a_wrong_value_is_a_failure_where_it_is_used(
    newman: str, known: dict[str, Any], tmp_path: Path, key: str, failed: set[str]
) -> None:
    done = collection_run(newman, tmp_path, {**known, key: "wrong"}, *trusting(known))
    assert done.status == 1
    assert done.failed == failed
    assert not [name for name in SECRETS if known[name] in done.output]


@pytest.mark.parametrize("port", ["", ":443"])
@pytest.mark.parametrize(("body", "signature"), VECTORS.items(), ids=["2.2", "2.3"])
def test_the_script_signs_as_the_vendors_own_signer(
    newman: str, tmp_path: Path, port: str, body: str, signature: str
) -> None:
    expected = (
        f"SDK-HMAC-SHA256 Access={AK}, SignedHeaders=content-type;host;x-sdk-date, "
        f"Signature={signature}"
    )
    own = json.loads(json.dumps(REQUESTS["5 Text, signed"]))
    own["request"]["body"]["raw"] = body
    own["request"]["header"].append({"key": "X-Sdk-Date", "value": DATE})
    own["event"][0]["script"]["exec"] += [
        'pm.test("signed", () => {',
        f'    pm.expect(headers.get("Authorization")).to.equal({json.dumps(expected)});',
        "});",
        "pm.execution.skipRequest();",
    ]
    path = tmp_path / "collection.json"
    path.write_text(json.dumps({**COLLECTION, "item": [own]}), encoding="utf-8")
    values = {"iris": f"https://infer.example.com{port}/{IRIS}", "ak": AK, "sk": SK}
    done = run(newman, "run", str(path), "-e", filled(tmp_path, values))
    assert done.status == 0, done.output
    assert "✓  signed" in done.output


# What a run shows.


def settled(output: str) -> str:
    """Leave out of newman's output what differs from run to run: port, sizes and times."""
    output = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9443", output)
    output = re.sub(r"(\[\d+ [A-Za-z ]+), [^\]]+\]", r"\1]", output)
    before, _, table = output.partition("┌")
    widths = 18, 8, 6  # newman's own are those of the line with the times
    rows = [
        f"│ {' │ '.join(map(str.rjust, cells, widths))} │"
        for cells in re.findall(r"^│ +([a-z-]*) +│ +(\w+) │ +(\w+) │$", table, re.M)
    ]
    lines = ["─" * (width + 2) for width in widths]
    between = f"\n├{'┼'.join(lines)}┤\n"
    return f"{before}┌{'┬'.join(lines)}┐\n{between.join(rows)}\n└{'┴'.join(lines)}┘\n"


def test_the_output_that_readers_are_shown_is_that_of_a_run(green: Run) -> None:
    if os.environ.get("UPDATE_NEWMAN"):
        SHOWN.write_text(settled(green.output), encoding="utf-8", newline="\n")
    assert settled(green.output) == SHOWN.read_text(encoding="utf-8")


def test_the_output_that_readers_are_shown_is_green() -> None:
    text = SHOWN.read_text(encoding="utf-8")
    assert re.findall(r"^→ (.+)$", text, re.M) == list(REQUESTS)
    assert re.findall(r"│ +requests │ +(\d+) │ +(\d+) │", text) == [(str(len(REQUESTS)), "0")]
    ((count, failed),) = re.findall(r"│ +assertions │ +(\d+) │ +(\d+) │", text)
    assert (int(count), failed) == (text.count("✓"), "0")


# The files.


def test_the_collection_is_of_version_2_1() -> None:
    info = COLLECTION["info"]
    assert info["schema"] == "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    assert info["name"]
    assert ENVIRONMENT["name"]
    assert ENVIRONMENT["_postman_variable_scope"] == "environment"


@pytest.mark.parametrize("item", REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_described_and_tested(item: dict[str, Any]) -> None:
    request = item["request"]
    assert request["method"] == "POST"
    assert request["description"].strip()
    (test,) = (each["script"]["exec"] for each in item["event"] if each["listen"] == "test")
    assert re.search(r"pm\.response\.to\.have\.status\(20[01]\)", "\n".join(test))


@pytest.mark.parametrize("item", REQUESTS.values(), ids=REQUESTS)
def test_an_address_is_the_sum_of_its_parts(item: dict[str, Any]) -> None:
    url = item["request"]["url"]
    assert url["raw"] == "/".join(url["host"] + url.get("path", []))


def test_the_pictures_of_the_collection_exist() -> None:
    forms = (item["request"]["body"].get("formdata", []) for item in REQUESTS.values())
    pictures = [(part["key"], POSTMAN / part["src"]) for form in forms for part in form]
    assert [path.name for _, path in pictures] == ["digit.png", "digits-01.png"]
    assert all(key == "images" and path.is_file() for key, path in pictures)


def test_the_text_is_that_of_the_documentation() -> None:
    sent = json.loads(REQUESTS["4 Text"]["request"]["body"]["raw"])
    assert sent.pop("meta") == {"uuid": "10eb0091-887f-4839-9929-cbc884f1e20e"}
    assert sent == json.loads(BODY)


def test_the_environment_has_every_variable_and_no_other() -> None:
    used = set(re.findall(r"\{\{(\w+)\}\}", json.dumps([i["request"] for i in REQUESTS.values()])))
    scripts = json.dumps([item["event"] for item in REQUESTS.values()])
    used |= set(re.findall(r"environment\.\w+\(\\\"(\w+)", scripts))
    keys = [each["key"] for each in ENVIRONMENT["values"]]
    assert len(keys) == len(set(keys))
    assert set(keys) == used
    assert all(each["enabled"] for each in ENVIRONMENT["values"])


def test_the_environment_holds_no_secret() -> None:
    secret = {each["key"] for each in ENVIRONMENT["values"] if each["type"] == "secret"}
    assert secret == {*SECRETS, "token"}
    empty = {each["key"] for each in ENVIRONMENT["values"] if each["value"] == ""}
    assert empty == secret | {"ak"}


def test_the_collection_writes_no_secret_out() -> None:
    headers = {
        header["key"]: header["value"]
        for item in REQUESTS.values()
        for header in item["request"]["header"]
    }
    assert headers == {"X-Auth-Token": "{{token}}", "X-Apig-AppCode": "{{appcode}}"}
    assert '"password": "{{password}}"' in REQUESTS["1 Get a token"]["request"]["body"]["raw"]
    assert "variable" not in COLLECTION
    assert "console" not in json.dumps(COLLECTION)


def test_the_environment_is_that_of_the_practice_service() -> None:
    values = {each["key"]: each["value"] for each in ENVIRONMENT["values"]}
    service = services.get("modelarts")
    iam = service.addresses["iam"].format(service.ports["iam"])
    paths = {
        "iris": published.SERVICES["iris"].path,
        "digits": published.SERVICES["digits"].path,
        "detector": published.SERVICES["digits_detector"].path,
        "app_iris": published.SERVICES["iris"].app_path,
    }
    expected = {"iam": iam, **{key: f"{iam}{path}" for key, path in paths.items()}}
    made = account.make()
    expected |= {key: made[key] for key in ("user", "domain", "project")}
    assert {key: values[key] for key in expected} == expected
    assert urlsplit(values["iris"]).path == f"/{IRIS}"


def test_readme_explains_every_variable() -> None:
    text = (POSTMAN / "README.md").read_text(encoding="utf-8")
    for each in ENVIRONMENT["values"]:
        assert f"`{each['key']}`" in text, each["key"]

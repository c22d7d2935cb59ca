"""`otw doctor`: each check's green, amber and red, on real files, ports and variables."""

import importlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import certifi
import pytest

from helpers.endpoints import Endpoint
from otw import doctor
from otw.cli import main


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("PIP_CERT", "REQUESTS_CA_BUNDLE"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("OTW_ENDPOINTS", str(tmp_path / "endpoints.toml"))


def only(lines) -> doctor.Line:
    (line,) = lines
    return line


def test_python_and_packages_are_green_here() -> None:
    assert only(doctor.python()).state in ("green", "amber")
    assert only(doctor.packages()).state in ("green", "amber")


def test_an_old_python_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    assert only(doctor.python()).state == "red"


def test_a_missing_package_is_red_and_another_version_amber(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for each in doctor.importlib.metadata.distributions():
        folder = tmp_path / f"{each.name.replace('-', '_')}-{each.version}.dist-info"
        if each.name not in ("numpy", "grpcio"):
            folder.mkdir(exist_ok=True)
            (folder / "METADATA").write_text(each.read_text("METADATA") or "", encoding="utf-8")
    (tmp_path / "numpy-1.0.dist-info").mkdir()
    importlib.import_module("packaging.markers")  # while it can be found
    monkeypatch.setattr(sys, "path", ["nowhere", str(tmp_path)])
    missing, differ = doctor.packages()
    assert (missing.state, missing.meaning) == ("red", "missing: grpcio")
    assert (differ.state, "numpy 1.0" in differ.meaning) == ("amber", True)


def test_a_running_service_is_green(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(endpoint.grpc.rpartition(":")[2])
    monkeypatch.setattr(doctor, "DEFAULT_PORTS", {"tfserving": {"grpc": port}})
    assert only(doctor.services()).state == "green"
    assert only(doctor.ports()).meaning == "used by the practice service tfserving"


def test_a_port_used_by_somebody_else_asks_for_nothing_and_names_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        monkeypatch.setattr(doctor, "DEFAULT_PORTS", {"tfserving": {"grpc": port}})
        line = only(doctor.ports())
        assert (line.state, f"process {os.getpid()}" in line.meaning) == ("green", True)
    assert only(doctor.ports()).state == "green"
    assert "otw practice up tfserving" in only(doctor.services()).advice


def test_an_old_entry_does_not_make_somebody_else_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        entry = {"tfserving": {"grpc": f"127.0.0.1:{port}", "pid": 1, "started": 1.0}}
        (tmp_path / "services.json").write_text(json.dumps(entry))
        monkeypatch.setattr(doctor, "DEFAULT_PORTS", {"tfserving": {"grpc": port}})
        assert "takes another port" in only(doctor.ports()).meaning
        assert only(doctor.services()).state == "amber"


def test_a_relative_state_folder_that_is_not_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTW_STATE_DIR", "not/there/yet")
    assert {line.state for line in doctor.disk()} == {"green"}


def test_without_grpc_it_still_tells(tmp_path: Path) -> None:
    code = "import sys; sys.modules['grpc'] = None\nfrom otw.cli import main; main(['doctor'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert "+ green Python" in done.stdout


def test_a_state_folder_that_cannot_be_written_is_red(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path / "file"))
    assert [line.state for line in doctor.disk() if line.name == "state folder"] == ["red"]


def test_a_proxy_that_catches_loopback_comes_with_the_line_to_add(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert only(doctor.proxies()).state == "green"
    monkeypatch.setenv("http_proxy", "http://ada:s3cr3t@proxy.example:3128")
    line = only(doctor.proxies())
    assert line.state == "amber"
    assert "http_proxy (proxy.example:3128) would catch" in line.meaning
    assert "no_proxy" in line.advice
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    assert only(doctor.proxies()).state == "green"
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("NO_PROXY", "corp.example")
    assert "no_proxy=corp.example,localhost" in only(doctor.proxies()).advice.replace("'", "")


def test_a_profile_behind_a_proxy_is_named_without_the_proxys_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "endpoints.toml").write_text('[far]\ngrpc = "192.0.2.7:8500"\n[bad\n')
    monkeypatch.setenv("http_proxy", "http://ada:s3cr3t@proxy.example:3128")
    text = repr(doctor.doctor()) + doctor.doctor()._repr_html_()
    assert "far: is called through proxy.example:3128, because of http_proxy" in text
    assert "192.0.2.7" in text
    assert "s3cr3t" not in text
    assert "endpoints.toml is broken" in text
    monkeypatch.setenv("http_proxy", "http://ada:s3cr3t/9@proxy.example:3128")
    assert "s3cr3t" not in repr(doctor.doctor())


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "all_proxy"])
def test_the_variable_is_named_whose_proxy_a_rest_call_takes(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "endpoints.toml").write_text('[far]\nrest = "https://far.example:8501"\n')
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv(name, "http://proxy.example:3128")
    assert f"far: is called through proxy.example:3128, because of {name}" in repr(doctor.doctor())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system always has one")
def test_a_browser_is_there_when_jupyterlab_would_find_one(tmp_path: Path) -> None:
    program = tmp_path / "firefox"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for display in ("", ":0"):
        code = "from otw import doctor; print(*(line.state for line in doctor.browser()))"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PATH": str(tmp_path), "DISPLAY": display},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == ("green\n" if display else "amber\n")


@pytest.mark.parametrize("name", ["PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_certificate_file_is_green_and_another_file_red(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert list(doctor.certificates()) == []
    file = tmp_path / "ca.pem"
    monkeypatch.setenv(name, str(file))
    assert only(doctor.certificates()).state == "red"
    for rubbish in ("no certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n"):
        file.write_text(rubbish)
        assert only(doctor.certificates()).state == "red"
    monkeypatch.setenv(name, certifi.where())
    assert only(doctor.certificates()).state == "green"


def test_a_check_that_fails_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: 1 / 0)
    report = doctor.doctor()
    assert "disk: could not be checked: division by zero" in repr(report)
    assert "Python: " in repr(report)


def test_a_report_says_its_states_in_words_and_escapes_html() -> None:
    report = doctor.Report([doctor.Line("<b>", "amber", "m"), doctor.Line("x", "red", "m", "do")])
    assert report.worst == "red"
    assert "! amber" in report._repr_html_()
    assert "&lt;b&gt;" in report._repr_html_()
    assert repr(report).endswith("Worst: red.")
    assert doctor.Report().worst == "green"


def test_the_command_prints_json_and_fails_only_on_red(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {"name", "state", "meaning", "advice"} == set(printed["lines"][0])
    monkeypatch.setenv("PIP_CERT", "/no/such/file")
    assert main(["doctor"]) == 1
    assert "✗ red" in capsys.readouterr().out

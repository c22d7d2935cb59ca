"""The local authority, the certificate and the users of the practice services."""

import ssl
import stat
import sys
from pathlib import Path

import pytest
from cryptography import x509

from practice import credentials, manager, state


def test_made_once_and_kept(tmp_path: Path) -> None:
    first = credentials.certificate(tmp_path)
    before = [path.read_bytes() for path in (*first, credentials.ca_file(tmp_path))]
    assert credentials.certificate(tmp_path) == first
    assert [path.read_bytes() for path in (*first, credentials.ca_file(tmp_path))] == before
    assert credentials.user(tmp_path, "ccai") == credentials.user(tmp_path, "ccai")


def test_half_of_it_is_made_anew(tmp_path: Path) -> None:
    found = credentials.certificate(tmp_path)
    credentials.ca_file(tmp_path).unlink()
    credentials.certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(credentials.ca_file(tmp_path)))
    context.load_cert_chain(found.chain, found.key)  # says so when key and certificate differ


def test_the_authoritys_key_is_not_kept(tmp_path: Path) -> None:
    credentials.certificate(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ca.pem",
        "server.key",
        "server.pem",
    ]


def test_the_certificate_names_this_machine_only(tmp_path: Path) -> None:
    chain = credentials.certificate(tmp_path).chain.read_bytes()
    names = x509.load_pem_x509_certificate(chain).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost"]
    addresses = names.value.get_values_for_type(x509.IPAddress)
    assert [str(address) for address in addresses] == ["127.0.0.1", "::1"]


def test_each_service_and_each_folder_has_its_own_password(tmp_path: Path) -> None:
    passwords = {credentials.user(tmp_path, name)[1] for name in ("ccai", "modelarts")}
    (tmp_path / "other").mkdir()
    passwords.add(credentials.user(tmp_path / "other", "ccai")[1])
    assert len(passwords) == 3
    assert all(len(password) >= 16 for password in passwords)


def test_a_broken_secrets_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("[", encoding="utf-8")
    assert credentials.user(tmp_path, "ccai")[0] == "learner"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_all_files_of_the_state_are_for_their_owner_only() -> None:
    manager.up("ccai")
    for path in state.folder().rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_no_password_is_in_services_json_or_in_a_log() -> None:
    manager.up("ccai")
    password = manager.variables("ccai")["OTW_CCAI_PASSWORD"]
    for path in state.folder().rglob("*"):
        if path.is_file() and path.name != "secrets.json":
            assert password not in path.read_text(encoding="utf-8", errors="replace"), path.name

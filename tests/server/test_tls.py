"""https through `mirim serve --tls-cert --tls-key`, and what is said about files that do not go together."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirim.core.errors import UsageError
from mirim.server.tls import check

pytest.importorskip("cryptography", reason="cryptography makes the certificates of these tests")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(folder: Path, name: str, password: bytes = b"") -> tuple[str, str]:
    """A certificate of its own for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    cert, private = folder / f"{name}.pem", folder / f"{name}-key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked),
    )
    return str(cert), str(private)


def test_good_files_and_none_pass(tmp_path: Path) -> None:
    check("", "")
    check(*certificate(tmp_path, "good"))


def test_what_is_wrong_is_said_with_the_file(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "good")
    _, other = certificate(tmp_path, "other")
    _, locked = certificate(tmp_path, "locked", b"secret")
    noise = tmp_path / "noise.pem"
    noise.write_text("no certificate at all")
    for words, said in (
        ((cert, ""), "both --tls-cert and --tls-key"),
        ((str(tmp_path / "none.pem"), key), "--tls-cert .*none.pem does not exist"),
        ((cert, str(tmp_path / "none.pem")), "--tls-key .*none.pem does not exist"),
        ((cert, other), "other-key.pem is not the key of the certificate .*good.pem"),
        ((cert, locked), "locked-key.pem is locked with a password"),
        ((str(noise), key), "--tls-cert .*noise.pem holds no certificate"),
        ((key, key), "--tls-cert .*good-key.pem holds no certificate"),
        ((cert, str(noise)), "--tls-key .*noise.pem holds no private key"),
        ((cert, cert), "--tls-key .*good.pem holds no private key"),
    ):
        with pytest.raises(UsageError, match=said):
            check(*words)


@pytest.mark.slow
def test_the_command_refuses_a_key_of_another_certificate(tmp_path: Path) -> None:
    cert, _ = certificate(tmp_path, "good")
    _, other = certificate(tmp_path, "other")
    words = ["serve", "--model", "echo", "--port", "0", "--tls-cert", cert, "--tls-key", other]
    done = subprocess.run([sys.executable, "-m", "mirim", *words], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not the key of the certificate" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_request_over_https(server: Callable[..., Any], tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "good")
    one = server("--model", "echo", "--tls-cert", cert, "--tls-key", key)
    assert one.url.startswith("https://127.0.0.1:")
    body = {"model": "echo", "messages": [{"role": "user", "content": "good morning"}]}
    ask = urllib.request.Request(
        f"{one.url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    trusting = ssl.create_default_context(cafile=cert)
    with urllib.request.urlopen(ask, context=trusting, timeout=20) as reply:
        assert json.load(reply)["choices"][0]["message"]["content"] == "good morning"
        assert reply.headers["strict-transport-security"]
    # Who does not know the certificate is not connected, and plain http finds nothing.
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"{one.url}/health", timeout=20)
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{one.url.replace('https', 'http')}/health", timeout=20)
    with urllib.request.urlopen(f"{one.url}/health", context=trusting, timeout=20) as reply:
        assert reply.status == 200
    code, _, error = one.stop()
    assert code == 0
    assert "Traceback" not in error

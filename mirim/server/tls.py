"""Are these two files a certificate and its key? Asked before models are loaded, so that it is said at once."""

from __future__ import annotations

import ssl
from pathlib import Path

from mirim.core.errors import UsageError
from mirim.core.files import explain


def check(cert: str, key: str) -> None:
    """UsageError that names the file and what is wrong with it. Both '' is plain http."""
    if bool(cert) != bool(key):
        raise UsageError("https needs both --tls-cert and --tls-key")
    if not cert:
        return
    for option, name in (("--tls-cert", cert), ("--tls-key", key)):
        if not Path(name).is_file():
            raise UsageError(f"{option} {name} does not exist; name a file in PEM format")
        try:
            Path(name).open("rb").close()
        except OSError as error:
            raise explain(error, Path(name)) from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(cert)
    except ssl.SSLError as error:
        raise UsageError(f"--tls-cert {cert} holds no certificate in PEM format ({error.reason})") from error

    def password() -> str:
        # Without this OpenSSL would ask on the terminal, which a service does not have.
        raise UsageError(
            f"--tls-key {key} is locked with a password; unlock it into a file that only you can read: "
            f"openssl pkey -in {key} -out unlocked.pem"
        )

    try:
        context.load_cert_chain(cert, key, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(
                f"--tls-key {key} is not the key of the certificate {cert}; name the one it was made with"
            ) from error
        raise UsageError(f"--tls-key {key} holds no private key in PEM format ({error.reason})") from error

"""`python -m mirim`, and what the `mirim` script runs: Ctrl-C ends it quietly from the first moment on."""

from __future__ import annotations

import os
import signal


def _leave(*_: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)


# A script may have it ignored for what it starts in the background; then it stays so.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)

from mirim.cli import main  # noqa: E402

if __name__ == "__main__":
    main()

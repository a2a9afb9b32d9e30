"""What a GGUF file in a model's folder was made of, so that a file of older weights is not taken for the present ones.

Of contents alone, so that a copy of the folder, or one that was moved, says the same. Asked each time that a model is
opened, so the digest of a large file is kept, as long as the file system says that nobody has written to it since.
"""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

from mirim.core.errors import MirimError, UsageError
from mirim.core.files import explain, read_json, sha256_file, sha256_json, write_json
from mirim.core.stamp import fingerprint
from mirim.models import adapter, gguf_check
from mirim.models.weights import open_weights

KEY = "mirim.made_of"
#: Nanoseconds after which a file's times tell that it was written to.
_SETTLED = 2_000_000_000

_BESIDE = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json"),
    *("added_tokens.json", "special_tokens_map.json", "chat_template.jinja", "1_Pooling/config.json"),
)


def made_of(folder: Path) -> str:
    """A digest of the weights in `folder` and of the files beside them that go into GGUF.

    '' where it holds no weights that can be read. Of an adapter it says nothing about the base.
    """
    settings = folder / adapter.CONFIG
    lora = settings.is_file()
    try:
        files = open_weights(folder, "adapter_model" if lora else "model").files()
        row = read_json(settings) if lora else {}
    except UsageError:
        return ""
    # Where the base lies may be corrected, and changes nothing.
    kept = {k: v for k, v in row.items() if k != "base_model_name_or_path"} if isinstance(row, dict) else {}
    return fingerprint([(p.name, _digest(p)) for p in files], kept, *(folder / name for name in _BESIDE))


def stale(path: Path, folder: Path) -> bool:
    """Whether the GGUF file at `path` says that it was made of another model than lies in `folder` now.

    Files that say nothing of it, or cannot be read, and folders without weights leave it open: False.
    """
    try:
        said = gguf_check.value(path, KEY)
    except UsageError:
        return False
    return bool(said) and said != (made_of(folder) or said)


def licence_of(text: str) -> str:
    """The licence that the front matter of a card names; '' where it names none."""
    front = text.partition("---\n")[2].partition("\n---")[0] if text.startswith("---\n") else ""
    named = dict(re.findall(r"^(license(?:_name)?):[ \t]*[\"']?([^\"'\n]*?)[\"']?[ \t]*$", front, re.MULTILINE))
    return str(named.get("license_name" if named.get("license") == "other" else "license") or "")


def _digest(path: Path) -> str:
    """SHA-256 of a file's bytes, kept beside what tells that they were written to: place, size and times to the
    nanosecond, of which no program sets the last."""
    from mirim.models.convert import cache  # which asks here what a model was made of

    try:
        status = path.stat()
        stand = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        kept = cache() / "digests" / f"{sha256_json(str(path.resolve()))[:32]}.json"
        with contextlib.suppress(MirimError, KeyError, TypeError):
            row = read_json(kept)
            if row["stand"] == stand:
                return str(row["sha256"])
        found = sha256_file(path)
    except OSError as error:
        raise explain(error, path) from error
    # Clocks of file systems are coarse: a file this young may be written to again at what they call the same time.
    if time.time_ns() - status.st_ctime_ns > _SETTLED:
        with contextlib.suppress(MirimError, OSError):
            write_json(kept, {"stand": stand, "sha256": found})
    return found

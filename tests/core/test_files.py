import errno
import os
from pathlib import Path

import pytest

from mirim.core.errors import MirimError, UsageError
from mirim.core.files import (
    explain,
    read_json,
    read_jsonl,
    sha256_json,
    write_json,
    write_jsonl,
    write_text,
    writing,
)


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old\r\n")

    def fails() -> None:
        with writing(path) as stream:
            stream.write("new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fails()
    assert path.read_bytes() == b"old\r\n"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_clear_message(tmp_path: Path) -> None:
    def fails() -> None:
        with writing(tmp_path / "a") as stream:
            stream.write("x")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(MirimError, match="no space left") as caught:
        fails()
    assert caught.value.exit_code == 1
    assert os.listdir(tmp_path) == []


def test_permission_and_absence_are_usage_errors(tmp_path: Path) -> None:
    assert explain(OSError(errno.EACCES, "x"), tmp_path).exit_code == 2
    assert "does not exist" in str(explain(OSError(errno.ENOENT, "x"), tmp_path))


def test_jsonl_goes_round_and_names_the_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"b": 1, "a": "é\u2028x"}, {"a": None}]
    assert write_jsonl(path, rows) == 2
    assert list(read_jsonl(path)) == rows
    path.write_text('{"a": 1}\n\n{"a": \n', "utf-8")
    with pytest.raises(UsageError, match="line 3"):
        list(read_jsonl(path))
    path.write_bytes(b'\xef\xbb\xbf\r\n{"a": 1}\r\n' + b"\n" * 9 + b'{"a": "\xe9"}\n')
    with pytest.raises(UsageError, match="line 12: not a JSON object: 'utf-8' codec"):
        list(read_jsonl(path))
    path.write_text("[1]\n", "utf-8")
    with pytest.raises(UsageError, match="expected an object, found list"):
        list(read_jsonl(path))
    path.write_bytes(b'{"a": "\xff"}\n')
    with pytest.raises(UsageError, match="not a JSON object"):
        list(read_jsonl(path))


def test_json_may_open_with_a_mark_and_is_refused_when_it_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": "\xc3\xa9"}')
    assert read_json(path) == {"a": "é"}
    for data, says in ((b"{", "a.json is not JSON"), (b'"\xff"', "a.json is not JSON"), (b"[" * 100_000, "too deeply")):
        path.write_bytes(data)
        with pytest.raises(UsageError, match=says):
            read_json(path)


def test_packed_lines_are_whole_or_refused(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="zstandard comes with the train extra")
    rows = [{"n": n, "text": f"line {n * n} of many"} for n in range(30_000)]
    plain = tmp_path / "a.jsonl"
    write_jsonl(plain, rows)
    half = len(plain.read_bytes()) // 2
    frames = [zstandard.compress(part) for part in (plain.read_bytes()[:half], plain.read_bytes()[half:])]
    for name in ("a.jsonl.zst", "a.jsonl.ZSTD"):
        packed = tmp_path / name
        packed.write_bytes(b"".join(frames))
        assert list(read_jsonl(packed)) == rows
        for end in (-3, -len(frames[1]) // 2, 20):
            packed.write_bytes(b"".join(frames)[:end])
            with pytest.raises(UsageError, match="not whole as Zstandard data"):
                list(read_jsonl(packed))
    packed.write_bytes(frames[0][:-3] + frames[1])
    with pytest.raises(UsageError):
        list(read_jsonl(packed))
    packed.write_bytes(b"")
    assert list(read_jsonl(packed)) == []


def test_equal_values_are_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": [1, "ç"]})
    write_json(tmp_path / "b", {"a": [1, "ç"], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_full_disk_is_known_whoever_met_it(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    assert "no space left" in str(explain(OSError(errno.ENOSPC, "x"), tmp_path))
    if os.path.exists("/dev/full"):
        with open("/dev/full", "wb") as full, pytest.raises(OSError, match="requested and") as caught:
            numpy.zeros(1_000_000).tofile(full)
        assert "no space left" in str(explain(caught.value, tmp_path))


def test_names_of_any_bytes_have_a_fingerprint() -> None:
    one, other = (sha256_json([os.fsdecode(name), "x"]) for name in (b"caf\xe9", b"caf\xe8"))
    assert one != other

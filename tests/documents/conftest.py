"""Projects, and PDF and Word files written by hand, small enough to read."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from mirim.core.project import Project

# Slow machines are not failures, and the same examples run every time.
settings.register_profile("mirim", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("mirim")

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "clinic"
    (root / "sources").mkdir(parents=True)
    (root / "mirim.toml").write_text('[project]\nname = "clinic"\nlanguage = "en"\n')
    return Project.open(root)


def pdf_bytes(pages: Sequence[Sequence[tuple[float, float, float, str]]]) -> bytes:
    """A PDF of lines (x, y, size, text) in Helvetica; sizes below zero are bold."""
    objects: list[bytes] = []

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    kids = " ".join(f"{5 + 2 * i} 0 R" for i in range(len(pages)))
    add(b"<< /Type /Catalog /Pages 2 0 R >>")
    add(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>")
    for lines in pages:
        content = b""
        for x, y, size, text in lines:
            font = "F2" if size < 0 else "F1"
            escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)").encode("cp1252")
            content += f"BT /{font} {abs(size)} Tf {x} {y} Td (".encode() + escaped + b") Tj ET\n"
        add(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {len(objects) + 2} 0 R "
            "/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>".encode()
        )
        add(f"<< /Length {len(content)} >>\nstream\n".encode() + content + b"endstream")
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = b"".join(f"{p:010d} 00000 n \n".encode() for p in places)
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode() + table
    return out + f"trailer << /Root 1 0 R /Size {len(objects) + 1} >>\nstartxref\n{start}\n%%EOF\n".encode()


@pytest.fixture
def make_pdf() -> Callable[..., bytes]:
    return pdf_bytes


def docx_file(path: Path, body: str, **parts: str) -> Path:
    """A .docx whose body is this XML; `parts` are further word/<name>.xml."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>')
        for name, content in parts.items():
            archive.writestr(f"word/{name}.xml", f'<w:{name} xmlns:w="{W}">{content}</w:{name}>')
    return path


@pytest.fixture
def make_docx() -> Callable[..., Path]:
    return docx_file

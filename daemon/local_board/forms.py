"""multipart/form-data bodies, which only the sending of files uses."""

from __future__ import annotations

from dataclasses import dataclass
from email.parser import HeaderParser


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field of a form: its name, the file name if it has one, and the bytes."""

    name: str
    filename: str | None
    content_type: str | None
    data: bytes


def read_form(content_type: str, body: bytes) -> list[Part]:
    """The fields of a multipart/form-data body (RFC 7578); empty where it is none."""
    if not content_type.startswith("multipart/form-data"):
        return []
    header = HeaderParser().parsestr(f"Content-Type: {content_type}")
    boundary = header.get_boundary()
    if boundary is None:
        return []
    out = []
    mark = b"--" + boundary.encode("latin-1")
    for chunk in (b"\r\n" + body).split(b"\r\n" + mark)[1:]:
        if chunk.startswith(b"--"):
            break
        head, separator, data = chunk.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not separator:
            continue
        fields = HeaderParser().parsestr(head.decode("utf-8", "replace"))
        name = fields.get_param("name", header="content-disposition")
        out.append(
            Part(
                name=str(name),
                filename=fields.get_filename(),
                content_type=fields.get("content-type"),
                data=data,
            )
        )
    return out

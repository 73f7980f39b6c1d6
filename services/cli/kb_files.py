"""Files and folders of this machine as documents for the knowledge base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aucert.tools.v1.ingestion_service_pb2 import (
    DOCUMENT_FORMAT_MARKDOWN,
    DOCUMENT_FORMAT_PLAIN,
    IngestedDocument,
)
from services.common.told import ToldToPeople

MARKDOWN = (".md", ".mdx", ".markdown")
SUFFIXES = (*MARKDOWN, ".rst", ".adoc", ".txt")
FILE_BYTES_MAX = 1_000_000
FILES_MAX = 10_000


class NotReadable(ToldToPeople):
    """A path that was named and cannot be taken in."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file's document, or why it has none."""

    uri: str
    document: IngestedDocument | None
    problem: str = ""


def prefix_of(path: Path) -> str:
    """What the names of a path's documents begin with: a file's whole name, a folder's with a slash."""
    uri = path.resolve().as_uri()
    return f"{uri}/" if path.is_dir() else uri


def found_in(path: Path) -> Iterator[Found]:
    """The documents of a file, or of the text files in a folder and below it, but hidden ones and links.

    Raises NotReadable for a path that is not there or a folder of more than FILES_MAX text files.
    """
    if path.is_file():
        yield _found(path.resolve())
        return
    if not path.is_dir():
        raise NotReadable(f"{path} is neither a file nor a folder.")
    files = _files_below(path.resolve())
    if not files:
        raise NotReadable(f"{path} holds no text files ({', '.join(SUFFIXES)}).")
    for each in files:
        yield _found(each)


def _files_below(folder: Path) -> Sequence[Path]:
    files: list[Path] = []
    for each in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in each.relative_to(folder).parts)
        if each.suffix.lower() in SUFFIXES and not hidden and each.is_file() and not _linked(each, folder):
            files.append(each)
        if len(files) > FILES_MAX:
            raise NotReadable(f"{folder} holds more than {FILES_MAX:,} text files: add folders in it.")
    return files


def _linked(file: Path, folder: Path) -> bool:
    """Whether a link leads to it, which might lead out of the folder."""
    return any(each.is_symlink() for each in (file, *file.parents) if each.is_relative_to(folder))


def _found(file: Path) -> Found:
    uri = file.as_uri()
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
        text = content.decode()
    except OSError as error:
        return Found(uri, None, f"it cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return Found(uri, None, "it is no UTF-8")
    if len(content) > FILE_BYTES_MAX:
        return Found(uri, None, f"it is longer than {FILE_BYTES_MAX:,} bytes")
    form = DOCUMENT_FORMAT_MARKDOWN if file.suffix.lower() in MARKDOWN else DOCUMENT_FORMAT_PLAIN
    return Found(uri, IngestedDocument(uri=uri, text=text, format=form))

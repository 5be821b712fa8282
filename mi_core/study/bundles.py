"""Bundles: finished results in one file, carried from the machine that computed them to the one that publishes them."""

import io
import json
import lzma
import re
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path

from mi_core.errors import UserError
from mi_core.study.experiments import Replicate
from mi_core.study.manifest import Entry, add_entries, finished_entries, publishable
from mi_core.study.parameters import PROFILES
from mi_core.study.store import Store, checksum, write_atomically

__all__ = ["import_bundle", "write_bundle"]

LIST = "manifest.json"
ARTEFACT = re.compile(r"artefacts/([a-z_]+)/([0-9a-f]{32})\.([0-9a-f]{16})\.(parquet|safetensors)")
LARGEST = 64 * 2**20  # bytes of one member
UNREADABLE = (  # what a damaged, encrypted or otherwise compressed archive raises, and a list of something else
    OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError
)  # fmt: skip
UNCHANGING = (1980, 1, 1, 0, 0, 0)  # date of every member, so that equal results are equal bundles


def write_bundle(profile: str, store: Store, path: Path, *, replicate: int | None = None) -> list[Entry]:
    """Write the finished artefacts of a profile, or of one of its replicates, to one file.

    Raises:
        UserError: nothing is finished, or the file cannot be written.
    """
    found = finished_entries(profile, store, replicate=replicate)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as bundle:  # stored as they are: artefacts are compressed already
        listed = json.dumps({"entries": [asdict(entry) for entry, _ in found]}, indent=1)
        bundle.writestr(zipfile.ZipInfo(LIST, UNCHANGING), listed)
        for name, file in {entry.file: file for entry, file in found}.items():
            bundle.writestr(zipfile.ZipInfo(name, UNCHANGING), file.read_bytes())
    write_atomically(path, content.getvalue())
    return [entry for entry, _ in found]


def import_bundle(path: Path, folder: Path) -> list[Entry]:
    """Add a bundle's results to the published ones, after every checksum and key has been verified.

    Nothing is written unless all of it is sound. Names in the bundle choose no places of their own: only files named
    as artefacts are read, and they go to ``folder/artefacts``.

    Returns:
        The entries that were added.
    Raises:
        UserError: the file is no bundle, damaged or altered, or was computed by other code.
    """
    try:
        with zipfile.ZipFile(path) as bundle:
            entries = [Entry(**entry) for entry in json.loads(_content(bundle, LIST, path))["entries"]]
            found = [(entry, _read(bundle, entry, path)) for entry in entries]
        for entry in entries:
            _check_key(entry, path)
    except UNREADABLE:
        raise UserError(f"{path} is no sound bundle of results: write it again with `publish --bundle`.") from None
    return add_entries(found, folder)


def _read(bundle: zipfile.ZipFile, entry: Entry, path: Path) -> bytes:
    name = ARTEFACT.fullmatch(entry.file)
    if not name or (name[1], name[2]) != (entry.stage, entry.key):
        raise UserError(f"{path} holds a file with a wrong name, {entry.file!r}; nothing of it was imported.")
    content = _content(bundle, entry.file, path)
    if checksum(content) != name[3]:
        raise UserError(f"{path} is damaged: {entry.file} is not what it was; nothing of it was imported.")
    return content


def _content(bundle: zipfile.ZipFile, name: str, path: Path) -> bytes:
    if bundle.getinfo(name).file_size > LARGEST:  # no more than this is ever unpacked
        raise UserError(f"{path} holds a file that is too large, {name}; nothing of it was imported.")
    return bundle.read(name)


def _check_key(entry: Entry, path: Path) -> None:
    known = PROFILES.get(entry.profile)
    tasks = publishable(Replicate(known, entry.replicate)) if known else {}
    is_known = known is not None and entry.replicate in range(known.replicates) and entry.experiment in tasks
    if not is_known or tasks[entry.experiment].key != entry.key:
        raise UserError(
            f"{path} holds {entry.experiment} of profile {entry.profile} as other code or parameters compute it; "
            "nothing of it was imported. Compute it with this version."
        )

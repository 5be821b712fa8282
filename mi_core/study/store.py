"""Content-keyed artefacts on disk: safetensors for tensors, parquet for tables, nothing that can run code.

An artefact is one file, ``<folder>/<stage>/<key>.<checksum>.<safetensors|parquet>``. It is written under a temporary
name in the same folder, synced and renamed, so what exists is complete; the checksum in its name is that of its
bytes, so what was altered or cut off is noticed. Of two writers of one key, the first counts.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from mi_core.errors import UserError

__all__ = ["Pieces", "Store", "Value", "checksum", "temporary_prefix", "write_atomically"]

Value = dict[str, np.ndarray] | pd.DataFrame
CHECKSUM_LENGTH = 16  # hexadecimal digits
RECORD = "processes"  # name of the piece that says who computed the others
STALE_SECONDS = 3600  # after which a temporary file belongs to no living writer


def checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:CHECKSUM_LENGTH]


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds all of it or does not exist.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=temporary_prefix(), delete=False) as file:
            temporary = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        advice = "free some space" if error.errno == errno.ENOSPC else "choose a folder that can be written"
        raise UserError(f"cannot write {path}: {error.strerror}; {advice}.") from None
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def temporary_prefix() -> str:
    """How the names of this process's temporary files begin; ``Store.sweep`` knows by it whether it has ended."""
    return f".writing-{os.getpid()}@{socket.gethostname()}-"


def _is_abandoned(temporary: Path) -> bool:
    """Whether its writer was a process of this machine that is gone, or it is too old to have one anywhere."""
    writer = re.match(r"\.writing-(\d+)@(.*)-", temporary.name)
    here = writer is not None and writer[2] == socket.gethostname()
    return (here and not _is_alive(int(writer[1]))) or time.time() - temporary.stat().st_mtime > STALE_SECONDS


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno == errno.EPERM  # somebody else's
    return True


def _artefacts(folder: Path, key: str) -> list[Path]:
    """Files of a key by their whole names; a copy that was cut off or put aside, with another ending, is none."""
    named = folder.glob(f"{key}.{'[0-9a-f]' * CHECKSUM_LENGTH}.*")
    return sorted(path for path in named if path.name.count(".") == 2 and path.suffix in (".parquet", ".safetensors"))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One writer at a time in a folder, as far as its file system has locks; a killed writer leaves none behind."""
    with contextlib.ExitStack() as opened:
        with contextlib.suppress(OSError):  # where the folder cannot be made, writing to it says so
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
            opened.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


class Store:
    """Artefacts by stage and key, in a working folder and, behind it, folders that are only read.

    Args:
        folder: where new artefacts go; made when first needed.
        published: folders to look in as well, e.g. the committed ``results/artefacts``.
    """

    def __init__(self, folder: Path, published: tuple[Path, ...] = ()) -> None:
        self.folder = folder
        self.published = published

    def find(self, stage: str, key: str, *, published: bool = True) -> Path | None:
        """The artefact's file, or None. Without ``published``, only the working folder is looked at."""
        for folder in (self.folder, *(self.published if published else ())):
            if found := _artefacts(folder / stage, key):
                return found[0]
        return None

    def load(self, path: Path) -> tuple[Value, dict[str, Any]]:
        """An artefact's value and its provenance.

        Raises:
            UserError: the file is damaged or is not what its name says.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}.") from None
        key, expected, kind = path.name.split(".")
        restore = "restore it from the repository" if any(folder in path.parents for folder in self.published) else (
            "delete it, and the same command computes it again"
        )  # fmt: skip
        damaged = UserError(f"{path} is damaged: {restore}.")
        if checksum(content) != expected:
            raise damaged
        try:
            value, metadata = (_read_table if kind == "parquet" else _read_tensors)(content)
        except Exception:
            raise damaged from None
        if metadata["key"] != key:
            raise damaged
        return value, metadata

    def save(self, stage: str, key: str, value: Value, provenance: dict[str, Any]) -> Path:
        """Write an artefact and return its file: the one that another writer of this key has left before, if any."""
        metadata = json.dumps({**provenance, "stage": stage, "key": key}, sort_keys=True)
        if isinstance(value, pd.DataFrame):
            content, kind = _table_bytes(value, metadata), "parquet"
        else:
            arrays = {name: np.asarray(array, order="C") for name, array in value.items()}
            content, kind = save_tensors(arrays, {"provenance": metadata}), "safetensors"
        path = self.folder / stage / f"{key}.{checksum(content)}.{kind}"
        with _alone(path.parent):
            earlier = self.find(stage, key, published=False)
            if earlier is None:
                write_atomically(path, content)
        return earlier or path

    def receive(self, stage: str, key: str, name: str, content: bytes) -> None:
        """Write an artefact that was computed elsewhere, under its own name; the only one of its key from then on."""
        path = self.folder / stage / Path(name).name
        if not path.exists():
            write_atomically(path, content)
        for other in _artefacts(path.parent, key):
            if other != path:
                other.unlink(missing_ok=True)

    def pieces(self, stage: str, key: str) -> "Pieces":
        """What an unfinished computation of this artefact has left behind."""
        return Pieces(self.folder / "unfinished" / f"{stage}-{key}")

    def sweep(self) -> None:
        """Remove temporary files that killed writers left; never those of a living writer."""
        for path in self.folder.glob("**/.writing-*"):
            with contextlib.suppress(FileNotFoundError):  # another run swept it first
                if _is_abandoned(path):
                    path.unlink()


class Pieces:
    """Parts of an artefact that is still being computed, so that a killed run goes on where it was.

    A piece that cannot be read counts as absent: it is computed again.

    Attributes:
        record: what each process that has computed pieces should be remembered by; asked whenever a piece is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: Callable[[], list[dict[str, Any]]] | None = None

    def processes(self) -> list[dict[str, Any]]:
        """What ``record`` has said of the processes that these pieces come from."""
        written = self.load(RECORD)
        return [] if written is None else json.loads(written["json"].tobytes())

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        path = next(iter(sorted(self.folder.glob(f"{name}.*"))), None)
        if path is None:
            return None
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # another run on this store has just finished the artefact
            return None
        if checksum(content) != path.name.split(".")[1]:
            return None
        try:
            return load_tensors(content)
        except SafetensorError:
            return None

    def save(self, name: str, tensors: dict[str, np.ndarray]) -> None:
        """Keep a piece, and who computed; it replaces an older one of the same name."""
        if self.record is not None:  # first, so that no piece is without
            self._write(RECORD, {"json": np.frombuffer(json.dumps(self.record()).encode(), dtype=np.uint8)})
        self._write(name, tensors)

    def _write(self, name: str, tensors: dict[str, np.ndarray]) -> None:
        content = save_tensors({key: np.asarray(value, order="C") for key, value in tensors.items()})
        old = list(self.folder.glob(f"{name}.*"))
        path = self.folder / f"{name}.{checksum(content)}.safetensors"
        write_atomically(path, content)
        for other in old:
            if other != path:
                other.unlink(missing_ok=True)

    def names(self) -> list[str]:
        return sorted({path.name.split(".")[0] for path in self.folder.glob("*.safetensors")})

    def clear(self) -> None:
        """Forget the pieces: the artefact is complete."""
        if self.folder.exists():
            for path in self.folder.glob("*.safetensors"):  # not what another run is just writing
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # another run is writing its own pieces here
                self.folder.rmdir()


def _table_bytes(frame: pd.DataFrame, metadata: str) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"provenance": metadata.encode()})
    real = [column.name for column in table.schema if pa.types.is_floating(column.type)]
    form = {"use_dictionary": [name for name in table.column_names if name not in real]}  # hardly a score occurs twice
    form["column_encoding"] = dict.fromkeys(real, "BYTE_STREAM_SPLIT")
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd", compression_level=15, **form)
    return sink.getvalue().to_pybytes()


def _read_table(content: bytes) -> tuple[pd.DataFrame, dict[str, Any]]:
    table = parquet.read_table(pa.BufferReader(content))
    return table.to_pandas(), json.loads(table.schema.metadata[b"provenance"])


def _read_tensors(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    header_length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_length])
    tensors = load_tensors(content)  # in an order that differs from run to run
    return {name: tensors[name] for name in sorted(tensors)}, json.loads(header["__metadata__"]["provenance"])

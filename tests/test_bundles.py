"""Bundles of results: carried whole, verified before anything is written, and refused with one sentence."""

import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from mi_core.errors import UserError
from mi_core.study import bundles, manifest
from mi_core.study.bundles import import_bundle, write_bundle
from mi_core.study.experiments import Replicate
from mi_core.study.manifest import publishable, read_manifest
from mi_core.study.parameters import PROFILES
from mi_core.study.store import Store

RECORD = {
    "commit": "abc",
    "hardware": "some",
    "device": "cpu",
    "threads": 2,
    "precision": "float32",
    "versions": {"torch": "2"},
    "seconds": 1.5,
    "version": 1,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Table 2 and the confusion matrices of replicate 0, Table 2 of replicate 1, all of profile paper."""
    store = Store(tmp_path / "store")
    for number, names in ((0, ("table2", "confusion")), (1, ("table2",))):
        tasks = publishable(Replicate(PROFILES["paper"], number))
        for name in names:
            frame = pd.DataFrame({"row": [name], "value": [float(number)]})
            store.save(tasks[name].stage, tasks[name].key, frame, RECORD)
    return store


def test_a_bundle_arrives_as_it_was(store: Store, tmp_path: Path) -> None:
    sent = write_bundle("paper", store, tmp_path / "out" / "one.zip")
    assert [(entry.experiment, entry.replicate) for entry in sent] == [("table2", 0), ("confusion", 0), ("table2", 1)]
    assert import_bundle(tmp_path / "out" / "one.zip", tmp_path / "results") == sent
    listed = read_manifest(tmp_path / "results")
    assert sorted(listed, key=str) == sorted(sent, key=str)
    for entry in listed:
        frame, record = store.load(tmp_path / "results" / entry.file)
        assert (frame["row"].item(), frame["value"].item()) == (entry.experiment, entry.replicate)
        assert record["seconds"] == 1.5
    assert not list(tmp_path.rglob(".writing-*"))


def test_one_replicate_at_a_time_adds_up_to_the_same(store: Store, tmp_path: Path) -> None:
    for number in (1, 0):
        write_bundle("paper", store, tmp_path / f"{number}.zip", replicate=number)
        import_bundle(tmp_path / f"{number}.zip", tmp_path / "parts")
    write_bundle("paper", store, tmp_path / "all.zip")
    import_bundle(tmp_path / "all.zip", tmp_path / "whole")
    parts, whole = ((tmp_path / name / "manifest.json").read_bytes() for name in ("parts", "whole"))
    assert parts == whole
    manifest.publish("paper", store, tmp_path / "published")
    assert (tmp_path / "published" / "manifest.json").read_bytes() == whole


def test_equal_results_are_equal_bundles(store: Store, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_bundle("paper", store, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def rewritten(path: Path, change) -> Path:
    """The bundle with its list of entries and its members changed."""
    with zipfile.ZipFile(path) as bundle:
        members = {name: bundle.read(name) for name in bundle.namelist()}
    entries = json.loads(members["manifest.json"])["entries"]
    change(entries, members)
    members["manifest.json"] = json.dumps({"entries": entries}).encode()
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return path


def flip(entries: list[dict], members: dict[str, bytes]) -> None:
    content = bytearray(members[entries[0]["file"]])
    content[len(content) // 2] ^= 1
    members[entries[0]["file"]] = bytes(content)


def lead_outside(entries: list[dict], members: dict[str, bytes]) -> None:
    members["../../outside.parquet"] = members[entries[0]["file"]]
    entries[0]["file"] = "../../outside.parquet"


def take_another_stage(entries: list[dict], members: dict[str, bytes]) -> None:
    entries[0]["stage"] = "confusion_counts"


def claim_another_profile(entries: list[dict], members: dict[str, bytes]) -> None:
    entries[0]["profile"] = "quick"


def name_an_unknown_experiment(entries: list[dict], members: dict[str, bytes]) -> None:
    entries[0]["experiment"] = "table9"


def list_profiles(entries: list[dict], members: dict[str, bytes]) -> None:
    entries[0]["profile"] = ["paper"]


def lose_a_member(entries: list[dict], members: dict[str, bytes]) -> None:
    del members[entries[0]["file"]]


def add_a_field(entries: list[dict], members: dict[str, bytes]) -> None:
    entries[0]["more"] = 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (flip, "is damaged: artefacts/classifier_scores/"),
        (lead_outside, "holds a file with a wrong name, '../../outside.parquet'"),
        (take_another_stage, "holds a file with a wrong name"),
        (claim_another_profile, "as other code or parameters compute it"),
        (name_an_unknown_experiment, "as other code or parameters compute it"),
        (list_profiles, "is no sound bundle of results"),
        (lose_a_member, "is no sound bundle of results"),
        (add_a_field, "is no sound bundle of results"),
    ],
)
def test_an_altered_bundle_is_refused_and_changes_nothing(store: Store, tmp_path: Path, change, sentence: str) -> None:
    write_bundle("paper", store, tmp_path / "bundle", replicate=1)
    import_bundle(tmp_path / "bundle", tmp_path / "results")
    before = (tmp_path / "results" / "manifest.json").read_bytes()
    write_bundle("paper", store, tmp_path / "bundle", replicate=0)
    with pytest.raises(UserError, match="^[^\n]*$") as caught:
        import_bundle(rewritten(tmp_path / "bundle", change), tmp_path / "results")
    assert sentence in str(caught.value)
    assert (tmp_path / "results" / "manifest.json").read_bytes() == before
    assert not (tmp_path / "outside.parquet").exists()


def damage_what_is_deflated(path: Path) -> None:
    content = bytearray(path.read_bytes())
    start = content.index(b"manifest.json") + len("manifest.json")
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)


def patch(path: Path, offset: int, value: int) -> None:
    """Write a two-byte number at an offset of the first member's entry in the central directory, and of its header."""
    content = bytearray(path.read_bytes())
    for start in (content.index(b"PK\x01\x02") + offset, content.index(b"PK\x03\x04") + offset - 2):
        content[start : start + 2] = value.to_bytes(2, "little")
    path.write_bytes(content)


def nest_deeply(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("manifest.json", "[" * 200_000)


@pytest.mark.parametrize(
    ("compression", "change"),
    [
        (zipfile.ZIP_DEFLATED, damage_what_is_deflated),
        (zipfile.ZIP_LZMA, damage_what_is_deflated),
        (zipfile.ZIP_STORED, lambda path: patch(path, 8, 1)),  # encrypted
        (zipfile.ZIP_STORED, lambda path: patch(path, 10, 77)),  # an unknown compression
        (zipfile.ZIP_STORED, nest_deeply),
    ],
)
def test_an_archive_that_cannot_be_read_is_refused(store: Store, tmp_path: Path, compression: int, change) -> None:
    with zipfile.ZipFile(tmp_path / "bundle", "w", compression) as bundle:
        bundle.writestr("manifest.json", json.dumps({"entries": []}) * 50)
    change(tmp_path / "bundle")
    with pytest.raises(UserError, match="is no sound bundle of results: write it again with `publish --bundle`"):
        import_bundle(tmp_path / "bundle", tmp_path / "results")


def test_a_list_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "LARGEST", 10_000)
    with zipfile.ZipFile(tmp_path / "bundle", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("manifest.json", json.dumps({"entries": []}) + " " * 10_000)
    with pytest.raises(UserError, match=r"holds a file that is too large, manifest\.json"):
        import_bundle(tmp_path / "bundle", tmp_path / "results")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bundle").write_bytes(content)
    with pytest.raises(UserError, match="is no sound bundle of results: write it again with `publish --bundle`"):
        import_bundle(tmp_path / "bundle", tmp_path / "results")


def test_nothing_finished_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished table of profile paper"):
        write_bundle("paper", Store(tmp_path), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()

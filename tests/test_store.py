"""The store: what exists is complete, what was altered is noticed, two writers do no harm."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mi_core.errors import UserError
from mi_core.study.store import Pieces, Store, write_atomically

TENSORS = {"images": np.arange(12, dtype=np.float32).reshape(3, 4), "labels": np.array([1, 2, 3])}
TABLE = pd.DataFrame({"row": ["M_I(O)", "M_I(X~)"], "ssim": np.array([0.25, 0.5], dtype=np.float32)})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_tensors_and_tables_come_back_as_they_were_with_their_provenance(store: Store) -> None:
    tensors, provenance = store.load(store.save("outputs", "a" * 32, TENSORS, {"seconds": 1.5}))
    assert provenance == {"seconds": 1.5, "stage": "outputs", "key": "a" * 32}
    assert set(tensors) == set(TENSORS)
    assert all(
        np.array_equal(tensors[name], TENSORS[name]) and tensors[name].dtype == TENSORS[name].dtype for name in tensors
    )
    table, _ = store.load(store.save("score_table", "b" * 32, TABLE, {}))
    pd.testing.assert_frame_equal(table, TABLE)


def test_an_absent_artefact_is_none_and_a_published_one_is_found(store: Store, tmp_path: Path) -> None:
    assert store.find("outputs", "a" * 32) is None
    path = Store(tmp_path / "published").save("outputs", "a" * 32, TENSORS, {})
    assert Store(store.folder, (tmp_path / "published",)).find("outputs", "a" * 32) == path


@pytest.mark.parametrize("value", [TENSORS, TABLE], ids=["tensors", "table"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "swap"])
def test_damage_is_an_error_that_names_the_file(store: Store, value: object, damage: str) -> None:
    path = store.save("outputs", "a" * 32, value, {})
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[-3] ^= 1
    elif damage == "empty":
        content = bytearray()
    path.write_bytes(content)
    if damage == "swap":  # another artefact's intact file under this one's key
        other = store.save("outputs", "b" * 32, value, {"other": True})
        path.unlink()
        path = path.with_name(other.name.replace("b" * 32, "a" * 32))
        other.rename(path)
    with pytest.raises(UserError, match="is damaged: delete it") as caught:
        store.load(path)
    assert str(path) in str(caught.value)


def test_a_killed_writer_leaves_no_artefact_and_its_remains_are_swept(tmp_path: Path) -> None:
    script = (
        "import os, sys, time, mi_core.study.store as s\n"
        "os.fsync = lambda number: (print('writing', flush=True), time.sleep(60))\n"
        "s.write_atomically(s.Path(sys.argv[1]), b'x' * 1000)\n"
    )
    path = tmp_path / "store" / "outputs" / "file"
    writer = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"writing\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    remains = list(path.parent.iterdir())
    assert len(remains) == 1
    assert remains[0].name.startswith(".writing-")
    Store(tmp_path / "store").sweep()
    assert list(path.parent.iterdir()) == []


def test_what_a_living_writer_or_another_machine_is_writing_is_left_alone(store: Store) -> None:
    for writer in (f"{os.getpid()}@{socket.gethostname()}", "1@another-machine"):
        path = store.folder / "outputs" / f".writing-{writer}-random"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        store.sweep()
        assert path.exists()
        old = time.time() - 7200
        os.utime(path, (old, old))
        store.sweep()
        assert not path.exists()


def _save_repeatedly(folder: Path, seconds: float) -> None:
    store = Store(folder)
    for _ in range(20):
        store.save("outputs", "a" * 32, TENSORS, {"seconds": seconds})


def test_two_writers_of_one_key_do_no_harm(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_save_repeatedly, args=(store.folder, float(number))) for number in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    value, _ = store.load(store.find("outputs", "a" * 32))
    assert np.array_equal(value["images"], TENSORS["images"])
    assert not list(store.folder.glob("**/.writing-*"))
    assert len(list(store.folder.glob("outputs/*"))) == 1


@pytest.mark.parametrize("kind", [TENSORS, TABLE], ids=["tensors", "table"])
def test_the_first_of_two_values_counts_and_the_second_writer_is_told(store: Store, kind: object) -> None:
    first = store.save("outputs", "a" * 32, kind, {"seconds": 1.0})
    assert store.save("outputs", "a" * 32, TENSORS, {"seconds": 2.0}) == first
    assert list(store.folder.glob("outputs/*")) == [first]
    assert store.load(first)[1]["seconds"] == 1.0
    assert store.save("outputs", "b" * 32, TENSORS, {}) != first  # another key is another value


@pytest.mark.parametrize("name", ["{key}.tmp", "{key}.abc.parquet.part", "{path}.part", "{key}.abc.parquet"])
def test_what_else_lies_beside_artefacts_is_none(store: Store, name: str) -> None:
    (store.folder / "outputs").mkdir(parents=True)
    path = store.folder / "outputs" / name.format(key="a" * 32, path=f"{'a' * 32}.{'0' * 16}.parquet")
    path.touch()
    assert store.find("outputs", "a" * 32) is None
    found = store.save("outputs", "a" * 32, TENSORS, {})
    assert store.find("outputs", "a" * 32) == found
    store.receive("outputs", "a" * 32, found.name, found.read_bytes())
    assert path.exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write .*choose a folder that can be written"):
        write_atomically(tmp_path / "file" / "artefact", b"content")


def test_pieces_are_replaced_listed_and_cleared(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path / "unfinished")
    assert pieces.load("from-0") is None
    pieces.save("from-0", TENSORS)
    pieces.save("from-0", {"images": TENSORS["images"] + 1})
    assert np.array_equal(pieces.load("from-0")["images"], TENSORS["images"] + 1)
    assert len(list(pieces.folder.iterdir())) == 1
    pieces.clear()
    assert not pieces.folder.exists()


def test_a_damaged_piece_counts_as_absent(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path / "unfinished")
    pieces.save("from-0", TENSORS)
    path = next(pieces.folder.iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    assert pieces.load("from-0") is None

"""The list of what is published, and how it comes to be: copy finished artefacts, then write the list."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mi_core.errors import UserError
from mi_core.study.experiments import EXPERIMENTS, OF_FIRST_REPLICATE, Replicate, replicates
from mi_core.study.graph import Task, all_tasks
from mi_core.study.parameters import PROFILES
from mi_core.study.store import Store, write_atomically

__all__ = ["Entry", "add_entries", "finished_entries", "publish", "publishable", "read_manifest", "task_of"]

OUTPUTS = {
    "outputs target test": ("target", "test"),
    "outputs shadow shadow_train": ("shadow", "shadow_train"),
    "outputs shadow shadow_validation": ("shadow", "shadow_validation"),
    "outputs shadow test": ("shadow", "test"),
}


@dataclass(frozen=True)
class Entry:
    """One published artefact.

    Attributes:
        profile, experiment, replicate: what it is.
        stage, version, key: the task that it is the value of.
        file: where it is, relative to the results folder.
        seconds: of this task and everything below it.
        provenance: commits, versions, hardware, devices, threads and precisions of all these tasks, and the most
            memory that computing them took.
        superseded: why it no longer is what the present code would compute; empty while it is.
    """

    profile: str
    experiment: str
    replicate: int
    stage: str
    version: int
    key: str
    file: str
    seconds: float
    provenance: dict[str, Any]
    superseded: str = ""


def read_manifest(folder: Path) -> list[Entry]:
    """Entries of ``folder/manifest.json``; none where there is no such file.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / "manifest.json"
    if not path.exists():
        return []
    try:
        return [Entry(**entry) for entry in json.loads(path.read_text())["entries"]]
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{path} is damaged: restore it from the repository, or publish again.") from None


def task_of(replicate: Replicate, experiment: str) -> Task | None:
    """What a replicate publishes under a name; None for what only the first replicate has."""
    if replicate.number > 0 and experiment in OF_FIRST_REPLICATE:
        return None
    if experiment in OUTPUTS:
        return replicate.outputs(*OUTPUTS[experiment])
    return EXPERIMENTS[experiment](replicate)


def publishable(replicate: Replicate) -> dict[str, Task]:
    """What is published of a replicate: every table and figure, and the outputs that later measures need."""
    tasks = {name: task_of(replicate, name) for name in (*EXPERIMENTS, *OUTPUTS)}
    return {name: task for name, task in tasks.items() if task is not None}


def finished_entries(profile: str, store: Store, *, replicate: int | None = None) -> list[tuple[Entry, Path]]:
    """What is finished of a profile, each with its file in the store.

    Args:
        profile: a key of ``PROFILES``.
        store: where it was computed.
        replicate: only this one; all by default.
    Raises:
        UserError: no table of it is finished, or it was computed by code that differs from its commit.
    """
    found: list[tuple[Entry, Path]] = []
    for each in replicates(PROFILES[profile]):
        if replicate not in (None, each.number):
            continue
        tasks = publishable(each)
        paths = {name: store.find(task.stage, task.key, published=False) for name, task in tasks.items()}
        finished = {name: path for name, path in paths.items() if path is not None}
        if not any(name.startswith("table") for name in finished):  # some figure data are common to all profiles
            continue
        for name, path in finished.items():
            task = tasks[name]
            seconds, provenance = _trace(task, store)
            if changed := [commit for commit in provenance["commit"] if commit.endswith("+changes")]:
                raise UserError(
                    f"{name} was computed by code that differs from its commit ({changed[0]}): commit, then compute "
                    "it again in an empty --store."
                )
            file = f"artefacts/{task.stage}/{path.name}"
            identity = (profile, name, each.number, task.stage, store.load(path)[1]["version"], task.key)
            found.append((Entry(*identity, file, seconds, provenance), path))
    if not found:
        raise UserError(
            f"no finished table of profile {profile} is in {store.folder}: run it first (tables that are published "
            "already are not computed again)."
        )
    return found


def publish(profile: str, store: Store, folder: Path) -> list[Entry]:
    """Copy the finished artefacts of a profile to ``folder`` and list them in its manifest.

    Entries of other profiles, and of replicates and experiments that are not in the store, stay as they are.

    Returns:
        The entries that were written.
    Raises:
        UserError: as ``finished_entries``.
    """
    found = finished_entries(profile, store)
    return add_entries([(entry, path.read_bytes()) for entry, path in found], folder)


def add_entries(found: Sequence[tuple[Entry, bytes]], folder: Path) -> list[Entry]:
    """Write artefacts to ``folder`` and list them; they replace entries of the same experiments."""
    written = [entry for entry, _ in found]
    for entry, content in found:
        if not (folder / entry.file).exists():
            write_atomically(folder / entry.file, content)
    fresh = {(entry.profile, entry.experiment, entry.replicate) for entry in written}
    kept = [e for e in read_manifest(folder) if (e.profile, e.experiment, e.replicate) not in fresh]
    entries = sorted([*kept, *written], key=lambda e: (list(PROFILES).index(e.profile), e.replicate, e.experiment))
    content = {
        "about": "Published artefacts of this report; see the page on how it is built.",
        "studies": {name: PROFILES[name].model_dump() for name in PROFILES if name in {e.profile for e in entries}},
        "entries": [asdict(entry) for entry in entries],
    }
    write_atomically(folder / "manifest.json", (json.dumps(content, indent=1) + "\n").encode())
    _remove_unlisted(folder, entries)
    return written


def _trace(task: Task, store: Store) -> tuple[float, dict[str, Any]]:
    """Seconds and provenance of a task with everything below it that is in the store."""
    records = []
    for each in all_tasks([task]):
        path = store.find(each.stage, each.key, published=False)
        if path is not None:
            record = store.load(path)[1]
            records += [record, *record.get("earlier", [])]
    provenance: dict[str, Any] = {
        name: sorted({str(record[name]) for record in records})
        for name in ("commit", "hardware", "device", "threads", "precision")
    }
    provenance["peak_memory_mib"] = max((record.get("peak_memory_mib", 0) for record in records), default=0)
    provenance["versions"] = {
        package: sorted({record["versions"][package] for record in records}) for package in records[0]["versions"]
    }
    return round(sum(record["seconds"] for record in records), 1), provenance


def _remove_unlisted(folder: Path, entries: list[Entry]) -> None:
    listed = {folder / entry.file for entry in entries}
    for path in (folder / "artefacts").glob("*/*"):
        if path not in listed:
            path.unlink()

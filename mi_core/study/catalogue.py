"""Every parameter of a run in one table: type and range, default, meaning, and what changing it computes again."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from mi_core.errors import UserError
from mi_core.study.experiments import ON_REQUEST, Replicate, replicates
from mi_core.study.graph import Task, all_tasks
from mi_core.study.manifest import publishable, task_of
from mi_core.study.parameters import PROFILES, Protocol, Study, make_study

__all__ = ["another_value", "catalogue", "minutes_again", "minutes_from_nothing"]


def catalogue() -> pd.DataFrame:
    """All parameters, in the order of their models.

    Returns:
        Columns model ("Study" or "Protocol"), name, kind (choices, or type and range), default (of the profile paper)
        and meaning.
    """
    rows = []
    for model in (Study, Protocol):
        for name, field in model.model_json_schema()["properties"].items():
            kind, default = ("code | text", "code") if name == "protocol" else (_kind(field), field.get("default"))
            rows.append((model.__name__, name, kind, default, field.get("description", "")))
    return pd.DataFrame(rows, columns=["model", "name", "kind", "default", "meaning"], dtype=object)


def _kind(field: dict[str, Any]) -> str:
    if "enum" in field or "const" in field:
        return " | ".join(map(str, field.get("enum", [field.get("const")])))
    low = f"from {field['minimum']}" if "minimum" in field else f"above {field.get('exclusiveMinimum')}"
    high = f"to {field['maximum']}" if "maximum" in field else f"below {field.get('exclusiveMaximum')}"
    return field["type"] if field["type"] == "boolean" else f"{field['type']} {low} {high}"


def another_value(name: str, profile: str) -> Any:
    """A value to try: the next choice, or twice the profile's number, or half of it where twice is too much.

    Returns:
        None if there is a single choice.
    """
    study = make_study(profile)
    if name == "protocol":
        return "text"
    model = Study if name in Study.model_fields else Protocol
    value = getattr(study if model is Study else study.protocol, name)
    field = model.model_json_schema()["properties"][name]
    if isinstance(value, bool):
        return not value
    if not isinstance(value, int | float):
        return next((choice for choice in field.get("enum", ()) if choice != value), None)
    doubled = 2 * value or 1
    try:
        make_study(profile, {name: doubled})
    except UserError:
        return value // 2
    return doubled


def minutes_again(values: Mapping[str, Any], profile: str) -> dict[str, float]:
    """How long the steps take that each changed parameter asks for and its profile does not have.

    Args:
        values: of parameters, each changed alone.
        profile: what they are changed in, its steps all being there.
    Returns:
        Minutes on two CPU cores with bfloat16, estimated, by name.
    Raises:
        UserError: an unknown name, or a wrong value.
    """
    known = {task.key for task in _tasks(profile, {})}
    return {
        name: sum(task.work for task in _tasks(profile, {name: value}) if task.key not in known) / 60
        for name, value in values.items()
    }


def _tasks(profile: str, changes: dict[str, Any]) -> list[Task]:
    """All that a plain run computes."""
    wanted = (publishable(each) for each in replicates(make_study(profile, changes)))
    return all_tasks(task for each in wanted for name, task in each.items() if name not in ON_REQUEST)


def minutes_from_nothing(experiments: Iterable[str]) -> pd.DataFrame:
    """How long some experiments take at each profile, with all their replicates.

    Args:
        experiments: keys of what is published of a replicate, such as "table4" or "outputs target test".
    Returns:
        One line a profile, its index. Columns all (from nothing) and text (the steps that protocol "text" asks for,
        once those of "code" are there): minutes on two CPU cores with bfloat16, estimated.
    """
    names = tuple(experiments)
    lines = {}
    for profile, study in PROFILES.items():
        text = make_study(profile, {"protocol": "text"})
        of_each = [_minutes(study, text, number, names) for number in range(min(study.replicates, 2))]
        lines[profile] = [costs[0] + (study.replicates - 1) * costs[-1] for costs in zip(*of_each, strict=True)]
    return pd.DataFrame.from_dict(lines, orient="index", columns=["all", "text"]).rename_axis("profile")


def _minutes(code: Study, text: Study, number: int, names: tuple[str, ...]) -> tuple[float, float]:
    """Of one replicate; those after the first are alike in size, and no two replicates share a step."""
    before, after = (all_tasks(_named(Replicate(study, number), names)) for study in (code, text))
    known = {task.key for task in before}
    return sum(task.work for task in before) / 60, sum(task.work for task in after if task.key not in known) / 60


def _named(replicate: Replicate, names: Iterable[str]) -> list[Task]:
    tasks = (task_of(replicate, name) for name in names)
    return [task for task in tasks if task is not None]

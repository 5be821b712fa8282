"""Each table and figure of the study as a task of a replicate."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mi_core.study.comparison import comparison_rows, plain_rows
from mi_core.study.defences import answer_rungs, defence_rungs, defence_utility
from mi_core.study.graph import Task
from mi_core.study.ladder import Ladder, Rung
from mi_core.study.parameters import CODE, Study
from mi_core.study.replicate import COMBINATIONS, EXACT, HEADS, SHADES, SHADOW_MARK, STARTS, TRUNCATIONS, Replicate

__all__ = [
    "COMBINATIONS",
    "EXPERIMENTS",
    "HEADS",
    "OF_FIRST_REPLICATE",
    "ON_REQUEST",
    "SHADOW_MARK",
    "STARTS",
    "TRUNCATIONS",
    "Replicate",
    "replicates",
]

# These have budgets of their own: computed only where they are asked for by name.
ON_REQUEST = (
    "comparison",
    "precision",
    "ladder",
    "ladder_choice",
    "ladder_predictions",
    "ladder_models",
    "ladder_models_choice",
    "ladder_answers",
    "defences",
    "defences_utility",
)
OF_FIRST_REPLICATE = ("gallery",)  # what is shown, not measured


# --- tables --------------------------------------------------------------------------------------------------------


def _table1(replicate: Replicate) -> Task:
    heads = {
        f"{activation}/{'dropout' if dropout else 'no-dropout'}": replicate.head(activation, dropout)
        for activation, dropout in HEADS
    }
    names = {name: ["target_train", "target_validation"] for name in heads}
    return Task("classifier_scores", {"splits": names}, heads)


def _pair(replicate: Replicate) -> dict[str, Task]:
    return {"M_T": replicate.classifier("target"), "M_S": replicate.classifier("shadow")}


def _table2(replicate: Replicate) -> Task:
    names = {"M_T": ["target_train", "target_validation"], "M_S": ["shadow_train", "shadow_validation"]}
    return Task("classifier_scores", {"splits": names}, _pair(replicate))


def _label(row: str, split: str = "test", seed: int = 0) -> dict[str, Any]:
    return {"row": row, "split": split, "inverse_seed": seed}


def _table3(replicate: Replicate) -> Task:
    role_of = {"shadow_validation": "shadow", "test": "target"}
    rows = [(_label(start, split), role_of[split], images) for start, split, images in replicate.start_rows()]
    for split, role in role_of.items():
        rows += [(_label(row, split), role, images) for row, images in replicate.reference_rows(role, split)]
    return replicate.score_table(rows)


def _inverse_table(replicate: Replicate, rows_of: Callable[[int], Iterator[tuple[str, Task]]]) -> Task:
    """A table of inverse models, with the baselines and ceilings below its own rows."""
    rows = [(_label(row, seed=seed), images) for seed in replicate.inverse_seeds for row, images in rows_of(seed)]
    rows += [(_label(row), images) for row, images in replicate.reference_rows()]
    return replicate.score_table((label, "target", images) for label, images in rows)


def _comparison(replicate: Replicate) -> Task:
    """Text against code, one choice at a time, starting from the code's protocol whatever the study's is."""
    code = Replicate(replicate.study.model_copy(update={"protocol": CODE}), replicate.number)
    rows = [({**_label(row), "change": change}, images) for change, row, images in comparison_rows(code)]
    rows += [({**_label(row), "change": ""}, images) for row, images in code.reference_rows()]
    return code.score_table((label, "target", images) for label, images in rows)


def _precision(replicate: Replicate) -> Task:
    """The study's own precision (change "") against float32 in everything, from the same split and the same seeds."""
    rows = []
    for change in ("", "float32"):
        study = replicate.study.model_copy(update={"precision": change or replicate.study.precision})
        rows += [
            ({**_label(row), "change": change}, images)
            for row, images in plain_rows(Replicate(study, replicate.number))
        ]
    return replicate.score_table((label, "target", images) for label, images in rows)


def _ladder(replicate: Replicate, rungs: Iterable[Rung]) -> Task:
    """Scores of every rung on the images of D_F that the ladder attacks."""
    own = Ladder(replicate).own
    return own.score_table((_label(rung.row), "target", rung.images) for rung in rungs)


# --- figures -------------------------------------------------------------------------------------------------------


def _curves(replicate: Replicate) -> Task:
    """Losses of both classifiers and of the seven inverse models (first inverse seed)."""
    inverse = {f"M_I({name})": replicate.inverse_model(name, EXACT, 0) for name in COMBINATIONS}
    return Task("curves", {}, _pair(replicate) | inverse)


def _agreement(replicate: Replicate) -> Task:
    return Task("agreement", {}, {role: replicate.outputs(role, "test") for role in ("target", "shadow")})


def _gallery(replicate: Replicate) -> Task:
    """Pictures of D_F; rows that are one experiment are one picture."""
    rows = {f"X~/{start}": images for start, split, images in replicate.start_rows() if split == "test"}
    for rows_of in (replicate.combination_rows, replicate.rounding_rows, replicate.truncation_rows):
        rows |= dict(rows_of(0))
    rows |= dict(replicate.reference_rows())
    unique = {images.key: name for name, images in reversed(rows.items())}
    rows = {name: rows[name] for name in rows if name in unique.values()}
    return Task("gallery", {"shades": SHADES}, {"splits": replicate.splits(), **rows})


EXPERIMENTS: dict[str, Callable[[Replicate], Task]] = {
    "table1": _table1,
    "table2": _table2,
    "table3": _table3,
    "table4": lambda replicate: _inverse_table(replicate, replicate.combination_rows),
    "table5": lambda replicate: _inverse_table(replicate, replicate.rounding_rows),
    "table6": lambda replicate: _inverse_table(replicate, replicate.truncation_rows),
    "class_counts": lambda replicate: Task("class_counts", {}, {"splits": replicate.splits()}),
    "starts": lambda replicate: Task("starts", {"stream": replicate.stream}, {"auxiliary": replicate.auxiliary()}),
    "confusion": lambda replicate: Task("confusion_counts", {}, _pair(replicate)),
    "architecture": lambda replicate: Task(
        "architecture", {"inverse_inputs": 10, "hidden": replicate.study.protocol.inverse_hidden}
    ),
    "search": Replicate.search,
    "curves": _curves,
    "agreement": _agreement,
    "gallery": _gallery,
    "comparison": _comparison,
    "precision": _precision,
    "ladder": lambda replicate: _ladder(replicate, Ladder(replicate).rungs()),
    "ladder_choice": lambda replicate: Ladder(replicate).choice,
    "ladder_predictions": lambda replicate: Ladder(replicate).predictions(),
    "ladder_models": lambda replicate: _ladder(replicate, Ladder(replicate).recipe_rungs()),
    "ladder_models_choice": lambda replicate: Ladder(replicate).recipe_choice,
    "ladder_answers": lambda replicate: _ladder(replicate, answer_rungs(replicate)),
    "defences": lambda replicate: _ladder(replicate, defence_rungs(replicate)),
    "defences_utility": defence_utility,
}


def replicates(study: Study) -> list[Replicate]:
    return [Replicate(study, number) for number in range(study.replicates)]

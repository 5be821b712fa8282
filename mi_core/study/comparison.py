"""Text against code: which rows each choice of the protocol is tried on, everything else equal."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mi_core.study.graph import Task
from mi_core.study.parameters import PROTOCOLS, Protocol
from mi_core.study.replicate import EXACT, ROUNDED, SHADOW_MARK, Defence, Replicate

__all__ = ["CHANGES", "Change", "comparison_rows", "plain_rows"]

STAND_ALONE = "X~/class_average"
GRADIENT_ROWS = (STAND_ALONE, "M_I(X~)")
ACTIVATION_ROWS = ("M_I(A_L)", f"M_I(A_L){SHADOW_MARK}")
ROUNDED_ROWS = ("M_I(O)/rounded", "M_I(X~)/rounded")
TRUNCATED_ROWS = ("M_I(O)/k=3", "M_I(X~)/k=3")
ALL_ROWS = (STAND_ALONE, "M_I(O)", "M_I(X~)", *ACTIVATION_ROWS, *ROUNDED_ROWS, *TRUNCATED_ROWS)


@dataclass(frozen=True)
class Change:
    """One line of the comparison.

    Attributes:
        choices: what differs from the code's protocol.
        rows: which rows it may bear on.
        reference: the line that it is compared with; "" is the code's protocol.
        protocol: "code", or "text" for all of the text's choices at once.
    """

    choices: dict[str, Any] = field(default_factory=dict)
    rows: tuple[str, ...] = ALL_ROWS
    reference: str = ""
    protocol: str = "code"

    @property
    def name(self) -> str:
        words = ["protocol=text"] if self.protocol == "text" else []
        return ", ".join([*words, *(f"{choice}={value}" for choice, value in self.choices.items())])

    def protocol_with(self) -> Protocol:
        return PROTOCOLS[self.protocol].model_copy(update=self.choices)


CHANGES = (
    Change(),
    Change({"data_term": "cross_entropy"}, GRADIENT_ROWS),
    Change({"update": "gradient_descent"}, GRADIENT_ROWS),
    Change({"learning_rate": 0.1}, GRADIENT_ROWS),
    Change({"learning_rate": 1.0}, GRADIENT_ROWS),
    Change({"clip_norm": 0.0}, GRADIENT_ROWS),
    Change({"regulariser_scope": "image"}, GRADIENT_ROWS),
    Change({"regularisers": "own_search"}, GRADIENT_ROWS),
    Change(
        {"regularisers": "own_search", "search_outputs": "shadow"}, GRADIENT_ROWS, reference="regularisers=own_search"
    ),
    Change({"activation_weights": "shadow"}, ACTIVATION_ROWS[:1]),
    Change({"activation_update": "gradient_descent"}, ACTIVATION_ROWS),
    Change({"inverse_hidden": "relu"}, ("M_I(O)", "M_I(X~)", *ACTIVATION_ROWS)),
    Change({"round_training": True}, ROUNDED_ROWS),
    Change({"truncation_fill": "lowest_remaining"}, TRUNCATED_ROWS),
    Change({"outputs": "probabilities"}, (STAND_ALONE, "M_I(O)", "M_I(X~)")),
    Change(protocol="text", rows=(STAND_ALONE, "M_I(O)", "M_I(X~)", "M_I(A_L)", *ROUNDED_ROWS)),
    Change({"learning_rate": 0.1}, GRADIENT_ROWS, reference="protocol=text", protocol="text"),
    Change({"learning_rate": 1.0}, GRADIENT_ROWS, reference="protocol=text", protocol="text"),
)


def comparison_rows(replicate: Replicate) -> Iterator[tuple[str, str, Task]]:
    """(name of the change, row, reconstructions of D_F) of a replicate under the code's protocol, which comes first."""
    for change in CHANGES:
        study = replicate.study.model_copy(update={"protocol": change.protocol_with()})
        changed = Replicate(study, replicate.number)
        for row in change.rows:
            yield change.name, row, _reconstructions(changed, row)


def plain_rows(replicate: Replicate) -> Iterator[tuple[str, Task]]:
    """X~ from the class average, M_I(O) and M_I(X~) of a replicate on D_F."""
    for row in (STAND_ALONE, "M_I(O)", "M_I(X~)"):
        yield row, _reconstructions(replicate, row)


def _reconstructions(replicate: Replicate, row: str) -> Task:
    if row == STAND_ALONE:
        return replicate.reconstructions(replicate.outputs("target", "test"), "test")
    name, _, variant = row.partition("/")
    combination = name.removeprefix("M_I(").removesuffix(")")
    defences: dict[str, Defence] = {"rounded": ROUNDED, "k=3": Defence("truncate", 3)}
    weights_of = "shadow" if variant == SHADOW_MARK[1:] else replicate.producer
    return replicate.inverse_reconstructions(combination, defences.get(variant, EXACT), 0, weights_of)

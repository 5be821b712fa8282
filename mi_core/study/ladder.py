"""The ladder of threat models: what each attacker has, and what he makes of the same outputs of the target.

Every rung attacks the first images of D_F through what the target answers for them. A rung says in an ``Access`` what
else it takes from the target; all other knowledge is the attacker's own data and the shadows that he trains on them.
The inverse models of the ladder have ReLU and no dropout, and see the same number of images an epoch for a shadow.
Choices among alignments are made on shadows that are held out, never on the target.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from mi_core.study.answers import LOGITS, Answer
from mi_core.study.graph import Task
from mi_core.study.parameters import CODE
from mi_core.study.recipes import RECIPES, Recipe
from mi_core.study.replicate import INVERSE_SECONDS, VALIDATION_SIZES, Replicate

__all__ = [
    "CANDIDATES",
    "LABEL_ALONE",
    "OWN_OUTPUTS",
    "Access",
    "Ladder",
    "Rung",
    "pool_row",
    "pool_sizes",
    "queries_alone_row",
]

LABEL_ALONE, OWN_OUTPUTS = "label alone", "reference: own outputs (no transfer loss)"

# Alignments to choose from: method, and how many outputs the reference's moments count for. The learned one takes
# seconds where these take milliseconds; it is compared with them, and not chosen from.
CANDIDATES = (
    ("none", 10.0),
    ("standardised", 10.0),
    ("diagonal", 10.0),
    ("transport", 10.0),
    ("covariance", 3.0),
    ("covariance", 10.0),
    ("covariance", 30.0),
)
OWN_RECIPE = Recipe()
PRIOR = 10.0  # of the rows that name their method
FEW_OUTPUTS = (10, 100)
BUDGETS = (10, 100, 1000, 10_000)
OTHER_OUTPUTS = 1320  # at most: the size of D_T^V
OWN_IMAGES = 10_000  # of D_S^T

# Name, labels, inverse model, alignment as in ``Ladder.aligned``, and the first shadow that took no part.
Attack = tuple[str, dict[str, Any], Task, tuple[str, float] | None, int]


@dataclass(frozen=True)
class Access:
    """What an attacker has of the target, and of his own.

    Attributes:
        sees: what is inverted: the target's "predicted label" or its "output vector", or the "shadow's output vector".
        outputs: how many unlabelled outputs of the target he aligns with, those that he inverts or others; 0 where he
            looks at each output by itself.
        queries: for how many of his own images the target answers.
        weights: whether he has the target's weights.
        shadows: how many classifiers he trains whose outputs are in the attack, as its reference or in its pool.
        held_out: how many more he trains to choose an alignment or an inverse model, and for nothing else.
        images: how many labelled images of D_S^T he uses, for the shadows or for the reconstructions.
        validation_images: how many of D_S^V, to watch the shadows or to choose.
    """

    sees: str = "output vector"
    outputs: int = 0
    queries: int = 0
    weights: bool = False
    shadows: int = 0
    held_out: int = 0
    images: int = 0
    validation_images: int = 0


@dataclass(frozen=True)
class Rung:
    """A row of the ladder: its name, what its attacker has, and the reconstructions of D_F."""

    row: str
    access: Access
    images: Task


def pool_sizes(largest: int) -> list[int]:
    """1, 2, 4, ... shadows up to the largest pool, which is always one of them."""
    sizes = [1]
    while sizes[-1] * 2 < largest:
        sizes.append(sizes[-1] * 2)
    return sizes + [largest] * (largest > 1)


class Ladder:
    """The tasks of the ladder in one replicate.

    Args:
        replicate: any; its protocol does not matter, and its ``ladder_`` sizes take the place of those of the attack.
        answer: what the target and all shadows answer with.
        largest: shadows of the largest pool; ``ladder_shadows`` by default.
        candidates: alignments to choose from.
    """

    def __init__(
        self,
        replicate: Replicate,
        answer: Answer = LOGITS,
        *,
        largest: int | None = None,
        candidates: tuple[tuple[str, float], ...] = CANDIDATES,
    ) -> None:
        study = replicate.study
        sizes = {
            "attack_training": study.ladder_images,
            "attack_validation": study.ladder_test,
            "attack_test": study.ladder_test,
            "inverse_epochs": study.ladder_epochs,
            "protocol": CODE.model_copy(update={"inverse_hidden": "relu", "outputs": answer.form}),
        }
        self.own = replace(replicate, study=study.model_copy(update=sizes))
        self.answer, self.candidates = answer, candidates
        self.largest = largest or study.ladder_shadows
        self.most_epochs = study.ladder_epochs * self.largest  # for as many updates with one classifier's outputs

    # --- outputs and their alignment ---

    def shown(self, role: str, split: str, images: int | None = None) -> Task:
        """What a classifier shows of its outputs."""
        exact, answer = self.own.outputs(role, split, images=images), self.answer
        if answer.decimals is not None:
            return Task("defended", {"defence": "round", "decimals": answer.decimals}, {"outputs": exact})
        if answer.k < 10:
            return Task("defended", {"defence": "truncate", "k": answer.k, "fill": "zero"}, {"outputs": exact})
        return exact

    def outputs(self, role: str, split: str, images: int | None = None) -> Task:
        """The same as an attack takes it."""
        shown, answer = self.shown(role, split, images), self.answer
        if answer.form == "logits":
            return shown
        parameters = {"number": answer.number, "decimals": answer.decimals}
        return Task("log_probabilities", parameters, {"outputs": shown})

    def answers(self, number: int, split: str) -> Task:
        """What shadow ``number`` says of one of the attacker's sets; number 0 is M_S."""
        return self.outputs(f"shadow {number}" if number else "shadow", split)

    def attacked(self) -> Task:
        return self.outputs("target", "test")

    def aligned(self, outputs: Task, alignment: tuple[str, float] | None = None, **named: Task | int) -> Task:
        """Outputs aligned to those of M_S on D_S^T, as named or, for None, as the held-out shadows choose."""
        inputs = {"outputs": outputs, "reference": self.answers(0, "shadow_train")}
        parameters: dict[str, Any] = {}
        if alignment is None:
            inputs["choice"] = self.choice
        else:
            parameters |= {"method": alignment[0], "prior": alignment[1]}
        inputs |= {name: value for name, value in named.items() if isinstance(value, Task)}
        parameters |= {name: value for name, value in named.items() if not isinstance(value, Task)}
        return Task("aligned", parameters, inputs, work=0.5)

    # --- inverse models ---

    def inverse_model(self, parts: list[Task], epochs: int | None = None, recipe: Recipe | Task = OWN_RECIPE) -> Task:
        """M_I on the pooled outputs of some classifiers on D_S^T, by a recipe or by the best of ``recipe_choice``."""
        study = self.own.study
        chosen = isinstance(recipe, Task)
        parameters = {
            "stream": self.own.stream,
            "epochs": epochs or study.inverse_epochs,
            **({} if chosen else recipe.parameters),
            "precision": study.precision,
        }
        seen = study.attack_training * len(parts) * parameters["epochs"]
        inputs = {"auxiliary": self.own.auxiliary(), **{f"part {number}": part for number, part in enumerate(parts)}}
        work = seen * INVERSE_SECONDS[False] / 2 * parameters.get("width", 1) ** 2
        return Task("pooled_inverse_model", parameters, inputs | ({"choice": recipe} if chosen else {}), work=work)

    def pool(self, count: int, alignment: tuple[str, float] | None = None) -> list[Task]:
        """Outputs on D_S^T of M_S, as they are, and of further shadows, aligned to it.

        Standardising changes M_S's own outputs too.
        """
        first = self.answers(0, "shadow_train")
        if alignment is not None and alignment[0] == "standardised":
            first = self.aligned(first, alignment)
        return [first, *(self.aligned(self.answers(number, "shadow_train"), alignment) for number in range(1, count))]

    def reconstructed(self, inverse_model: Task, outputs: Task) -> Task:
        built = {
            name: inverse_model.parameters[name] for name in ("hidden", "width") if name in inverse_model.parameters
        }
        inputs = {"inverse_model": inverse_model, "O": outputs}
        if "choice" in inverse_model.inputs:
            inputs["choice"] = inverse_model.inputs["choice"]
        return Task("inverse_reconstructions", {"combination": "O", **built}, inputs, work=1)

    def one_shadow(self, alignment: tuple[str, float]) -> Task:
        """The inverse model for an alignment with one shadow: all but one alignment leave M_S's outputs alone."""
        return self.inverse_model(self.pool(1, alignment))

    # --- held-out shadows: what the attacker can know beforehand ---

    def held_out(self, inverse_model: Task, number: int, alignment: tuple[str, float] | None) -> Task:
        """How well D_S^V comes back from what a shadow says of it that took no part in the attack."""
        outputs = self.aligned(self.answers(number, "shadow_validation"), alignment)
        inputs = {"auxiliary": self.own.auxiliary(), "images": self.reconstructed(inverse_model, outputs)}
        return Task("auxiliary_scores", {"split": "shadow_validation"}, inputs, work=1)

    def _held_out_table(self, attacks: Iterable[Attack]) -> Task:
        """Scores of each attack for each shadow, from the first that it did not use, in the place of the target."""
        labels, inputs = {}, {}
        for name, label, inverse_model, alignment, first in attacks:
            for number in range(first, self.largest + 1):
                labels[f"{name} {number}"] = {**label, "held_out": number}
                inputs[f"{name} {number}"] = self.held_out(inverse_model, number, alignment)
        return Task("held_out_table", {"rows": labels}, inputs)

    @cached_property
    def choice(self) -> Task:
        """Scores of every alignment with one shadow, for each other shadow in the place of the target."""
        return self._held_out_table(
            (
                f"{method} {prior:g}",
                {"row": "one shadow", "method": method, "prior": prior},
                self.one_shadow((method, prior)),
                (method, prior),
                1,
            )
            for method, prior in self.candidates
        )

    def by_recipe(self, recipe: Recipe) -> Task:
        """The inverse model of a recipe: one aligned shadow, as many updates as the largest pool has."""
        return self.inverse_model(self.pool(1), self.most_epochs, recipe)

    @cached_property
    def recipe_choice(self) -> Task:
        """Scores of every recipe with one aligned shadow, for each other shadow in the place of the target."""
        return self._held_out_table(
            (name, {"row": name, **asdict(recipe)}, self.by_recipe(recipe), None, 1) for name, recipe in RECIPES.items()
        )

    def predictions(self) -> Task:
        """What held-out shadows say of the rows of the ladder that take neither queries nor weights."""
        attacks: list[Attack] = []
        for method in ("none", "standardised", "diagonal", "transport", "covariance", "learned"):
            row = {"none": "one shadow", "standardised": "one shadow, standardised"}.get(method, f"alignment: {method}")
            attacks.append((row, {"row": row}, self.one_shadow((method, PRIOR)), (method, PRIOR), 1))
        for count in pool_sizes(self.largest):
            row = pool_row(count)
            attacks.append((row, {"row": row}, self.inverse_model(self.pool(count)), None, count))
        return self._held_out_table(attacks)

    # --- rungs ---

    def rungs(self) -> Iterator[Rung]:
        """Every row of the ladder, from the least access to the most, then variants and a reference."""
        yield from self.label_rungs()
        yield self.plain_rung()
        yield self.plain_rung("standardised", "one shadow, standardised")
        yield from map(self.pool_rung, pool_sizes(self.largest))
        yield from self._trained_longer()
        yield from map(self.query_rung, self.budgets())
        yield self.queries_alone_rung()
        gradient = self.own.reconstructions(self.attacked(), "test", through="target")
        yield Rung("white box, X~", Access(weights=True, images=OWN_IMAGES), gradient)
        yield from self._alignment_rows()

    def _access(self, shadows: int, *, chosen: bool = False, **named: Any) -> Access:
        """Of an attack with shadows; ``chosen``: by all that ``largest`` pools and ``choice`` train, M_S among them."""
        study = self.own.study
        watched = min(study.validation_images, VALIDATION_SIZES["shadow"])
        return Access(
            shadows=shadows,
            held_out=self.largest + 1 - shadows if chosen else 0,
            images=max(study.classifier_images, study.attack_training),
            validation_images=max(watched, study.attack_validation) if chosen else watched,
            **named,
        )

    def label_rungs(self) -> Iterator[Rung]:
        access = Access("predicted label", images=OWN_IMAGES)
        yield Rung("baseline: class average", access, self.own.baseline("class average", "target", "test"))
        yield Rung(LABEL_ALONE, access, self.own.baseline("SSIM-optimal class image", "target", "test"))

    def plain_rung(self, method: str = "none", row: str = "one shadow") -> Rung:
        """One shadow, and each output by itself."""
        outputs = self.aligned(self.attacked(), (method, PRIOR))
        return Rung(row, self._access(1), self.reconstructed(self.one_shadow((method, PRIOR)), outputs))

    def pool_rung(self, count: int) -> Rung:
        """So many shadows, aligned as the held-out shadows choose, and one inverse model."""
        return self._aligned_rung(pool_row(count), count, self.inverse_model(self.pool(count)))

    def _aligned_rung(self, row: str, count: int, inverse_model: Task, queries: int = 0) -> Rung:
        access = self._access(count, chosen=True, outputs=self.own.study.attack_test, queries=queries)
        return Rung(row, access, self.reconstructed(inverse_model, self.aligned(self.attacked())))

    def query_rung(self, budget: int) -> Rung:
        """The largest pool, and the target's own answers for some of the attacker's images."""
        answers = self.outputs("target", "shadow_train", images=budget)
        parts = [*self.pool(self.largest), self.aligned(answers, seen=self.attacked())]
        return self._aligned_rung(f"queries {budget}", self.largest, self.inverse_model(parts), budget)

    def queries_alone_rung(self) -> Rung:
        """An inverse model of the target itself, on its answers for all the images that other inverse models see."""
        count = self.own.study.attack_training
        model = self.inverse_model([self.outputs("target", "shadow_train")], epochs=self.most_epochs)
        access = Access(queries=count, images=count)
        return Rung(queries_alone_row(count), access, self.reconstructed(model, self.attacked()))

    def budgets(self) -> list[int]:
        """How many queries the attackers that have some may ask, at most one for each of their images."""
        return [budget for budget in BUDGETS if budget <= self.own.study.attack_training]

    def _trained_longer(self) -> Iterator[Rung]:
        """As many updates as the largest pool has; the same with the inverse model that held-out shadows choose."""
        yield self._aligned_rung("one shadow, aligned, trained longer", 1, self.by_recipe(OWN_RECIPE))
        for count in sorted({1, self.largest}):
            model = self.inverse_model(self.pool(count), self.most_epochs // count, self.recipe_choice)
            yield self._aligned_rung(f"{pool_row(count)}, chosen inverse model", count, model)

    def _alignment_rows(self) -> Iterator[Rung]:
        model, count = self.inverse_model(self.pool(1)), self.own.study.attack_test
        for method in ("diagonal", "transport", "covariance", "learned"):
            outputs = self.aligned(self.attacked(), (method, PRIOR))
            access = self._access(1, outputs=count)
            yield Rung(f"alignment: {method}", access, self.reconstructed(model, outputs))
        for few in (number for number in FEW_OUTPUTS if number < count):
            outputs = self.aligned(self.attacked(), ("covariance", PRIOR), seen=self.attacked(), seen_outputs=few)
            access = self._access(1, outputs=few)
            yield Rung(f"alignment: covariance, {few} outputs", access, self.reconstructed(model, outputs))
        other = min(count, OTHER_OUTPUTS)
        seen = self.outputs("target", "target_validation", images=other)
        outputs = self.aligned(self.attacked(), ("covariance", PRIOR), seen=seen)
        access = self._access(1, outputs=other)
        yield Rung("alignment: covariance, other outputs", access, self.reconstructed(model, outputs))
        own = self.reconstructed(model, self.outputs("shadow", "test"))
        yield Rung(OWN_OUTPUTS, self._access(1, sees="shadow's output vector"), own)

    def recipe_rungs(self) -> Iterator[Rung]:
        """One aligned shadow with the inverse model of each recipe, beside the label alone."""
        yield from self.label_rungs()
        for name, recipe in RECIPES.items():
            yield self._aligned_rung(name, 1, self.by_recipe(recipe))


def pool_row(count: int) -> str:
    """The name of the rung with so many aligned shadows."""
    return "one shadow, aligned" if count == 1 else f"{count} shadows, aligned"


def queries_alone_row(count: int) -> str:
    """The name of the rung that asks the target about so many images and trains no shadow."""
    return f"queries {count}, no shadow"

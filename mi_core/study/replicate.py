"""The tasks of one replicate. With ``mi_core.study.experiments`` the only room that sees a whole ``Study``.

A ``Replicate`` names, for every task, exactly the parameters that its stage reads; that is what keys are made of.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mi_core.study.graph import Task
from mi_core.study.parameters import THESIS_REGULARISERS, Study
from mi_core.study.source import CHECKSUMS

__all__ = ["COMBINATIONS", "HEADS", "SHADES", "SHADOW_MARK", "STARTS", "TRUNCATIONS", "Replicate", "nearest_outputs"]

COMBINATIONS = ("O", "A_L", "X~", "O+A_L", "O+X~", "A_L+X~", "O+A_L+X~")
STARTS = ("random", "class_instance", "class_average")
HEADS = tuple(
    (activation, dropout) for activation in ("None", "ReLU", "Sigmoid", "GELU", "SiLU") for dropout in (False, True)
)
TRUNCATIONS = (10, 5, 3, 1)
DECIMALS = 1
SEARCH_PLANS = {"code": ((20, 96), (5, 160)), "text": ((20, 320), (10, 320))}  # (draws, images) coarse, fine
SHADOW_MARK = "/shadow-weights"  # on rows whose A_L of D_F uses no weight of the target, where others do
SHADES = 32  # of grey in a picture: these differ too little to be seen, and take half the space of 256
VALIDATION_SIZES = {"target": 1320, "shadow": 1340}  # of D_T^V and D_S^V

# Equal replicates ask for the same tasks over and over, and a task computes its key but once.
_kept = lru_cache(maxsize=256)

# Seconds on two CPU cores with bfloat16, for estimates of time only.
CLASSIFIER_SECONDS = 1 / 650  # per image and epoch
GRADIENT_SECONDS = 1 / 1400  # per image and step
INVERSE_SECONDS = {False: 1 / 900, True: 1 / 600}  # per image and epoch, without and with X~
OUTPUT_SECONDS = 1 / 500  # per image
JUDGE_SECONDS = 1 / 3000  # per image and epoch
SCORE_SECONDS = 1 / 400  # per image


@dataclass(frozen=True)
class Defence:
    """What the target does to its outputs: nothing, rounding, truncation to the k largest, or the label alone."""

    kind: str = "none"
    k: int = 10

    @property
    def changes_outputs(self) -> bool:
        return self.kind in ("round", "label") or (self.kind == "truncate" and self.k < 10)


EXACT, ROUNDED, LABEL_ONLY = Defence(), Defence("round"), Defence("label")

# Reconstructions without an attack; see mi_core.attacks.baselines.
BASELINES = (
    "black image",
    "global average",
    "class average",
    "SSIM-optimal class image",
    "random class image",
    "average of nearest outputs",
)


def nearest_outputs(study: Study) -> int:
    """How many images the average of nearest outputs takes: 50, or a twentieth of those that have outputs if fewer."""
    return max(1, min(50, study.attack_training // 20))


@dataclass(frozen=True)
class Replicate:
    """One repetition of the study: its own split, classifiers and attack."""

    study: Study
    number: int

    @property
    def stream(self) -> list[Any]:
        return [self.study.seed, "replicate", self.number]

    @property
    def inverse_seeds(self) -> range:
        return range(self.study.inverse_seeds if self.number == 0 else self.study.further_inverse_seeds)

    @property
    def producer(self) -> str:
        """Whose weights recover A_L of the target's outputs."""
        return "target" if self.study.protocol.activation_weights == "producer" else "shadow"

    # --- data and classifiers ---

    @_kept
    def splits(self) -> Task:
        parameters = {"stream": self.stream, "dataset": self.study.dataset, "checksums": list(CHECKSUMS.values())}
        return Task("splits", parameters, work=1)

    @_kept
    def auxiliary(self) -> Task:
        """The attacker's images. Stages of an attack get these and no others."""
        return Task("auxiliary", {}, {"splits": self.splits()})

    @_kept
    def classifier(self, role: str) -> Task:
        """M_T ("target"), M_S ("shadow"), or a further shadow ("shadow 3") with initial weights of its own."""
        name = "M_T" if role == "target" else role.replace("shadow", "M_S")
        return self._train_classifier(role.split()[0], name, "None", True, "classifier_images", "classifier_epochs")

    def head(self, activation: str, dropout: bool) -> Task:
        return self._train_classifier("target", "head", activation, dropout, "head_images", "head_epochs")

    def _train_classifier(self, role: str, name: str, activation: str, dropout: bool, images: str, epochs: str) -> Task:
        study = self.study
        parameters = {
            "stream": self.stream,
            "name": name,
            "training": f"{role}_train",
            "validation": f"{role}_validation",
            "activation": activation,
            "dropout": dropout,
            "images": getattr(study, images),
            "epochs": getattr(study, epochs),
            "validation_images": min(study.validation_images, VALIDATION_SIZES[role]),
            "precision": study.precision,
        }
        work = parameters["images"] * parameters["epochs"] * CLASSIFIER_SECONDS
        images_of = {"splits": self.splits()} if role == "target" else {"auxiliary": self.auxiliary()}
        return Task("classifier", parameters, images_of, work=work)

    # --- outputs and attack inputs ---

    @_kept
    def outputs(self, role: str, split: str, defence: Defence = EXACT, images: int | None = None) -> Task:
        images = images or self.split_size(split)
        parameters = {"split": split, "images": images, "form": self.study.protocol.outputs}
        inputs = {"classifier": self.classifier(role)}
        inputs |= {"auxiliary": self.auxiliary()} if split.startswith("shadow") else {"splits": self.splits()}
        exact = Task("outputs", parameters, inputs, work=images * OUTPUT_SECONDS)
        if not defence.changes_outputs:
            return exact
        if defence.kind == "label":
            parameters = {"defence": "label"}
        elif defence.kind == "round":
            parameters = {"defence": "round", "decimals": DECIMALS}
        else:
            parameters = {"defence": "truncate", "k": defence.k, "fill": self.study.protocol.truncation_fill}
        return Task("defended", parameters, {"outputs": exact})

    def split_size(self, split: str) -> int:
        study = self.study
        sizes = {"shadow_validation": study.attack_validation, "test": study.attack_test}
        return sizes.get(split, study.attack_training)

    def reconstructions(
        self, outputs: Task, split: str, start: str = "class_average", *, through: str = "shadow"
    ) -> Task:
        parameters = {**self._gradient_parameters(), "start": start, "split": split}
        if start == "random":
            parameters["stream"] = self.stream
        inputs = {"shadow": self.classifier(through), "auxiliary": self.auxiliary(), "outputs": outputs}
        if self.study.protocol.regularisers == "thesis":
            parameters["regularisers"] = list(THESIS_REGULARISERS)
        else:
            inputs["search"] = self.search()
        return Task(
            "reconstructions", parameters, inputs, work=self.split_size(split) * self.study.steps * GRADIENT_SECONDS
        )

    def _gradient_parameters(self) -> dict[str, Any]:
        protocol = self.study.protocol
        return {
            "steps": self.study.steps,
            "data_term": protocol.data_term,
            "update": protocol.update,
            "learning_rate": protocol.learning_rate,
            "clip_norm": protocol.clip_norm,
            "regulariser_scope": protocol.regulariser_scope,
            "form": protocol.outputs,
            "precision": self.study.precision,
        }

    def activations(self, outputs: Task, split: str, weights_of: str) -> Task:
        protocol = self.study.protocol
        parameters = {
            "stream": self.stream,
            "split": split,
            "update": protocol.activation_update,
            "form": protocol.outputs,
        }
        return Task(
            "activations", parameters, {"outputs": outputs, "classifier": self.classifier(weights_of)}, work=0.3
        )

    def search(self) -> Task:
        study = self.study
        plan = SEARCH_PLANS[study.protocol.search_plan]
        draws = [min(plan[0][0], study.search_coarse), min(plan[1][0], study.search_fine)]
        images = [min(count, study.search_images) for _, count in plan]
        given = self.outputs(study.protocol.search_outputs, "shadow_train", images=max(images))
        known = {"shadow": self.classifier("shadow"), "auxiliary": self.auxiliary(), "outputs": given}
        trials: dict[str, Task] = {}
        for phase, draw_count, image_count in zip(("coarse", "fine"), draws, images, strict=True):
            coarse = dict(trials)
            for number in range(draw_count):
                parameters = {
                    **self._gradient_parameters(),
                    "stream": self.stream,
                    "phase": phase,
                    "number": number,
                    "images": image_count,
                }
                work = image_count * study.steps * GRADIENT_SECONDS
                trials[f"{phase} {number}"] = Task("search_trial", parameters, known | coarse, work=work)
        return Task("search", {}, trials)

    # --- inverse models ---

    def attack_inputs(
        self, combination: str, role: str, split: str, defence: Defence, weights_of: str
    ) -> dict[str, Task]:
        """The parts that a combination needs, from the outputs of ``role`` on ``split``."""
        given = self.outputs(role, split, defence)
        makers: dict[str, Callable[[], Task]] = {
            "O": lambda: given,
            "A_L": lambda: self.activations(given, split, weights_of),
            "X~": lambda: self.reconstructions(given, split),
        }
        return {part: makers[part]() for part in combination.split("+")}

    def inverse_model(self, combination: str, defence: Defence, seed: int) -> Task:
        """M_I, trained on the shadow's outputs on D_S^T; watched on D_S^V where those attack inputs exist anyway."""
        study = self.study
        parameters = {
            "stream": self.stream,
            "inverse_seed": seed,
            "combination": combination,
            "hidden": study.protocol.inverse_hidden,
            "epochs": study.inverse_epochs,
            "precision": study.precision,
        }
        inputs = {"auxiliary": self.auxiliary()}
        inputs |= self.attack_inputs(combination, "shadow", "shadow_train", defence, "shadow")
        if not defence.changes_outputs:
            watched = self.attack_inputs(combination, "shadow", "shadow_validation", defence, "shadow")
            inputs |= {f"validation {part}": task for part, task in watched.items()}
        work = study.attack_training * study.inverse_epochs * INVERSE_SECONDS["X~" in combination]
        return Task("inverse_model", parameters, inputs, work=work)

    def inverse_reconstructions(
        self,
        combination: str,
        defence: Defence,
        seed: int,
        weights_of: str,
        *,
        role: str = "target",
        split: str = "test",
    ) -> Task:
        """What M_I makes of the outputs of ``role`` on a split under a defence that the attacker knows.

        Under rounding it depends on the protocol whether M_I was trained on rounded outputs too.
        """
        protocol = self.study.protocol
        trained = EXACT if defence == ROUNDED and not protocol.round_training else defence
        parameters = {"combination": combination, "hidden": protocol.inverse_hidden}
        inputs = {"inverse_model": self.inverse_model(combination, trained, seed)}
        inputs |= self.attack_inputs(combination, role, split, defence, weights_of)
        return Task("inverse_reconstructions", parameters, inputs, work=self.split_size(split) / 1000)

    # --- what needs no attack, and what no attack reaches ---

    def baseline(self, name: str, role: str, split: str) -> Task:
        parameters: dict[str, Any] = {"baseline": name}
        inputs = {"auxiliary": self.auxiliary(), "outputs": self.outputs(role, split)}
        if name == "nearest auxiliary image":  # the ceiling looks at the true images
            inputs["splits"] = self.splits()
            parameters["split"] = split
        if name == "SSIM-optimal class image":
            inputs["optimal images"] = Task(
                "optimal_images", {"stream": self.stream}, {"auxiliary": self.auxiliary()}, work=8
            )
        if name == "random class image":
            parameters["stream"] = self.stream
        if name == "average of nearest outputs":
            parameters["k"] = nearest_outputs(self.study)
            inputs["auxiliary outputs"] = self.outputs("shadow", "shadow_train")
        return Task("baseline", parameters, inputs, work=1)

    def reference_rows(self, role: str = "target", split: str = "test") -> Iterator[tuple[str, Task]]:
        """Rows that stand in every table of scores: baselines from the attacker's data, then two ceilings."""
        for name in BASELINES:
            yield f"baseline: {name}", self.baseline(name, role, split)
        yield "baseline: M_I(label)", self.inverse_reconstructions("O", LABEL_ONLY, 0, "shadow", role=role, split=split)
        yield "ceiling: nearest auxiliary image", self.baseline("nearest auxiliary image", role, split)
        own = self.inverse_reconstructions("O", EXACT, 0, "shadow", role="shadow", split=split)
        yield "ceiling: M_I(O)/own-outputs", own  # nothing is lost between shadow and target

    # --- scores ---

    def evaluation_model(self) -> Task:
        study = self.study
        parameters = {"stream": self.stream, "images": study.evaluation_images, "epochs": study.evaluation_epochs}
        work = study.evaluation_images * study.evaluation_epochs * JUDGE_SECONDS
        return Task("evaluation_model", parameters, {"splits": self.splits()}, work=work)

    def scores(self, images: Task, role: str, split: str) -> Task:
        judge = {"splits": self.splits(), "evaluation model": self.evaluation_model()}
        inputs = judge | {
            "features": Task("features", {"split": split}, judge, work=0.5),
            "images": images,
            "outputs": self.outputs(role, split),
        }
        parameters = {"stream": self.stream, "split": split}
        return Task("scores", parameters, inputs, work=0.2 + self.split_size(split) * SCORE_SECONDS)

    def score_table(self, rows: Iterable[tuple[Mapping[str, Any], str, Task]]) -> Task:
        """A table of scores from (labels, role, images) of each line: labels hold row, split and inverse_seed."""
        labels, inputs = {}, {}
        for label, role, images in rows:
            name = " ".join(map(str, label.values()))
            labels[name], inputs[name] = dict(label), self.scores(images, role, label["split"])
        return Task("score_table", {"rows": labels}, inputs)

    def start_rows(self) -> Iterator[tuple[str, str, Task]]:
        """Rows of Table 3: (start, split, X~)."""
        for start in STARTS:
            for role, split in (("shadow", "shadow_validation"), ("target", "test")):
                yield start, split, self.reconstructions(self.outputs(role, split), split, start)

    def combination_rows(self, seed: int) -> Iterator[tuple[str, Task]]:
        """Rows of Table 4: M_I on D_F for the seven combinations. A row whose A_L uses the target's weights stands
        beside one that does not."""
        for combination in COMBINATIONS:
            yield f"M_I({combination})", self.inverse_reconstructions(combination, EXACT, seed, self.producer)
            if "A_L" in combination and self.producer == "target":
                images = self.inverse_reconstructions(combination, EXACT, seed, "shadow")
                yield f"M_I({combination}){SHADOW_MARK}", images

    def rounding_rows(self, seed: int) -> Iterator[tuple[str, Task]]:
        """Rows of Table 5."""
        for combination in ("O", "X~"):
            for name, defence in (("exact", EXACT), ("rounded", ROUNDED)):
                yield f"M_I({combination})/{name}", self.inverse_reconstructions(combination, defence, seed, "shadow")

    def truncation_rows(self, seed: int) -> Iterator[tuple[str, Task]]:
        """Rows of Table 6."""
        for combination in ("O", "X~"):
            for k in TRUNCATIONS:
                defence = Defence("truncate", k) if k < 10 else EXACT
                yield f"M_I({combination})/k={k}", self.inverse_reconstructions(combination, defence, seed, "shadow")

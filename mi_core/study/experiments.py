"""Each table and figure of the study as a task graph. The only room that sees a whole ``Study``.

A ``Replicate`` names, for every task, exactly the parameters that its stage reads; that is what keys are made of.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mi_core.study.graph import Task
from mi_core.study.parameters import THESIS_REGULARISERS, Study
from mi_core.study.source import CHECKSUMS

__all__ = ["COMBINATIONS", "EXPERIMENTS", "HEADS", "SHADOW_MARK", "STARTS", "TRUNCATIONS", "Replicate", "replicates"]

COMBINATIONS = ("O", "A_L", "X~", "O+A_L", "O+X~", "A_L+X~", "O+A_L+X~")
STARTS = ("random", "class_instance", "class_average")
HEADS = tuple(
    (activation, dropout) for activation in ("None", "ReLU", "Sigmoid", "GELU", "SiLU") for dropout in (False, True)
)
TRUNCATIONS = (10, 5, 3, 1)
DECIMALS = 1
SEARCH_PLANS = {"code": ((20, 96), (5, 160)), "text": ((20, 320), (10, 320))}  # (draws, images) coarse, fine
SHADOW_MARK = "/shadow-weights"  # on rows whose A_L of D_F uses no weight of the target, where others do
VALIDATION_SIZES = {"target": 1320, "shadow": 1340}  # of D_T^V and D_S^V

# Seconds on two CPU cores with bfloat16, for estimates of time only.
CLASSIFIER_SECONDS = 1 / 650  # per image and epoch
GRADIENT_SECONDS = 1 / 1400  # per image and step
INVERSE_SECONDS = {False: 1 / 440, True: 1 / 190}  # per image and epoch, without and with X~
OUTPUT_SECONDS = 1 / 500  # per image


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
NEAREST_OUTPUTS = 50  # images averaged, at most a twentieth of those that the attacker has outputs for


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

    # --- data and classifiers ---

    def splits(self) -> Task:
        parameters = {"stream": self.stream, "dataset": self.study.dataset, "checksums": list(CHECKSUMS.values())}
        return Task("splits", parameters, work=1)

    def auxiliary(self) -> Task:
        """The attacker's images. Stages of an attack get these and no others."""
        return Task("auxiliary", {}, {"splits": self.splits()})

    def classifier(self, role: str) -> Task:
        return self._train_classifier(
            role, "M_T" if role == "target" else "M_S", "None", True, "classifier_images", "classifier_epochs"
        )

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

    def reconstructions(self, outputs: Task, split: str, start: str = "class_average") -> Task:
        parameters = {**self._gradient_parameters(), "start": start, "split": split}
        if start == "random":
            parameters["stream"] = self.stream
        inputs = {"shadow": self.classifier("shadow"), "auxiliary": self.auxiliary(), "outputs": outputs}
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
        self, combination: str, defence: Defence, seed: int, weights_of: str, *, role: str = "target"
    ) -> Task:
        """What M_I makes of the outputs of ``role`` on D_F under a defence that the attacker knows.

        Under rounding it depends on the protocol whether M_I was trained on rounded outputs too.
        """
        protocol = self.study.protocol
        trained = EXACT if defence == ROUNDED and not protocol.round_training else defence
        parameters = {"combination": combination, "hidden": protocol.inverse_hidden}
        inputs = {"inverse_model": self.inverse_model(combination, trained, seed)}
        inputs |= self.attack_inputs(combination, role, "test", defence, weights_of)
        return Task("inverse_reconstructions", parameters, inputs, work=self.study.attack_test / 1000)

    # --- what needs no attack, and what no attack reaches ---

    def baseline(self, name: str) -> Task:
        parameters: dict[str, Any] = {"baseline": name}
        inputs = {"auxiliary": self.auxiliary(), "outputs": self.outputs("target", "test")}
        if name == "nearest auxiliary image":  # the ceiling looks at the true images
            inputs["splits"] = self.splits()
        if name in ("SSIM-optimal class image", "random class image"):
            parameters["stream"] = self.stream
        if name == "average of nearest outputs":
            parameters["k"] = max(1, min(NEAREST_OUTPUTS, self.study.attack_training // 20))
            inputs["auxiliary outputs"] = self.outputs("shadow", "shadow_train")
        return Task("baseline", parameters, inputs, work=15 if name == "SSIM-optimal class image" else 1)

    def reference_rows(self) -> Iterator[tuple[str, Task]]:
        """Rows that stand in every table of scores on D_F: baselines from the attacker's data, then two ceilings."""
        for name in BASELINES:
            yield f"baseline: {name}", self.baseline(name)
        yield "baseline: M_I(label)", self.inverse_reconstructions("O", LABEL_ONLY, 0, "shadow")
        yield "ceiling: nearest auxiliary image", self.baseline("nearest auxiliary image")
        own = self.inverse_reconstructions("O", EXACT, 0, "shadow", role="shadow")
        yield "ceiling: M_I(O)/own-outputs", own  # nothing is lost between shadow and target

    # --- tables ---

    def scores(self, images: Task, outputs: Task, split: str) -> Task:
        inputs = {"splits": self.splits(), "images": images, "outputs": outputs}
        return Task("scores", {"split": split}, inputs, work=self.split_size(split) / 1000)

    def start_rows(self) -> Iterator[tuple[str, str, Task]]:
        """Rows of Table 3: (start, split, X~)."""
        for start in STARTS:
            for role, split in (("shadow", "shadow_validation"), ("target", "test")):
                yield start, split, self.reconstructions(self.outputs(role, split), split, start)

    def combination_rows(self, seed: int) -> Iterator[tuple[str, Task]]:
        """Rows of Table 4: M_I on D_F for the seven combinations. A row whose A_L uses the target's weights stands
        beside one that does not."""
        producer = "target" if self.study.protocol.activation_weights == "producer" else "shadow"
        for combination in COMBINATIONS:
            yield f"M_I({combination})", self.inverse_reconstructions(combination, EXACT, seed, producer)
            if "A_L" in combination and producer == "target":
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

    def table1(self) -> Task:
        heads = {
            f"{activation}/{'dropout' if dropout else 'no-dropout'}": self.head(activation, dropout)
            for activation, dropout in HEADS
        }
        names = {name: ["target_train", "target_validation"] for name in heads}
        return Task("classifier_scores", {"splits": names}, heads)

    def _pair(self) -> dict[str, Task]:
        return {"M_T": self.classifier("target"), "M_S": self.classifier("shadow")}

    def table2(self) -> Task:
        names = {
            "M_T": ["target_train", "target_validation"],
            "M_S": ["shadow_train", "shadow_validation"],
        }
        return Task("classifier_scores", {"splits": names}, self._pair())

    def table3(self) -> Task:
        rows, inputs = {}, {}
        for start, split, images in self.start_rows():
            name = f"{start} {split}"
            rows[name] = {"row": start, "split": split, "inverse_seed": 0}
            inputs[name] = self.scores(images, images.inputs["outputs"], split)
        return self._score_table(rows, inputs)

    def table4(self) -> Task:
        return self._inverse_table(self.combination_rows)

    def table5(self) -> Task:
        return self._inverse_table(self.rounding_rows)

    def table6(self) -> Task:
        return self._inverse_table(self.truncation_rows)

    def _inverse_table(self, make_rows: Callable[[int], Iterator[tuple[str, Task]]]) -> Task:
        rows, inputs = {}, {}
        for seed in self.inverse_seeds:
            for row, images in make_rows(seed):
                name = f"{row} {seed}"
                rows[name] = {"row": row, "split": "test", "inverse_seed": seed}
                inputs[name] = self.scores(images, self.outputs("target", "test"), "test")
        return self._score_table(rows, inputs)

    def _score_table(self, rows: dict[str, Any], inputs: dict[str, Task]) -> Task:
        """A table of scores with the baselines and ceilings below its own rows."""
        for name, images in self.reference_rows():
            rows[name] = {"row": name, "split": "test", "inverse_seed": 0}
            inputs[name] = self.scores(images, self.outputs("target", "test"), "test")
        return Task("score_table", {"rows": rows}, inputs)

    # --- figures ---

    def class_counts(self) -> Task:
        return Task("class_counts", {}, {"splits": self.splits()})

    def starts(self) -> Task:
        return Task("starts", {"stream": self.stream}, {"splits": self.splits()})

    def confusion(self) -> Task:
        return Task("confusion_counts", {}, self._pair())

    def architecture(self) -> Task:
        return Task("architecture", {"inverse_inputs": 10, "hidden": self.study.protocol.inverse_hidden})

    def curves(self) -> Task:
        """Losses of both classifiers and of the seven inverse models (first inverse seed)."""
        inverse = {f"M_I({name})": self.inverse_model(name, EXACT, 0) for name in COMBINATIONS}
        return Task("curves", {}, self._pair() | inverse)

    def gallery(self) -> Task:
        """Pictures of D_F: every row in replicate 0; X~, M_I(O), M_I(X~) and k = 1 in the others."""
        rows = {f"X~/{start}": images for start, split, images in self.start_rows() if split == "test"}
        rows |= dict(self.combination_rows(0)) | dict(self.rounding_rows(0)) | dict(self.truncation_rows(0))
        rows |= dict(self.reference_rows())
        if self.number > 0:
            kept = ("X~/class_average", "M_I(O)", "M_I(X~)", "M_I(O)/k=1", "M_I(X~)/k=1")
            rows = {name: rows[name] for name in kept}
        else:  # rows that are one experiment are one picture
            unique = {images.key: name for name, images in reversed(rows.items())}
            rows = {name: rows[name] for name in rows if name in unique.values()}
        return Task("gallery", {}, {"splits": self.splits(), **rows})


EXPERIMENTS: dict[str, Callable[[Replicate], Task]] = {
    "table1": Replicate.table1,
    "table2": Replicate.table2,
    "table3": Replicate.table3,
    "table4": Replicate.table4,
    "table5": Replicate.table5,
    "table6": Replicate.table6,
    "class_counts": Replicate.class_counts,
    "starts": Replicate.starts,
    "confusion": Replicate.confusion,
    "architecture": Replicate.architecture,
    "search": Replicate.search,
    "curves": Replicate.curves,
    "gallery": Replicate.gallery,
}


def replicates(study: Study) -> list[Replicate]:
    return [Replicate(study, number) for number in range(study.replicates)]

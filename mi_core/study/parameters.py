"""Parameters of a run: ``Study`` and ``Protocol``, frozen and validated, and the profiles.

Defaults are the thesis's sizes. Keys of artefacts never contain a ``Study``; see ``mi_core.study.experiments``.
"""

import difflib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mi_core.errors import UserError

__all__ = ["CODE", "PROFILES", "PROTOCOLS", "TEXT", "Protocol", "Study", "check_names", "make_study", "parameter_names"]

THESIS_REGULARISERS = (4.4323e-5, 9.48785e-3)  # lambda_L2, lambda_TV (thesis section 4.1.2)


class Protocol(BaseModel):
    """The choices on which the thesis's text and its released code differ, or which it leaves open.

    The defaults are ``CODE``, the released notebook: the text's loss cannot have given Tables 5 and 6.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    data_term: Literal["output_mse", "cross_entropy"] = Field(
        "output_mse", description="what X~ matches: the output vector, or the predicted label"
    )
    update: Literal["adam", "gradient_descent"] = Field("adam", description="how X~ is updated")
    learning_rate: float = Field(0.01, gt=0, le=10, description="step size of X~")
    clip_norm: float = Field(1.0, ge=0, le=1e6, description="largest gradient norm of X~; 0 for no clipping")
    regulariser_scope: Literal["batch_of_32", "image"] = Field(
        "batch_of_32",
        description="images that share one objective: the regularisers are summed over 32 images, or act per image",
    )
    regularisers: Literal["thesis", "own_search"] = Field(
        "thesis", description="lambda_L2 and lambda_TV: the thesis's two numbers, or the best of our own search"
    )
    search_outputs: Literal["target", "shadow"] = Field(
        "target", description="whose outputs on D_S^T the search of lambda inverts ('target' means querying it)"
    )
    search_plan: Literal["code", "text"] = Field(
        "code", description="coarse and fine draws: 20 of 96 images and 5 of 160 (code), 20 and 10 of 320 (text)"
    )
    activation_weights: Literal["producer", "shadow"] = Field(
        "producer", description="weights that recover A_L of D_F: the target's ('producer'), or the shadow's"
    )
    activation_update: Literal["adam", "gradient_descent"] = Field("adam", description="how A_L is updated")
    inverse_hidden: Literal["tanh_dropout", "relu"] = Field(
        "tanh_dropout", description="hidden layers of M_I: Tanh with dropout, or ReLU without"
    )
    round_training: bool = Field(False, description="whether M_I is trained on rounded outputs too")
    truncation_fill: Literal["zero", "lowest_remaining"] = Field(
        "zero", description="what truncated outputs become: 0, or the smallest output that was kept"
    )
    outputs: Literal["logits", "probabilities"] = Field("logits", description="what the classifiers answer with")


CODE = Protocol()
TEXT = Protocol(
    data_term="cross_entropy",
    update="gradient_descent",
    clip_norm=0.0,
    regulariser_scope="image",
    search_outputs="shadow",
    search_plan="text",
    activation_weights="shadow",
    activation_update="gradient_descent",
    inverse_hidden="relu",
    round_training=True,
)
PROTOCOLS = {"code": CODE, "text": TEXT}


class Study(BaseModel):
    """Everything that a run of the study depends on."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dataset: Literal["mnist"] = Field("mnist", description="data set")
    seed: int = Field(0, ge=0, lt=2**31, description="from which every random draw is derived")
    replicates: int = Field(5, ge=1, le=100, description="repetitions of everything: new split, classifiers, attack")
    inverse_seeds: int = Field(5, ge=1, le=100, description="trainings of each M_I on the same inputs in replicate 0")
    further_inverse_seeds: int = Field(2, ge=1, le=100, description="the same in the other replicates")
    classifier_images: int = Field(10_000, ge=32, le=10_000, description="training images of each classifier")
    classifier_epochs: int = Field(20, ge=1, le=1000, description="epochs of each classifier")
    head_images: int = Field(10_000, ge=32, le=10_000, description="training images of each head of Table 1")
    head_epochs: int = Field(20, ge=1, le=1000, description="epochs of each head of Table 1")
    validation_images: int = Field(1340, ge=32, le=1340, description="images that validate a classifier, at most")
    attack_training: int = Field(10_000, ge=32, le=10_000, description="images of D_S^T on which M_I is trained")
    attack_validation: int = Field(1340, ge=32, le=1340, description="images of D_S^V that are reconstructed")
    attack_test: int = Field(1340, ge=32, le=1340, description="images of D_F that are attacked")
    steps: int = Field(400, ge=1, le=100_000, description="iterations of each X~")
    inverse_epochs: int = Field(20, ge=1, le=1000, description="epochs of each M_I")
    evaluation_images: int = Field(
        40_000, ge=32, le=40_000, description="training images of the evaluation model, of those that no split holds"
    )
    evaluation_epochs: int = Field(5, ge=1, le=1000, description="epochs of the evaluation model")
    search_coarse: int = Field(20, ge=1, le=20, description="coarse draws of the search of lambda, at most")
    search_fine: int = Field(10, ge=1, le=10, description="fine draws of the search, at most")
    search_images: int = Field(320, ge=32, le=320, description="images of each draw, at most")
    ladder_images: int = Field(10_000, ge=32, le=10_000, description="images of D_S^T that the ladder's attackers have")
    ladder_test: int = Field(1340, ge=32, le=1340, description="images of D_F that the ladder attacks")
    ladder_epochs: int = Field(4, ge=1, le=1000, description="epochs of the ladder's inverse models")
    ladder_shadows: int = Field(16, ge=2, le=16, description="shadows of the largest pool; one more is held out")
    protocol: Protocol = Field(CODE, description="choices on which text and code of the thesis differ")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to compute")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the networks while training and attacking; auto: bfloat16 where the hardware has it"
    )


PROFILES: dict[str, Study] = {
    "smoke": Study(
        replicates=1,
        inverse_seeds=1,
        classifier_images=192,
        classifier_epochs=1,
        head_images=64,
        head_epochs=1,
        validation_images=96,
        attack_training=64,
        attack_validation=32,
        attack_test=32,
        steps=3,
        inverse_epochs=1,
        evaluation_images=256,
        evaluation_epochs=1,
        search_coarse=2,
        search_fine=1,
        search_images=32,
        ladder_images=64,
        ladder_test=32,
        ladder_epochs=1,
        ladder_shadows=2,
    ),
    "quick": Study(
        replicates=1,
        inverse_seeds=1,
        classifier_images=2000,
        classifier_epochs=4,
        head_images=1000,
        head_epochs=2,
        attack_training=256,
        attack_validation=64,
        attack_test=64,
        steps=40,
        evaluation_images=10_000,
        evaluation_epochs=3,
        search_coarse=6,
        search_fine=3,
        search_images=32,
        ladder_images=2000,
        ladder_test=500,
        ladder_shadows=4,
    ),
    "standard": Study(
        inverse_seeds=1,
        further_inverse_seeds=1,
        head_epochs=3,
        attack_training=1000,
        attack_validation=500,
        steps=50,
        evaluation_epochs=3,
        ladder_shadows=4,
    ),
    "paper": Study(),
}


def parameter_names() -> list[str]:
    """Every name that a run may be given: those of ``Study`` and of ``Protocol``, and "profile"."""
    return ["profile", *Study.model_fields, *Protocol.model_fields]


def check_names(names: list[str]) -> None:
    """Refuse a name that is no parameter, with the nearest one that is.

    Raises:
        UserError: an unknown name.
    """
    known = parameter_names()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else "the parameters are " + ", ".join(known) + "."
            raise UserError(f"`{name}` is not a parameter; {hint}")


def make_study(profile: str, changes: Mapping[str, Any] | None = None) -> Study:
    """The study of a profile, with some parameters changed.

    Args:
        profile: a key of ``PROFILES``.
        changes: fields of ``Study`` or ``Protocol`` by name; ``protocol`` is "code" or "text", on top of which
            single choices may be changed.
    Raises:
        UserError: an unknown profile or name, a wrong type, a value out of range.
    Example:
        >>> make_study("smoke", {"seed": 3, "update": "gradient_descent"}).protocol.update
        'gradient_descent'
    """
    if not isinstance(profile, str) or profile not in PROFILES:
        near = difflib.get_close_matches(str(profile), PROFILES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else ""
        raise UserError(f"`profile` must be one of {', '.join(PROFILES)}; got {profile!r}. {hint}".rstrip())
    changes = dict(changes or {})
    check_names([*changes])
    name = changes.pop("protocol", "code")
    if not isinstance(name, str) or name not in PROTOCOLS:
        raise UserError(f"`protocol` must be 'code' or 'text'; got {name!r}")
    choices = {field: changes.pop(field) for field in Protocol.model_fields if field in changes}
    base = PROFILES[profile].model_dump() | changes
    protocol = PROTOCOLS[name].model_dump() | choices
    try:
        return Study(**{**base, "protocol": Protocol(**protocol)})
    except ValidationError as error:
        raise UserError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    parts = []
    for problem in error.errors():
        what = problem["msg"][:1].lower() + problem["msg"][1:]
        what += ", True or False" if problem["type"] == "bool_type" else ""
        parts.append(f"`{'.'.join(map(str, problem['loc']))}`: {what}, but it is {problem['input']!r}")
    return "; ".join(parts) + "."

"""Bad input by the hundred: whatever is given, one sentence of ours and exit code 2, never a traceback."""

import contextlib
import io
import string
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mi_core
from mi_core import cli
from mi_core.attacks import activations, baselines, gradient, inverse
from mi_core.data import Split, draw_splits, resize_images
from mi_core.defenses import label_only, round_outputs, truncate_outputs
from mi_core.errors import UserError
from mi_core.metrics import (
    confusion,
    euclidean_distances,
    mse_per_image,
    rank_within_class,
    ssim_distances,
    ssim_per_image,
    weighted_f1,
)
from mi_core.models import Classifier, InverseModel, frozen_for_inference
from mi_core.reidentification import area_under_curve, mean_reciprocal_rank, top_1
from mi_core.study.graph import Runner
from mi_core.study.parameters import PROFILES, Protocol, Study, make_study, parameter_names
from mi_core.study.results import results_of_notebook
from mi_core.training import fit, mean_batch_loss, predict

fault = pytest.mark.fault  # (title, what it gives): a row of the table of faults, see ``conftest``
SENTENCE = "one sentence"
REFUSED = "one sentence, exit code 2"

# The same cases at each run, and no database of them: the table of faults counts them.
hundreds = settings(
    max_examples=300, derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


def is_sentence(error: Exception) -> bool:
    text = str(error)
    return bool(text) and text.isprintable() and len(text) < 1000


# --- parameters ----------------------------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
names = st.sampled_from([name for name in parameter_names() if name != "profile"])
almost_names = st.builds(lambda name, letter: name[:-1] + letter, names, st.sampled_from(string.ascii_lowercase))


def refused(call: Callable[[], Any]) -> bool:
    """Whether a call is refused with one sentence; any other error is not caught."""
    try:
        call()
    except UserError as error:
        assert is_sentence(error), repr(str(error))
        return True
    return False


@fault("a parameter with a wrong name, type or range", SENTENCE)
@hundreds
@given(name=names | almost_names | st.text(max_size=30), value=anything)
def test_a_wrong_parameter_is_one_sentence(tried: Callable[[], None], name: str, value: Any) -> None:
    def in_range() -> None:
        study = make_study("smoke", {name: value})
        if name != "protocol":
            kept = study if name in Study.model_fields else study.protocol
            assert getattr(kept, name) == value

    if refused(in_range):
        tried()


@fault("a notebook with a wrong parameter", SENTENCE)
@hundreds
@given(profile=st.sampled_from(["published", *PROFILES]) | anything, name=names | almost_names, value=anything)
def test_a_notebook_with_a_wrong_parameter_is_one_sentence(
    tried: Callable[[], None], profile: Any, name: str, value: Any
) -> None:
    if refused(lambda: results_of_notebook({"profile": profile, name: value})):
        tried()


def limits() -> list[tuple[str, Any]]:
    """Each number just outside its range, and each choice misspelt."""
    found: list[tuple[str, Any]] = []
    for model in (Study, Protocol):
        for name, field in model.model_json_schema()["properties"].items():
            step = 1 if field.get("type") == "integer" else 1e-9
            found += [(name, field["minimum"] - step)] if "minimum" in field else []
            found += [(name, field["maximum"] + step)] if "maximum" in field else []
            found += [(name, field["exclusiveMinimum"])] if "exclusiveMinimum" in field else []
            found += [(name, choice + "x") for choice in field.get("enum", [field.get("const")]) if choice]
    return found


@fault("a parameter just outside its range, or misspelt", SENTENCE)
@pytest.mark.parametrize(("name", "value"), limits())
def test_what_is_just_outside_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^`{name}`: ") as caught:
        make_study("paper", {name: value})
    assert is_sentence(caught.value)


# --- command lines -------------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands are understood, and do no long work; folders are empty ones."""
    from mi_core.report import chapters
    from mi_core.study import benchmark, cluster

    monkeypatch.setenv("MI_CORE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MI_CORE_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr(Runner, "compute", lambda self, tasks: 0)
    monkeypatch.setattr(chapters, "execute_chapters", lambda *_: [])
    monkeypatch.setattr(benchmark, "measure_speed", lambda *_, **__: pytest.fail("would measure"))
    monkeypatch.setattr(cluster, "local_workers", lambda count, device: contextlib.nullcontext())
    monkeypatch.setattr(cluster, "compute", lambda client, runner, tasks: 0)


def outcome(words: list[str]) -> tuple[int, str]:
    """Exit code and messages of a command line, in this process."""
    messages, before = io.StringIO(), sys.argv
    sys.argv = ["mi_core", *words]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(messages):
            cli.main()
    except SystemExit as exit:
        return exit.code, messages.getvalue()
    finally:
        sys.argv = before
    return 0, messages.getvalue()


def assert_refused(words: list[str]) -> str:
    code, messages = outcome(words)
    assert code == 2, messages
    *before, sentence = messages.removesuffix("\n").split("\n")
    assert all("steps to compute" in line for line in before), messages  # an estimate may have been printed
    assert sentence.startswith("Error: ")
    assert sentence.isprintable()
    return sentence


commands = st.sampled_from(
    ["verdicts", "chapter", "book", "import", "parameters", "table", "table 4", "run", "run --profile smoke", "status",
     "status --profile smoke", "publish", "publish --profile smoke"]
).map(str.split)  # fmt: skip
places = ["--store", "--output", "--bundle", "--scheduler"]
options = st.sampled_from(
    [*places, "--profile", "--device", "--only", "--csv", "--replicate", "--workers", "--insecure", "-p", "-x"]
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
values = st.sampled_from(["smoke", "smok", "published", "4", "7", "-1", "1e9", "nan", "seed", ".", "/", ""]) | texts


@fault("a random command line", "what it asks for, or " + REFUSED)
@hundreds
@given(command=commands, words=st.lists(options | values, max_size=6))
def test_a_random_command_line_does_what_it_says_or_is_refused(
    nothing_is_done: None, tried: Callable[[], None], command: list[str], words: list[str]
) -> None:
    code, messages = outcome([*command, *words])
    assert code in (0, 2), messages
    if code == 2:
        assert_refused([*command, *words])
        tried()


@fault("-p with a wrong name, type or range on the command line", REFUSED)
@hundreds
@given(name=names | almost_names, value=texts)
def test_a_wrong_value_on_the_command_line_is_refused(
    nothing_is_done: None, tried: Callable[[], None], name: str, value: str
) -> None:
    code, _ = outcome(["status", "--profile", "smoke", "-p", name, value])
    if code != 0:
        assert_refused(["status", "--profile", "smoke", "-p", name, value])
        tried()


@fault("a place that cannot be used, a choice that does not exist", REFUSED)
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "--profile", "smoke", "-p", "seed", "abc"], "`seed`: input should be a valid integer"),
        (["run", "--profile", "smoke", "--only", "7"], "`7` names no table"),
        (["run", "--profile", "smok"], "'smok' is not one of"),
        (["run", "--profile", "standard", "--replicate", "9"], "one of the study's, 0 to 4; got 9"),
        (["run", "--profile", "smoke", "--scheduler", "tcp://10.0.0.1:8786"], "is another machine without TLS"),
        (["table", "9"], "`9` names no table"),
        (["chapter", "nonsense"], "`nonsense` is no chapter; there are"),
        (["chapter", "workflow", "-p", "profile", "quik"], "`profile` must be published or one of"),
        (["chapter", "workflow", "-p", "steps", "3"], "cannot be changed in published results"),
        (["run", "--profile", "smoke", "-p", "dataset", "cifar10"], "`dataset`: input should be 'mnist'"),
        (["run", "--profile", "smoke", "-p", "attack_test", "0"], "`attack_test`: input should be greater than"),
        (["run", "--profile", "smoke", "-p", "attack_training", "20000"], "`attack_training`: input should be less"),
        (["run", "--profile", "smoke", "-p", "seed", "-1"], "`seed`: input should be greater than"),
        (["run", "--profile", "smoke", "-p", "profile", "quick"], "`profile` is chosen with --profile"),
        (["run", "--profile", "smoke", "--device", "tpu"], "'tpu' is not one of"),
        (["run", "--profile", "smoke", "--store", "file"], "is a file"),
        (["chapter", "workflow", "--output", "."], "is a directory"),
        (["chapter", "workflow", "--output", "/dev/null/out.ipynb"], "cannot write"),
        (["chapter", "workflow", "-p", "profile", "paper", "-p", "seed", "x"], "`seed`: input should be a valid"),
        (["table", "0"], "names no table"),
        (["table", "4", "--profile", "smoke"], "is not computed yet"),
        (["publish", "--profile", "smoke", "--bundle", "."], "is a directory"),
        (["run", "--profile", "standard", "--only", "gallery", "--replicate", "1"], "gallery is of replicate 0 alone"),
        (["publish", "--profile", "smoke", "--replicate", "0"], "is for bundles: name a --bundle FILE as well"),
        (["publish", "--profile", "smoke", "--bundle", "out", "--replicate", "9"], "no finished table"),
        (["import", "absent.zip"], "does not exist"),
        (["book", "-p", "seed", "3"], "name a profile to compute"),
        (["book", "-p", "profile", "quick"], "name another --output"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(nothing_is_done: None, words: list[str], sentence: str) -> None:
    assert sentence in assert_refused(words)


# --- functions of the core -----------------------------------------------------------------------------------------

COUNT, CLASSES = 12, 10


def outputs() -> torch.Tensor:
    """(12, 10), the first ten of them with one predicted class each."""
    scores = torch.randn(COUNT, CLASSES, generator=torch.Generator().manual_seed(1))
    return scores + 9 * torch.eye(CLASSES)[torch.arange(COUNT) % CLASSES]


def images() -> torch.Tensor:
    return torch.rand(COUNT, 1, 32, 32, generator=torch.Generator().manual_seed(2))


def labels() -> torch.Tensor:
    return torch.arange(COUNT) % 2


def auxiliary(pictures: torch.Tensor | None = None) -> Split:
    pictures = images() if pictures is None else pictures
    return Split(pictures, torch.arange(len(pictures)) % CLASSES, torch.arange(len(pictures)))


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def reconstruct(outputs: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    shadow = frozen_for_inference(Classifier())
    return gradient.reconstruct_images(shadow, outputs, images, l2_weight=0.0, tv_weight=0.0, steps=1)


def recover(outputs: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
    return activations.recover_activations(outputs, square, torch.zeros(10), generator=draws(), update="adam")


def start(outputs: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return gradient.start_images("class_average", outputs, auxiliary(images), generator=draws())


def fit_inverse(scores: torch.Tensor, images: torch.Tensor) -> object:
    return inverse.fit_inverse_model(scores, images, epochs=1, stream=("bad input",))


# What an argument is, by its name: a valid one.
VALID: dict[str, Callable[[], torch.Tensor]] = {
    "outputs": outputs,  # (n, 10)
    "scores": outputs,  # (n, c)
    "probabilities": lambda: outputs().softmax(1),
    "square": lambda: torch.eye(CLASSES),
    "images": images,  # (n, 1, 32, 32) in [0, 1]
    "pictures": images,  # the same of any size
    "others": images,
    "points": images,  # (n, ...)
    "pixels": images,  # (n, 1, 32, 32) of any range
}

# The public functions, as functions of arguments with these names.
CORE: dict[str, Callable[..., Any]] = {
    "round_outputs": lambda scores: round_outputs(scores),
    "truncate_outputs": lambda scores: truncate_outputs(scores, 3),
    "label_only": lambda scores: label_only(scores),
    "ssim_per_image": lambda pictures, others: ssim_per_image(pictures, others),
    "mse_per_image": lambda pictures, others: mse_per_image(pictures, others),
    "ssim_distances": lambda pictures, others: ssim_distances(pictures, others),
    "ssim_loss": lambda pictures, others: inverse.ssim_loss(pictures, others),
    "euclidean_distances": lambda points: euclidean_distances(points, images()),
    "rank_within_class": lambda points: rank_within_class(points, images(), labels()),
    "rank_within_class, candidates": lambda points: rank_within_class(images(), points, labels()),
    "class_averages": lambda images: gradient.class_averages(auxiliary(images)),
    "class_instances": lambda images: gradient.class_instances(auxiliary(images)),
    "start_images": start,
    "reconstruct_images": reconstruct,
    "recover_activations": recover,
    "logits_from_probabilities": lambda probabilities: activations.logits_from_probabilities(probabilities),
    "assemble_inputs, O": lambda outputs: inverse.assemble_inputs("O", {"O": outputs}),
    "assemble_inputs, X~": lambda images: inverse.assemble_inputs("X~", {"X~": images}),
    "fit_inverse_model": fit_inverse,
    "predict, M_I": lambda outputs: predict(InverseModel(10), outputs),
    "predict, M_T": lambda pixels: predict(Classifier(), pixels),
    "black_images": lambda outputs, images: baselines.black_images(outputs, auxiliary(images)),
    "global_average_images": lambda outputs, images: baselines.global_average_images(outputs, auxiliary(images)),
    "class_average_images": lambda outputs, images: baselines.class_average_images(outputs, auxiliary(images)),
    "random_class_images": lambda outputs, images: baselines.random_class_images(
        outputs, auxiliary(images), generator=draws()
    ),
    "nearest_auxiliary_images": lambda images: baselines.nearest_auxiliary_images(images, auxiliary()),
    "nearest_output_averages": lambda outputs, scores: baselines.nearest_output_averages(
        outputs, auxiliary(), scores, k=2
    ),
    "ssim_optimal_images": lambda images: baselines.ssim_optimal_images(auxiliary(images), generator=draws(), steps=1),
}

SPOILT: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "empty": lambda tensor: tensor[:0],
    "not a number": lambda tensor: tensor.clone().index_fill_(0, torch.tensor([1]), float("nan")),
    "infinite": lambda tensor: tensor.clone().index_fill_(0, torch.tensor([1]), float("inf")),
    "whole numbers": lambda tensor: tensor.long(),
    "a dimension less": lambda tensor: tensor[0],
    "a dimension more": lambda tensor: tensor[None],
}
SPOILT_IMAGES = {
    "up to 255": lambda images: images * 255,
    "negative": lambda images: -images,
    "three colours": lambda images: images.expand(-1, 3, -1, -1),
    "a line less": lambda images: images[:, :, :-1],
    "tiny": lambda images: images[..., :5, :5],
}
SPOILT_OF = {
    "outputs": SPOILT | {"a column less": lambda outputs: outputs[:, :-1]},
    "probabilities": SPOILT | {"logits": lambda probabilities: probabilities * 9},
    "square": SPOILT | {"a line less": lambda square: square[:-1]},
    "points": {how: spoil for how, spoil in SPOILT.items() if how != "whole numbers"},
    "pixels": SPOILT | {how: SPOILT_IMAGES[how] for how in ("three colours", "a line less", "tiny")},
} | {name: SPOILT | SPOILT_IMAGES for name in ("images", "pictures", "others")}


def spoilt_calls() -> list[tuple[str, str, str]]:
    return [
        (name, argument, how)
        for name, function in CORE.items()
        for argument in function.__code__.co_varnames[: function.__code__.co_argcount]
        for how in SPOILT_OF.get(argument, SPOILT)
    ]


@pytest.mark.parametrize("name", CORE)
def test_what_is_spoilt_below_is_accepted_whole(name: str) -> None:
    call_core(name)


def call_core(name: str, **spoilt: torch.Tensor) -> None:
    function = CORE[name]
    arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
    function(**{argument: VALID[argument]() for argument in arguments} | spoilt)


@fault("images or outputs of a wrong size, range or kind, empty, infinite or not a number, in the core", SENTENCE)
@pytest.mark.parametrize(("name", "argument", "how"), spoilt_calls())
def test_a_spoilt_tensor_is_one_sentence_of_ours(name: str, argument: str, how: str) -> None:
    with pytest.raises((ValueError, FloatingPointError)) as caught:
        call_core(name, **{argument: SPOILT_OF.get(argument, SPOILT)[how](VALID[argument]())})
    assert is_sentence(caught.value), repr(str(caught.value))
    raised_in = Path(traceback.extract_tb(caught.value.__traceback__)[-1].filename)
    assert Path(mi_core.__file__).parent in raised_in.parents


numbers = st.integers(-3, 40)


@fault("a number out of range, in the core", SENTENCE)
@hundreds
@given(number=numbers, which=st.integers(0, 8))
def test_a_number_out_of_range_is_one_sentence_of_ours(tried: Callable[[], None], number: int, which: int) -> None:
    function, low, high = [
        (lambda n: truncate_outputs(outputs(), n), 1, CLASSES),
        (lambda n: round_outputs(outputs(), n), 0, 7),
        (lambda n: auxiliary().first(n), 1, COUNT),
        (lambda n: baselines.nearest_output_averages(outputs(), auxiliary(), outputs(), k=n), 1, COUNT),
        (lambda n: activations.logits_from_probabilities(outputs().softmax(1), floor=n / 10), 1, 9),
        (lambda n: top_1([0], [0], [40], candidates=n), 2, 40),
        (lambda n: mean_reciprocal_rank([0], [0], [40], candidates=n), 2, 40),
        (lambda n: area_under_curve([n], [0], [9]), 0, 9),
        (lambda n: rank_within_class(images(), images(), labels(), truth=torch.full((COUNT,), n)), 0, COUNT - 1),
    ][which]
    if low <= number <= high:
        function(number)
        return
    with pytest.raises(ValueError) as caught:
        function(number)
    assert is_sentence(caught.value)
    tried()


@fault("raw images, labels and counts that do not fit, in the core", SENTENCE)
@pytest.mark.parametrize(
    "call",
    [
        lambda: resize_images(np.zeros((3, 28, 28))),
        lambda: resize_images(np.zeros((28, 28), np.uint8)),
        lambda: resize_images(np.zeros((0, 28, 28), np.uint8)),
        lambda: resize_images(np.zeros((3, 28, 28), np.uint8), side=0),
        lambda: draw_splits(*[(np.zeros((9, 28, 28), np.uint8), np.zeros(9, int))] * 2, generator=draws()),
        lambda: weighted_f1(torch.arange(3), torch.arange(4)),
        lambda: weighted_f1(torch.arange(0), torch.arange(0)),
        lambda: confusion(torch.arange(3), torch.arange(4)),
        lambda: confusion(torch.arange(3), torch.arange(3) + 9),
        lambda: fit(InverseModel(10), outputs(), images()[:3], loss=inverse.ssim_loss, epochs=1, stream=()),
        lambda: fit(InverseModel(10), outputs(), images(), loss=inverse.ssim_loss, epochs=0, stream=()),
        lambda: mean_batch_loss(images()[:0], images()[:0], loss=inverse.ssim_loss),
        lambda: mean_batch_loss(images(), images()[:3], loss=inverse.ssim_loss),
        lambda: InverseModel(0),
        lambda: InverseModel(10, hidden="linear"),
        lambda: Classifier(activation="tanh"),
        lambda: inverse.assemble_inputs("O+Y", {"O": outputs()}),
        lambda: inverse.assemble_inputs("O+X~", {"O": outputs(), "X~": images()[:3]}),
        lambda: area_under_curve([1], [2], [2]),
        lambda: area_under_curve([1, 2], [0], [2]),
        lambda: baselines.shuffled_within_class(outputs(), generator=draws()),
        lambda: gradient.draw_regularisers(draws(), best=(0.0, 1.0)),
        lambda: gradient.start_images("nowhere", outputs(), auxiliary(), generator=draws()),
        lambda: gradient.class_averages(auxiliary(images()[:9])),
    ],
)
def test_what_does_not_fit_is_one_sentence_of_ours(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert is_sentence(caught.value)
    raised_in = Path(traceback.extract_tb(caught.value.__traceback__)[-1].filename)
    assert Path(mi_core.__file__).parent in raised_in.parents

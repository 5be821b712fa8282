"""The study at smoke scale, from MNIST to tables, through the command line."""

import io
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import CommandLine

from mi_core.study.experiments import EXPERIMENTS, ON_REQUEST, Replicate
from mi_core.study.graph import all_tasks
from mi_core.study.locations import open_store
from mi_core.study.paper import SHORT_SPLITS, published_table
from mi_core.study.parameters import make_study

pytestmark = pytest.mark.run

COLUMNS = ["table", "row", "split", "metric", "mean", "std", "n", "published_mean", "published_std"]


def table(command_line: CommandLine, number: int) -> pd.DataFrame:
    text = command_line("table", str(number), "--profile", "smoke", "--csv").stdout
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values={"std": [""], "published_mean": [""]})


@pytest.mark.parametrize("number", range(1, 7))
def test_every_published_number_has_ours_beside_it(smoke: CommandLine, number: int) -> None:
    frame = table(smoke, number)
    assert list(frame.columns) == COLUMNS
    assert frame["std"].isna().all()  # one replicate
    assert (frame["n"] == 1).all()
    keys = ["row", "split", "metric"]
    printed = published_table(number).replace({"split": SHORT_SPLITS})
    joined = printed.merge(frame, on=keys)
    assert len(joined) == len(printed)
    assert (joined["mean_x"] == joined["published_mean"]).all()
    bounds = {"ssim": (-1, 1), "mse": (0, 1), "f1": (0, 1), "cross_entropy": (0, 50), "auc": (0, 1)}
    for metric, (low, high) in bounds.items():
        assert frame.loc[frame["metric"] == metric, "mean"].between(low, high).all()


def test_one_experiment_prints_one_number(smoke: CommandLine) -> None:
    four, five, six = (table(smoke, number).set_index(["row", "metric"])["mean"] for number in (4, 5, 6))
    for part in ("O", "X~"):
        for metric in ("ssim", "mse"):
            assert (
                four[f"M_I({part})", metric] == five[f"M_I({part})/exact", metric] == six[f"M_I({part})/k=10", metric]
            )


def test_rows_with_the_targets_weights_stand_beside_rows_without(smoke: CommandLine) -> None:
    rows = list(dict.fromkeys(table(smoke, 4)["row"]))
    marked = [row for row in rows if row.endswith("/shadow-weights")]
    assert len(marked) == 4
    assert all(rows[rows.index(row) - 1] == row.removesuffix("/shadow-weights") for row in marked)


def test_a_second_run_computes_nothing_and_status_says_complete(smoke: CommandLine) -> None:
    assert "(0 steps computed)" in smoke("run", "--profile", "smoke").stdout
    lines = smoke("status", "--profile", "smoke").stdout.splitlines()
    assert all(line.endswith("complete") for line in lines[1:] if line.split()[0] not in ON_REQUEST)


def kill_within_a_stage(command_line: CommandLine, store: Path) -> bool:
    """Run the smoke profile and kill it as soon as a reconstruction has left a piece; whether the piece was met."""
    eager = command_line.environment | {"MI_CORE_SAVE_SECONDS": "0"}  # a piece after every batch
    run = subprocess.Popen(command_line.command("run", "--profile", "smoke"), env=eager, stderr=subprocess.DEVNULL)
    pieces = "unfinished/reconstructions-*/*.safetensors"
    while not list(store.glob(pieces)) and run.poll() is None:
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    run.wait()
    return bool(list(store.glob(pieces)))


def test_killed_in_the_middle_it_goes_on_and_gives_the_same_tables(smoke: CommandLine, tmp_path: Path) -> None:
    """What is done before the reconstructions is taken over: a run begins with them."""
    for attempt in range(5):  # the moment is short
        disturbed = smoke.on_store(tmp_path / f"store{attempt}")
        for stage in ("splits", "auxiliary", "classifier", "outputs", "evaluation_model", "search_trial", "search"):
            shutil.copytree(Path(smoke.environment["MI_CORE_STORE"]) / stage, tmp_path / f"store{attempt}" / stage)
        if kill_within_a_stage(disturbed, tmp_path / f"store{attempt}"):
            break
    else:
        pytest.fail("five runs could not be killed while a reconstruction was unfinished")
    missing = disturbed("status", "--profile", "smoke").stdout
    assert "steps missing" in missing
    disturbed("run", "--profile", "smoke")
    for number in range(1, 7):
        words = ("table", str(number), "--profile", "smoke", "--csv")
        assert disturbed(*words).stdout == smoke(*words).stdout


def test_interrupted_it_says_so_and_exits_with_130(smoke: CommandLine, tmp_path: Path) -> None:
    run = subprocess.Popen(
        smoke.command("run", "--profile", "smoke", "--store", str(tmp_path / "store")),
        env=smoke.environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("store/classifier/*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate()
    assert run.returncode == 130, errors
    assert "The same command goes on from here" in errors
    assert "Traceback" not in errors


def test_verdicts_are_96_lines_and_none_is_given_at_another_scale(smoke: CommandLine) -> None:
    frame = pd.read_csv(io.StringIO(smoke("verdicts", "--profile", "smoke", "--csv").stdout), keep_default_na=False)
    assert len(frame) == 96
    assert frame["item"].str.match(r"C\d+$").sum() == 10
    assert set(frame["claim_supported"]) == {"", "not enough"}
    assert set(frame["number_matches"]) == {"", "not enough"}
    assert (frame["ours"] != "").all()


def test_verdicts_without_results_say_that_nothing_is_computed(smoke: CommandLine, tmp_path: Path) -> None:
    text = smoke("verdicts", "--profile", "smoke", "--csv", "--store", str(tmp_path)).stdout
    frame = pd.read_csv(io.StringIO(text), keep_default_na=False)
    assert len(frame) == 96
    assert set(frame["cause"]) == {"not computed"}


def test_every_score_table_has_the_baselines_and_re_identification(smoke: CommandLine) -> None:
    for number in range(3, 7):
        frame = table(smoke, number)
        for row in ("class average", "SSIM-optimal class image", "M_I(label)", "average of nearest outputs"):
            of_row = frame[frame["row"] == f"baseline: {row}"]
            assert {"ssim", "mse", "gain", "auc", "top1_of_100"} <= set(of_row["metric"])
            assert set(of_row["split"]) == set(frame["split"])
        average = frame[frame["row"] == "baseline: class average"].set_index("metric")["mean"]
        assert (average["gain"] == 0).all()


def test_a_table_that_is_not_computed_names_what_computes_it(smoke: CommandLine, tmp_path: Path) -> None:
    done = smoke("table", "4", "--profile", "smoke", "--store", str(tmp_path), code=2)
    assert "python -m mi_core run --profile smoke --only table4" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "--profile", "smoke", "-p", "sede", "3"], "did you mean `seed`?"),
        (["run", "--profile", "smoke", "-p", "seed", "abc"], "`seed`: input should be a valid integer"),
        (["run", "--profile", "smoke", "--only", "7"], "`7` names no table"),
        (["run", "--profile", "smok"], "'smok' is not one of"),
        (["table", "9"], "`9` names no table"),
        (["chapter", "nonsense"], "`nonsense` is no chapter; there are"),
        (["chapter", "workflow", "-p", "profile", "quik"], "`profile` must be published or one of"),
        (["chapter", "workflow", "-p", "steps", "3"], "cannot be changed in published results"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(command_line: CommandLine, words: list[str], sentence: str) -> None:
    done = command_line(*words, code=2)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_published_is_found_again_and_without_a_table_nothing_is(smoke: CommandLine) -> None:
    """The smoke run's class counts are those of every profile, but that alone is nothing to publish."""
    done = smoke("publish", "--profile", "paper", code=2)
    assert "no finished table of profile paper" in done.stderr
    assert " artefacts of profile smoke" in smoke("publish", "--profile", "smoke").stdout
    assert smoke("table", "4", "--csv").stdout == smoke("table", "4", "--profile", "smoke", "--csv").stdout
    assert Path(smoke.environment["MI_CORE_RESULTS"], "manifest.json").exists()


def test_results_travel_to_another_machine_as_one_file(smoke: CommandLine, tmp_path: Path) -> None:
    bundle = tmp_path / "replicate.zip"
    assert (
        "artefacts of profile smoke"
        in smoke("publish", "--profile", "smoke", "--bundle", str(bundle), "--replicate", "0").stdout
    )
    elsewhere = {"MI_CORE_RESULTS": str(tmp_path / "results"), "MI_CORE_STORE": str(tmp_path / "empty")}
    there = CommandLine(smoke.environment | elsewhere)
    assert "artefacts of smoke" in there("import", str(bundle)).stdout
    assert there("table", "4", "--csv").stdout == smoke("table", "4", "--profile", "smoke", "--csv").stdout
    done = smoke("publish", "--profile", "smoke", "--replicate", "0", code=2)
    assert "name a --bundle FILE as well" in done.stderr


def test_a_replicate_that_the_study_does_not_have_is_refused(command_line: CommandLine) -> None:
    done = command_line("run", "--profile", "standard", "--replicate", "9", code=2)
    assert "`--replicate` must be one of the study's, 0 to 4; got 9" in done.stderr


def test_parameters_are_listed(command_line: CommandLine) -> None:
    text = command_line("parameters").stdout
    assert all(name in text for name in ("seed", "inverse_seeds", "truncation_fill", "from which every random draw"))


def test_every_stage_computes_what_its_version_is_recorded_for(tmp_path: Path) -> None:
    """Each stage's fingerprint at smoke scale, in float32: one that moves needs a new version in stages.json."""
    from fingerprints import compute_fingerprints, tolerance

    recorded = json.loads((Path(__file__).parents[1] / "mi_core" / "study" / "stages.json").read_text())
    found = compute_fingerprints(tmp_path)
    assert set(found) == set(recorded)
    for stage, means in found.items():
        expected = recorded[stage]["fingerprint"]
        assert set(means) == set(expected), f"stage {stage} gives other values: raise its version and record it anew"
        for name, mean in means.items():
            assert mean == pytest.approx(expected[name], rel=tolerance(name), abs=1e-3), (
                f"{name} of stage {stage} has moved: if that is meant, raise its version in stages.json and record "
                "its fingerprint anew with `python tests/fingerprints.py`"
            )


def test_published_keys_are_those_of_the_present_code() -> None:
    """An entry of the manifest whose key the present code would not give must say why."""
    from mi_core.study.locations import published_folder
    from mi_core.study.manifest import publishable, read_manifest
    from mi_core.study.parameters import PROFILES

    entries = read_manifest(published_folder())
    assert entries, "nothing is published"
    for entry in entries:
        task = publishable(Replicate(PROFILES[entry.profile], entry.replicate))[entry.experiment]
        assert entry.superseded or (entry.key, entry.stage) == (task.key, task.stage), (
            f"{entry.profile} {entry.experiment} was computed by other code or parameters: compute and publish it "
            "again, or say in the manifest by what it is superseded"
        )


def test_published_artefacts_are_listed_and_intact() -> None:
    from mi_core.study.locations import published_folder
    from mi_core.study.manifest import read_manifest

    folder, store = published_folder(), open_store()
    entries = read_manifest(folder)
    assert {folder / entry.file for entry in entries} == set((folder / "artefacts").glob("*/*"))
    for entry in entries:
        _, provenance = store.load(folder / entry.file)
        assert provenance["key"] == entry.key
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 40e6


def test_smoke_covers_every_stage() -> None:
    study = make_study("smoke", {"regularisers": "own_search"})
    stages = {task.stage for task in all_tasks(make(Replicate(study, 0)) for make in EXPERIMENTS.values())}
    recorded = json.loads((Path(__file__).parents[1] / "mi_core" / "study" / "stages.json").read_text())
    assert stages == set(recorded)


def test_the_protocol_of_the_text_runs_from_end_to_end(smoke: CommandLine) -> None:
    changes = ("-p", "protocol", "text")
    smoke("run", "--profile", "smoke", "--only", "4", "--only", "5", *changes)
    text = smoke("table", "5", "--profile", "smoke", "--csv", *changes).stdout
    frame = pd.read_csv(io.StringIO(text)).dropna(subset="published_mean")
    assert len(frame) == len(published_table(5))
    assert frame["mean"].between(-1, 1).all()
    rows = smoke("table", "4", "--profile", "smoke", "--csv", *changes).stdout
    assert "shadow-weights" not in rows  # under TEXT no row uses the target's weights

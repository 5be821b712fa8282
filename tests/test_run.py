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

from mi_core.errors import UserError
from mi_core.study.experiments import EXPERIMENTS, ON_REQUEST, Replicate
from mi_core.study.graph import all_tasks
from mi_core.study.locations import open_store
from mi_core.study.paper import SHORT_SPLITS, published_table
from mi_core.study.parameters import make_study
from mi_core.study.store import Store

pytestmark = pytest.mark.run

COLUMNS = ["table", "row", "split", "metric", "mean", "std", "n", "published_mean", "published_std"]


@pytest.fixture(scope="module")
def smoke_csv(smoke: CommandLine) -> dict[int, str]:
    """What ``table --csv`` prints after the undisturbed run, by number of the table."""
    return {number: smoke.here("table", str(number), "--profile", "smoke", "--csv") for number in range(1, 7)}


@pytest.fixture(scope="module")
def tables(smoke_csv: dict[int, str]) -> dict[int, pd.DataFrame]:
    missing = {"std": [""], "published_mean": [""]}
    return {
        number: pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=missing)
        for number, text in smoke_csv.items()
    }


@pytest.mark.parametrize("number", range(1, 7))
def test_every_published_number_has_ours_beside_it(tables: dict[int, pd.DataFrame], number: int) -> None:
    frame = tables[number]
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


def test_one_experiment_prints_one_number(tables: dict[int, pd.DataFrame]) -> None:
    four, five, six = (tables[number].set_index(["row", "metric"])["mean"] for number in (4, 5, 6))
    for part in ("O", "X~"):
        for metric in ("ssim", "mse"):
            assert (
                four[f"M_I({part})", metric] == five[f"M_I({part})/exact", metric] == six[f"M_I({part})/k=10", metric]
            )


def test_rows_with_the_targets_weights_stand_beside_rows_without(tables: dict[int, pd.DataFrame]) -> None:
    rows = list(dict.fromkeys(tables[4]["row"]))
    marked = [row for row in rows if row.endswith("/shadow-weights")]
    assert len(marked) == 4
    assert all(rows[rows.index(row) - 1] == row.removesuffix("/shadow-weights") for row in marked)


def test_a_second_run_computes_nothing_and_status_says_complete(smoke: CommandLine) -> None:
    assert "(0 steps computed)" in smoke("run", "--profile", "smoke").stdout
    lines = smoke.here("status", "--profile", "smoke").splitlines()
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


def values_of_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """What Tables 1 to 6 are printed from, scores of every image: to the last bit, where the tables have six digits."""
    store, replicate = Store(folder), Replicate(make_study("smoke"), 0)
    tasks = {name: EXPERIMENTS[name](replicate) for name in (f"table{number}" for number in range(1, 7))}
    return {name: store.load(store.find(task.stage, task.key))[0] for name, task in tasks.items()}


def test_killed_in_the_middle_it_goes_on_and_gives_the_same_tables(smoke: CommandLine, tmp_path: Path) -> None:
    """What is done before the reconstructions is taken over: a run begins with them."""
    undisturbed, unfinished_files = Path(smoke.environment["MI_CORE_STORE"]), shutil.ignore_patterns(".writing-*")
    for attempt in range(5):  # the moment is short
        store = tmp_path / f"store{attempt}"
        disturbed = smoke.on_store(store)
        for stage in ("splits", "auxiliary", "classifier", "outputs", "evaluation_model", "search_trial", "search"):
            shutil.copytree(undisturbed / stage, store / stage, ignore=unfinished_files)
        if kill_within_a_stage(disturbed, store):
            break
    else:
        pytest.fail("five runs could not be killed while a reconstruction was unfinished")
    assert "steps missing" in disturbed.here("status", "--profile", "smoke")
    disturbed("run", "--profile", "smoke")
    expected = values_of_tables(undisturbed)
    for name, value in values_of_tables(store).items():  # their columns may stand in another order
        pd.testing.assert_frame_equal(value, expected[name], check_exact=True, check_like=True, obj=name)


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
    frame = pd.read_csv(io.StringIO(smoke.here("verdicts", "--profile", "smoke", "--csv")), keep_default_na=False)
    assert len(frame) == 96
    assert frame["item"].str.match(r"C\d+$").sum() == 10
    assert set(frame["claim_supported"]) == {"", "not enough"}
    assert set(frame["number_matches"]) == {"", "not enough"}
    assert (frame["ours"] != "").all()


def test_verdicts_without_results_say_that_nothing_is_computed(smoke: CommandLine, tmp_path: Path) -> None:
    text = smoke.here("verdicts", "--profile", "smoke", "--csv", "--store", str(tmp_path))
    frame = pd.read_csv(io.StringIO(text), keep_default_na=False)
    assert len(frame) == 96
    assert set(frame["cause"]) == {"not computed"}


def test_every_score_table_has_the_baselines_and_re_identification(tables: dict[int, pd.DataFrame]) -> None:
    for number in range(3, 7):
        frame = tables[number]
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


def test_bad_input_is_one_sentence_and_exit_code_2(command_line: CommandLine) -> None:
    """In a process of its own; many more cases in one process are in ``test_bad_input``."""
    done = command_line("run", "--profile", "smoke", "-p", "sede", "3", code=2)
    assert "did you mean `seed`?" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_published_is_found_again_and_without_a_table_nothing_is(
    smoke: CommandLine, smoke_csv: dict[int, str], tmp_path: Path
) -> None:
    """The smoke run's class counts are those of every profile, but that alone is nothing to publish."""
    own = CommandLine(smoke.environment | {"MI_CORE_RESULTS": str(tmp_path / "results")})
    with pytest.raises(UserError, match="no finished table of profile paper"):
        own.here("publish", "--profile", "paper")
    assert not (tmp_path / "results").exists()
    assert " artefacts of profile smoke" in own("publish", "--profile", "smoke").stdout
    assert own.on_store(tmp_path / "empty").here("table", "4", "--csv") == smoke_csv[4]
    assert (tmp_path / "results" / "manifest.json").exists()


def test_results_travel_to_another_machine_as_one_file(
    smoke: CommandLine, smoke_csv: dict[int, str], tmp_path: Path
) -> None:
    bundle = tmp_path / "replicate.zip"
    assert (
        "artefacts of profile smoke"
        in smoke("publish", "--profile", "smoke", "--bundle", str(bundle), "--replicate", "0").stdout
    )
    elsewhere = {"MI_CORE_RESULTS": str(tmp_path / "results"), "MI_CORE_STORE": str(tmp_path / "empty")}
    there = CommandLine(smoke.environment | elsewhere)
    assert "artefacts of smoke" in there("import", str(bundle)).stdout
    assert there("table", "4", "--csv").stdout == smoke_csv[4]


def test_parameters_are_listed(command_line: CommandLine) -> None:
    text = command_line.here("parameters")
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
    text = smoke.here("table", "5", "--profile", "smoke", "--csv", *changes)
    frame = pd.read_csv(io.StringIO(text)).dropna(subset="published_mean")
    assert len(frame) == len(published_table(5))
    assert frame["mean"].between(-1, 1).all()
    rows = smoke.here("table", "4", "--profile", "smoke", "--csv", *changes)
    assert "shadow-weights" not in rows  # under TEXT no row uses the target's weights

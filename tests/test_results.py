"""Summaries by hand, the choice of what is published, and tables beside the thesis's."""

import base64
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from scipy import stats

from mi_core.errors import UserError
from mi_core.report.notebook import show_table
from mi_core.report.tables import ABSENT, compare, csv_link, measure_table
from mi_core.study import results as module
from mi_core.study.experiments import EXPERIMENTS, Replicate
from mi_core.study.graph import Runner
from mi_core.study.leakage import MEASURES
from mi_core.study.manifest import Entry, read_manifest
from mi_core.study.paper import published_table
from mi_core.study.parameters import make_study
from mi_core.study.results import Results, as_csv, open_results, parse_table, results_of_notebook, summarise
from mi_core.study.store import Store

# What scoring adds to SSIM and MSE: three of four other images of the class are nearer, by every distance.
RANKS: dict[str, float] = {"others": 4}
for distance in ("l2", "ssim", "features"):
    RANKS |= {f"closer_{distance}": 3, f"tied_{distance}": 0, f"false_positives_{distance}": 0.75}
JUDGED = {"label": 1, "judged": 1, "feature_distance": 2.0, "to_class_average": 0.5}
JUDGED |= {"shuffled_ssim": 0.1, "shuffled_mse": 0.2, "shuffled_auc": 0.5}


def scores(row: str, replicate: int, seed: int, values: list[float]) -> pd.DataFrame:
    columns = {"replicate": replicate, "row": row, "split": "test", "inverse_seed": seed}
    measured = {"ssim": values, "mse": [value / 10 for value in values]}
    return pd.DataFrame({**columns, "image": range(len(values)), **measured, **RANKS, **JUDGED})


def cells(html: str) -> list[dict[str, list[str]]]:
    """By table: by row, what its cells print."""
    return [
        {
            line.th.get_text(): [cell.get_text().replace("\u00a0", " ") for cell in line("td")]
            for line in table.select("tbody tr")
        }
        for table in BeautifulSoup(html, "html.parser")("table")
    ]


def test_images_are_averaged_before_seeds_and_seeds_before_replicates() -> None:
    frame = pd.concat(
        [
            scores("M_I(O)", 0, 0, [0.1, 0.3]),  # 0.2
            scores("M_I(O)", 0, 1, [0.4, 0.4]),  # 0.4: replicate 0 is 0.3
            scores("M_I(O)", 1, 0, [0.5, 0.7]),  # replicate 1 is 0.6
        ]
    )
    line = summarise(4, frame).query("row == 'M_I(O)' and metric == 'ssim'").iloc[0]
    assert line["mean"] == pytest.approx(0.45)
    assert line["std"] == pytest.approx(np.std([0.3, 0.6], ddof=1))
    assert line["n"] == 2
    assert line["seed_std"] == pytest.approx(0.1)  # population, over the two seeds of replicate 0
    assert (line["published_mean"], line["published_std"]) == (0.2298, 0.0041)


def test_a_row_that_was_not_computed_stays_and_an_own_row_keeps_its_place() -> None:
    frame = pd.concat(
        [scores(row, 0, 0, [0.2, 0.4]) for row in ("M_I(O)", "M_I(A_L)", "M_I(A_L)/shadow-weights", "M_I(X~)")]
    )
    table = summarise(4, frame)
    rows = list(dict.fromkeys(table["row"]))
    assert rows[:4] == ["M_I(O)", "M_I(A_L)", "M_I(A_L)/shadow-weights", "M_I(X~)"]
    assert table.query("row == 'M_I(O+X~)'")["mean"].isna().all()
    assert table.query("row == 'M_I(A_L)/shadow-weights'")["published_mean"].isna().all()
    html = compare(table)
    assert ABSENT in html
    beside_thesis, beside_baselines = BeautifulSoup(html, "html.parser").select("table")
    for part in (beside_thesis, beside_baselines):
        assert [name.get_text() for name in part.select("tbody th[scope=row]")] == rows


def test_published_numbers_are_the_86_of_six_tables() -> None:
    assert sum(len(published_table(table)) for table in range(1, 7)) == 86
    with pytest.raises(ValueError, match="`table` must be 1 to 6; got 7"):
        published_table(7)


def test_compare_shows_ours_the_thesis_and_the_difference() -> None:
    beside_thesis, beside_baselines = cells(compare(summarise(4, scores("M_I(O)", 0, 0, [0.25, 0.25]))))
    of_mse = ["0.0250", "0.0966 ± 0.0011", "-0.0716"]
    assert beside_thesis["M_I(O)"] == ["0.250", "0.2298 ± 0.0041", "+0.020", *of_mse]
    assert beside_baselines["M_I(O)"] == ["0.250", "0.0250", "0.250", "—"]  # AUC 1/4; too few others for top-1 of 100
    with pytest.raises(ValueError, match="`summary` must be one summarised table"):
        compare(pd.DataFrame({"table": [4]}))


def test_the_thesis_s_numbers_are_printed_as_it_prints_them() -> None:
    summary = summarise(4, scores("M_I(O)", 0, 0, [0.25, 0.25]))
    shown = {text for line in cells(compare(summary))[0].values() for text in line}
    printed = published_table(4)[["mean", "std"]].to_numpy()
    assert {f"{mean:.4f} ± {spread:.4f}" for mean, spread in printed} <= shown


def test_baselines_and_references_stand_in_blocks_of_their_own() -> None:
    names = ["M_I(O)", "baseline: black image", "ceiling: M_I(O)/own-outputs"]
    summary = summarise(4, pd.concat([scores(name, 0, 0, [0.25, 0.25]) for name in names]))
    beside_thesis, beside_baselines = BeautifulSoup(compare(summary), "html.parser").select("table")
    assert not beside_thesis.select("tr.block")
    blocks = [[name.get_text() for name in block.select("th")] for block in beside_baselines.select("tbody")]
    assert blocks[-2:] == [
        ["baselines: no attack", "baseline: black image"],
        ["references: they need the true images", "reference: M_I(O)/own-outputs"],
    ]
    assert "ceiling: M_I(O)/own-outputs" in as_csv(summary)  # data keep their names


@pytest.mark.parametrize(
    ("replicates", "note"),
    [
        (1, "One replicate: no interval over replicates."),
        (2, "Two replicates: an interval wants at least three."),
        (3, "[\u00a0] is Student's 95 % interval"),
    ],
)
def test_the_note_says_which_interval_so_many_replicates_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replicates: int, note: str
) -> None:
    results = Results("smoke", make_study("smoke"), Store(tmp_path))
    monkeypatch.setattr(results, "note", lambda experiment: "at some scale")  # which would compute the table
    frame = pd.concat([scores("baseline: M_I(label)", number, 0, [0.1 + number, 0.2]) for number in range(replicates)])
    summary = summarise(4, frame)
    if replicates < 3:
        summary["half_width"] = np.nan
    results._tables["table4"] = summary
    text = BeautifulSoup(show_table(results, 4).data, "html.parser").get_text()
    assert note in text
    assert "top-1 of 100: chance" in text and "M_I(label): the inverse model fed" in text
    assert "own-outputs" not in text.partition("Here: ")[2], "only what stands in the table is explained"


def test_several_replicates_are_shown_with_student_s_interval() -> None:
    frame = pd.concat([scores("M_I(O)", replicate, 0, [value] * 2) for replicate, value in enumerate((0.2, 0.3, 0.4))])
    summary = summarise(4, frame)
    low, high = stats.t.interval(0.95, 2, loc=0.3, scale=0.1 / np.sqrt(3))
    assert cells(compare(summary))[0]["M_I(O)"][0] == f"0.300 [{low:.3f}, {high:.3f}]"
    measures = measure_table(summary[summary["row"] == "M_I(O)"], ["ssim", "auc"], "some")
    assert cells(measures)[0] == {"M_I(O)": [f"0.300 [{low:.3f}, {high:.3f}]", "0.250 [0.250, 0.250]"]}
    assert MEASURES["auc"].title in measures


def test_replicate_means_average_images_then_seeds(tmp_path: Path) -> None:
    results = Results("smoke", make_study("smoke"), Store(tmp_path))
    results._frames["table4"] = pd.concat([scores("M_I(O)", 0, 0, [0.1, 0.3]), scores("M_I(O)", 0, 1, [0.4, 0.4])])
    found = results.replicate_means(4).set_index("metric")["value"]
    assert found["ssim"] == pytest.approx(0.3)
    assert found["auc"] == pytest.approx(0.25)


def test_only_the_thesis_s_sizes_and_choices_are_its_scale(tmp_path: Path) -> None:
    def at_scale(profile: str, experiment: str = "table4", **changes: object) -> bool:
        return open_results(profile, changes, store=tmp_path).at_paper_scale(experiment)

    assert at_scale("paper") and at_scale("paper", seed=3, replicates=3, device="cpu", precision="float32")
    assert not at_scale("standard") and at_scale("standard", "table2") and not at_scale("quick", "table2")
    assert not at_scale("paper", steps=50) and not at_scale("paper", update="gradient_descent")


def test_what_is_there_is_known_without_computing(published: Path, tmp_path: Path) -> None:
    results = Results("published", None, Store(tmp_path / "empty"))
    assert results.has("table4") and not results.has("table5")
    assert not open_results("smoke", store=tmp_path / "empty").has("table4")


def test_the_link_holds_the_csv() -> None:
    text = as_csv(summarise(4, scores("M_I(O)", 0, 0, [0.25, 0.25])))
    data = re.search(r"base64,([^\"]+)", csv_link(text, "table4")).group(1)
    assert base64.b64decode(data).decode().splitlines()[1] == "4,M_I(O),test,ssim,0.25,,1,0.2298,0.0041"


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder with table 4 at quick (one replicate) and at standard (two), the latter superseded."""
    folder = tmp_path / "results"
    store = Store(folder / "artefacts")
    entries = []
    for profile, replicate, value in (("quick", 0, 0.1), ("standard", 0, 0.2), ("standard", 1, 0.4)):
        frame = scores("M_I(O)", 0, 0, [value, value]).drop(columns="replicate")
        key = f"{len(entries):032d}"
        path = store.save("score_table", key, frame, {})
        file = str(path.relative_to(folder))
        entry = Entry(profile, "table4", replicate, "score_table", 1, key, file, 1.0, {})
        entries.append(replace(entry, superseded="a mistake in the split" if profile == "standard" else ""))
    (folder / "manifest.json").write_text(json.dumps({"entries": [asdict(entry) for entry in entries]}))
    monkeypatch.setattr(module, "published_folder", lambda: folder)
    return folder


def test_published_is_the_largest_profile_with_all_its_replicates(published: Path, tmp_path: Path) -> None:
    results = Results("published", None, Store(tmp_path / "empty"))
    assert results.profile("table4") == "standard"
    assert results.table(4).query("row == 'M_I(O)' and metric == 'ssim'")["mean"].item() == pytest.approx(0.3)
    note = results.note("table4")
    assert note.startswith("profile standard, 2 of 5 replicates; 1,000 of 10,000 training images of M_I, 50 of")
    assert "no verdict" in note
    assert note.endswith("Superseded: a mistake in the split")


def test_pictures_of_the_first_replicate_leave_the_others_in_the_tables(published: Path, tmp_path: Path) -> None:
    manifest = json.loads((published / "manifest.json").read_text())
    pictures = next(entry for entry in manifest["entries"] if entry["profile"] == "standard")
    manifest["entries"].append(pictures | {"experiment": "gallery"})
    (published / "manifest.json").write_text(json.dumps(manifest))
    results = Results("published", None, Store(tmp_path / "empty"), together=("table4", "gallery"))
    assert results.profile("gallery") == "standard"
    assert sorted(results.frame("table4")["replicate"].unique()) == [0, 1]
    assert results.frame("gallery")["replicate"].unique() == [0]
    of_run = Results("standard", make_study("standard"), Store(tmp_path / "empty"), compute=False)
    assert not of_run.has("gallery")
    assert results.note("gallery").startswith("profile standard, 1 replicate; ")


def test_what_is_not_published_names_what_computes_it(published: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run --profile quick` computes one"):
        Results("published", None, Store(tmp_path / "empty")).frame("table5")


def test_a_damaged_manifest_is_one_sentence(published: Path) -> None:
    (published / "manifest.json").write_text('{"entries": [{"profile"')
    with pytest.raises(UserError, match=r"manifest.json is damaged: restore it"):
        read_manifest(published)


def test_a_notebook_s_own_names_are_its_parameters() -> None:
    def function() -> None: ...

    names = {
        "profile": "smoke",
        "seed": 3,
        "_i1": "seed = 3",
        "In": [""],
        "Out": {},
        "open": function,
        "function": function,
        "pd": pd,
    }
    results = results_of_notebook(names)
    assert results.study.seed == 3
    with pytest.raises(UserError, match="`sede` is not a parameter; did you mean `seed`"):
        results_of_notebook({**names, "sede": 3})
    for name, value in {"open": 3, "exit": "x", "In": "x", "Out": 3}.items():
        with pytest.raises(UserError, match=f"`{name}` is not a parameter"):
            results_of_notebook({"profile": "smoke", name: value})
    with pytest.raises(UserError, match="`profile` must be published or one of smoke, quick"):
        results_of_notebook({"profile": "quik"})


def test_published_results_refuse_changes_but_take_the_defaults() -> None:
    assert open_results("published", {"seed": 0, "protocol": "code", "device": "auto"}).study is None
    with pytest.raises(UserError, match="`seed` cannot be changed in published results"):
        open_results("published", {"seed": 1})


def test_tables_are_named_by_number_or_by_name() -> None:
    assert parse_table("4") == parse_table("table4") == "table4"
    assert parse_table("search") == "search"
    with pytest.raises(UserError, match="`7` names no table"):
        parse_table("7")


def test_the_note_names_every_change_that_bears_on_the_numbers(tmp_path: Path) -> None:
    def note(profile: str, **changes: object) -> str:
        results = open_results(profile, changes, store=tmp_path, announce=lambda sentence: None)
        results._complete = lambda experiment: {0: None}  # as if it were computed
        return results.note("table4")

    assert note("paper", device="cpu") == "profile paper, 1 of 5 replicates"
    changed = note("paper", protocol="text", steps=3)
    assert "profile paper with protocol text, steps 3, 1 of 5 replicates; 3 of 400 steps of X~: not the" in changed
    assert "profile quick with update gradient_descent, 1" in note("quick", update="gradient_descent")
    with pytest.raises(UserError, match="`profile` is chosen with --profile"):
        open_results("quick", {"profile": "smoke"})


def test_published_intermediates_are_no_input_of_what_is_computed(tmp_path: Path) -> None:
    """Classifiers trained anew are not bit for bit those whose outputs were published."""
    replicate = Replicate(make_study("smoke"), 0)
    outputs = replicate.outputs("shadow", "shadow_train")
    Store(tmp_path / "published").save("outputs", outputs.key, {"outputs": np.zeros((64, 10))}, {})
    runner = Runner(Store(tmp_path / "own", (tmp_path / "published",)))
    assert runner.missing([outputs]) == []  # asked for itself, it may come from there
    missing = {task.key for task in runner.missing([EXPERIMENTS["table4"](replicate)])}
    assert {outputs.key, replicate.classifier("shadow").key} <= missing

"""What chapters and the command line read: frames of published results, or of a run that is computed when asked for."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mi_core.errors import UserError
from mi_core.study.experiments import EXPERIMENTS, OF_FIRST_REPLICATE, Replicate, replicates
from mi_core.study.graph import Runner, Task
from mi_core.study.leakage import MEASURES, row_means
from mi_core.study.locations import open_store, published_folder
from mi_core.study.manifest import Entry, read_manifest, task_of
from mi_core.study.paper import SHORT_SPLITS, TABLE_METRICS, published_table
from mi_core.study.parameters import CODE, PROFILES, PROTOCOLS, TEXT, Protocol, Study, make_study
from mi_core.study.statistics import t_interval
from mi_core.study.store import Store, Value

__all__ = [
    "OWN_TABLES",
    "PUBLISHED",
    "Results",
    "as_csv",
    "estimate",
    "open_results",
    "parse_table",
    "results_of_notebook",
    "spread",
    "summarise",
]

PUBLISHED = "published"
OWN_TABLES = ("ladder", "ladder_models", "ladder_answers", "defences")  # of scores, that the thesis does not have
# What bears on an experiment's numbers most, in words that follow "2,000 of 10,000".
SIZES_OF_CLASSIFIER = {
    "classifier_images": "training images of a classifier",
    "classifier_epochs": "epochs of a classifier",
}
SIZES_OF_ATTACK = SIZES_OF_CLASSIFIER | {
    "attack_training": "training images of M_I",
    "attack_test": "attacked images",
    "steps": "steps of X~",
}
SIZES_OF_LADDER = SIZES_OF_CLASSIFIER | {
    "ladder_images": "images of the attacker",
    "ladder_test": "attacked images",
}
SIZES = {
    "ladder": SIZES_OF_LADDER | {"steps": "steps of X~"},
    "table1": {"head_images": "training images of a head", "head_epochs": "epochs of a head"},
    "table2": SIZES_OF_CLASSIFIER,
}
CSV_COLUMNS = ["table", "row", "split", "metric", "mean", "std", "n", "published_mean", "published_std"]


class Results:
    """Frames of the study, one experiment at a time.

    Args:
        profile: "published" (per experiment the largest profile that was published; computes nothing) or a profile.
        study: the study of the profile; None for "published".
        store: where values are looked up and computed.
        compute: whether missing values are computed (else they are an error).
        together: experiments whose published frames must come from one profile, the largest that has them all, and
            from the replicates that have them all.
        announce: called with a sentence before something long is computed.
    """

    def __init__(
        self,
        profile: str,
        study: Study | None,
        store: Store,
        *,
        compute: bool = True,
        together: tuple[str, ...] = (),
        announce: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._profile, self.study, self.store, self._together = profile, study, store, together
        self._compute, self._announce = compute and study is not None, announce
        self._manifest = read_manifest(published_folder()) if study is None else None
        self.runner = Runner(store, device=study.device if study else "auto")
        self._frames: dict[str, pd.DataFrame] = {}
        self._tables: dict[str, pd.DataFrame] = {}
        self._means: dict[int, pd.DataFrame] = {}

    def profile(self, experiment: str) -> str:
        """Name of the profile that an experiment's frame comes from."""
        return self._profile if self._manifest is None else self._published(experiment)[0].profile

    def frame(self, experiment: str) -> pd.DataFrame:
        """The tidy frame of an experiment, e.g. "table4", with a first column ``replicate``.

        Raises:
            UserError: it is neither published nor to be computed.
        """
        if experiment not in self._frames:
            self._frames[experiment] = self._read(experiment)
        return self._frames[experiment]

    def _read(self, experiment: str) -> pd.DataFrame:
        frames = self._values(experiment).items()
        return pd.concat([frame.assign(replicate=number) for number, frame in frames]).pipe(_replicate_first)

    def outputs(self, role: str, split: str) -> dict[int, np.ndarray]:
        """Outputs (n, 10) of a classifier, "target" or "shadow", on a split, by replicate.

        Raises:
            UserError: they are neither published nor to be computed.
        """
        return {number: value["outputs"] for number, value in self._values(f"outputs {role} {split}").items()}

    def _values(self, experiment: str) -> dict[int, Value]:
        if self._manifest is not None:
            found = {entry.replicate: published_folder() / entry.file for entry in self._published(experiment)}
            return {number: self.store.load(path)[0] for number, path in found.items()}
        return {number: self.runner.value(task) for number, task in self._complete(experiment).items()}

    def table(self, table: int | str) -> pd.DataFrame:
        """A table of the thesis (4 or "table4"), ours beside published, or one of ``OWN_TABLES``; see ``summarise``."""
        name = parse_table(str(table))
        if name not in self._tables:
            self._tables[name] = summarise(name if name in OWN_TABLES else int(name[-1]), self.frame(name))
        return self._tables[name]

    def has(self, experiment: str) -> bool:
        """Whether an experiment's frame is there without computing anything."""
        if self._manifest is None:
            finished = [not self.runner.missing([task]) for task in self._tasks(experiment).values()]
            return all(finished) if self._compute else any(finished)  # what is not computed is left out
        try:
            return bool(self._published(experiment))
        except UserError:
            return False

    def replicate_means(self, number: int) -> pd.DataFrame:
        """Means of Table ``number`` by replicate: columns row, split, metric, replicate, value."""
        if number not in self._means:
            per_seed = _seed_means(number, self.frame(f"table{number}"))
            self._means[number] = _replicate_means(per_seed).rename("value").reset_index()
        return self._means[number]

    def at_paper_scale(self, experiment: str) -> bool:
        """Whether a frame is what the profile "paper" computes for it, seed and hardware aside.

        A smaller profile has the thesis's sizes where it saves nothing, such as Table 2 of "standard".
        """
        study = self.sizes(experiment)
        paper = PROFILES["paper"].model_copy(update={"seed": study.seed, "precision": study.precision})
        one, other = (task_of(Replicate(each, 0), experiment).key for each in (study, paper))
        return one == other

    def note(self, experiment: str) -> str:
        """One sentence on the scale of an experiment's frame, and why it is superseded if it is."""
        profile, changes = self.profile(experiment), {}
        if self._manifest is None:
            count, changes = len(self._complete(experiment)), _changes(PROFILES[profile], self.study)
        else:
            count = len(self._published(experiment))
        study = self.sizes(experiment)
        text = f"profile {profile}"
        if changes:
            text += " with " + ", ".join(f"{name} {value}" for name, value in changes.items())
        planned = 1 if experiment in OF_FIRST_REPLICATE else study.replicates
        of_all = f" of {planned}" if count < planned else ""
        text += f", {count}{of_all} replicate{'s' if max(count, planned) > 1 else ''}"
        if reduced := _reduced(study, experiment):
            text += "; " + ", ".join(reduced)
        if not self.at_paper_scale(experiment):
            text += ": not the sizes and choices of the thesis's tables, so no verdict on its numbers"
        return text + "".join(f". Superseded: {reason}" for reason in self.superseded(experiment))

    def superseded(self, *experiments: str) -> list[str]:
        """Why published frames no longer are what the present code would compute; empty while they are."""
        if self._manifest is None:
            return []
        return sorted({entry.superseded for name in experiments for entry in self._published(name)} - {""})

    def sizes(self, experiment: str) -> Study:
        """The study whose sizes an experiment's frame has."""
        return self.study or PROFILES[self.profile(experiment)]

    def _published(self, experiment: str) -> list[Entry]:
        wanted = set(self._together) if experiment in self._together else {experiment}
        for profile in reversed(PROFILES):
            of_profile = [entry for entry in self._manifest if entry.profile == profile]
            having = {name: {entry.replicate for entry in of_profile if entry.experiment == name} for name in wanted}
            in_each = [having[name] for name in wanted if name not in OF_FIRST_REPLICATE] or [*having.values()]
            common = set.intersection(*in_each)
            if common and all(having.values()):
                entries = [entry for entry in of_profile if entry.experiment == experiment]
                return sorted((e for e in entries if e.replicate in common), key=lambda entry: entry.replicate)
        raise UserError(
            f"no profile with {', '.join(sorted(wanted))} is published in {published_folder()}: `python -m mi_core run "
            "--profile quick` computes one, and `python -m mi_core publish --profile quick` publishes it."
        )

    def _tasks(self, experiment: str) -> dict[int, Task]:
        """The experiment's task in each replicate that has it."""
        tasks = {each.number: task_of(each, experiment) for each in replicates(self.study)}
        return {number: task for number, task in tasks.items() if task is not None}

    def _complete(self, experiment: str) -> dict[int, Task]:
        """The experiment's tasks by replicate: all of them, computed, or those that are finished."""
        tasks = self._tasks(experiment)
        missing = self.runner.missing(tasks.values())
        if missing and self._compute:
            self._announce(estimate(missing))
            self.runner.compute(tasks.values())
        if not missing or self._compute:
            return tasks
        finished = {number: task for number, task in tasks.items() if not self.runner.missing([task])}
        if not finished:
            raise UserError(
                f"{experiment} at profile {self._profile} is not computed yet (stage {missing[0].stage} is missing "
                f"first): `python -m mi_core run --profile {self._profile} --only {experiment}`, with the same -p and "
                "--store if you gave any, computes it."
            )
        return finished


def estimate(missing: list[Task]) -> str:
    """How much there is to compute, as a sentence."""
    minutes = sum(task.work for task in missing) / 60
    about = f"{minutes:,.0f}" if minutes >= 10 else f"{minutes:.1f}"
    return f"{len(missing)} steps to compute, about {about} minutes on two CPU cores with bfloat16."


def _reduced(study: Study, experiment: str) -> list[str]:
    """What an experiment has less of than the thesis, in words."""
    others = SIZES_OF_LADDER if experiment.startswith(("ladder", "defences")) else SIZES_OF_ATTACK
    sizes = SIZES.get(experiment, others)
    pairs = {name: (getattr(study, name), getattr(PROFILES["paper"], name)) for name in sizes}
    return [f"{ours:,} of {full:,} {sizes[name]}" for name, (ours, full) in pairs.items() if ours != full]


def _changes(profile: Study, study: Study) -> dict[str, Any]:
    """What a study has unlike its profile, as far as it bears on its numbers; "protocol text" for all of that."""
    protocol = "text" if _differences(TEXT, study.protocol) < _differences(CODE, study.protocol) else "code"
    changes: dict[str, Any] = {"protocol": protocol} if protocol == "text" else {}
    pairs = [(profile, study), (PROTOCOLS[protocol], study.protocol)]
    for before, after in pairs:
        for name in type(after).model_fields:
            if name not in ("protocol", "device", "replicates") and getattr(before, name) != getattr(after, name):
                changes[name] = getattr(after, name)
    return changes


def _differences(one: Protocol, other: Protocol) -> int:
    return sum(getattr(one, name) != getattr(other, name) for name in Protocol.model_fields)


def _replicate_first(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["replicate", *frame.columns.drop("replicate")]].reset_index(drop=True)


def open_results(
    profile: str,
    changes: Mapping[str, Any] | None = None,
    *,
    store: str | Path | None = None,
    compute: bool = True,
    together: tuple[str, ...] = (),
    announce: Callable[[str], None] = lambda sentence: None,
) -> Results:
    """Results of a profile with some parameters changed, or the published ones; see ``Results``.

    Raises:
        UserError: unknown profile or parameter, a wrong type, a value out of range, changes to published results.
    """
    changes = dict(changes or {})
    if "profile" in changes:
        raise UserError("`profile` is chosen with --profile here, not as a parameter.")
    if profile != PUBLISHED:
        study = make_study(profile, changes)
        return Results(profile, study, open_store(store), compute=compute, announce=announce)
    make_study("paper", changes)  # wrong names, types and ranges are errors here too
    reference = make_study("paper")
    changed = [name for name, value in changes.items() if value != _default(reference, name)]
    if changed:
        raise UserError(
            f"`{changed[0]}` cannot be changed in published results: name a profile to compute, such as quick, as well."
        )
    return Results(PUBLISHED, None, open_store(store), together=together)


def _default(study: Study, name: str) -> Any:
    if name == "protocol":
        return "code"
    return getattr(study, name) if name in Study.model_fields else getattr(study.protocol, name)


def results_of_notebook(namespace: Mapping[str, Any], *together: str) -> Results:
    """Results for the parameters of a notebook, from the names that its first cells have set.

    Papermill sets a mistyped name as readily as a right one, so every name that is set is looked at, but for those of
    the kernel itself: they begin with an underscore, or are its list ``In`` and its dictionary ``Out``.

    Args:
        namespace: ``globals()``, before anything but parameters and this function has been defined.
        together: the experiments that the notebook shows.
    Raises:
        UserError: as ``open_results``.
    """
    of_kernel = {"In": list, "Out": dict}
    changes = {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_")
        and not isinstance(value, of_kernel.get(name, ()))
        and isinstance(value, int | float | str | list | dict | None)
    }
    profile = changes.pop("profile", PUBLISHED)
    if not isinstance(profile, str) or (profile != PUBLISHED and profile not in PROFILES):
        raise UserError(f"`profile` must be published or one of {', '.join(PROFILES)}; got {profile!r}.")
    return open_results(profile, changes, together=together, announce=print)


def parse_table(text: str) -> str:
    """The experiment that "4", "table4" or "search" names.

    Raises:
        UserError: there is none.
    """
    name = f"table{text}" if text.isdigit() else text
    if name not in EXPERIMENTS:
        raise UserError(f"`{text}` names no table or figure data; there are 1 to 6 and {', '.join(EXPERIMENTS)}.")
    return name


def summarise(table: int | str, frame: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread of each row of a table, the published numbers beside them.

    Images are averaged first, then inverse seeds, then replicates; ``std`` is the sample standard deviation over
    replicate means (NaN for one replicate), ``seed_std`` the population standard deviation over the inverse seeds of
    replicate 0, which is what the thesis prints (NaN for one seed).

    Args:
        table: 1 to 6, or one of ``OWN_TABLES``, of which nothing is printed.
        frame: what ``Results.frame`` gives for it.
    Returns:
        Columns table, row, split, metric, mean, std, n, published_mean, published_std, half_width (of Student's 95 %
        interval over replicates, NaN for fewer than three) and seed_std; a row that only one of the two has is NaN in
        the other's columns. Metrics of Tables 3 to 6 are those of ``MEASURES``, of which the thesis prints the first
        two.
    """
    keys = ["row", "split", "metric"]
    ours = spread(_seed_means(table, frame))
    printed = published_table(1)[:0] if table in OWN_TABLES else published_table(table)
    printed = printed.rename(columns={"mean": "published_mean", "std": "published_std"})
    joined = printed.merge(ours, on=keys, how="outer").assign(table=table)
    order = {key: place for place, key in enumerate(dict.fromkeys([*ours["row"], *printed["row"]]))}
    metrics = TABLE_METRICS[table] if table in (1, 2) else list(MEASURES)
    place = joined["row"].map(order), joined["metric"].map(metrics.index)
    joined = joined.assign(row_place=place[0], metric_place=place[1]).sort_values(
        ["row_place", "split", "metric_place"]
    )
    return joined[[*CSV_COLUMNS, "half_width", "seed_std"]].reset_index(drop=True)


def spread(per_seed: pd.Series) -> pd.DataFrame:
    """Means of seed means over inverse seeds, then replicates, with their spread; see ``summarise``.

    Args:
        per_seed: one value for each of some keys, replicate and inverse_seed, which are its last two levels.
    Returns:
        The keys, mean, std, n, half_width and seed_std.
    """
    keys = list(per_seed.index.names[:-2])
    first = per_seed.xs(0, level="replicate") if 0 in per_seed.index.get_level_values("replicate") else per_seed[:0]
    seeds = first.groupby(keys, sort=False)
    means = _replicate_means(per_seed).groupby(keys, sort=False)
    ours = pd.DataFrame({"mean": means.mean(), "std": means.std(ddof=1), "n": means.size()})
    ours["half_width"] = [_half_width(values) for _, values in means]
    ours["seed_std"] = seeds.std(ddof=0).where(seeds.size() > 1)
    return ours.reset_index()


def _half_width(values: pd.Series) -> float:
    """Of Student's interval; NaN for too few replicates, and where a measure is not defined."""
    return math.nan if values.isna().any() else t_interval(values).half_width


def _seed_means(table: int | str, frame: pd.DataFrame) -> pd.Series:
    """Means over images by row, split, metric, replicate and inverse seed."""
    values = frame.assign(inverse_seed=0) if table in (1, 2) else row_means(frame)
    return values.groupby(["row", "split", "metric", "replicate", "inverse_seed"], sort=False)["value"].mean()


def _replicate_means(per_seed: pd.Series) -> pd.Series:
    return per_seed.groupby(list(per_seed.index.names[:-1]), sort=False).mean()


def as_csv(summary: pd.DataFrame) -> str:
    """The rows of a summarised table that were computed, as CSV with the names of ``published.csv``."""
    rows = summary.loc[summary["mean"].notna(), CSV_COLUMNS].replace({"split": SHORT_SPLITS}).astype({"n": int})
    return rows.to_csv(index=False, float_format="%.6g")

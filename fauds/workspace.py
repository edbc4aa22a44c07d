"""The chain of steps: which needs which, which are done, and running what is missing.

Every step reads the files of the steps before and writes its own, with the fingerprint of its
inputs and its settings; where neither has changed it is left as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fauds import folds as folding
from fauds import schemas, store
from fauds.datasets import DATASETS
from fauds.datasets.base import ReadOptions, is_written
from fauds.errors import DataError, UsageError
from fauds.protocols import Benchmark, benchmark

if TYPE_CHECKING:
    from fauds.bench.plan import Plan
    from fauds.bench.runs import Progress
    from fauds.captions import Style


@dataclass(frozen=True)
class Step:
    """What became of a step: its main file, whether it was done now, and what to tell people."""

    path: Path
    done: bool
    meta: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """The identity of the step's result: its inputs and settings."""
        return store.fingerprint(self.meta["inputs"], self.meta["settings"])


@dataclass(frozen=True)
class Workspace:
    """One dataset's folder in a workdir.

    Args:
        workdir: the folder of all datasets.
        dataset: the benchmark's name; its tables lie in ``workdir/dataset``.
        say: called with a line for people when a step is run that was not asked for.
    """

    workdir: Path
    dataset: str
    say: Callable[[str], None] = lambda line: None

    @cached_property
    def benchmark(self) -> Benchmark:
        """The protocol of this dataset."""
        return benchmark(self.dataset)

    @property
    def folder(self) -> Path:
        """Where this dataset's files lie."""
        return self.workdir / self.dataset

    def path(self, table: str) -> Path:
        """Return the path of one of the tables: ``path("frames")``."""
        return self.folder / f"{table}.parquet"

    def frames(
        self,
        root: Path | None = None,
        given: Mapping[str, Any] = MappingProxyType({}),
        progress: "Progress | None" = None,
    ) -> Step:
        """Read the raw distribution into frames.parquet.

        Args:
            root: the raw distribution; where None, the one that the table was last read from, and
                for a benchmark of made-up data its own, made on first use.
            given: fields of `ReadOptions`; the others are as last time for the same root.
            progress: shows how far the drawing of made-up faces is.

        Raises:
            UsageError: there is no table yet and no root to read.
            DataError: the distribution is wrong or incomplete; file and line are named.
        """
        path = self.path("frames")
        old = self._meta("frames")
        asked, root = root, self._root(old, root)
        options = self._options(old and old["settings"], root if asked else None, given)
        settings = {"root": str(root.resolve()), **options.plain()}
        draw = self._must_draw(root)
        same = old is not None and old["settings"] == settings and not draw
        if same and asked is None and not root.exists():
            self.say(f"{root} is not here any more: using {path} as it was read from there")
            return Step(path, False, old)
        reader = DATASETS[self.benchmark.dataset]
        if same and old["inputs"] == reader.fingerprint(root, options):
            return Step(path, False, old)
        with store.lock(self.folder):
            if draw:
                self._draw(root, progress)
            expected = self.benchmark.expected
            with store.table_writer(path, schemas.frames_schema(options.aus)) as writer:
                reading = reader.read(
                    root,
                    expected and expected.model_dump(),
                    options,
                    sink=lambda part: writer.write(part, store.sequence_starts(part)),
                )
                writer.meta = meta = {
                    "dataset": self.dataset,
                    "reader": self.benchmark.dataset,
                    "synthetic": reading.synthetic,
                    "image_root": str(reading.root.resolve()),
                    "inputs": reading.fingerprint,
                    "settings": settings,
                    "differences": list(reading.differences),
                    "notes": list(reading.notes),
                }
        return Step(path, True, meta)

    def _root(self, old: dict[str, Any] | None, root: Path | None) -> Path:
        if root is not None:
            return root
        if self.benchmark.synthesis:
            return self.folder / "raw"
        if old is None:
            raise UsageError(
                f"Nothing of {self.dataset} has been read into this workdir yet.",
                where=self.folder,
                hint=f"name the raw distribution: --dataset {self.dataset} --root FOLDER",
            )
        return Path(old["settings"]["root"])

    def _options(
        self, last: dict[str, Any] | None, root: Path | None, given: Mapping[str, Any]
    ) -> ReadOptions:
        return ReadOptions.as_last(last or {}, root, {**given, **self.benchmark.reading()})

    def _must_draw(self, root: Path) -> bool:
        synthesis = self.benchmark.synthesis
        if synthesis is None or root != self.folder / "raw":
            return False
        return not is_written(root, synthesis.model_dump())

    def _draw(self, root: Path, progress: "Progress | None") -> None:
        from fauds.synthetic import distribution

        synthesis = self.benchmark.synthesis
        self.say(f"drawing a made-up distribution in {synthesis.like}'s layout: {root}")
        bar = progress.counter("drawing faces") if progress else nullcontext()
        with bar as drawn:
            distribution.write(
                root, synthesis.like, frames=synthesis.frames, seed=synthesis.seed, progress=drawn
            )

    def caption_settings(self, style: "Style") -> dict[str, Any]:
        """Return what captions of this style would be made with.

        Raises:
            UsageError: there is no such language, or it has too few paraphrases.
            DataError: a template is broken.
        """
        from fauds.captions import build_settings

        return build_settings(self.benchmark.aus, style)

    def captions(self, frames: Step, style: "Style | None" = None) -> Step:
        """Write phrases, vocabulary and captions.parquet for the benchmark's AUs.

        Raises:
            DataError: degrees are asked for where no intensity is coded.
        """
        from fauds.captions import Builder, Style

        style = style or Style()
        path = self.path("captions")
        meta = {
            "dataset": self.dataset,
            "synthetic": frames.meta["synthetic"],
            "inputs": frames.fingerprint,
            "settings": self.caption_settings(style),
        }
        with store.lock(self.folder):
            if _unchanged(self._caption_tables(), meta):
                return Step(path, False, meta)
            builder = Builder(self.benchmark.aus, style, self.benchmark.occurrence_at is not None)
            columns = builder.columns(store.column_names(frames.path))
            with store.table_writer(path, builder.schema) as writer:
                for part in store.read_batches(frames.path, columns):
                    writer.write(builder.captions(part), store.sequence_starts(part))
                phrases, vocabulary = builder.tables()
                store.write_table(self.path("phrases"), phrases, meta)
                store.write_table(self.path("vocabulary"), vocabulary, meta)
                writer.meta = meta
        return Step(path, True, meta)

    def captions_as_built(self, frames: Step) -> Step:
        """Return the captions of these frames in the style that they were last built in.

        Raises:
            DataError: they must be built again, from templates that fauds does not ship.
        """
        from fauds.captions import Style
        from fauds.captions.built import refuse_other_templates

        old = self._meta("captions")
        if old is None:
            self.say(f"building captions: {self.path('captions')}")
            return self.captions(frames)
        made = old["settings"]
        if _unchanged(self._caption_tables(), {"inputs": frames.fingerprint, "settings": made}):
            return Step(self.path("captions"), False, old)
        refuse_other_templates(self.dataset, self.folder, old, frames.fingerprint)
        self.say(f"building captions again ({made['language']}): {self.path('captions')}")
        style = Style(made["language"], made["degrees"], made["variants"], made["seed"] or 0)
        return self.captions(frames, style)

    def folds_as_made(self, frames: Step) -> Step:
        """Return folds of these frames, made as they last were; else the default ones."""
        old = self._meta("folds")
        if old is None:
            self.say(f"making folds: {self.path('folds')}")
            return self.folds(frames)
        made = old["settings"]
        return self.folds(frames, made["k"], made["method"], made["seed"] or 0)

    def _meta(self, table: str) -> dict[str, Any] | None:
        path = self.path(table)
        return store.read_meta(path) if path.exists() else None

    def _caption_tables(self) -> list[Path]:
        from fauds.captions.built import TABLES

        return [self.path(name) for name in TABLES]

    def bench(
        self,
        plan: "Plan",
        frames: Step | None,
        progress: "Progress",
        *,
        tensorboard: bool = False,
    ) -> Path:
        """Run a model on the folds; returns the run's folder, with results.json and a report.

        Args:
            frames: None for a run that is resumed: it goes on with the tables as they are; and
                in the processes that follow the first one, which prepares.
            tensorboard: write TensorBoard's event files too.

        Raises:
            DataError: pictures or landmarks are missing, or anything that a run needs.
        """
        from fauds.bench.runs import run
        from fauds.report.markdown import write_report
        from fauds.training import processes

        processes.join(cpu=plan.settings.training.device == "cpu")
        plan = processes.agreed(plan)
        if frames is not None:
            self.captions_as_built(frames)
            self.folds_as_made(frames)
            if plan.faces is None:
                self.faces_as_prepared(frames, progress)
        processes.wait()
        run(self.folder, plan, progress, tensorboard=tensorboard)
        if processes.leads():
            write_report(plan.folder)
        return plan.folder

    def faces(
        self,
        given: Mapping[str, Any] = MappingProxyType({}),
        progress: "Progress | None" = None,
    ) -> Step:
        """Crop and align the faces of frames.parquet; crops that are there already are kept.

        Args:
            given: fields of `fauds.faces.plan.Request`; the others are the benchmark's.
            progress: shows how far it is.

        Raises:
            UsageError: settings that contradict each other, an unknown alignment or detector.
            DataError: pictures or landmarks are missing or damaged.
        """
        from fauds.faces.dataset import crop_faces

        reader = DATASETS[self.benchmark.dataset]
        bar = progress.counter("cropping faces") if progress else nullcontext()
        with bar as done:
            made = crop_faces(self.folder, reader, self.benchmark.alignment, given, done)
        return Step(made.path, made.done, made.meta)

    def faces_as_prepared(self, frames: Step, progress: "Progress | None" = None) -> Step | None:
        """Return the crops of these frames, made as they last were; else as the benchmark says.

        None where the frames are faces as they are, and nobody asked for other crops. Archives,
        videos and landmarks that were changed since are not noticed here, but by `faces`.
        """
        old = self._meta("faces")
        if old is None:
            if self.benchmark.alignment.name == "none":
                return None
            self.say(f"cropping faces ({self.benchmark.alignment.name}): {self.folder / 'faces'}")
            return self.faces(progress=progress)
        if old["inputs"] == frames.fingerprint:
            return Step(self.path("faces"), False, old)
        self.say(f"cropping faces again ({old['settings']['name']}): {self.folder / 'faces'}")
        return self.faces(old["request"], progress)

    def folds(self, frames: Step, k: int = 3, method: str | None = None, seed: int = 0) -> Step:
        """Write folds.parquet and fold_statistics.parquet.

        Args:
            method: "published" or "random"; where None, published if the benchmark has a list
                of that many parts.

        Raises:
            UsageError: published folds were asked for that do not exist.
            DataError: the subjects read are not those of the published list.
        """
        method = folding.choose(self.dataset, self.benchmark.folds, k, method)
        path = self.path("folds")
        settings = {"k": k, "method": method, "seed": seed if method == "random" else None}
        meta = {
            "dataset": self.dataset,
            "synthetic": frames.meta["synthetic"],
            "inputs": frames.fingerprint,
            "settings": {**settings, "benchmark_version": self.benchmark.version},
        }
        with store.lock(self.folder):
            if _unchanged([path, self.path("fold_statistics")], meta):
                return Step(path, False, meta)
            aus = self.benchmark.aus
            counts = folding.count_subjects(
                store.read_table(frames.path, ["subject", "sex", *aus]), aus
            )
            if method == "published":
                table = folding.published(counts, self.benchmark.folds)
            else:
                table = folding.random(counts, k, seed)
            folding.check(table, counts.subjects)
            statistics = folding.statistics(counts, table, aus)
            store.write_table(self.path("fold_statistics"), statistics, meta)
            store.write_table(path, table, meta)
        return Step(path, True, meta)


def _unchanged(paths: Sequence[Path], meta: Mapping[str, Any]) -> bool:
    """Whether all tables of a step are there and were made of the same things."""
    if not all(path.exists() for path in paths):
        return False
    try:
        olds = [store.read_meta(path) for path in paths]
    except DataError:
        return False
    return all(old.get(key) == value for old in olds for key, value in meta.items())

"""The chain of steps: which needs which, which are done, and running what is missing.

Every step reads the files of the steps before and writes its own, with the fingerprint of its
inputs and its settings; where neither has changed it is left as it is.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fauds import protocol_files, protocols, store
from fauds.datasets import DATASETS
from fauds.errors import UsageError
from fauds.pipeline.joining import join_faces, join_frames
from fauds.pipeline.reading import read_frames
from fauds.pipeline.splitting import split
from fauds.protocols import Benchmark
from fauds.step import Step, meta_of, unchanged

if TYPE_CHECKING:
    from fauds.bench.onefold import Progress
    from fauds.bench.plan import Plan
    from fauds.captions import Style


@dataclass(frozen=True)
class Workspace:
    """One dataset's folder in a workdir.

    Args:
        workdir: the folder of all datasets.
        dataset: the benchmark's name; its tables lie in ``workdir/dataset``.
        say: called with a line for people when a step is run that was not asked for.
        protocol: read from a file of the user's own; None for one that ships with fauds, or
            whose file the workdir has kept.
    """

    workdir: Path
    dataset: str
    say: Callable[[str], None] = lambda line: None
    protocol: Benchmark | None = None

    @classmethod
    def by_file(cls, workdir: Path, file: Path, say: Callable[[str], None]) -> "Workspace":
        """Return the workspace of a protocol's file.

        Raises:
            DataError: the file is wrong, or the workdir's tables of its name are of another
                protocol that has the same version.
        """
        protocol = protocol_files.read(file)
        protocol_files.refuse_other(protocol, file, workdir / protocol.name)
        return cls(workdir, protocol.name, say, protocol)

    def of(self, dataset: str) -> "Workspace":
        """Return the workspace of another dataset in the same workdir."""
        return Workspace(self.workdir, dataset, self.say)

    @cached_property
    def benchmark(self) -> Benchmark:
        """The protocol of this dataset."""
        return self.protocol or protocol_files.find(self.dataset, self.workdir)

    @property
    def option(self) -> str:
        """What names this dataset on the command line."""
        own = self.protocol is not None and self.dataset not in protocols.names()
        return "--benchmark FILE" if own else f"--dataset {self.dataset}"

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
        if self.benchmark.joins:
            step = join_frames(self, {**given, **({"root": root} if root else {})})
        else:
            step = read_frames(self, root, given, progress)
        if self.protocol is not None:
            protocol_files.keep(self.protocol, self.folder)
        return step

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
            if unchanged(self._caption_tables(), meta):
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

        old = meta_of(self.path("captions"))
        if old is None:
            self.say(f"building captions: {self.path('captions')}")
            return self.captions(frames)
        made = old["settings"]
        if unchanged(self._caption_tables(), {"inputs": frames.fingerprint, "settings": made}):
            return Step(self.path("captions"), False, old)
        refuse_other_templates(self.dataset, self.folder, old, frames.fingerprint)
        self.say(f"building captions again ({made['language']}): {self.path('captions')}")
        style = Style(made["language"], made["degrees"], made["variants"], made["seed"] or 0)
        return self.captions(frames, style)

    def folds_as_made(self, frames: Step) -> Step:
        """Return folds of these frames, made as they last were; else the protocol's own.

        Of another version of the protocol they are made anew: it may have folds of its own now.
        """
        old = meta_of(self.path("folds"))
        if old is None or old["settings"]["benchmark_version"] != self.benchmark.version:
            self.say(f"making folds: {self.path('folds')}")
            return self.folds(frames)
        made = old["settings"]
        if made["method"] != "random":
            return self.folds(frames)
        return self.folds(frames, made["k"], made["method"], made["seed"])

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
        from fauds.report.html import write_html
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
            write_html([plan.folder])
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

        if self.benchmark.joins:
            if given:
                raise UsageError(
                    f"{self.dataset} takes the crops of its two datasets as they are.",
                    hint=f"prepare these: --dataset {self.benchmark.train}, "
                    f"--dataset {self.benchmark.test}",
                )
            return join_faces(self, self.frames(), progress)
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
        if self.benchmark.joins:
            return join_faces(self, frames, progress)
        old = meta_of(self.path("faces"))
        if old is None:
            if self.benchmark.alignment.name == "none":
                return None
            self.say(f"cropping faces ({self.benchmark.alignment.name}): {self.folder / 'faces'}")
            return self.faces(progress=progress)
        if old["inputs"] == frames.fingerprint:
            return Step(self.path("faces"), False, old)
        self.say(f"cropping faces again ({old['settings']['name']}): {self.folder / 'faces'}")
        return self.faces(old["request"], progress)

    def folds(
        self,
        frames: Step,
        k: int | None = None,
        method: str | None = None,
        seed: int = 0,
    ) -> Step:
        """Write folds.parquet and fold_statistics.parquet.

        Args:
            k: how many; where None, as many as the benchmark has, else 3.
            method: "published" or "random"; where None, published if the benchmark has a list
                of that many parts.

        Raises:
            UsageError: published folds were asked for that do not exist.
            DataError: the subjects read are not those of the published list.
        """
        return split(self, frames, k, method, seed)

"""The chain of steps: which needs which, which are done, and running what is missing.

Every step reads the files of the steps before and writes its own, with the fingerprint of its
inputs and its settings; where neither has changed it is left as it is.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fauds.captions import Style
from fauds.captions.caption_tables import refuse_other_templates
from fauds.errors import UsageError
from fauds.pipeline import captioning
from fauds.pipeline.joining import check_member, checked_faces, join_faces, join_frames
from fauds.pipeline.reading import read_frames
from fauds.pipeline.splitting import split
from fauds.pipeline.workspace import Step, Workspace, meta_of, unchanged
from fauds.protocols import benchmark as protocols
from fauds.protocols import user_files as protocol_files
from fauds.protocols.benchmark import Benchmark
from fauds.tables import store

if TYPE_CHECKING:
    from fauds.evaluation.external.match import ScoreRequest
    from fauds.runs.fold import Progress
    from fauds.runs.plan import Plan


class Project:
    """One dataset in a workdir, and all that can be done with it, in its order.

    Args:
        workdir: the folder of all datasets.
        dataset: the protocol's name; its tables lie in ``workdir/dataset``.
        say: called with a line for people when a step is run that was not asked for.
        protocol: read from a file of the user's own; None for one that ships with fauds, or
            whose file the workdir has kept.

    Attributes:
        workspace: where the dataset's tables lie, and its protocol.

    Raises:
        UsageError: there is no protocol of this name.
        DataError: the file that the workdir has kept is broken.
    """

    def __init__(
        self,
        workdir: Path,
        dataset: str,
        say: Callable[[str], None] = lambda line: None,
        protocol: Benchmark | None = None,
    ) -> None:
        from_file = protocol is not None and dataset not in protocols.names()
        resolved = protocol or protocol_files.find(dataset, workdir)
        self.workspace = Workspace(workdir, dataset, resolved, from_file)
        self._say = say

    @classmethod
    def by_file(cls, workdir: Path, file: Path, say: Callable[[str], None]) -> "Project":
        """Return the project of a protocol's file.

        Raises:
            DataError: the file is wrong, or the workdir's tables of its name are of another
                protocol that has the same version.
        """
        protocol = protocol_files.read(file)
        protocol_files.refuse_other(protocol, file, workdir / protocol.name)
        return cls(workdir, protocol.name, say, protocol)

    def of(self, dataset: str) -> "Project":
        """Return the project of another dataset in the same workdir."""
        return Project(self.workspace.workdir, dataset, self._say)

    def frames(
        self,
        root: Path | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
        progress: "Progress | None" = None,
    ) -> Step:
        """Read the raw files into frames.parquet, or join the frames of the protocol's members.

        Args:
            root: the raw files; where None, those that the table was last read from, and for a
                protocol of synthetic data its own, made on first use.
            options: fields of `ReadOptions`; the others are as last time for the same root.
            progress: shows how far the drawing of synthetic faces is.

        Raises:
            UsageError: there is no table yet and no root to read; or a joined protocol is given
                a root or options.
            DataError: the raw files are wrong or incomplete, file and line are named; or the
                members of a joined protocol do not fit together.
        """
        workspace = self.workspace
        if workspace.protocol.joins:
            if root or options:
                # Raises: the protocol reads no raw files.
                workspace.protocol.reading()
            train, test = self._members()
            steps = [member.frames() for member in (train, test)]
            step = join_frames(workspace, (train.workspace, test.workspace), steps)
        else:
            step = read_frames(workspace, root, options, self._say, progress)
        if workspace.from_file:
            protocol_files.keep(workspace.protocol, workspace.folder)
        return step

    def _members(self) -> "tuple[Project, Project]":
        """Return, of a joined protocol, the dataset that is trained on and the one that is tested.

        Raises:
            UsageError: there is no protocol of such a name.
            DataError: see `fauds.pipeline.joining.check_member`.
        """
        protocol = self.workspace.protocol
        return self._member("train", str(protocol.train)), self._member("test", str(protocol.test))

    def _member(self, role: str, dataset: str) -> "Project":
        member = self.of(dataset)
        check_member(self.workspace, role, member.workspace)
        return member

    def caption_settings(self, style: Style) -> dict[str, Any]:
        """Return what captions of this style would be made with.

        Raises:
            UsageError: there is no such language, or it has too few paraphrases.
            DataError: a template is broken.
        """
        return captioning.caption_settings(self.workspace, style)

    def captions(self, frames: Step, style: Style | None = None) -> Step:
        """Write phrases, vocabulary and captions.parquet for the protocol's AUs.

        Raises:
            DataError: degrees are asked for where no intensity is coded.
        """
        return captioning.build_captions(self.workspace, frames, style or Style())

    def captions_as_built(self, frames: Step) -> Step:
        """Return the captions of these frames in the style that they were last built in.

        Raises:
            DataError: they must be built again, from templates that fauds does not ship.
        """
        workspace = self.workspace
        path = workspace.path("captions")
        old = meta_of(path)
        if old is None:
            self._say(f"building captions: {path}")
            return self.captions(frames)
        made = old["settings"]
        expected = {"inputs": frames.fingerprint, "settings": made}
        if unchanged(captioning.caption_tables(workspace), expected):
            return Step(path, False, old)
        refuse_other_templates(workspace.dataset, workspace.folder, old, frames.fingerprint)
        self._say(f"building captions again ({made['language']}): {path}")
        style = Style(made["language"], made["degrees"], made["variants"], made["seed"] or 0)
        return self.captions(frames, style)

    def folds(
        self,
        frames: Step,
        k: int | None = None,
        method: str | None = None,
        seed: int = 0,
    ) -> Step:
        """Write folds.parquet and fold_statistics.parquet.

        Args:
            k: how many; where None, as many as the protocol has, else 3.
            method: "published" or "random"; where None, published if the protocol has a list
                of that many parts.

        Raises:
            UsageError: published folds were asked for that do not exist.
            DataError: the subjects read are not those of the published list.
        """
        trained = None
        if self.workspace.protocol.joins:
            train, _ = self._members()
            trained = train._finished("frames")
        return split(self.workspace, frames, k, method, seed, trained)

    def _finished(self, table: str) -> Step:
        """Return a step as its table lies there: whether it would be done again is not asked."""
        path = self.workspace.path(table)
        return Step(path, False, store.read_meta(path))

    def folds_as_made(self, frames: Step) -> Step:
        """Return folds of these frames, made as they last were; else the protocol's own.

        Of another version of the protocol they are made anew: it may have folds of its own now.
        """
        workspace = self.workspace
        old = meta_of(workspace.path("folds"))
        if old is None or old["settings"]["benchmark_version"] != workspace.protocol.version:
            self._say(f"making folds: {workspace.path('folds')}")
            return self.folds(frames)
        made = old["settings"]
        if made["method"] != "random":
            return self.folds(frames)
        return self.folds(frames, made["k"], made["method"], made["seed"])

    def faces(
        self,
        options: Mapping[str, Any] = MappingProxyType({}),
        progress: "Progress | None" = None,
    ) -> Step:
        """Crop and align the faces of frames.parquet; crops that are there already are kept.

        Args:
            options: fields of `fauds.faces.plan.CropRequest`; the others are the protocol's.
            progress: shows how far it is.

        Raises:
            UsageError: settings that contradict each other, an unknown alignment or detector.
            DataError: pictures or landmarks are missing or damaged.
        """
        protocol = self.workspace.protocol
        if not protocol.joins:
            # Loads OpenCV, which reading labels does without.
            from fauds.pipeline.cropping import crop

            return crop(self.workspace, options, progress)
        if options:
            raise UsageError(
                f"{self.workspace.dataset} takes the crops of its two datasets as they are.",
                hint=f"prepare these: --dataset {protocol.train}, --dataset {protocol.test}",
            )
        return self._joined_faces(self.frames(), progress)

    def _joined_faces(self, frames: Step, progress: "Progress | None") -> Step:
        """Return the faces of a joined protocol; its members' are cropped where they lack."""
        train, test = self._members()
        steps = []
        for member in (train, test):
            faces = member.faces_as_prepared(member.frames(), progress)
            # Before the next member is cropped, which may take hours.
            steps.append(checked_faces(self.workspace, member.workspace, faces))
        return join_faces(self.workspace, (train.workspace, test.workspace), frames, steps)

    def faces_as_prepared(self, frames: Step, progress: "Progress | None" = None) -> Step | None:
        """Return the crops of these frames, made as they last were; else as the protocol says.

        None where the frames are faces as they are, and nobody asked for other crops. Archives,
        videos and landmarks that were changed since are not noticed here, but by `faces`.
        """
        workspace = self.workspace
        if workspace.protocol.joins:
            return self._joined_faces(frames, progress)
        old = meta_of(workspace.path("faces"))
        if old is None:
            alignment = workspace.protocol.alignment.name
            if alignment == "none":
                return None
            self._say(f"cropping faces ({alignment}): {workspace.folder / 'faces'}")
            return self.faces(progress=progress)
        if old["inputs"] == frames.fingerprint:
            return Step(workspace.path("faces"), False, old)
        again = f"cropping faces again ({old['settings']['name']})"
        self._say(f"{again}: {workspace.folder / 'faces'}")
        return self.faces(old["request"], progress)

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
        from fauds.pipeline.evaluating import write_results
        from fauds.runs.run import begun
        from fauds.training import processes

        processes.join(cpu=plan.settings.training.device == "cpu")
        plan = processes.agreed(plan)
        if frames is not None:
            if plan.needs_captions:
                self.captions_as_built(frames)
            self.folds_as_made(frames)
            if plan.faces is None:
                self.faces_as_prepared(frames, progress)
        processes.wait()
        with begun(self.workspace.folder, plan) as run:
            run.predict(progress, tensorboard=tensorboard)
            if processes.leads():
                write_results(run)
        if processes.leads():
            _report(plan.folder)
        return plan.folder

    def score(
        self,
        request: "ScoreRequest",
        say: Callable[[str], None],
        progress: AbstractContextManager["Progress"],
    ) -> Path:
        """Score external predictions; returns the run's folder, with results and a report.

        Args:
            request: the predictions, and what becomes of frames that they lack.
            say: takes what was read of them, and what was not, line by line.
            progress: entered while frames are read, and left again before the first line.

        Raises:
            UsageError: see `frames` and `fauds.pipeline.scoring.score_predictions`.
            DataError: the predictions are not of this protocol; what differs is said.
        """
        from fauds.pipeline.scoring import score_predictions

        with progress as bars:
            frames = self.frames(progress=bars)
        self.folds_as_made(frames)
        workspace = self.workspace
        folder = score_predictions(workspace.folder, workspace.protocol, request, say)
        _report(folder)
        return folder


def _report(run: Path) -> None:
    """Write a finished run's report.md and report.html."""
    from fauds.report.html import write_html
    from fauds.report.markdown import write_report

    write_report(run)
    write_html([run])

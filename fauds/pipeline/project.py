"""Runs the steps of a dataset in their order, and skips those that are up to date.

Every step reads the files of earlier steps and writes its own, together with its settings and a
fingerprint of its inputs. A step is only repeated if its settings or its inputs have changed.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fauds.captions import Style
from fauds.captions.caption_tables import check_same_templates
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
    """One dataset in a workdir, and the steps that can be run for it.

    Args:
        workdir: the folder that contains the folders of all datasets.
        dataset: the name of the protocol; its tables are in ``workdir/dataset``.
        say: called with a line for the user when a step runs that was not requested.
        protocol: the protocol from the user's own file; None for a protocol that ships with fauds
            or whose file was copied into the workdir before.

    Attributes:
        workspace: the dataset's folder and protocol.

    Raises:
        UsageError: there is no protocol with this name.
        DataError: the copy of the protocol's file in the workdir is invalid.
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
        """Return the project of a protocol file.

        Args:
            workdir: the folder that contains the folders of all datasets.
            file: the protocol file.
            say: called with a line for the user when a step runs that was not requested.

        Raises:
            DataError: the file is invalid, or the workdir already has tables of a different
                protocol with the same name and version.
        """
        protocol = protocol_files.read(file)
        protocol_files.check_same_protocol(protocol, file, workdir / protocol.name)
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
            root: the folder of the raw files; None for the folder that the table was last read
                from, or, for a protocol of synthetic data, a folder in the workdir that is
                generated on first use.
            options: fields of `ReadOptions`; fields that are missing have the values of the last
                reading of the same root.
            progress: shows a progress bar while synthetic faces are generated; None for none.

        Raises:
            UsageError: nothing has been read yet and no root is given, or a root or options are
                given for a joined protocol.
            DataError: the raw files are invalid or incomplete (the message names file and line),
                or the members of a joined protocol do not fit together.
        """
        workspace = self.workspace
        if workspace.protocol.joins:
            if root or options:
                # Raises an error, since joined protocols read no raw files.
                workspace.protocol.reading()
            train, test = self._members()
            steps = [member.frames() for member in (train, test)]
            step = join_frames(workspace, (train.workspace, test.workspace), steps)
        else:
            step = read_frames(workspace, root, options, self._say, progress)
        if workspace.from_file:
            protocol_files.store_protocol(workspace.protocol, workspace.folder)
        return step

    def _members(self) -> "tuple[Project, Project]":
        """Return the training dataset and the test dataset of a joined protocol.

        Raises:
            UsageError: there is no protocol with the name of a member.
            DataError: see `fauds.pipeline.joining.check_member`.
        """
        protocol = self.workspace.protocol
        return self._member("train", str(protocol.train)), self._member("test", str(protocol.test))

    def _member(self, role: str, dataset: str) -> "Project":
        member = self.of(dataset)
        check_member(self.workspace, role, member.workspace)
        return member

    def caption_settings(self, style: Style) -> dict[str, Any]:
        """Return the settings of captions in this style, which their metadata records.

        Raises:
            UsageError: the language does not exist or has too few paraphrases.
            DataError: a template is invalid.
        """
        return captioning.caption_settings(self.workspace, style)

    def captions(self, frames: Step, style: Style | None = None) -> Step:
        """Write phrases, vocabulary and captions.parquet for the protocol's AUs.

        Args:
            frames: the finished step that read the frames.
            style: language, degrees and paraphrases; None for the default style.

        Raises:
            DataError: the style has degrees but the dataset has no intensities.
        """
        return captioning.build_captions(self.workspace, frames, style or Style())

    def captions_as_built(self, frames: Step) -> Step:
        """Return the captions of these frames, built in their last style if they are outdated.

        Raises:
            DataError: the captions must be built again but follow the user's own templates.
        """
        workspace = self.workspace
        path = workspace.path("captions")
        old = meta_of(path)
        if old is None:
            self._say(f"building captions: {path}")
            return self.captions(frames)
        settings = old["settings"]
        expected = {"inputs": frames.fingerprint, "settings": settings}
        if unchanged(captioning.caption_tables(workspace), expected):
            return Step(path, False, old)
        check_same_templates(workspace.dataset, workspace.folder, old, frames.fingerprint)
        self._say(f"building captions again ({settings['language']}): {path}")
        style = Style(
            settings["language"], settings["degrees"], settings["variants"], settings["seed"] or 0
        )
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
            frames: the finished step that read the frames.
            k: the number of folds; None for the number in the protocol, or 3 if it lists no folds.
            method: "published" or "random"; None for published folds if the protocol lists k
                folds, otherwise random folds.
            seed: the seed of random folds.

        Raises:
            UsageError: published folds are requested but the protocol does not list them.
            DataError: the subjects of the frames are not those of the published folds.
        """
        trained = None
        if self.workspace.protocol.joins:
            train, _ = self._members()
            trained = train._finished("frames")
        return split(self.workspace, frames, k, method, seed, trained)

    def _finished(self, table: str) -> Step:
        """Return a step from its existing table, without checking whether it is up to date."""
        path = self.workspace.path(table)
        return Step(path, False, store.read_meta(path))

    def folds_as_made(self, frames: Step) -> Step:
        """Return the folds of these frames, made with their last settings if they are outdated.

        Without earlier folds, or if these are of another version of the protocol, the protocol's
        default folds are made.
        """
        workspace = self.workspace
        old = meta_of(workspace.path("folds"))
        if old is None or old["settings"]["benchmark_version"] != workspace.protocol.version:
            self._say(f"making folds: {workspace.path('folds')}")
            return self.folds(frames)
        settings = old["settings"]
        if settings["method"] != "random":
            return self.folds(frames)
        return self.folds(frames, settings["k"], settings["method"], settings["seed"])

    def faces(
        self,
        options: Mapping[str, Any] = MappingProxyType({}),
        progress: "Progress | None" = None,
    ) -> Step:
        """Crop and align the faces of the frames in frames.parquet; existing crops are kept.

        Args:
            options: fields of `fauds.faces.plan.CropRequest` that replace the protocol's settings.
            progress: shows a progress bar; None for none.

        Raises:
            UsageError: settings contradict each other, the alignment or the detector is unknown,
                or options are given for a joined protocol.
            DataError: images or landmarks are missing or damaged.
        """
        protocol = self.workspace.protocol
        if not protocol.joins:
            # Imported here because it loads OpenCV, which reading labels does not need.
            from fauds.pipeline.cropping import crop

            return crop(self.workspace, options, progress)
        if options:
            raise UsageError(
                f"{self.workspace.dataset} uses the crops of its two datasets without changes.",
                hint=f"prepare these: --dataset {protocol.train}, --dataset {protocol.test}",
            )
        return self._joined_faces(self.frames(), progress)

    def _joined_faces(self, frames: Step, progress: "Progress | None") -> Step:
        """Return the faces of a joined protocol, after cropping those of its members if missing."""
        train, test = self._members()
        steps = []
        for member in (train, test):
            faces = member.faces_as_prepared(member.frames(), progress)
            # Checked before the next member is cropped, which may take hours.
            steps.append(checked_faces(self.workspace, member.workspace, faces))
        return join_faces(self.workspace, (train.workspace, test.workspace), frames, steps)

    def faces_as_prepared(self, frames: Step, progress: "Progress | None" = None) -> Step | None:
        """Return the crops of these frames, made with their last settings if they are outdated.

        Without earlier crops, the protocol's alignment is used. Changes of archives, videos and
        landmark files since are not detected here, but by `faces`.

        Args:
            frames: the finished step that read the frames.
            progress: shows a progress bar; None for none.

        Returns:
            None if the protocol uses the images of frames without cropping, and no crops exist.
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
        """Train and test a model on the folds, and write results.json and a report.

        Args:
            plan: the model, its settings and the folds of the run.
            frames: the finished step that read the frames; None for a resumed run, which uses the
                tables without changes, and in all processes but the first, which prepares them.
            progress: shows progress bars.
            tensorboard: whether TensorBoard event files are written as well.

        Returns:
            The run's folder.

        Raises:
            DataError: images, landmarks or other files that the run needs are missing.
        """
        from fauds.pipeline.evaluating import write_results
        from fauds.runs.run import begin_run
        from fauds.training import processes

        processes.join_group(cpu=plan.settings.training.device == "cpu")
        plan = processes.broadcast(plan)
        if frames is not None:
            if plan.needs_captions:
                self.captions_as_built(frames)
            self.folds_as_made(frames)
            if plan.faces is None:
                self.faces_as_prepared(frames, progress)
        processes.wait_for_all()
        with begin_run(self.workspace.folder, plan) as run:
            run.predict(progress, tensorboard=tensorboard)
            if processes.is_leader():
                write_results(run)
        if processes.is_leader():
            _report(plan.folder)
        return plan.folder

    def score(
        self,
        request: "ScoreRequest",
        say: Callable[[str], None],
        progress: AbstractContextManager["Progress"],
    ) -> Path:
        """Score external predictions, and write results.json and a report.

        Args:
            request: the predictions, and how frames without a prediction are handled.
            say: called with each line for the user about what was read and what was not.
            progress: a context manager that shows progress bars while the frames are read.

        Returns:
            The run's folder.

        Raises:
            UsageError: see `frames` and `fauds.pipeline.scoring.score_predictions`.
            DataError: the predictions do not fit the protocol; the message says where they differ.
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
    """Write report.md and report.html of a finished run."""
    from fauds.report.html import write_html
    from fauds.report.markdown import write_report

    write_report(run)
    write_html([run])

"""Runs the steps from raw files to results in order, and skips steps that are up to date.

Every step, such as reading frames or cropping faces, reads the files of earlier steps and writes
files of its own, together with its settings and a hash of its inputs. A step is only repeated if
its settings or its inputs have changed.
"""

from collections.abc import Callable, Mapping, Sequence
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
    from fauds.training.groups import Groups


class Project:
    """One dataset in a workdir, and the steps that can be run for it.

    Args:
        workdir: the folder that contains the folders of all datasets.
        dataset: the name of the dataset, which is the name of its protocol; the tables of the
            dataset are in ``workdir/dataset``.
        say: a function that is called with each line of text for the user, such as that a missing
            table is written because a later step needs it.
        protocol: the protocol from the user's own file; None for a protocol that ships with fauds,
            or whose file was copied into the workdir earlier.

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
        """Return the project of a protocol that the user defines in a file.

        Args:
            workdir: the folder that contains the folders of all datasets.
            file: the protocol file.
            say: a function that is called with each line of text for the user.

        Raises:
            DataError: the file is invalid, or the workdir already has tables of a different
                protocol with the same name and version.
        """
        protocol = protocol_files.read(file)
        protocol_files.check_same_protocol(protocol, file, workdir / protocol.name)
        return cls(workdir, protocol.name, say, protocol)

    def of(self, dataset: str) -> "Project":
        """Return the project of another dataset in the workdir of this project."""
        return Project(self.workspace.workdir, dataset, self._say)

    def frames(
        self,
        root: Path | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
        progress: "Progress | None" = None,
    ) -> Step:
        """Write frames.parquet, the table of all coded frames, unless it is up to date.

        The raw files of the dataset are read. For a joined protocol, which trains on one dataset
        and tests on another, the frames of these two datasets (its members) are joined.

        Args:
            root: the folder of the raw files; None for the folder that the table was last read
                from, or, for a protocol of synthetic data, a folder in the workdir that is
                generated on first use.
            options: fields of `fauds.datasets.base.ReadOptions`. Missing fields have the values
                with which the same root was last read.
            progress: shows a progress bar while synthetic faces are generated; None for none.

        Raises:
            UsageError: nothing has been read yet and no root is given, or a root or options are
                given for a joined protocol.
            DataError: the raw files are invalid or incomplete (the message names file and line),
                or the members of a joined protocol do not fit together.
        """
        workspace = self.workspace
        if workspace.protocol.is_joined:
            if root or options:
                # Raises an error, since joined protocols read no raw files.
                workspace.protocol.reader_options()
            train, test = self._members()
            steps = [member.frames() for member in (train, test)]
            step = join_frames(workspace, (train.workspace, test.workspace), steps)
        else:
            step = read_frames(workspace, root, options, self._say, progress)
        if workspace.from_file:
            protocol_files.store_protocol(workspace.protocol, workspace.folder)
        return step

    def _members(self) -> "tuple[Project, Project]":
        """Return the projects of the two datasets of a joined protocol.

        Returns:
            The project of the dataset that is trained on, and of the dataset that is tested.

        Raises:
            UsageError: there is no protocol with the name of one of the datasets.
            DataError: a dataset lacks an AU of the joined protocol, or itself joins two datasets.
        """
        protocol = self.workspace.protocol
        return self._member("train", str(protocol.train)), self._member("test", str(protocol.test))

    def _member(self, role: str, dataset: str) -> "Project":
        member = self.of(dataset)
        check_member(self.workspace, role, member.workspace)
        return member

    def caption_settings(self, style: Style) -> dict[str, Any]:
        """Return the settings of captions in a style, as stored in the captions' metadata.

        Args:
            style: the language, whether degrees (intensities A to E) are described, and the number
                of paraphrases.

        Raises:
            UsageError: the language does not exist or has too few paraphrases.
            DataError: a template is invalid.
        """
        return captioning.caption_settings(self.workspace, style)

    def captions(self, frames: Step, style: Style | None = None) -> Step:
        """Write the captions of all frames, which describe the protocol's AUs in words.

        The tables captions.parquet, phrases.parquet and vocabulary.parquet are written, unless they
        are up to date.

        Args:
            frames: the finished step that read the frames.
            style: the language, whether degrees (intensities A to E) are described, and the number
                of paraphrases; None for the default style.

        Raises:
            DataError: the style has degrees but the dataset has no intensities.
        """
        return captioning.build_captions(self.workspace, frames, style or Style())

    def captions_as_built(self, frames: Step) -> Step:
        """Build the captions of the frames if they are missing or outdated, and return the step.

        Outdated captions are built again in the style that they have. Missing captions are built in
        the default style.

        Args:
            frames: the finished step that read the frames.

        Raises:
            DataError: the captions must be built again, but they follow the user's own templates.
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
            settings["language"],
            settings["degrees"],
            settings["variants"],
            settings["seed"] or 0,
            style=settings.get("style", "plain"),
        )
        return self.captions(frames, style)

    def folds(
        self,
        frames: Step,
        k: int | None = None,
        method: str | None = None,
        seed: int = 0,
    ) -> Step:
        """Assign every subject to a fold, unless the folds are up to date.

        Two tables are written: folds.parquet, which has the fold that tests each subject, and
        fold_statistics.parquet, which has the label counts of each fold.

        Args:
            frames: the finished step that read the frames.
            k: the number of folds; None for the number in the protocol, or 3 if the protocol lists
                no folds.
            method: "published" or "random"; None for published folds if the protocol lists k
                folds, otherwise random folds.
            seed: the seed of random folds.

        Raises:
            UsageError: published folds are requested but the protocol does not list them.
            DataError: the subjects of the frames are not those of the published folds.
        """
        trained = None
        if self.workspace.protocol.is_joined:
            train, _ = self._members()
            trained = train._finished("frames")
        return split(self.workspace, frames, k, method, seed, trained)

    def _finished(self, table: str) -> Step:
        """Return the step that wrote an existing table, even if the table is outdated.

        `table` is the name of the step's main table, such as "frames".
        """
        path = self.workspace.path(table)
        return Step(path, False, store.read_meta(path))

    def folds_as_made(self, frames: Step) -> Step:
        """Make the folds of the frames if they are missing or outdated, and return the step.

        Outdated random folds are made again with the same settings. If there are no folds, or only
        folds of another version of the protocol, the protocol's default folds are made.

        Args:
            frames: the finished step that read the frames.
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

        For a joined protocol, the crops of its two datasets are joined.

        Args:
            options: fields of `fauds.faces.plan.CropRequest` that replace the protocol's settings.
            progress: shows a progress bar; None for none.

        Raises:
            UsageError: settings contradict each other, the alignment or the detector is unknown,
                or options are given for a joined protocol.
            DataError: images or landmarks are missing or damaged.
        """
        protocol = self.workspace.protocol
        if not protocol.is_joined:
            # Imported here because it loads OpenCV, which reading labels does not need.
            from fauds.pipeline.cropping import crop

            return crop(self.workspace, options, progress)
        if options:
            raise UsageError(
                f"{self.workspace.dataset} takes no options for cropping: it joins two datasets "
                "and uses their crops.",
                hint=f"use the options in fauds prepare --dataset {protocol.train} and "
                f"fauds prepare --dataset {protocol.test}",
            )
        return self._joined_faces(self.frames(), progress)

    def _joined_faces(
        self,
        frames: Step,
        progress: "Progress | None",
        reserve: int = 0,
        *,
        landmarks: bool = False,
    ) -> Step:
        """Join the cropped faces of the two datasets of a joined protocol.

        Faces that are not cropped yet are cropped first.

        Args:
            frames: the finished step that joined the frames.
            progress: shows a progress bar; None for none.
            reserve: the bytes of disk space that must stay free for later steps.
            landmarks: whether landmarks are needed, see `faces_as_prepared`.
        """
        train, test = self._members()
        steps = []
        for member in (train, test):
            faces = member.faces_as_prepared(
                member.frames(), progress, reserve, landmarks=landmarks
            )
            # Checked before the next member is cropped, which may take hours.
            steps.append(checked_faces(self.workspace, member.workspace, faces))
        return join_faces(self.workspace, (train.workspace, test.workspace), frames, steps)

    def faces_as_prepared(
        self,
        frames: Step,
        progress: "Progress | None" = None,
        reserve: int = 0,
        *,
        landmarks: bool = False,
    ) -> Step | None:
        """Crop the faces of the frames if crops are missing or outdated, and return the step.

        Outdated crops are made again with the same settings. If there are no crops, faces are
        cropped with the protocol's alignment. Changes of archives, videos and landmark files are
        not detected here, but by `faces`.

        Args:
            frames: the finished step that read the frames.
            progress: shows a progress bar; None for none.
            reserve: the bytes of disk space that must stay free for later steps.
            landmarks: whether landmarks are needed: faces are then also cropped if the protocol
                uses images without cropping, and again if the table of the crops has no landmarks
                because an older version of fauds wrote it.

        Returns:
            The finished step; None if the protocol uses images without cropping and there are no
            crops.
        """
        workspace = self.workspace
        if workspace.protocol.is_joined:
            return self._joined_faces(frames, progress, reserve, landmarks=landmarks)
        old = meta_of(workspace.path("faces"))
        if old is None:
            alignment = workspace.protocol.alignment.name
            if alignment == "none" and not landmarks:
                return None
            self._say(f"cropping faces ({alignment}): {workspace.folder / 'faces'}")
            return self.faces({"reserve": reserve}, progress)
        outdated = landmarks and "points" not in store.column_names(workspace.path("faces"))
        if old["inputs"] == frames.fingerprint and not outdated:
            return Step(workspace.path("faces"), False, old)
        again = f"cropping faces again ({old['settings']['name']})"
        self._say(f"{again}: {workspace.folder / 'faces'}")
        return self.faces({**old["request"], "reserve": reserve}, progress)

    def bench(
        self,
        plan: "Plan",
        frames: Step | None,
        progress: "Progress",
        groups: "Groups",
        *,
        tensorboard: bool = False,
    ) -> list[int]:
        """Train and test a model on every fold, and write results.json and a report.

        If a run is resumed for some of its folds, results and report are written only if all other
        folds are finished already.

        Args:
            plan: the model, its settings and the folds of the run.
            frames: the finished step that read the frames. Captions, folds and crops that are
                missing or outdated are then made first. None to use the existing tables: for a
                resumed run, and in every process of a distributed run except the first.
            progress: shows progress bars.
            groups: the processes of the run, which may train several folds at the same time.
            tensorboard: whether TensorBoard event files are written as well.

        Returns:
            The numbers of the run's folds that are not finished; empty if the run is finished.

        Raises:
            UsageError: a fold does not exist, the processes cannot be divided among the folds, or a
                large backbone would be trained on a CPU without being asked to.
            DataError: images, landmarks or other files that the run needs are missing, pretrained
                weights among them, or the disk has too little space.
        """
        from fauds.pipeline.evaluating import write_results
        from fauds.runs.checks import check_machine
        from fauds.runs.fold import LinesOnly
        from fauds.runs.inputs import planned_folds, read_folds
        from fauds.runs.run import begin_run
        from fauds.training import processes

        if frames is not None:
            self.folds_as_made(frames)
        tables = self.workspace.folder
        folds = planned_folds(plan, read_folds(tables, plan)) if groups.is_first else []
        plan, folds = groups.share((plan, folds))
        groups.divide(len(set(plan.only) or folds), cpu=plan.settings.training.device == "cpu")
        reserve = 0
        if frames is not None:
            self._say_what_cannot_be_shown(plan, frames)
        if groups.is_first:
            # Checked before captions and crops, which may take hours.
            reserve = check_machine(plan, tables, progress.say, groups.count)
        if frames is not None:
            if plan.needs_captions:
                self.captions_as_built(frames)
            if plan.faces is None:
                self.faces_as_prepared(frames, progress, reserve, landmarks=plan.needs_landmarks)
        groups.wait()
        if groups.count > 1:
            progress = LinesOnly(self._say if processes.is_leader() else lambda line: None)
        with begin_run(tables, plan, groups) as run:
            run.predict(groups, progress, tensorboard=tensorboard)
            missing = run.missing
            if groups.is_first and not missing:
                write_results(run)
        if groups.is_first and not missing:
            _report(plan.folder)
        return missing

    def _say_what_cannot_be_shown(self, plan: "Plan", frames: Step) -> None:
        """Tell the user before training which row of published tables the run will not have."""
        from fauds.report.published import without_like_for_like

        training = plan.settings.training.model_dump()
        note = without_like_for_like(self.workspace.protocol, training)
        if note is not None and not frames.meta["synthetic"]:
            self._say(note)

    def merge(self, runs: Sequence[Path]) -> Path:
        """Join the finished folds of runs with the same settings into one run; write its results.

        Args:
            runs: the folders of the runs, which may come from other machines.

        Returns:
            The folder of the new run, which has results.json and a report.

        Raises:
            UsageError: see `fauds.runs.merge.merge_runs`.
            DataError: the runs differ in more than their folds; the message says where.
        """
        from fauds.pipeline.evaluating import write_results
        from fauds.protocols.folds import fold_numbers
        from fauds.runs.merge import merge_runs

        with merge_runs(self.workspace.folder, self.workspace.protocol, runs) as run:
            write_results(run)
        _report(run.plan.folder)
        if missing := sorted(set(fold_numbers(run.inputs.folds)) - set(run.folds)):
            self._say(
                f"No run has finished fold {', '.join(map(str, missing))}: the results are of fold "
                f"{', '.join(map(str, run.folds))} only."
            )
        return run.plan.folder

    def score(
        self,
        request: "ScoreRequest",
        say: Callable[[str], None],
        progress: AbstractContextManager["Progress"],
    ) -> Path:
        """Score predictions of another program, and write results.json and a report.

        Args:
            request: the predictions, and how frames without a prediction are handled.
            say: a function that is called with each line of text for the user about which
                predictions were read and which were left out.
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
    """Write report.md and report.html into the folder of a finished run."""
    from fauds.report.html import write_html
    from fauds.report.markdown import write_report

    write_report(run)
    write_html([run])

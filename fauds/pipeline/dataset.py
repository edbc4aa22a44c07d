"""Opens a dataset's tables as pandas and torch objects, and scores predictions from Python."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from fauds.errors import DataError, UsageError
from fauds.protocols import user_files as protocol_files
from fauds.tables import store
from fauds.tables.paths import FRAMES, PREDICTIONS

if TYPE_CHECKING:
    import pandas as pd

    from fauds.evaluation.results import Results
    from fauds.protocols.benchmark import Benchmark
    from fauds.training.torch_dataset import Samples


class Dataset:
    """The tables of one dataset, each read on first access.

    Args:
        folder: the folder that fauds made for the dataset, for example ``fauds-work/bp4d``.

    Attributes:
        folder: the path of the folder.

    Raises:
        DataError: the folder contains no frames.parquet.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).expanduser()
        if not (self.folder / FRAMES).exists():
            raise DataError(
                "This is not a dataset's folder: it contains no frames.parquet.",
                where=self.folder,
                hint="give a dataset's folder in a workdir, such as fauds-work/synthetic, which is "
                "created by fauds build-captions",
            )

    def __repr__(self) -> str:
        return f"fauds.open({str(self.folder)!r})"

    @cached_property
    def protocol(self) -> "Benchmark":
        """The protocol of the dataset: its target, folds, alignment and metric."""
        return protocol_files.find(self.folder.resolve().name, self.folder.resolve().parent)

    @cached_property
    def frames(self) -> "pd.DataFrame":
        """A table of the coded frames, one row each.

        The columns are frame_id, key (such as F001/T1/2440), subject, task, frame, sex, image, the
        labels, and split if the dataset has a training and a test part of its own.
        """
        from fauds.tables.frames import read_keyed

        path = self.folder / FRAMES
        columns = [name for name in store.column_names(path) if name != "key"]
        frames: pd.DataFrame = read_keyed(path, columns).to_pandas()
        return frames

    @cached_property
    def captions(self) -> "pd.DataFrame":
        """A table of the captions, one row for each frame.

        The columns are frame_id, one description for each AU, and the description of the whole face
        (``face``).
        """
        return self._table("captions", "fauds build-captions")

    @cached_property
    def phrases(self) -> "pd.DataFrame":
        """A table of all distinct descriptions that captions use, one row each.

        The columns are scope ("local" for single AUs, "global" for whole faces), au, state, variant
        (the paraphrase), text and tokens.
        """
        return self._table("phrases", "fauds build-captions")

    @cached_property
    def vocabulary(self) -> "pd.DataFrame":
        """A table of the words in the descriptions, one row for each token.

        The columns are scope (the vocabulary: "local" for descriptions of single AUs, "global" for
        descriptions of whole faces), id, token, space and count.
        """
        return self._table("vocabulary", "fauds build-captions")

    @cached_property
    def folds(self) -> "pd.DataFrame":
        """A table of the folds, one row for each subject.

        The columns are subject, fold (the number of the fold that tests the subject, from 1; 0 for
        a subject that is only trained on) and protocol (the name of the folds, such as
        published-3fold). If the subjects are unknown, the parts "train" and "test" of the
        release's own split take their place.
        """
        return self._table("folds", "fauds split")

    def _table(self, name: str, command: str) -> "pd.DataFrame":
        path = self.folder / f"{name}.parquet"
        if not path.exists():
            raise DataError(
                f"The table {name}.parquet does not exist yet.",
                where=path,
                hint=f"run {command} for this dataset",
            )
        table: pd.DataFrame = store.read_table(path).to_pandas()
        return table

    def torch(
        self,
        fold: int | None = None,
        part: Literal["train", "test", "all"] = "all",
        *,
        image_size: int = 224,
        captions: bool = True,
        faces: Path | str | None = None,
        seed: int = 0,
        flip: bool = True,
        cutout: float = 0.25,
        cutout_chance: float = 0.5,
        transform: Callable[[Any], Any] | None = None,
    ) -> "Samples":
        """Return a torch Dataset of the frames that have a face image.

        With the image size, seed and augmentation settings of a run, the samples equal those that
        `fauds bench` trains and tests on, pixel by pixel.

        Args:
            fold: the number of the fold; None for the frames of all folds.
            part: which frames of the fold: "train" (with augmentation), "test" (centre crops), or
                "all" for both (centre crops).
            image_size: the side of the images in pixels.
            captions: whether samples include the texts and tokens of the captions; without effect
                if the protocol predicts no AUs.
            faces: a folder of crops that another program made; None for the crops of ``fauds
                prepare``, or for the raw images if the protocol uses images without cropping.
            seed: the seed of the augmentation, as ``training.seed``.
            flip: whether images are flipped at random, as ``training.flip``.
            cutout: the side of the square that is erased at random, as a share of the image's side,
                as ``training.cutout``.
            cutout_chance: the probability that a square is erased, as ``training.cutout_chance``.
            transform: a function that is applied to every image, uint8 [3, S, S].

        Raises:
            UsageError: the fold does not exist, or a part is given without a fold.
            DataError: tables or images are missing.
        """
        import numpy as np
        import pyarrow as pa

        from fauds.faces.frame_images import face_landmarks, find_face_images
        from fauds.runs.inputs import caption_tables
        from fauds.tables.frames import read_keyed
        from fauds.training.batches import Sampling
        from fauds.training.face_set import face_set
        from fauds.training.torch_dataset import Samples

        target, path = self.protocol.target, self.folder / FRAMES
        keys = ["frame_id", "subject", "task", "frame", "sex", "image"]
        table = read_keyed(path, [*keys, *target.columns])
        crops = None if faces is None else Path(faces)
        meta = store.read_meta(path)
        images = find_face_images(self.folder, table, meta, crops, self.protocol.alignment)
        frames = images.frames.filter(pa.array(self._part(images.frames, fold, part)))
        texts = None
        if captions and target.described_aus:
            texts = caption_tables(self.folder, frames)
        tokens = None if texts is None else texts.tokens(target.described_aus)
        return Samples(
            face_set(
                frames,
                images.root,
                target.labels(frames),
                tokens,
                face_landmarks(images, frames),
            ),
            np.array(frames["key"].to_pylist(), np.str_),
            Sampling(image_size, seed, flip, cutout, cutout_chance),
            train=part == "train",
            texts=None
            if texts is None
            else {
                scope: [
                    text
                    for text_scope, text in zip(
                        *(texts.phrases[name].to_pylist() for name in ("scope", "text")),
                        strict=True,
                    )
                    if text_scope == scope
                ]
                for scope in ("local", "global")
            },
            names=target.described_aus,
            transform=transform,
        )

    def _part(self, frames: Any, fold: int | None, part: str) -> Any:
        """Return which frames belong to a part of a fold, bool [N].

        Args:
            frames: a table of N frames.
            fold: the number of the fold; None for the frames of all folds.
            part: "train", "test" or "all".
        """
        import numpy as np

        from fauds.tables.frames import split_groups

        subjects = split_groups(frames)
        if fold is None:
            if part != "all":
                raise UsageError(
                    f"The part {part!r} needs a fold.",
                    where="part",
                    hint="give the number of the fold as well, such as fold=1",
                )
            return np.ones(len(subjects), bool)
        folds = sorted(set(self.folds["fold"]) - {0})
        if fold not in folds:
            raise UsageError(
                f"There is no fold {fold}.", where="fold", hint=f"choose from: {folds}"
            )
        tested = np.isin(subjects, self.folds["subject"][self.folds["fold"] == fold].to_numpy())
        if part not in ("train", "test", "all"):
            raise UsageError(f"There is no part {part!r}.", hint="choose from: train, test, all")
        return {"test": tested, "train": ~tested, "all": np.ones(len(tested), bool)}[part]


def evaluate(
    predictions: "pd.DataFrame | Path | str",
    dataset: Dataset | Path | str,
    *,
    name: str | None = None,
    missing: Literal["refuse", "drop", "inactive"] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> "Results":
    """Score predictions by a dataset's protocol; see `fauds.evaluate` for arguments and errors."""
    from fauds.evaluation.evaluate import evaluate as score
    from fauds.evaluation.external.match import ScoreRequest, match

    opened = dataset if isinstance(dataset, Dataset) else Dataset(dataset)
    if isinstance(predictions, Path | str):
        request = ScoreRequest(Path(predictions), name, missing)
        return score(*match(opened.folder, opened.protocol, request, say), opened.protocol)
    with TemporaryDirectory() as folder:
        path = Path(folder) / PREDICTIONS
        predictions.to_parquet(path, index=False)
        request = ScoreRequest(path, name, missing)
        matched, labels = match(opened.folder, opened.protocol, request, say)
    settings = {**matched.run.settings, "predictions": "a DataFrame"}
    run = replace(matched.run, settings=settings, command="fauds.evaluate(predictions, dataset)")
    return score(replace(matched, run=run), labels, opened.protocol)

"""A dataset's folder in a workdir, opened from Python: its tables, torch samples, evaluation."""

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
    """The tables of one dataset, read when they are first asked for.

    Args:
        folder: a dataset's folder in a workdir, for example ``fauds-work/bp4d``.

    Attributes:
        folder: the same.

    Raises:
        DataError: nothing was read into this folder yet.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).expanduser()
        if not (self.folder / FRAMES).exists():
            raise DataError(
                "This is no dataset's folder: it has no frames.parquet.",
                where=self.folder,
                hint="name a folder of the workdir, such as fauds-work/synthetic; it is made by "
                "fauds build-captions",
            )

    def __repr__(self) -> str:
        return f"fauds.open({str(self.folder)!r})"

    @cached_property
    def protocol(self) -> "Benchmark":
        """The protocol: target, folds, alignment, metric."""
        return protocol_files.find(self.folder.resolve().name, self.folder.resolve().parent)

    @cached_property
    def frames(self) -> "pd.DataFrame":
        """One row a coded frame: frame_id, key, subject, task, frame, sex, image and labels."""
        from fauds.tables.frames import read_keyed

        path = self.folder / FRAMES
        columns = [name for name in store.column_names(path) if name != "key"]
        frames: pd.DataFrame = read_keyed(path, columns).to_pandas()
        return frames

    @cached_property
    def captions(self) -> "pd.DataFrame":
        """One row a frame: frame_id, the description of each AU, and `face`, that of the whole."""
        return self._table("captions", "fauds build-captions")

    @cached_property
    def phrases(self) -> "pd.DataFrame":
        """One row a distinct description: scope, au, state, variant, text, tokens."""
        return self._table("phrases", "fauds build-captions")

    @cached_property
    def vocabulary(self) -> "pd.DataFrame":
        """One row a token: scope, id, token, space, count."""
        return self._table("vocabulary", "fauds build-captions")

    @cached_property
    def folds(self) -> "pd.DataFrame":
        """One row a subject: the fold that tests it, and what the folds are called."""
        return self._table("folds", "fauds split")

    def _table(self, name: str, command: str) -> "pd.DataFrame":
        path = self.folder / f"{name}.parquet"
        if not path.exists():
            raise DataError(f"There is no {name}.parquet yet.", where=path, hint=f"run {command}")
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

        With a run's image size, seed and augmentation settings, samples are to the pixel those
        that `fauds bench` trains and tests on.

        Args:
            fold: whose part; None for frames of all folds.
            part: "train" (augmented), "test" (centre crops), or "all" (centre crops).
            image_size: side of the images in pixels.
            captions: whether items have texts and tokens, where the target has any.
            faces: a folder of crops made by other software; None for those of ``fauds prepare``,
                or the release's own images where the protocol takes them as they are.
            seed, flip, cutout, cutout_chance: of the augmentation, as in ``training``'s settings.
            transform: is called with every image, uint8 [3, S, S].

        Raises:
            UsageError: there is no such fold, or a part is asked for without a fold.
            DataError: tables or images are missing.
        """
        import numpy as np
        import pyarrow as pa

        from fauds.faces.frame_images import find_face_images
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
        described = None
        if captions and target.described:
            described = caption_tables(self.folder, frames)
        tokens = None if described is None else described.tokens(target.described)
        return Samples(
            face_set(frames, images.root, target.labels(frames), tokens),
            np.array(frames["key"].to_pylist(), np.str_),
            Sampling(image_size, seed, flip, cutout, cutout_chance),
            train=part == "train",
            texts=None
            if described is None
            else {
                scope: [
                    text
                    for of, text in zip(
                        *(described.phrases[name].to_pylist() for name in ("scope", "text")),
                        strict=True,
                    )
                    if of == scope
                ]
                for scope in ("local", "global")
            },
            names=target.described,
            transform=transform,
        )

    def _part(self, frames: Any, fold: int | None, part: str) -> Any:
        """Return which frames belong to a fold's part, bool [N]."""
        import numpy as np
        import pyarrow as pa

        subjects = frames["subject"].cast(pa.string()).to_numpy(zero_copy_only=False).astype(str)
        if fold is None:
            if part != "all":
                raise UsageError(
                    f"{part!r} is a part of a fold.", where="part", hint="name one: fold=1"
                )
            return np.ones(len(subjects), bool)
        known = sorted(set(self.folds["fold"]) - {0})
        if fold not in known:
            raise UsageError(f"There is no fold {fold}.", where="fold", hint=f"there is: {known}")
        tested = np.isin(subjects, self.folds["subject"][self.folds["fold"] == fold].to_numpy())
        if part not in ("train", "test", "all"):
            raise UsageError(f"There is no part {part!r}.", hint="train, test or all")
        return {"test": tested, "train": ~tested, "all": np.ones(len(tested), bool)}[part]


def evaluate(
    predictions: "pd.DataFrame | Path | str",
    dataset: Dataset | Path | str,
    *,
    name: str | None = None,
    missing: Literal["refuse", "drop", "inactive"] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> "Results":
    """Score predictions by a dataset's protocol; arguments and errors as of `fauds.evaluate`."""
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
        given, labels = match(opened.folder, opened.protocol, request, say)
    settings = {**given.made.settings, "predictions": "a DataFrame"}
    made = replace(given.made, settings=settings, command="fauds.evaluate(predictions, dataset)")
    return score(replace(given, made=made), labels, opened.protocol)

"""Exports to JSON Lines and to Hugging Face folders, compared with plain loops over rows."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from fauds.captions import Style, export_hf
from fauds.captions import caption_tables as built
from fauds.captions import export_jsonl as export
from fauds.captions.caption_tables import BuiltCaptions
from fauds.captions.export_hf import EXPORT_MARKER, write_folder
from fauds.captions.export_jsonl import stream_jsonl, write_jsonl
from fauds.errors import DataError, UsageError
from fauds.tables import store

from .built import write_built
from .helpers import BP4D, DISFA, make_frames

AWKWARD = [
    'a "b".png',
    "back\\slash/1.png",
    "tab\tand\nline/2.png",
    "ünï/表情 3.jpg",
    None,
    "😀.png",
    "",
]

FRAME = ("subject", "task", "sex", "frame", "frame_id", "image")


def awkward_frames(rows: int, intensities: bool = True) -> pa.Table:
    """Return frames with nulls, and with image paths and subjects that JSON must escape."""
    frames = make_frames(BP4D, rows, nulls=0.05, intensities=intensities)
    images = pa.array([AWKWARD[row % len(AWKWARD)] for row in range(rows)], pa.string())
    names = pa.array([f'S"{row % 3}\\ü' for row in range(rows)]).dictionary_encode()
    return frames.append_column("image", images).set_column(1, "subject", names)


@pytest.fixture
def made(tmp_path: Path) -> BuiltCaptions:
    return write_built(tmp_path / "made", awkward_frames(300), BP4D, Style(degrees=True))


def plain(made: BuiltCaptions) -> list[dict[str, Any]]:
    """Return the objects of an export, built by a plain loop over rows."""
    frames = pq.read_table(made.path("frames")).to_pylist()
    captions = pq.read_table(made.path("captions")).to_pylist()
    graded = [au for au in BP4D if f"{au}_intensity" in frames[0]]
    return [
        {
            "dataset": "made",
            **{key: row[key] for key in FRAME},
            "aus": {au: row[au] for au in BP4D},
            "intensities": {au: row[f"{au}_intensity"] for au in graded},
            "local": {au: caption_row[au] for au in BP4D},
            "global": caption_row["face"],
        }
        for row, caption_row in zip(frames, captions, strict=True)
    ]


@pytest.mark.parametrize("step", [16 * 1024, 7])
@pytest.mark.parametrize("intensities", [True, False])
def test_lines_equal_those_of_the_json_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, intensities: bool
) -> None:
    monkeypatch.setattr(built, "ROWS_AT_ONCE", step)
    monkeypatch.setattr(store, "ROW_GROUP", 64)
    frames = awkward_frames(300, intensities)
    made = write_built(tmp_path, frames, BP4D, rows_at_once=50)
    file = io.BytesIO()
    reported: list[int] = []
    stream_jsonl(made, file, reported.append)
    expected = [json.dumps(row, ensure_ascii=False) for row in plain(made)]
    assert file.getvalue().decode().split("\n") == [*expected, ""]
    assert sum(reported) == 300


def test_tables_with_different_row_groups_are_read_together(
    made: BuiltCaptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = plain(made)
    meta = store.read_meta(made.path("captions"))
    monkeypatch.setattr(store, "ROW_GROUP", 70)
    store.write_table(made.path("captions"), store.read_table(made.path("captions")), meta)
    file = io.BytesIO()
    stream_jsonl(made, file)
    assert [json.loads(line) for line in file.getvalue().splitlines()] == expected


def test_image_paths_without_escapes_and_no_images_are_exported(tmp_path: Path) -> None:
    frames = make_frames(BP4D, 20)
    for name, images in (("all", [f"F/{n}.png" for n in range(20)]), ("none", [None] * 20)):
        column = pa.array(images, pa.string())
        made = write_built(tmp_path / name, frames.append_column("image", column), BP4D)
        file = io.BytesIO()
        stream_jsonl(made, file)
        lines = file.getvalue().splitlines()
        assert [json.loads(line)["image"] for line in lines] == images


def test_a_dataset_without_frames_is_exported(tmp_path: Path) -> None:
    made = write_built(tmp_path / "made", make_frames(DISFA, 0), DISFA)
    write_jsonl(made, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    write_jsonl(made, tmp_path / "out.jsonl")
    write_folder(made, tmp_path / "hf", "")
    (shard,) = (tmp_path / "hf" / "data").iterdir()
    assert pq.read_table(shard).num_rows == 0
    assert pq.read_schema(shard).field("global").type == pa.string()


def test_an_earlier_export_is_replaced_but_no_other_file(
    made: BuiltCaptions, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "er" / "captions.jsonl"
    write_jsonl(made, out)
    first = out.read_bytes()
    out.write_bytes(first.splitlines(keepends=True)[0])
    write_jsonl(made, out)
    assert out.read_bytes() == first
    for foreign in (b'{"a": 1}\n', b"[1, 2]\n", b"7\n", b"my notes\n", b"\xff\xfe\x00"):
        out.write_bytes(foreign)
        with pytest.raises(UsageError, match="not an export"):
            write_jsonl(made, out)
        assert out.read_bytes() == foreign
    with pytest.raises(UsageError, match="not an export"):
        write_jsonl(made, out.parent)
    assert os.listdir(out.parent) == [out.name]


def test_an_earlier_export_folder_is_replaced_but_no_other_folder(
    made: BuiltCaptions, tmp_path: Path
) -> None:
    out = tmp_path / "hf"
    write_folder(made, out, "")
    (out / "data" / "train-00001-of-00009.parquet").write_text("left over")
    write_folder(made, out, "")
    assert sorted(os.listdir(out)) == ["README.md", "data", EXPORT_MARKER]
    assert os.listdir(out / "data") == ["train-00000-of-00001.parquet"]
    (out / EXPORT_MARKER).unlink()
    with pytest.raises(UsageError, match="not an export"):
        write_folder(made, out, "")
    assert (out / "README.md").exists()
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UsageError, match="not an export"):
        write_folder(made, file, "")
    (tmp_path / "empty").mkdir()
    write_folder(made, tmp_path / "empty", "")
    assert (tmp_path / "empty" / EXPORT_MARKER).exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_error_leaves_the_earlier_export_and_no_partial_files(
    made: BuiltCaptions, tmp_path: Path, error: BaseException
) -> None:
    file, folder = tmp_path / "out" / "captions.jsonl", tmp_path / "out" / "hf"
    write_jsonl(made, file)
    write_folder(made, folder, "")
    before = file.read_bytes(), (folder / EXPORT_MARKER).stat().st_mtime_ns

    def fail(rows: int) -> None:
        raise error

    expected = KeyboardInterrupt if error is KeyboardInterrupt else DataError
    with pytest.raises(expected):
        write_jsonl(made, file, fail)
    with pytest.raises(expected):
        write_folder(made, folder, "", fail)
    assert (file.read_bytes(), (folder / EXPORT_MARKER).stat().st_mtime_ns) == before
    assert sorted(os.listdir(tmp_path / "out")) == ["captions.jsonl", "hf"]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and the modification time of every file in a folder."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


STOPS = [("export", at, late) for at in range(4) for late in (False, True)]
STOPS += [("empty", at, late) for at in range(3) for late in (False, True)]


@pytest.mark.parametrize(("before", "at", "late"), [*STOPS, ("nothing", 0, False)])
def test_an_error_while_files_are_moved_restores_the_earlier_export(
    made: BuiltCaptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    at: int,
    late: bool,
) -> None:
    out = tmp_path / "out" / "hf"
    out.parent.mkdir()
    if before == "export":
        write_folder(made, out, "")
        (out / "notes.txt").write_text("mine")
    elif before == "empty":
        out.mkdir()
    contents_before = contents(out.parent)
    moves: list[Path] = []

    def stopping(move: Any) -> Any:
        def moved(path: Path, target: Path) -> Path:
            in_export = out in (path.parent, target, target.parent)
            moves.extend([path] * in_export)
            is_stopping_move = in_export and len(moves) == at + 1
            if late or not is_stopping_move:
                move(path, target)
            if is_stopping_move:
                raise KeyboardInterrupt
            return target

        return moved

    for name in ("rename", "replace"):
        monkeypatch.setattr(Path, name, stopping(getattr(Path, name)))
    with pytest.raises(KeyboardInterrupt):
        write_folder(made, out, "")
    assert contents(out.parent) == contents_before
    assert os.listdir(out.parent) == ([] if before == "nothing" else ["hf"])
    assert not list(tmp_path.rglob("*.part"))


def test_other_files_in_an_export_folder_stay(
    made: BuiltCaptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "hf"
    write_folder(made, out, "")
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("ref: refs/heads/main")
    (out / "notes.txt").write_text("mine")
    (out / "README.md").write_text("old")
    monkeypatch.chdir(out)
    write_folder(made, Path("."), "")
    assert Path.cwd() == out
    assert sorted(os.listdir()) == [".git", "README.md", "data", EXPORT_MARKER, "notes.txt"]
    assert Path(".git/HEAD").read_text() == "ref: refs/heads/main"
    assert Path("notes.txt").read_text() == "mine"
    assert Path("README.md").read_text() != "old"


def test_a_data_folder_with_another_file_is_not_replaced(
    made: BuiltCaptions, tmp_path: Path
) -> None:
    out = tmp_path / "hf"
    write_folder(made, out, "")
    (out / "data" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"(?s)not part of an export.*data/notes\.txt"):
        write_folder(made, out, "")
    assert (out / "data" / "notes.txt").read_text() == "mine"
    assert sorted(os.listdir(out)) == ["README.md", "data", EXPORT_MARKER]


def test_a_path_that_cannot_be_written_is_an_error(made: BuiltCaptions, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file/x/y", "n" * 300, f"{'n' * 300}/y"):
        for write in (write_jsonl, lambda made, out: write_folder(made, out, "")):
            with pytest.raises(DataError, match="could not be written") as error:
                write(made, tmp_path / name)
            assert "--workdir" not in str(error.value)
            assert "choose another place" in error.value.hint
    os.mkfifo(tmp_path / "pipe")
    for device in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UsageError, match="not a regular file") as error:
            write_jsonl(made, device)
        assert error.value.where == str(device) and "- for stdout" in error.value.hint


def test_an_export_folder_opens_in_hugging_face_datasets(
    made: BuiltCaptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    from datasets import load_dataset

    out = tmp_path / "hf"
    write_folder(made, out, "")
    cache = str(tmp_path / "cache")
    whole = load_dataset(str(out), split="train", cache_dir=cache)
    files = load_dataset(
        "parquet", data_files=str(out / "data" / "*.parquet"), split="train", cache_dir=cache
    )
    assert whole.to_list() == files.to_list()
    for row, expected in zip(whole.to_list(), plain(made), strict=True):
        assert {key: row[key] for key in ("subject", "image", "frame", "global")} == {
            key: expected[key] for key in ("subject", "image", "frame", "global")
        }
        assert {au: row[au] for au in BP4D} == expected["aus"]
        assert {au: row[f"{au}_intensity"] for au in BP4D} == expected["intensities"]
        assert {au: row[f"{au}_text"] for au in BP4D} == expected["local"]
    kinds = {name: feature.dtype for name, feature in whole.features.items()}
    assert [kinds[name] for name in ("AU01", "AU06_intensity", "frame")] == [
        "int8",
        "int8",
        "int32",
    ]
    texts = ("dataset", "subject", "task", "image", "sex", "AU24_text", "global")
    assert {kinds[name] for name in texts} == {"string"}


def test_shards_have_a_maximum_size_and_keep_the_order_of_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built, "ROWS_AT_ONCE", 20)
    monkeypatch.setattr(store, "ROW_GROUP", 40)
    made = write_built(tmp_path / "made", awkward_frames(300), BP4D, rows_at_once=100)
    write_folder(made, tmp_path / "one", "")
    (one,) = (tmp_path / "one" / "data").iterdir()
    assert pq.ParquetFile(one).metadata.row_group(0).num_rows == 40
    monkeypatch.setattr(export_hf, "SHARD", one.stat().st_size // 8)
    write_folder(made, tmp_path / "many", "")
    shards = sorted((tmp_path / "many" / "data").iterdir())
    assert len(shards) > 2
    names = [f"train-{at:05d}-of-{len(shards):05d}.parquet" for at in range(len(shards))]
    assert [shard.name for shard in shards] == names
    joined = pa.concat_tables([pq.read_table(shard) for shard in shards])
    assert joined.equals(pq.read_table(one))
    assert joined["frame_id"].to_pylist() == list(range(300))


def test_the_dataset_card_states_language_settings_and_access(tmp_path: Path) -> None:
    frames = make_frames(BP4D, 30)
    access = "Ask the university."
    for synthetic in (True, False):
        made = write_built(tmp_path / str(synthetic), frames, BP4D, synthetic=synthetic)
        write_folder(made, tmp_path / f"hf {synthetic}", access)
        card = (tmp_path / f"hf {synthetic}" / "README.md").read_text(encoding="utf-8")
        _, header, body = card.split("---\n", 2)
        metadata = yaml.safe_load(header)
        assert metadata["language"] == ["en"]
        assert metadata["configs"][0]["data_files"] == [
            {"split": "train", "path": "data/train-*.parquet"}
        ]
        assert ("**Synthetic data.**" in body) == synthetic
        assert (access in body) != synthetic
        assert "_intensity" not in body
        assert "/raw/images" in body and made.settings["templates"] in body
        marker = json.loads((tmp_path / f"hf {synthetic}" / EXPORT_MARKER).read_text())
        assert marker["settings"] == made.settings and marker["frames"] == 30


def test_captions_of_other_frames_are_an_error_with_the_command_to_rebuild(
    made: BuiltCaptions,
) -> None:
    meta = store.read_meta(made.path("frames"))
    frames = store.read_table(made.path("frames"))
    store.write_table(made.path("frames"), frames, {**meta, "inputs": "of others"})
    with pytest.raises(DataError, match="from other frames") as error:
        built.open_captions(made.folder, "made")
    assert "fauds build-captions --dataset made" in error.value.hint
    assert "--degrees" in error.value.hint
    store.write_table(made.path("frames"), frames.slice(1), meta)
    with pytest.raises(DataError, match="from other frames"):
        built.open_captions(made.folder, "made")
    at = frames.column_names.index("frame_id")
    other = frames.set_column(at, "frame_id", pa.array(range(1, 301)))
    store.write_table(made.path("frames"), other, meta)
    with pytest.raises(DataError, match="from other frames"):
        stream_jsonl(built.open_captions(made.folder, "made"), io.BytesIO())


def test_tables_of_different_builds_are_an_error_of_their_own(made: BuiltCaptions) -> None:
    meta = store.read_meta(made.path("phrases"))
    phrases = store.read_table(made.path("phrases"))
    for change in ({"inputs": "of others"}, {"settings": {**meta["settings"], "degrees": False}}):
        store.write_table(made.path("phrases"), phrases, {**meta, **change})
        with pytest.raises(DataError, match="from different builds") as error:
            built.open_captions(made.folder, "made")
        assert "from other frames" not in str(error.value)
        assert "fauds build-captions --dataset made" in error.value.hint
        assert "--degrees" in error.value.hint


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built, "ROWS_AT_ONCE", 500)
    monkeypatch.setattr(store, "ROW_GROUP", 1000)
    peaks = []
    for rows in (3000, 30_000):
        made = write_built(tmp_path / str(rows), awkward_frames(rows), BP4D, rows_at_once=1000)
        peaks.append(_peak(made))
    assert peaks[1] < 1.5 * peaks[0]


def _peak(made: BuiltCaptions) -> int:
    """Return the peak of Arrow memory between the parts of an export, in bytes."""
    allocated: list[int] = []

    class Nowhere(io.RawIOBase):
        def write(self, data: Any) -> int:
            allocated.append(pa.total_allocated_bytes())
            return len(data)

    stream_jsonl(made, Nowhere())
    return max(allocated)


def test_exporting_loads_no_heavy_library() -> None:
    import subprocess
    import sys

    heavy = "{'torch', 'spacy', 'pandas', 'matplotlib', 'datasets'}"
    code = f"import sys, fauds.captions.export_hf; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert export.JSONL_KEYS[-1] == "global"

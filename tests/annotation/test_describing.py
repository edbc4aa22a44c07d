"""What fauds describe writes: tables for spreadsheets and R, subtitles, ELAN and Praat files."""

import csv
import json
import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlparse
from xml.etree import ElementTree

import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest

import fauds
from fauds.facs import parse_codes
from tests.annotation.helpers import events_of, openface, ramp

XSI = "{http://www.w3.org/2001/XMLSchema-instance}"

AUS = {
    "AU06": ramp((0, 14), (3.4, 16)),
    "AU12": ramp((0, 10), (2.2, 20)),
    "AU25": ramp((0, 30)),
}


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return openface(tmp_path / "talk.csv", AUS, without_face=[2])


def test_a_table_of_frames_has_codes_and_texts(cli, talk, tmp_path):
    out = tmp_path / "frames.csv"
    done = cli("describe", talk, "-o", out, "--codes", "--degrees", "--sex", "F")
    assert done.code == 0 and done.out.split() == [str(out)]
    assert f"{talk}: OpenFace: frame in 'frame', time in 'timestamp'" in done.err
    assert "an AU is active if the table says so" in done.err
    assert "30 frames of 1 clip" in done.err
    table = pd.read_csv(out)
    assert table.columns.tolist()[:7] == [
        *("source", "face", "frame", "time", "sex", "codes", "face_text"),
    ]
    assert table["frame"].tolist() == list(range(1, 31))
    row = table.iloc[20]
    assert (row["AU06"], row["AU12"], row["AU25"]) == (1, 1, 0)
    assert row["codes"] == "6C+12B" and row["AU12_intensity"] == pytest.approx(2.2)
    assert row["face_text"] == fauds.describe("6C+12B", "F").face
    assert row["AU12_text"] == fauds.describe({"AU12": "B"}).local["AU12"]
    assert table["AU12_text"][:10].isna().all()
    assert table["AU12_text"].notna().tolist() == (table["AU12"] == 1).tolist()
    assert pd.isna(table["face_text"][1]) and pd.isna(table["AU12"][1])
    assert table["codes"][0] == 0 or table["codes"][0] == "0"


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet", ".jsonl"])
@pytest.mark.parametrize("what", [(), ("--events",), ("--summary",)])
def test_tables_of_every_format_hold_the_same(cli, talk, tmp_path, suffix, what):
    out, reference = tmp_path / f"out{suffix}", tmp_path / "reference.parquet"
    cli.ok("describe", talk, *what, "-o", out, "--language", "zh")
    cli.ok("describe", talk, *what, "-o", reference, "--language", "zh")
    expected = pq.read_table(reference).to_pylist()
    if suffix == ".csv":
        with out.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        same = [{k: "" if v is None else v for k, v in row.items()} for row in expected]
        assert [row.keys() for row in rows] == [row.keys() for row in same]
        for row, other in zip(rows, same, strict=True):
            for name, cell in row.items():
                value = other[name]
                assert (
                    cell == value
                    if isinstance(value, str)
                    else float(cell) == pytest.approx(value, rel=1e-6)
                )
        return
    if suffix == ".xlsx":
        book = openpyxl.load_workbook(out)
        title = what[0].removeprefix("--") if what else "frames"
        assert book.sheetnames == ["about", title]
        about = {row[0].value: row[1].value for row in book["about"].rows}
        assert about["read from"].startswith("talk.csv: OpenFace")
        names, *cells = book[title].iter_rows(values_only=True)
        rows = [dict(zip(names, row, strict=True)) for row in cells]
        assert book[title].freeze_panes == "A2"
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in out.open(encoding="utf-8")]
    else:
        rows = pq.read_table(out).to_pylist()
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        assert row.keys() == other.keys()
        for name, value in other.items():
            assert row[name] == (pytest.approx(value, rel=1e-6) if isinstance(value, float)
                                 else value)  # fmt: skip


def test_text_that_begins_like_a_formula_stays_text_in_excel(cli, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("subject,clip,frame,AU12\n=1+1,@x,1,1\n")
    cli.ok("describe", path, "-o", tmp_path / "a.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx")["frames"]
    names = [cell.value for cell in sheet[1]]
    cell = sheet.cell(2, names.index("subject") + 1)
    assert cell.value == "=1+1" and cell.data_type in ("s", "inlineStr")


def seconds(clock: str) -> float:
    hours, minutes, rest = clock.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


@pytest.mark.parametrize(
    ("suffix", "pattern"),
    [
        (".srt", r"(\d+)\n(\d\d:\d\d:\d\d,\d{3}) --> (\d\d:\d\d:\d\d,\d{3})\n([^\n]+)\n"),
        (".vtt", r"()(\d\d:\d\d:\d\d\.\d{3}) --> (\d\d:\d\d:\d\d\.\d{3})\n([^\n]+)\n"),
    ],
)
def test_the_times_of_subtitles_are_those_of_the_events(cli, talk, tmp_path, suffix, pattern):
    out = tmp_path / f"talk{suffix}"
    cli.ok("describe", talk, "--events", "-o", out, "--sex", "M")
    text = out.read_text(encoding="utf-8")
    assert text.startswith("WEBVTT\n\n" if suffix == ".vtt" else "1\n")
    cues = re.findall(pattern, text)
    (clip,) = events_of(talk)
    assert [(seconds(start), seconds(stop)) for _, start, stop, _ in cues] == [
        (pytest.approx(event.onset, abs=5e-4), pytest.approx(event.offset, abs=5e-4))
        for event in clip.together
    ]
    assert cues[0][3] == fauds.describe({"AU12": 1}, "M").face
    both = fauds.describe({"AU06": 1, "AU12": 1}, "M").face
    assert cues[1][3] == f"{both} AU12 began first, AU06 0.4 s later."
    if suffix == ".srt":
        assert [number for number, *_ in cues] == ["1", "2"]


def check_eaf(path: Path) -> dict[str, list[tuple[int, int, str]]]:
    """Check an ELAN file by the rules of EAFv3.0.xsd, and return its annotations by tier."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert set(root.attrib) == {"AUTHOR", "DATE", "FORMAT", "VERSION",
                                XSI + "noNamespaceSchemaLocation"}  # fmt: skip
    assert root.attrib["FORMAT"] == "3.0" and root.attrib["VERSION"] == "3.0"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)",
                        root.attrib["DATE"])  # fmt: skip
    # Children in the order of the schema: HEADER, TIME_ORDER, TIER*, LINGUISTIC_TYPE*.
    order = ["LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE",
             "CONSTRAINT"]  # fmt: skip
    places = [order.index(child.tag) for child in root]
    assert places == sorted(places)
    (header,) = root.findall("HEADER")
    assert header.attrib["TIME_UNITS"] in ("NTSC-frames", "PAL-frames", "milliseconds")
    for media in header:
        assert media.tag == "MEDIA_DESCRIPTOR"
        assert {"MEDIA_URL", "MIME_TYPE"} <= set(media.attrib)
        assert urlparse(media.attrib["MEDIA_URL"]).scheme == "file"
    (times,) = root.findall("TIME_ORDER")
    slots = {}
    for slot in times:
        assert slot.tag == "TIME_SLOT" and set(slot.attrib) <= {"TIME_SLOT_ID", "TIME_VALUE"}
        slots[slot.attrib["TIME_SLOT_ID"]] = int(slot.attrib["TIME_VALUE"])
    assert len(slots) == len(times) and min(slots.values(), default=0) >= 0
    assert [*slots.values()] == sorted(slots.values())
    types = {one.attrib["LINGUISTIC_TYPE_ID"]: one for one in root.findall("LINGUISTIC_TYPE")}
    ids: list[str] = [*slots]
    tiers: dict[str, list[tuple[int, int, str]]] = {}
    for tier in root.findall("TIER"):
        assert set(tier.attrib) <= {"TIER_ID", "LINGUISTIC_TYPE_REF", "PARTICIPANT"}
        assert types[tier.attrib["LINGUISTIC_TYPE_REF"]].attrib["TIME_ALIGNABLE"] == "true"
        assert tier.attrib["TIER_ID"] not in tiers
        rows = tiers[tier.attrib["TIER_ID"]] = []
        for annotation in tier:
            (aligned,) = annotation
            assert (annotation.tag, aligned.tag) == ("ANNOTATION", "ALIGNABLE_ANNOTATION")
            (value,) = aligned
            assert value.tag == "ANNOTATION_VALUE" and value.text
            ids.append(aligned.attrib["ANNOTATION_ID"])
            span = [slots[aligned.attrib[f"TIME_SLOT_REF{end}"]] for end in (1, 2)]
            assert span[0] < span[1]
            assert not rows or rows[-1][1] <= span[0], "annotations of a tier do not overlap"
            rows.append((*span, value.text))
    # xs:ID is an XML name and unique in the document.
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[A-Za-z_][\w.-]*", one) for one in ids)
    return tiers


def test_an_elan_file_keeps_the_rules_of_its_schema_and_has_a_tier_an_au(cli, talk, tmp_path):
    out, video = tmp_path / "talk ü.eaf", tmp_path / "talk ü.mp4"
    cli.ok("describe", talk, "--events", "-o", out, "--media", video)
    tiers = check_eaf(out)
    assert [*tiers] == ["face", "codes", "AU06", "AU12", "AU25"]
    assert tiers["AU06"] == [(1400, 3000, "6C")] and tiers["AU12"] == [(1000, 3000, "12B")]
    assert tiers["AU25"] == []
    assert [value for _, _, value in tiers["codes"]] == ["12B", "6C+12B"]
    assert tiers["face"][0] == (1000, 1400, fauds.describe({"AU12": 1}).face)
    assert 'MIME_TYPE="video/mp4"' in out.read_text() and "talk%20%C3%BC.mp4" in out.read_text()


def test_a_praat_textgrid_has_tiers_without_gaps(cli, talk, tmp_path):
    out = tmp_path / "talk.TextGrid"
    cli.ok("describe", talk, "--events", "-o", out)
    text = out.read_text(encoding="utf-8")
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\n')
    tiers = re.split(r"    item \[\d+\]:\n", text)[1:]
    assert len(tiers) == 5 and f"size = {len(tiers)}\n" in text
    for tier in tiers:
        declared = int(re.search(r"intervals: size = (\d+)", tier)[1])
        spans = re.findall(r"\]:\n\s+xmin = (\S+)\n\s+xmax = (\S+)\n\s+text = (.*)\n", tier)
        assert len(spans) == declared
        assert float(spans[0][0]) == 0 and float(spans[-1][1]) == 3
        assert all(first[1] == second[0] for first, second in pairwise(spans))
    assert [span[2] for span in spans] == ['""']
    smile = tiers[3]
    assert 'name = "AU12"' in smile
    assert 'xmin = 1\n            xmax = 3\n            text = "12B"' in smile


def test_several_clips_need_a_name_each(cli, talk, tmp_path):
    openface(tmp_path / "walk.csv", AUS)
    done = cli("describe", talk, tmp_path / "walk.csv", "-o", tmp_path / "all.srt")
    assert done.code == 2 and "'{clip}.srt'" in done.err and not (tmp_path / "all.srt").exists()
    out = cli.ok("describe", talk, tmp_path / "walk.csv", "-o", tmp_path / "subs" / "{clip}.srt")
    assert out.split() == [str(tmp_path / "subs" / f"{name}.srt") for name in ("talk", "walk")]
    path = tmp_path / "two.csv"
    path.write_text("subject,clip,frame,time,AU12\n" + "".join(
        f"李雷/x,{clip},{frame},{frame / 10},1\n" for clip in ("一", "二") for frame in range(5)
    ), encoding="utf-8")  # fmt: skip
    cli.ok("describe", path, "-o", tmp_path / "{clip}.vtt")
    assert (tmp_path / "李雷_x, 一.vtt").exists() and (tmp_path / "李雷_x, 二.vtt").exists()


def test_the_terminal_shows_frames_a_timeline_or_a_summary(cli, talk):
    lines = cli.ok("describe", talk, "--codes", "--aus", "6,12").splitlines()
    assert lines[0] == "talk" and len(lines) == 31
    assert lines[1] == "       1  0:00.0  0  A person's face shows none of the coded actions."
    assert lines[2] == "       2  0:00.1  -"
    assert lines[21].startswith(
        "      21  0:02.0  6C+12B  A person's cheek is raised and their lip corner"
    )
    lines = cli.ok("describe", talk, "--events", "--codes").splitlines()
    assert lines[0] == "talk: 0:03.0 min, 30 frames, 29 of them coded"
    assert re.fullmatch(r"  AU06 ·{28}█{32} 1 event, 1\.6 s", lines[1])
    assert re.fullmatch(r"  AU12 ·{20}█{40} 1 event, 2\.0 s", lines[2])
    assert lines[3] == "  no event of AU25"
    assert lines[4].startswith(
        "  0:01.0 - 0:01.4  12B  A person's lip corner is pulled back and up, on one side or both."
    )
    out = cli.ok("describe", talk, "--summary")
    assert out.startswith(
        "talk lasts 3.0 s (30 frames, 29 of them coded). AU12 (lip corner puller) occurs once, for "
        "2.0 s (69 % of the time), up to intensity B; during 80 % of it with AU06."
    )
    assert "Not seen: AU25." in out
    assert re.search(r"\n  AU12 +1 +20\.7 +2\.0 +69\.0 +2\.0 +2\.2  AU06 80 %\n", out)


def test_sides_of_hand_coded_faces_are_said(cli, tmp_path):
    path = tmp_path / "coded.csv"
    path.write_text("subject,clip,frame,facs,sex\nA,x,1,1C+2C+L12B,F\nA,x,2,0,F\nA,x,3,R14A,F\n")
    out = tmp_path / "out.csv"
    cli.ok("describe", path, "-o", out, "--codes", "--degrees")
    table = pd.read_csv(out, keep_default_na=False)
    assert table["codes"].tolist() == ["1C+2C+L12B", "0", "R14A"]
    assert table["AU12_side"].tolist() == ["L", "", ""]
    assert table["face_text"][0] == fauds.describe("1C+2C+L12B", "F").face
    assert table["face_text"][0].endswith(" on her left.")
    assert table["face_text"][0].count(".") == 2 and "Her " in table["face_text"][0]
    assert table["AU12_text"][0].startswith("Coded on her left. ")
    assert "on her right" in table["face_text"][2]
    assert parse_codes(table["codes"][0])["AU12"].side == "L"


def test_images_are_described_but_have_no_events(cli, tmp_path):
    path = tmp_path / "faces.csv"
    path.write_text("face, confidence, AU12_r, AU12_c\n0, 0.9, 3.2, 1\n1, 0.8, 0.0, 0\n")
    out = tmp_path / "out.csv"
    cli.ok("describe", path, "-o", out)
    table = pd.read_csv(out)
    assert table["AU12"].tolist() == [1, 0] and table["face"].tolist() == [0, 1]
    done = cli("describe", path, "--events")
    assert done.code == 2 and "single images have no events" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "talk.csv"), "would replace the table talk.csv"),
        (("-o", "a.doc"), "cannot be written as a .doc file"),
        (("--summary", "-o", "a.srt"), "A .srt file holds events, not summaries"),
        (("--column", "frame"), "does not name the column of a role"),
        (("--by", "probability", "--events"), "have no probabilities"),
        (("--language", "xx"), "no language named 'xx'"),
        (("--aus", "99"), "not an action unit"),
        (("--threshold", "1", "--end", "2", "--events"), "cannot end below 2"),
    ],
)
def test_wrong_usage_is_one_message(cli, talk, monkeypatch, words, message):
    monkeypatch.chdir(talk.parent)
    before = talk.read_bytes()
    done = cli("describe", talk, *words)
    assert done.code == 2 and message in done.err and "Traceback" not in done.err
    assert talk.read_bytes() == before


def test_a_wrong_suffix_is_refused_before_anything_is_read(cli, tmp_path):
    done = cli("describe", tmp_path / "gone.csv", "-o", tmp_path / "a.doc")
    assert "cannot be written" in done.err

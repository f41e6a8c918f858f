"""Tables as Excel, pandas and people write them, and how large and how wrong they may be."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from ast_demo.data.reading import read_labelled_clips_of_visitor
from ast_demo.data.tables import TableLimits, column_key, open_table
from ast_demo.errors import DataError
from ast_demo.settings import PUBLIC
from tests.data.making import CLIP, labels_of, make, read, splits_of, write

RIGHT = {"a.wav": "dog", "b.wav": "rain"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path, "a.wav", "b.wav")


@pytest.mark.parametrize(
    "lines",
    [
        ("file_name,label", "a.wav,dog", "b.wav,rain"),
        ("file_name;label", "a.wav;dog", "b.wav;rain"),
        ("file_name\tlabel", "a.wav\tdog", "b.wav\train"),
        ("sep=;", "file_name;label", "a.wav;dog", "b.wav;rain"),
        ("file_name, label", "a.wav, dog", "b.wav , rain "),
        (" file_name ,\tlabel".replace("\t", ""), "  a.wav,dog", "b.wav,  rain"),
        ("file_name;label;", "a.wav;dog;", "b.wav;rain;;;"),
        ('"file_name","label"', '"a.wav","dog"', '"b.wav", "rain"'),
        ('"file_name"\t"label"', '"a.wav"\t"dog"', '"b.wav"\t"rain"'),
        ("file_name,label", "", "a.wav,dog", ",", "b.wav,rain", " , ", ",,", ""),
        ("", "", "file_name,label", "a.wav,dog", "b.wav,rain"),
        ("# made by hand", "file_name,label", "a.wav,dog", "b.wav,rain"),
        ("File Name,Label", "a.wav,dog", "b.wav,rain"),
        ("FILENAME,CLASS", "a.wav,dog", "b.wav,rain"),
        ("fileName;Category", "a.wav;dog", "b.wav;rain"),
        (",file_name,label", "0,a.wav,dog", "1,b.wav,rain"),
        ("label,file_name", "dog,a.wav", "rain,b.wav"),
        ("file_name,notes,label", 'a.wav,"loud, near",dog', 'b.wav,"he said ""hm""",rain'),
        ("file_name,label", "a.wav,dog", '"b.wav",rain'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["metadata.csv", "list.csv"])
def test_tables_as_people_write_them(folder: Path, lines: tuple[str, ...], encoding: str, end: str, name: str) -> None:
    write(folder / name, *lines, encoding=encoding, end=end)
    assert labels_of(read(folder)) == RIGHT


def test_tables_as_pandas_writes_them(folder: Path) -> None:
    table = pd.DataFrame({"file_name": ["a.wav", "b.wav"], "label": ["dog", "rain"], "fold": [1.0, None]})
    for name, options in {"metadata.csv": {}, "metadata.tsv": {"sep": "\t"}}.items():
        table.to_csv(folder / name, **options)
        assert labels_of(read(folder)) == RIGHT
        (folder / name).unlink()
    table.to_json(folder / "metadata.jsonl", orient="records", lines=True)
    clips = read(folder)
    assert labels_of(clips) == RIGHT
    assert [clip.columns["fold"] for clip in clips.clips] == ["1.0", ""]


def test_old_line_ends_and_no_byte_order_mark(folder: Path) -> None:
    (folder / "metadata.csv").write_bytes(b"file_name,label\ra.wav,dog\rb.wav,rain")
    assert labels_of(read(folder)) == RIGHT
    (folder / "metadata.csv").write_bytes("file_name,label\na.wav,dog\nb.wav,rain\n".encode("utf-16-le"))
    assert labels_of(read(folder)) == RIGHT


def test_a_quotation_mark_in_a_table_with_tabs_is_text(folder: Path) -> None:
    write(folder / "metadata.tsv", "path\tsentence\tlabel", 'a.wav\t"Well\tdog', 'b.wav\the said "so"\train')
    assert labels_of(read(folder)) == RIGHT


@pytest.mark.parametrize("column", ["split", "Split", "SUBSET", "partition", "set"])
def test_a_column_of_splits_in_any_case(folder: Path, column: str) -> None:
    write(folder / "metadata.csv", f"file_name,label,{column}", "a.wav,dog,Training", "b.wav,rain,TESTING")
    assert splits_of(read(folder)) == {"training": 1, "test": 1}


def test_a_row_without_a_label(folder: Path) -> None:
    write(folder / "metadata.csv", "file_name,label", "a.wav,dog", "b.wav,")
    with pytest.raises(DataError, match=r"Row 3 of .* \('b.wav'\) has no label\. Write one, or name the column"):
        read(folder)
    assert labels_of(read(folder, label_column="label")) == {"a.wav": "dog"}


@pytest.mark.parametrize("cell", ["NaN", "nan", "<NA>", "#N/A", "NULL", " nan "])
def test_an_empty_cell_as_spreadsheets_and_pandas_write_it_is_no_label(folder: Path, cell: str) -> None:
    write(folder / "metadata.csv", "file_name,label", "a.wav,dog", f"b.wav,{cell}")
    with pytest.raises(DataError, match=r"Row 3 of .* \('b.wav'\) has no label"):
        read(folder)
    write(folder / "metadata.csv", "file_name,label", "a.wav,dog", "b.wav,none")
    assert read(folder).labels == ("dog", "none")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("file_name,label", "a.wav,dog", "b.wav,rain,wet"), r"Row 3 of .* has 3 cells, but its header has 2\."),
        (("file_name,label", "a.wav,dog" + ",x" * 50), r"Row 2 of .* has 52 cells, but its header has 2\."),
        (("file_name,label", '"a.wav,dog', "b.wav,rain"), "a quotation mark is opened and never closed"),
        (
            ("a.wav,dog", "b.wav,rain"),
            r"no column for the file: .* the columns are a.wav, dog\. Its first row looks like",
        ),
        (("file_name,label",), "has no rows"),
        ((), "has no rows"),
        (("file_name,label", "a\0.wav,dog"), "which is not there|zero bytes"),
    ],
)
def test_what_is_no_table_gets_a_sentence(folder: Path, lines: tuple[str, ...], message: str) -> None:
    write(folder / "metadata.csv", *lines)
    with pytest.raises(DataError, match=message):
        read(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[" * 100_000, "line 1 is no JSON|nested too deeply"),
        ('{"file_name": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"file_name": "a.wav", "label": ' + "1" * 5000 + "}", "line 1 is no JSON"),
        ('["a.wav", "dog"]', "line 1 is no JSON object"),
        ('{"file_name": "a.wav"', "line 1 is no JSON"),
        ('{"file_name": "a.wav", "label": NaN, "deep": {"a": [1, {}]}}', "has no label"),
    ],
)
def test_lines_of_json_that_are_none_get_a_sentence(folder: Path, line: str, message: str) -> None:
    write(folder / "metadata.jsonl", line)
    if message:
        with pytest.raises(DataError, match=message):
            read(folder)
    else:
        assert read(folder).clips[0].columns["deep"] == '{"a": [1, {}]}'


LIMITS = TableLimits(mb=0.1, rows=50, columns=20, cell=100)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,label\n" + "," * 10 + "\n", "cells|no rows"),
        ("file_name,label\n" + ",\n" * 51, r"has more than 50 rows\. At most so many"),
        ("file_name,label" + ",x" * 19 + "\n", "has 21 columns; at most 20"),
        ("file_name,label\na.wav," + "x" * 101 + "\n", r"Row 2 of .* has a cell of 101 characters \('x{40}' …\)"),
        ("file_name,label\n" + "a.wav,dog\n" * 20_000, r"has 0\.2 MB; tables of at most 0\.1 MB"),
        ("file_name," + "x" * 101 + "\n", "a column whose name is longer than 100"),
    ],
)
def test_tables_are_bounded(folder: Path, text: str, message: str) -> None:
    (folder / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read(folder, table_limits=LIMITS)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({f"c{k}": k for k in range(21)}, "has 21 columns"),
        ({"file_name": "a.wav", "label": "x" * 101}, "a value of 101 characters"),
        ({"file_name": "a.wav", "label": ["x"] * 101}, "a value of 101 characters"),
    ],
)
def test_lines_of_json_are_bounded(folder: Path, row: dict, message: str) -> None:
    write(folder / "metadata.jsonl", json.dumps(row))
    with pytest.raises(DataError, match=message):
        read(folder, table_limits=LIMITS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "file_name,label\n" + ",\n" * 4_000_000),
        ("metadata.csv", "file_name,label\n" + "a.wav,dog\n" * 900_000),
        ("metadata.csv", "file_name,label" + ",c" * 1_000_000),
        ("metadata.csv", "file_name,label\na.wav,dog" + ",c" * 4_000_000),
        ("metadata.csv", "file_name,label\na.wav," + "x" * 9_000_000),
        ("metadata.csv", "x" * 9_000_000),
        ("metadata.csv", '"' * 9_000_000),
        ("metadata.jsonl", "{}\n" * 3_000_000),
        ("metadata.jsonl", '{"a":' * 1_000_000),
        ("metadata.jsonl", "{" + ",".join(f'"c{k}":0' for k in range(100_000)) + "}"),
        ("other.csv", "file_name,label\n" + ",\n" * 4_000_000),
        ("classes.txt", "x\n" * 4_000_000),
        ("a.txt", "0\t1\tx\n" * 1_500_000),
        ("test.txt", "a.wav\n" * 1_600_000),
    ],
)
def test_a_strangers_table_takes_little_time(tmp_path: Path, name: str, text: str) -> None:
    """In an archive of some kilobytes: read up to the first row that is wrong or too many, and no further."""
    archive = tmp_path / "clips.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("7/a.wav", CLIP)
        file.writestr(name if name != "a.txt" else "7/a.txt", text)
    began = time.monotonic()
    try:
        read_labelled_clips_of_visitor("", str(archive), PUBLIC)
    except DataError as error:
        assert len(str(error)) < 1000
    assert time.monotonic() - began < 20


def test_a_table_is_read_no_further_than_to_its_first_wrong_row(folder: Path) -> None:
    rows = open_table(("file,label\n" + "a.wav,dog\n" * 10 + "a,b,c\n" * 10**6).encode(), "t.csv", TableLimits()).rows
    began = time.monotonic()
    with pytest.raises(DataError, match=r"Row 12 of t\.csv has 3 cells"):
        list(rows)
    assert time.monotonic() - began < 2


def test_columns_are_found_by_what_is_written_in_them() -> None:
    same = {"File Name", "file_name", "fileName", "# FILENAME", "file-name", " filename "}
    assert {column_key(name) for name in same} == {"filename"}
    assert column_key("Begin Time (s)") == "begintimes"

"""CSVs as people write them: what is read, and what is refused with its line."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from viad.errors import DataError
from viad.importing.tables import read_table

IMAGES = ["a/1.png", "a/2.png", "a/3.png", "a/4.png"]


@pytest.fixture
def folder(tmp_path):
    """Four grey images, a mask and an empty mask."""
    (tmp_path / "a").mkdir()
    for i, name in enumerate(IMAGES):
        Image.fromarray(np.full((6, 8), 50 * i, np.uint8)).save(tmp_path / name)
    for name, level in (("mask", 255), ("empty", 0)):
        Image.fromarray(np.full((6, 8), level, np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def read(folder, text, normal=(), defects=()):
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, normal, defects)


def labels(pictures):
    return [(picture.image.as_posix(), picture.label, picture.defect) for picture in pictures]


TWO = [("a/1.png", 0, ""), ("a/2.png", 1, "bad")]
PLAIN = "image,label\na/1.png,good\na/2.png,bad\n"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (PLAIN, None),
        (PLAIN.encode("utf-16"), None),
        (PLAIN.encode("utf-16-be"), None),
        (PLAIN.encode("utf-8-sig"), None),
        (PLAIN.replace(",", "\t"), None),
        (PLAIN.replace(",", "|"), None),
        (PLAIN.replace("\n", "\r"), None),
        ("# drawn up in May, by hand\n" + PLAIN, None),
        ("#" + PLAIN, None),
        (PLAIN + "# a/3.png,good\n", "1 comment lines"),
        ("sep=;\n" + PLAIN.replace(",", ";"), None),
        (PLAIN.replace("a/", "a\\"), None),
        (PLAIN.replace("a/", ".\\a\\"), None),
        (PLAIN.replace("label", "label,remarks").replace("\na/1.png", '\n\n"a/1.png"'), "not used: remarks"),
    ],
)
def test_a_table_is_read_however_it_was_saved(folder, text, note):
    pictures, notes = read(folder, text)
    assert labels(pictures) == TWO
    assert [note] if note is None else any(note in said for said in notes)


@pytest.mark.parametrize("word", ["Prüfling", "pièce"])
def test_windows_1252_is_read_and_said(folder, word):
    Image.new("L", (8, 6)).save(folder / f"{word}.png")
    pictures, notes = read(folder, f"image,label\n{word}.png,good\na/2.png,bad\n".encode("cp1252"))
    assert pictures[0].image.name == f"{word}.png"
    assert "Windows-1252" in notes[0]


@pytest.mark.parametrize(
    ("header", "word", "label"),
    [
        ("label", "0.0", 0), ("label", "OK", 0), ("label", "Defect-Free", 0), ("label", "1.0", 1), ("label", "NG", 1),
        ("anomaly", "no", 0), ("defective", "Y", 1), ("is_anomaly", "False", 0),
    ],
)  # fmt: skip
def test_known_labels(folder, header, word, label):
    pictures, _ = read(folder, f"image,{header}\na/1.png,0\na/2.png,{word}\n")
    assert pictures[1].label == label


@pytest.mark.parametrize("word", ["none", "gut", "goood", "2", "-1", "yes", "scratch"])
def test_unknown_labels_are_refused_unless_declared(folder, word):
    text = f"image,label\na/1.png,good\na/2.png,{word}\n"
    with pytest.raises(DataError, match=rf"'{word}' \(1, first in line 3\).*--normal.*--defect"):
        read(folder, text)
    assert read(folder, text, normal=[word])[0][1].label == 0
    if word != "none":
        assert labels(read(folder, text, defects=[word])[0])[1] == ("a/2.png", 1, word)


def test_a_mask_or_the_defect_column_shows_that_a_label_is_a_defect_type(folder):
    by_mask, _ = read(folder, "image,label,mask\na/1.png,good,\na/2.png,dent,mask.png\na/3.png,dent,\n")
    assert [picture.defect for picture in by_mask] == ["", "dent", "dent"]
    by_type, _ = read(folder, "image,label,defect\na/1.png,0,none\na/2.png,1,dent\na/3.png,dent,\na/4.png,1,-\n")
    assert [picture.defect for picture in by_type] == ["", "dent", "dent", "anomalous"]


def test_anomalies_of_the_training_set_go_to_the_reserve(folder):
    pictures, notes = read(folder, "image,label,split\na/1.png,good,Training\na/2.png,bad,train\na/3.png,bad,test\n")
    assert [picture.split for picture in pictures] == ["train", "reserve", "test"]
    assert any("anomaly reserve" in note for note in notes)


def test_a_mask_on_a_normal_image_is_kept_unless_it_is_empty(folder):
    pictures, notes = read(folder, "image,label,mask\na/1.png,good,empty.png\na/2.png,good,mask.png\na/3.png,bad,\n")
    assert [picture.mask and picture.mask.name for picture in pictures] == [None, "mask.png", None]
    assert any("1 normal images have a mask" in note for note in notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the table is empty"),
        ("image;kind\na/1.png;x\n", "no column 'label'"),
        ("name,label\na/1.png,good\n", "no column 'image'"),
        ("Images of May\n" + PLAIN, "'Images of May' stands above the header"),
        ("image,label,label\na/1.png,good,bad\n", "two columns are named 'label'"),
        ("image,label\na/1.png,good,bad\n", "line 2: 3 values, but the header has 2 columns"),
        ("image,label\na/1.png\n", "line 2: image or label is empty"),
        ("image,label\na/1\0.png,good\n", "line 2.*NUL"),
        ("image,label,mask\na/1.png,bad,m\0.png\n", "line 2: a path contains a NUL"),
        ("image,label\nC:\\shots\\1.png,good\n", "line 2: C:/shots/1.png does not exist"),
        ("image,label\na,good\n", "line 2: a does not exist"),
        (f"image,label\n{'x' * 5000}.png,good\n", "does not exist"),
        (PLAIN + "a/1.png,good\n", "line 4: a/1.png is listed twice, first in line 2"),
        (PLAIN + "a/../a/1.png,bad\n", "listed twice with the labels 'good' and 'bad'"),
        ("image,label,mask\na/1.png,good,\na/2.png,bad,a/2.png\n", "line 3: the mask is the image itself"),
        ("image,label,defect\na/1.png,good,dent\n", "line 2: the label 'good' is normal, but the defect type is 'dent"),
        ("image,label,defect\na/1.png,0,0\na/2.png,1,good\n", "line 3: the label '1' is anomalous, but .* 'good'"),
        ("image,label,category\na/1.png,good,x\na/2.png,bad,\n", "line 3: the category is empty"),
        ("image,label,split\na/1.png,good,tset\n", "line 2: the split 'tset' is unknown"),
        ("image,label\na/1.png,bad\na/2.png,1\n", "no normal image among 2"),
        ("image,label,category\na/1.png,bad,lid\na/2.png,0,cup\n", "category lid: no normal image among 1"),
        ("image,label,split\na/1.png,good,test\na/2.png,bad,test\n", "all 1 normal images are in test"),
        (b"image,label\n\x81\x8d.png,good\n", "neither in UTF-8"),
        (b"PK\x03\x04rest", "a workbook or an archive"),
        (f"image,label\n\"{'x' * 200000}\",good\n", "not a valid CSV"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_is_refused_in_words(folder, text, message):
    with pytest.raises(DataError, match=message):
        read(folder, text)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["p", "q", "p", "q"], r"each group of normal images contains an anomalous one \(p, q\)"),
        (["lot7", "lot7", "lot7", "lot8"], r"form only 1 group \(lot7\)"),
    ],
)
def test_groups_that_empty_the_training_set_are_named(folder, groups, message):
    kinds = ["good", "good", "bad", "bad"] if groups[0] == "p" else ["good", "good", "good", "bad"]
    rows = [f"{i},{kind},{group}" for i, kind, group in zip(IMAGES, kinds, groups, strict=True)]
    with pytest.raises(DataError, match=message):
        read(folder, "\n".join(["image,label,group", *rows]))


def test_many_faults_of_a_kind_are_counted_and_all_kinds_are_listed(folder):
    rows = [f"gone{i}.png,good" for i in range(40)]
    with pytest.raises(DataError) as refusal:
        read(folder, "\n".join(["image,label", *rows, "a/1.png,", "a/2.png,bad", "a/2.png,bad"]))
    text = str(refusal.value)
    assert "and 35 more" in text
    assert "line 42: image or label is empty" in text
    assert "listed twice" in text


VALUES = st.sampled_from(
    [
        "a/1.png",
        "a/2.png",
        "a/3.png",
        "mask.png",
        "good",
        "bad",
        "0",
        "1",
        "train",
        "test",
        "",
        "#",
        '"',
        "x\0",
        "\\",
        "g",
    ]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.permutations(["image", "label", "mask", "defect", "split", "group", "category"]),
    rows=st.lists(st.lists(VALUES, max_size=8), max_size=4),
    delimiter=st.sampled_from([",", ";", "\t"]),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "cp1252"]),
    rest=st.binary(max_size=12),
)
def test_any_table_is_read_or_refused_in_words(folder, header, rows, delimiter, encoding, rest):
    text = "\n".join(delimiter.join(cells) for cells in [header[: len(header) - len(rows) % 3], *rows])
    try:
        pictures, _ = read(folder, text.encode(encoding) + rest)
    except DataError:
        return
    assert len({picture.image for picture in pictures}) == len(pictures) > 0
    assert any(picture.label == 0 for picture in pictures)

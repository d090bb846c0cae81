"""samples.py: the table comes back as it was written, and bad tables are refused."""

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from viad.artifacts.samples import SAMPLE_COLUMNS, SAMPLE_SPLITS, read_samples, write_samples
from viad.errors import DataError

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc"]), max_size=8)


def table(*samples, **columns):
    count = len(samples)
    values = {
        "sample": list(samples),
        "image": [f"data/{name}.png" for name in samples],
        "mask": [""] * count,
        "label": [0] * count,
        "train_label": [0] * count,
        "defect": [""] * count,
        "split": ["train"] * count,
        "group": [""] * count,
        "domain": [""] * count,
    }
    return pd.DataFrame(values | columns)


def test_comes_back_with_its_types(tmp_path):
    samples = table("a", "b", "c", "d", label=[0, 1, 0, 1], split=list(SAMPLE_SPLITS))
    write_samples(samples, tmp_path)
    found = read_samples(tmp_path)
    assert list(found.columns) == SAMPLE_COLUMNS
    assert (found["label"].dtype, found["train_label"].dtype) == ("int64", "int64")
    pd.testing.assert_frame_equal(found, samples[SAMPLE_COLUMNS], check_dtype=False)


def test_text_stays_text(tmp_path):
    odd = ["007", "NA", "nan", "", "1.0", "True", "null", 'a "b", c', " padded "]
    samples = table(*odd, group=odd[::-1], defect=odd, domain=odd)
    write_samples(samples, tmp_path)
    found = read_samples(tmp_path)
    for column, expected in (("sample", odd), ("group", odd[::-1]), ("defect", odd), ("domain", odd)):
        assert found[column].tolist() == expected
        assert all(type(value) is str for value in found[column])
    assert found["mask"].tolist() == [""] * len(odd)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(TEXT, min_size=1, max_size=6, unique=True), other=TEXT)
def test_any_printable_text_comes_back(tmp_path, names, other):
    write_samples(table(*names, group=[other] * len(names)), tmp_path)
    found = read_samples(tmp_path)
    assert found["sample"].tolist() == names
    assert found["group"].tolist() == [other] * len(names)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    samples = table("a", "b", label=[0, 1])
    write_samples(samples, tmp_path / "first")
    expected = (
        b"sample,image,mask,label,train_label,defect,split,group,domain\n"
        b"a,data/a.png,,0,0,,train,,\n"
        b"b,data/b.png,,1,0,,train,,\n"
    )
    assert (tmp_path / "first" / "samples.csv").read_bytes() == expected
    # Neither the index, further columns nor a round trip leave a trace.
    again = (
        read_samples(tmp_path / "first").set_index(pd.Index([7, 3])).assign(score=0.5)[["score", *SAMPLE_COLUMNS[::-1]]]
    )
    write_samples(again, tmp_path / "second")
    assert (tmp_path / "second" / "samples.csv").read_bytes() == expected


def test_some_columns_in_the_order_asked_for(tmp_path):
    write_samples(table("a", "b"), tmp_path)
    assert list(read_samples(tmp_path, columns=["split", "sample"]).columns) == ["split", "sample"]


def test_repeated_ids(tmp_path):
    with pytest.raises(DataError, match="2 samples have the same id as another, such as 'b'"):
        write_samples(table("a", "b", "b", "b"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_unknown_split(tmp_path):
    with pytest.raises(DataError, match=r"unknown split \['', 'tset'\]\. Use one of train, val, test, reserve"):
        write_samples(table("a", "b", "c", split=["tset", "train", ""]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_refused_table_leaves_the_old_one(tmp_path):
    write_samples(table("a"), tmp_path)
    before = (tmp_path / "samples.csv").read_bytes()
    with pytest.raises(DataError):
        write_samples(table("b", "b"), tmp_path)
    assert (tmp_path / "samples.csv").read_bytes() == before


def test_missing_table(tmp_path):
    with pytest.raises(DataError, match=r"samples\.csv does not exist\. Run `dvc repro`"):
        read_samples(tmp_path)


@pytest.mark.parametrize("content", ["", "sample,image\na,b\n", ",".join(SAMPLE_COLUMNS) + "\na,b,,bad,0,,train,,\n"])
def test_no_table_of_samples(tmp_path, content):
    (tmp_path / "samples.csv").write_text(content)
    with pytest.raises(DataError, match="not a table of samples"):
        read_samples(tmp_path)

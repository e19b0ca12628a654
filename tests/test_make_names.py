"""data/make_names.py: what it makes, and what it says when it cannot."""

import hashlib
import importlib.util
import zipfile
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data"
spec = importlib.util.spec_from_file_location("make_names", DATA / "make_names.py")
make_names = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_names)

ROWS_2018 = "Emma,F,18818\nAva,F,15028\nLiam,M,19924\nEmma,M,12\n"


@pytest.fixture
def archive(tmp_path):
    """A names.zip as the SSA lays it out: a file for each year (CRLF), and a readme."""
    path = tmp_path / "names.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("NationalReadMe.pdf", b"%PDF")
        file.writestr("yob1880.txt", "Mary,F,7065\r\nJohn,M,9655\r\n")
        file.writestr("yob2018.txt", ROWS_2018.replace("\n", "\r\n"))
    return path


def make(source, out, *more):
    make_names.main([str(source), "--out", str(out), *more])
    return out.read_bytes()


def refusal(source, *more):
    """What the script says when it refuses.

    The file that was there and its folder must be as before.
    """
    out = source.parent / "kept.txt"
    out.write_bytes(b"as before\n")
    before = sorted(source.parent.iterdir())
    with pytest.raises(SystemExit) as error:
        make_names.main([str(source), "--out", str(out), *more])
    assert out.read_bytes() == b"as before\n"
    assert sorted(source.parent.iterdir()) == before
    return str(error.value)


def text_file(tmp_path, content):
    path = tmp_path / "yob2018.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_names_are_the_lower_cased_first_column_in_file_order(archive, tmp_path):
    assert make(archive, tmp_path / "names.txt") == b"emma\nava\nliam\nemma\n"


def test_another_year_can_be_had(archive, tmp_path):
    assert make(archive, tmp_path / "names.txt", "--year", "1880") == b"mary\njohn\n"


@pytest.mark.parametrize(
    "content", [ROWS_2018, ROWS_2018.replace("\n", "\r\n"), "\ufeff" + ROWS_2018]
)
def test_a_text_file_gives_the_same_with_lf_crlf_or_a_byte_order_mark(
    content, tmp_path
):
    assert (
        make(text_file(tmp_path, content), tmp_path / "names.txt")
        == b"emma\nava\nliam\nemma\n"
    )


def test_rows_distinct_names_and_checksum_are_printed(archive, tmp_path, capsys):
    content = make(archive, tmp_path / "names.txt")
    printed = capsys.readouterr().out
    assert "4 rows, 3 distinct names" in printed
    assert hashlib.sha256(content).hexdigest() in printed


def test_a_file_that_was_there_is_replaced_and_nothing_else_is_left(archive, tmp_path):
    (tmp_path / "names.txt").write_text("old\n" * 1000, encoding="utf-8")
    make(archive, tmp_path / "names.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "names.txt",
        "names.zip",
    ]


def test_default_output_is_names_txt_beside_the_script(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(make_names, "__file__", str(tmp_path / "make_names.py"))
    make_names.main([str(archive)])
    assert (tmp_path / "names.txt").read_bytes() == b"emma\nava\nliam\nemma\n"


def test_file_that_is_missing_says_what_to_give(tmp_path):
    message = refusal(tmp_path / "names.zip")
    assert "no file" in message and "names.zip or a yobYYYY.txt" in message


def test_year_that_is_missing_names_the_years_there(archive):
    assert "no yob1879.txt; years there: 1880, 2018" in refusal(
        archive, "--year", "1879"
    )


def test_many_years_are_named_by_the_first_and_the_last(tmp_path):
    path = tmp_path / "names.zip"
    with zipfile.ZipFile(path, "w") as file:
        for year in range(1880, 2025):
            file.writestr(f"yob{year}.txt", "Mary,F,7065\n")
    assert "years there: 1880 to 2024" in refusal(path, "--year", "2050")


def test_zip_without_any_year_says_none(tmp_path):
    path = tmp_path / "names.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("holiday.jpg", b"")
    assert "years there: none" in refusal(path)


def test_text_file_of_another_year_than_asked_for_is_refused(tmp_path):
    assert "not called yob1880.txt" in refusal(
        text_file(tmp_path, ROWS_2018), "--year", "1880"
    )


@pytest.mark.parametrize("content", [b"", b"<html>Access denied</html>"])
def test_file_that_is_no_zip_is_refused(content, tmp_path):
    path = tmp_path / "names.zip"
    path.write_bytes(content)
    assert "neither a zip file nor a .txt" in refusal(path)


def test_zip_that_is_cut_off_is_refused(archive):
    archive.write_bytes(archive.read_bytes()[:-40])
    assert "neither a zip file nor a .txt" in refusal(archive)


def test_zip_with_a_damaged_member_is_refused(archive):
    with zipfile.ZipFile(archive) as file:
        start = file.getinfo("yob2018.txt").header_offset + 30 + len("yob2018.txt")
    content = bytearray(archive.read_bytes())
    content[start : start + 8] = b"\xff" * 8
    archive.write_bytes(content)
    assert "damaged" in refusal(archive)


@pytest.mark.parametrize(
    "line",
    [
        "Ava;F;15028",
        "Ava,F",
        "Ava,X,15028",
        "Ava,F,many",
        ",F,5",
        "A.a,F,5",
        "",
        "Ava,F,5,2018",
    ],
)
def test_malformed_line_is_named_with_its_number_and_the_layout(line, tmp_path):
    message = refusal(text_file(tmp_path, f"Emma,F,18818\n{line}\nLiam,M,19924\n"))
    assert f"line 2 is {line!r}" in message and "Name,Sex,Count" in message


def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path):
    assert "line 2" in refusal(text_file(tmp_path, b"Emma,F,18818\nAv\xff,F,15028\n"))


def test_empty_text_file_is_refused(tmp_path):
    assert "no rows" in refusal(text_file(tmp_path, ""))


def test_writing_that_fails_leaves_nothing_behind(archive, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(make_names.os, "replace", full)
    assert "no space left" in refusal(archive)


def test_committed_names_are_those_that_the_readme_describes():
    content = (DATA / "names.txt").read_bytes()
    names = content.decode().splitlines()
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(content).hexdigest() in readme
    for number in len(names), len(set(names)), len(content):
        assert f"{number:,}" in readme


def test_committed_names_are_what_the_script_would_write(tmp_path):
    names = (DATA / "names.txt").read_text(encoding="utf-8").splitlines()
    rows = "".join(f"{name.capitalize()},F,5\n" for name in names)
    assert (
        make(text_file(tmp_path, rows), tmp_path / "names.txt")
        == (DATA / "names.txt").read_bytes()
    )


def test_only_a_newline_ends_a_row(tmp_path):
    message = refusal(text_file(tmp_path, "Emma,F,18818\u2028Ava,F,15028\n"))
    assert "line 1 is 'Emma,F,18818\\u2028Ava,F,15028'" in message


def test_year_0_is_not_the_default_year(archive):
    assert "no yob0.txt; years there: 1880, 2018" in refusal(archive, "--year", "0")

"""Makes names.txt from the names.zip of the Social Security Administration (SSA), or
from a single yobYYYY.txt in it."""

import argparse
import hashlib
import os
import re
import sys
import zipfile
import zlib
from pathlib import Path

ROW = re.compile(r"([A-Za-z]+),[FM],[0-9]+")
YEAR = 2018  # the lecture's


def read_year(source: Path, year: int | None = None) -> str:
    """The text of `source` if it is a .txt, or else of the yobYYYY.txt in it.

    The default year is YEAR.
    """
    source = Path(source)
    if not source.is_file():
        raise ValueError(
            f"no file {source}: give the SSA's names.zip or a yobYYYY.txt of it"
        )
    if source.suffix == ".txt":
        if year is not None and str(year) not in source.stem:
            raise ValueError(
                f"{source} is not called yob{year}.txt: give that file, "
                "or leave --year out"
            )
        content = source.read_bytes()
    elif zipfile.is_zipfile(source):
        try:
            content = read_zip(source, YEAR if year is None else year)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            # A RuntimeError: it is encrypted, or packed in a way that is unknown here
            raise ValueError(
                f"{source} cannot be unpacked ({error}): download it again"
            ) from None
    else:
        raise ValueError(
            f"{source} is neither a zip file nor a .txt: was its download cut off?"
        )
    return content.decode(
        "utf-8-sig", errors="replace"
    )  # names_of reports what is no text, with its line


def read_zip(source: Path, year: int) -> bytes:
    """The content of yob<year>.txt in the zip file source."""
    with zipfile.ZipFile(source) as archive:
        years = sorted(
            name[3:7]
            for name in archive.namelist()
            if re.fullmatch(r"yob\d{4}\.txt", name)
        )
        if str(year) not in years:
            there = (
                ", ".join(years) if len(years) < 10 else f"{years[0]} to {years[-1]}"
            )
            raise ValueError(
                f"{source} has no yob{year}.txt; years there: {there or 'none'}"
            )
        return archive.read(f"yob{year}.txt")


def names_of(text: str) -> list[str]:
    """The lower-cased first column of rows Name,Sex,Count, in their order."""
    names = []
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    for number, line in enumerate(lines if text else [], start=1):
        row = ROW.fullmatch(line)
        if not row:
            raise ValueError(
                f"line {number} is {line!r}, "
                "expected Name,Sex,Count such as Emma,F,18818"
            )
        names.append(row[1].lower())
    if not names:
        raise ValueError("no rows, expected lines Name,Sex,Count such as Emma,F,18818")
    return names


def write_names(names: list[str], out: Path) -> str:
    """Writes one name per line (UTF-8, LF), all or nothing; returns the SHA-256."""
    content = "".join(f"{name}\n" for name in names).encode()
    part = out.with_name(out.name + ".part")
    try:
        part.write_bytes(content)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return hashlib.sha256(content).hexdigest()


def main(argv: list[str] | None = None) -> None:
    """Reads the command line, makes the file and prints what it contains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "source", type=Path, help="the SSA's names.zip, or a yobYYYY.txt of it"
    )
    parser.add_argument(
        "--year", type=int, help=f"which year of the zip file (default: {YEAR})"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).with_name("names.txt"),
        metavar="FILE",
    )
    args = parser.parse_args(argv)
    try:
        names = names_of(read_year(args.source, args.year))
        digest = write_names(names, args.out)
    except (ValueError, OSError) as error:
        sys.exit(f"make_names.py: {error}")
    print(
        f"{args.out}: {len(names):,} rows, {len(set(names)):,} distinct names, "
        f"sha256 {digest}"
    )


if __name__ == "__main__":
    main()

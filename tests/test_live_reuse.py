"""The reuse explorer and the fusions it shows, without a browser."""

from collections import Counter

import pytest

from course import fusions as fusions_module
from course.explorers.reuse import ReuseExplorer, needed
from course.fusions import characters_of, fusions, kind_of
from helpers import Vocab


@pytest.fixture
def reuse(vocab):
    return ReuseExplorer(vocab)


def test_counts_and_picture_follow_what_is_chosen(reuse):
    pictures = {reuse.picture()}
    for character in (1, 3, 8):
        reuse.character = character
        which = "the end" if character == 8 else f"character {character}"
        assert reuse.counts().startswith(f"{which} of “diondre” needs 7 fusions: ")
        pictures.add(reuse.picture())
    for block_size in (2, 16):
        reuse.block_size = block_size
        count = "1 fusion:" if block_size == 2 else "15 fusions:"
        assert f" needs {count} " in reuse.counts()
        pictures.add(reuse.picture())
    assert len(pictures) == 6
    assert repr(reuse) == "Reuse explorer, name diondre, block size 16, character 8"
    assert reuse.counts() in reuse.alt()


def test_all_marks_of_the_picture_are_the_distinct_fusions(reuse):
    for character in range(1, 9):
        reuse.character = character
        seen = reuse.seen()
        found = {
            (level, position)
            for last, level, position in fusions("diondre", 8)
            if last < character
        }
        assert set(seen) == found
        assert set(reuse.needed().items()) <= set(seen.items())
    assert len(seen) == 34


def test_a_shorter_name_has_fewer_characters(reuse):
    reuse.name = " Eve "
    assert (reuse.name, reuse.character) == ("eve", 4)
    reuse.name = "diondre"
    assert reuse.character == 4
    reuse.name = ""
    assert reuse.character == 1
    assert reuse.counts().startswith("the end of “” needs 7 fusions: 0 new")
    reuse.picture()


def test_the_script_may_change_name_and_character_at_once(reuse):
    reuse.set_state({"name": "christopher", "character": 12})
    assert (reuse.name, reuse.character) == ("christopher", 12)
    reuse.set_state({"character": 4, "name": "eve"})
    assert (reuse.name, reuse.character) == ("eve", 4)


def test_a_composed_and_a_decomposed_accent_are_one_character():
    explorer = ReuseExplorer(Vocab(["zoé"]), name="zoe\u0301")
    assert (explorer.name, explorer.character) == ("zoé", 3)


def test_every_node_is_computed_for_one_character_and_found_by_the_later_ones():
    computed = set()
    for character in range(1, len("diondre") + 2):
        nodes = needed("diondre", 8, character)
        assert len(nodes) == 7  # 4 + 2 + 1
        for node, kind in nodes.items():
            if kind == "first time":
                assert node not in computed
                computed.add(node)
            elif kind == "again":
                assert node in computed
            else:
                assert set(characters_of("diondre", *node)) == {"."}
    assert len(computed) == 3 * len("diondre")  # one more on each of three levels


# ---- Fusions ----------------------------------------
def test_fusions_are_those_of_the_examples():
    found = fusions("diondre", 8)
    assert len(found) == 8 * 7
    assert len({(level, position) for _, level, position in found}) == 34
    assert Counter(last for last, _, _ in found) == dict.fromkeys(range(8), 7)
    assert [node for node in found if node[0] == 2] == [
        (2, 1, 2), (2, 1, 0), (2, 1, -2), (2, 1, -4), (2, 2, 2), (2, 2, -2), (2, 3, 2)
    ]  # fmt: skip
    assert fusions("al", 1) == []  # one character needs no fusion


@pytest.mark.parametrize(
    "level, position, characters",
    [
        (0, 0, "."),
        (0, 1, "d"),
        (1, 1, ".d"),
        (1, 2, "di"),
        (2, 2, "..di"),
        (3, 7, ".diondre"),
        (1, -5, ".."),
        (3, 0, "........"),
    ],
)
def test_a_fusion_reads_the_characters_that_end_at_its_position(
    level, position, characters
):
    assert characters_of("diondre", level, position) == characters


def test_each_kind_of_fusion_has_a_look_of_its_own():
    kinds = {kind_of(*fusion) for fusion in fusions("diondre", 8)}
    looks = fusions_module.KIND_LOOKS
    assert kinds == set(looks)
    assert len({look["marker"] for look in looks.values()}) == len(kinds)

"""What the explorers share: the block sizes that a tree takes, and typed names."""

from course.texts import END, check_text
from helpers import Vocab

# A tree of more levels than these four has nothing to add for names of 15 characters.
OFFERED = [2, 4, 8, 16]
LONGEST = 20  # characters of a typed name: the pictures have room for so many


def typed_name(text: str, vocab: Vocab) -> str:
    """A name as a person types it, in small letters and without spaces around it.

    ValueError if it is too long, or has characters that are not in the vocabulary.
    """
    name = check_text("name", text).strip().lower()
    if len(name) > LONGEST:
        allowed = f"type at most {LONGEST} characters"
        raise ValueError(f"the name has {len(name):,} characters: {allowed}")
    check_text("name", name, without=END)
    vocab.encode(name)  # raises an error that names unknown characters
    return name

"""The interactive pictures of notebooks 02, 03, 05 and 06: a class each.

An explorer holds its sliders, a text (`counts`), a picture (`image`) and the `panel`
that a notebook displays. `describe(...)` and `picture(...)` compute text and picture
from plain values, so all of it can be tried without moving a slider by hand.
"""

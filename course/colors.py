"""One colour for each role, in every picture and every explorer of the series.

course.drawings says what each of the lecture's models looks like in a chart. The
colours can be told apart with every kind of colour blindness (tests/test_colors.py).
"""

LOOKED_AT = "#E69F00"  # orange: what the text points at, what is computed now
BEFORE = "#9CC9EE"  # pale blue: what was computed before and is used again
FUTURE = "#CFCFCF"  # light grey: what comes later, or what nothing depends on
NEGATIVE = "#2166AC"  # blue: a number of -1 or less, a loss that went down
POSITIVE = "#B2182B"  # red: a number of +1 or more, a loss that went up
WEIGHTS = "#762A83"  # purple: a weight matrix, whose area is its number of weights
INK = "#222222"  # text, frames, axes
WIRE = "#7A7A7A"  # grey: the paths of tensors, and secondary text
PAPER = "#FFFFFF"  # the background, a number of 0, a node that reads only dots

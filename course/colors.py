"""One colour for one role, in every picture and every explorer of the series.

What each of the lecture's models looks like in a chart stands in course.drawings. The
colours can be told apart with each kind of colour blindness (tests/test_colors.py).
"""

LOOKED_AT = "#E69F00"  # orange: what a sentence points at, what is computed now
BEFORE = "#9CC9EE"  # pale blue: what was computed before, and is used again
FUTURE = "#CFCFCF"  # dim grey: what comes later, or what nothing depends on
NEGATIVE = "#2166AC"  # blue: a number of -1 or less, a loss that went down
POSITIVE = "#B2182B"  # red: a number of +1 or more, a loss that went up
WEIGHTS = "#762A83"  # purple: a weight matrix, whose area is its number of weights
INK = "#222222"  # letters, frames, axes
WIRE = "#7A7A7A"  # grey: tensors on their way, and words beside the main thing
PAPER = "#FFFFFF"  # the background, a number of 0, a node above dots alone

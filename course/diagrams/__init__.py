"""The pictures that open notebooks and sections, drawn from live models and tensors.

`language` holds their words (tiles, chips, weights, wires, operations), every other
module the pictures of one topic. Each picture is a function that returns a Figure, for
`show(fig, alt="...")` of course.drawings.
"""

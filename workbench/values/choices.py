"""What a person can choose for pictures and texts, in a form and at the command line alike.

Without NumPy: the command line has to know it before it knows what it is asked for.
"""

from helpers.language import _

SCALES = ("0..1", "0..255", "-1..1")  # what black and white become
LAYOUTS = ("HWC", "CHW", "HW")  # the order of height, width and channels
RESIZES = {
    "stretch": _("stretch to this size"),
    "fit": _("fit in, with black beside"),
    "crop": _("fill, and cut off"),
    "none": _("leave as it is"),
}
LINES = "lines"
HEADING = "heading"
WHOLE = "whole"
EXAMPLES = "examples"
TEXTS = {
    LINES: _("one text a line"),
    HEADING: _("one text a line, below a heading"),
    WHOLE: _("one text, with its line breaks"),
    EXAMPLES: _("tf.Examples, written as JSON"),
}

"""What is wrong with text that does not match a pattern of the models, in words: what it must be, and the mend."""

from qb.contract.queries import CURSOR, ID_PREFIX, IDEMPOTENCY_KEY
from qb.contract.task_metrics import METRIC_NAME
from qb.contract.text import ENV_NAME, NO_CONTROL, NO_NUL

WORDS = {
    NO_NUL: "holds a NUL character: leave it out",
    NO_CONTROL: "holds a NUL or control character, such as a line break: leave it out",
    ENV_NAME: "is no name of a variable: letters, digits and _ may stand in it, and no digit at its beginning",
    METRIC_NAME: "is no name of a figure: ASCII letters, digits, blanks and _ . : / % - may stand in it",
    ID_PREFIX: "is no beginning of an id: give 4 to 36 characters of it, which are 0-9, a-f and -",
    CURSOR: "is no cursor of this list: send the X-Next-Cursor of the page before, or none to begin",
    IDEMPOTENCY_KEY: "must be 1 to 255 visible ASCII characters without blanks: a new UUID will do",
}
"""By pattern."""

"""The exit statuses of `otw describe`, `otw predict` and `otw explore`."""

import errno
import sys

from helpers import errors
from helpers.language import _

FAILED = 1
ASKED_WRONGLY = 2
INTERRUPTED = 130
NOBODY_READS = 141
STATUSES: tuple[tuple[int, str, tuple[type[errors.CallError], ...]], ...] = (
    (0, _("it went well"), ()),
    (FAILED, _("anything else went wrong, such as a full disk"), (errors.CallError,)),
    (ASKED_WRONGLY, _("the command line is wrong"), ()),
    (3, _("an input does not fit"), (errors.BadInput,)),
    (
        4,
        _("the model, version, label or signature is not there"),
        (errors.UnknownModel, errors.UnknownSignature),
    ),
    (5, _("nothing answers, or the connection broke"), (errors.ConnectionFailed,)),
    (6, _("the server's certificate is not trusted"), (errors.NotTrusted,)),
    (7, _("no answer in time"), (errors.DeadlineExceeded,)),
    (
        8,
        _("the user is not known, or not allowed this"),
        (errors.NotAuthenticated, errors.NotPermitted),
    ),
    (9, _("the request or the answer is too large"), (errors.TooLarge,)),
    (10, _("the service is asked too much; try again later"), (errors.Throttled,)),
    (11, _("something else answers there"), (errors.NotThisProtocol,)),
    (12, _("the service failed"), (errors.ServiceFailed,)),
    (INTERRUPTED, _("Ctrl-C"), ()),
    (NOBODY_READS, _("the output's reader went away, as `head` does"), ()),
)
EPILOG = "\n".join(
    [_("exit status:"), *(f"  {number:>3}  {words}" for number, words, _kinds in STATUSES)]
)


class AskedWrongly(Exception):
    """The command line cannot be done, whatever the service says."""


def nobody_reads(error: Exception) -> bool:
    """Whether an error is that of an output whose reader went away."""
    if isinstance(error, BrokenPipeError):
        return True
    closed = isinstance(error, OSError) and error.errno == errno.EINVAL and not error.filename
    return closed and sys.platform == "win32"


def status_of(error: errors.CallError) -> int:
    """Return the exit status for an error.

    Examples
    --------
    >>> status_of(errors.NotTrusted("Who is this?"))
    6
    """
    numbers = {kind: number for number, _words, kinds in STATUSES for kind in kinds}
    return next(numbers[kind] for kind in type(error).__mro__ if kind in numbers)

"""What can go wrong with a ledger.  No message has a password in it."""


class LedgerError(Exception):
    """All of them; the text is for people."""


class LedgerSetting(LedgerError):
    """The ``ledger`` setting cannot be used: wrong scheme, no file name, or a driver that is not installed."""


class LedgerUnavailable(LedgerError):
    """The database cannot be reached, is locked for too long, full, or refuses to work.  The call may be repeated."""


class LedgerGone(LedgerUnavailable):
    """The file was removed or replaced, or the tables are missing: nothing works until ``reopen`` makes them anew."""


class LedgerNewer(LedgerError):
    """The tables were made by a newer version of this program, which this one does not understand."""

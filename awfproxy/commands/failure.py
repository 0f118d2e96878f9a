"""Why a command cannot do what it was asked."""


class CommandFailed(Exception):
    """The text is for the person who gave the command: whole sentences, and the remedy if there is one."""

"""What goes wrong with the sandbox and can be said in a few lines."""

from __future__ import annotations


class SandboxError(Exception):
    """A clear sentence for the person at the keyboard; the command line prints it without a traceback."""


class PartDied(SandboxError):
    """A part ended although it should run; the message holds the tail of its log."""

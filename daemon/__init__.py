"""handoffd: a daemon that turns rows of a Notion board into finished, proved work."""

__version__ = "0.1.0"

"""``python -m daemon`` is ``handoffd``."""

from daemon.cli import main

if __name__ == "__main__":
    main()

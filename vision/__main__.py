"""`python -m vision` is `vision`."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C while it is loaded ends it with one line, as it does later."""
    try:
        from vision.cli import main as run

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()

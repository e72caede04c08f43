"""`python -m vision` is `vision`."""

import os
import sys


def main() -> None:
    """Run the command line. Ctrl-C while it is loaded ends it with one line, as it does later."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")     # what fails is ours to tell, in one line; OpenCV reads
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")       # this when it is imported
    try:
        from vision.cli import main as run

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()

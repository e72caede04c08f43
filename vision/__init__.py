"""Computer vision that is ready to use: detection, tracking, segmentation, faces, bodies, actions.

    from vision import Detect, JsonLines, Run, Track, VideoFile, read

    with Run(read("drive.mp4"), [Detect(), Track()], sinks=[VideoFile("out.mp4"), JsonLines("out.jsonl")]) as run:
        for item in run:
            print(item.frame.time, item["track"].ids)

Importing this package imports no torch and opens nothing; a name is loaded when it is first used, and so is a
room: `vision.tracking`.
"""

from lazy_loader import attach_stub

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)          # the names: __init__.pyi

"""A model as a file for other programs, and for this one: ONNX, OpenVINO, TorchScript.

Normalisation and decoding are inside: bytes of BGR pictures in, what the task needs out. Each file carries its card,
so that `--model FILE` opens it again, and each is measured against its source before it gets its name.
"""

from vision.export.exporting import Exported, export
from vision.export.formats import FORMATS, suffix_of

__all__ = ["FORMATS", "Exported", "export", "suffix_of"]

"""Text as documents: plain, hOCR and ALTO, a page for each frame that has text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from vision.sinks.base import Sink, SinkSpec
from vision.sinks.text import TextFile, TextLines
from vision.spec import Option, spec
from vision.state import State
from vision.text.lines import clock

if TYPE_CHECKING:
    from vision.item import Item
    from vision.steps.base import Spec
    from vision.text.lines import TextEvent, Texts


def quoteattr(text: str) -> str:
    """A text as an attribute's value of XML, quotes included."""
    return '"' + escape(text) + '"'


Of = Annotated[str | None, Option("the step whose text is written, by its key")]
_HOCR = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
<head>
<title></title>
<meta http-equiv="Content-Type" content="text/html;charset=utf-8"/>
<meta name="ocr-system" content="vision"/>
<meta name="ocr-capabilities" content="ocr_page ocr_carea ocr_line ocrx_word"/>
</head>
<body>
"""
_ALTO = """<?xml version="1.0" encoding="UTF-8"?>
<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="http://www.loc.gov/standards/alto/ns-v4# http://www.loc.gov/standards/alto/v4/alto-4-4.xsd">
<Description>
<MeasurementUnit>pixel</MeasurementUnit>
<OCRProcessing ID="OCR_0"><ocrProcessingStep><processingSoftware><softwareName>vision</softwareName>\
</processingSoftware></ocrProcessingStep></OCRProcessing>
</Description>
<Layout>
"""


@spec
class PlainText(SinkSpec):
    """What is written: of pictures line by line, an empty line between columns and between pictures; of a video each
    text that was there for some time once, with its times."""

    name = "txt"
    of = "text"
    streams = True

    path: Annotated[Path | str, Option("what is written, as plain text (- for standard output)", flags=("--txt",))]
    on: Of = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where no text is read."""
        return _Plain(Path(self.path), self.key_in(plan), "", lambda _, texts, n: f"{texts.text}\n\n", "")


@spec
class Hocr(SinkSpec):
    """hOCR: XHTML with the places of lines and words, as Tesseract writes it."""

    name = "hocr"
    of = "text"

    path: Annotated[Path | str, Option("words and lines with their places, as hOCR (XHTML)", flags=("--hocr",))]
    on: Of = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where no text is read."""
        return _Pages(Path(self.path), self.key_in(plan), _HOCR, hocr_page, "</body>\n</html>\n")


@spec
class Alto(SinkSpec):
    """ALTO 4: the XML of libraries, with the places of blocks, lines and words."""

    name = "alto"
    of = "text"

    path: Annotated[Path | str, Option("words and lines with their places, as ALTO 4 (XML)", flags=("--alto",))]
    on: Of = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where no text is read."""
        return _Pages(Path(self.path), self.key_in(plan), _ALTO, alto_page, "</Layout>\n</alto>\n")


class _Pages(TextLines):
    """A file with a head, a page for each frame that has text, and a tail: whole after every page."""

    def __init__(
        self, path: Path, on: str, head: str, page: Callable[[Item, Texts, int], str], tail: str
    ) -> None:
        super().__init__(path)
        self.file = TextFile(path, tail)
        self.on, self.needs, self.head, self.page = on, frozenset((on,)), head, page
        self.pages = 0                                   # in the document, of whatever sources

    def begin(self, info: Any) -> None:
        """Open the file with the first source."""
        self.file.open(head=self.head)

    def take(self, item: Item) -> None:
        """Write the frame's page."""
        if self.on in item and len(item[self.on]):
            self.file.append(self.page(item, item[self.on], self.pages))
            self.pages += 1

    def state(self) -> State | None:
        """The file's length, and how many pages it has."""
        state = super().state()
        return None if state is None else {**state, "pages": self.pages}

    def restore(self, state: State) -> None:
        """Cut the file to that length, and continue with the page after its last."""
        super().restore(state)
        self.pages = int(state["pages"])


class _Plain(_Pages):
    """Plain text: pages of pictures, and of a video what was there."""

    video = False

    def begin(self, info: Any) -> None:
        """Open the file with the first source."""
        super().begin(info)
        self.video = info.kind not in ("picture", "pictures")

    def apart(self) -> Sink:
        """Another source may be of another kind."""
        return copy(self)

    def take(self, item: Item) -> None:
        """Write a picture's text, or what a video has shown up to here."""
        if not self.video:
            super().take(item)
        elif self.on in item:
            self._tell(item[self.on].events)

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        """Write what was there to the end."""
        self._tell(results.get(self.on, ()))

    def _tell(self, events: Sequence[TextEvent]) -> None:
        if events:
            self.file.append("".join(f"{clock(e.start)} - {clock(e.end)}  {e.text}\n" for e in events))


def hocr_page(item: Item, texts: Texts, n: int) -> str:
    """A frame as an `ocr_page`: its columns, lines and words, each with its box, words with their confidence in %.

    n: the page's number in the document, from 0; what it shows stands in `image`, a file and a frame's number.
    """
    frame = item.frame
    page = f"{_plain(frame.source)}:{frame.index}"
    out = [f"<div class='ocr_page' id='page_{n}' title="
           + quoteattr(f'image "{page}"; bbox 0 0 {frame.size_wh[0]} {frame.size_wh[1]}; ppageno {n}') + ">"]
    for b, block in enumerate(_blocks(texts)):
        out.append(f" <div class='ocr_carea' id='block_{n}_{b}' title='bbox {_bbox(block)}'>")
        for line in block.by_line():
            number = int(line.lines[0])
            out.append(f"  <span class='ocr_line' id='line_{n}_{number}' title='bbox {_bbox(line)}'>")
            for k, word in enumerate(line):
                title = f"bbox {_bbox(word)}; x_wconf {round(100 * float(word.scores[0]))}"
                out.append(f"   <span class='ocrx_word' id='word_{n}_{number}_{k}' title='{title}'>"
                           f"{escape(_plain(word.line))}</span>")
            out.append("  </span>")
        out.append(" </div>")
    return "\n".join([*out, "</div>", ""])


def alto_page(item: Item, texts: Texts, n: int) -> str:
    """A frame as a `Page`: a `TextBlock` a column, with its `TextLine`s and `String`s; WC is the confidence, 0..1.

    n: the page's number in the document, from 0; what it shows, a file and a frame's number, stands in a comment.
    """
    frame = item.frame
    width, height = frame.size_wh
    shows = f"{_plain(frame.source)}:{frame.index}".replace("--", "- -")             # which no comment may hold
    out = [f"<!-- {shows} -->",
           f'<Page ID="page_{n}" PHYSICAL_IMG_NR="{n}" WIDTH="{width}" HEIGHT="{height}">',
           f'<PrintSpace HPOS="0" VPOS="0" WIDTH="{width}" HEIGHT="{height}">']
    for b, block in enumerate(_blocks(texts)):
        out.append(f'<TextBlock ID="block_{n}_{b}" {_place(block)}>')
        for line in block.by_line():
            number = int(line.lines[0])
            strings = [
                f'<String ID="word_{n}_{number}_{k}" {_place(word)} WC="{float(word.scores[0]):.2f}" '
                f"CONTENT={quoteattr(_plain(word.line))}/>" for k, word in enumerate(line)
            ]
            out.append(f'<TextLine ID="line_{n}_{number}" {_place(line)}>' + "<SP/>".join(strings) + "</TextLine>")
        out.append("</TextBlock>")
    return "\n".join([*out, "</PrintSpace>", "</Page>", ""])


def _blocks(texts: Texts) -> list[Texts]:
    """The words of each column."""
    return [texts[texts.blocks == block] for block in dict.fromkeys(texts.blocks.tolist())]


def _corners(texts: Texts) -> tuple[int, int, int, int]:
    boxes = texts.boxes
    left, top = boxes[:, :2].min(axis=0).round().astype(int).tolist()
    right, bottom = boxes[:, 2:].max(axis=0).round().astype(int).tolist()
    return left, top, right, bottom


def _bbox(texts: Texts) -> str:
    return " ".join(map(str, _corners(texts)))


def _place(texts: Texts) -> str:
    left, top, right, bottom = _corners(texts)
    return f'HPOS="{left}" VPOS="{top}" WIDTH="{right - left}" HEIGHT="{bottom - top}"'


def _plain(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return "".join(c for c in text if c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff")

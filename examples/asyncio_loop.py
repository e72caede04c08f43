"""`async for` over a run whose frames another process decodes: python examples/asyncio_loop.py VIDEO"""

import asyncio
import sys

from vision import Detect, Run, Track
from vision.io import read_apart


async def follow(video: str) -> None:
    """The run goes on in a thread, decoding in a process, and this loop stays free for the rest of the robot."""
    with Run(read_apart(video), [Detect(), Track()]) as run:
        async for item in run:
            print(item.frame.index, item["track"].ids.tolist())
    print(run.report)


async def blink() -> None:
    """Something else that must not wait."""
    while True:
        await asyncio.sleep(0.1)


async def main() -> None:
    """Both, until the video is over."""
    other = asyncio.create_task(blink())
    await follow(sys.argv[1])
    other.cancel()


if __name__ == "__main__":                                # the other process imports this file
    asyncio.run(main())

"""Joules, where the machine counts them: RAPL for processors, NVML for NVIDIA's devices."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

_RAPL = Path("/sys/class/powercap")


class Energy:
    """Counters of energy, of the whole machine: what else it does is counted too.

    rapl: the folder in which Linux shows the processors' counters, one `intel-rapl:N` a socket. nvml: whether NVIDIA's
    devices are asked.
    """

    def __init__(self, rapl: Path = _RAPL, nvml: bool = True) -> None:
        self._sockets: list[tuple[Path, int]] = []               # a counter, and where it starts anew
        for folder in sorted(rapl.glob("intel-rapl:[0-9]*")):
            if folder.name.count(":") == 1 and not _of_all(folder):      # not a part of a socket
                with suppress(OSError, ValueError):              # for root alone, on most systems
                    _microjoules(folder / "energy_uj")
                    self._sockets.append((folder / "energy_uj", _microjoules(folder / "max_energy_range_uj")))
        self._nvml: tuple[Any, list[Any]] | None = _devices() if nvml else None

    @property
    def counters(self) -> tuple[str, ...]:
        """What counts here: `RAPL`, `NVML`, or nothing."""
        return (("RAPL",) if self._sockets else ()) + (("NVML",) if self._nvml else ())

    def read(self) -> list[int]:
        """The counters now, for `since`: microjoules."""
        found = [_microjoules(path) for path, _ in self._sockets]
        if self._nvml is not None:
            nvml, devices = self._nvml
            found += [1000 * int(nvml.nvmlDeviceGetTotalEnergyConsumption(device)) for device in devices]
        return found

    def since(self, before: list[int]) -> float | None:
        """Joules since `read` gave `before`; None where nothing counts. A counter that started anew in between once is
        put right."""
        if not before:
            return None
        total = 0
        ranges = [span for _, span in self._sockets]
        for i, (old, new) in enumerate(zip(before, self.read(), strict=True)):
            total += new - old + (ranges[i] if new < old and i < len(ranges) else 0)
        return total / 1e6


def _of_all(folder: Path) -> bool:
    """Whether a counter is of the whole machine (`psys`), in which the sockets are counted too."""
    with suppress(OSError):
        return (folder / "name").read_text().startswith("psys")
    return False


def _microjoules(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))


def _devices() -> tuple[Any, list[Any]] | None:
    """NVML with the devices that count their energy, or None."""
    try:
        import pynvml

        pynvml.nvmlInit()
        found = []
        for number in range(pynvml.nvmlDeviceGetCount()):
            device = pynvml.nvmlDeviceGetHandleByIndex(number)
            pynvml.nvmlDeviceGetTotalEnergyConsumption(device)
            found.append(device)
        return (pynvml, found) if found else None
    except Exception:                                            # no package, no driver, too old a device
        return None

"""The device that training would use, without importing torch: the CUDA driver is asked by itself."""

from __future__ import annotations

import ctypes
import platform
import sys

__all__ = ["device_name"]

_LONGEST = 256


def device_name(torch: str) -> str:
    """The name of the first CUDA device that torch of this version can use, ``mps`` on Apple silicon, else ``cpu``."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    built_without = torch.endswith("+cpu") or not torch[:1].isdigit()
    return (None if built_without else _cuda()) or "cpu"


def _cuda() -> str | None:
    """What the driver calls device 0; None where there is no driver or no device."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        name, device = ctypes.create_string_buffer(_LONGEST), ctypes.c_int()
        failed = (
            driver.cuInit(0)
            or driver.cuDeviceGet(ctypes.byref(device), 0)
            or driver.cuDeviceGetName(name, _LONGEST, device)
        )
    except (OSError, AttributeError):
        return None
    return None if failed else name.value.decode(errors="replace")

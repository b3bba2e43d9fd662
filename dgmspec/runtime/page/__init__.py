"""The report of a run as one HTML file that needs no network: text, SVG and embedded pictures, light and dark."""

from dgmspec.runtime.page.write import write_page

__all__ = ["write_page"]

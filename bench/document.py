"""The page docs/benchmarks.md: the table as it was measured, and what it was measured on."""
from bench.run import Row
def page(rows: list[Row], rounds: int) -> str: return ""

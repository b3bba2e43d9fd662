"""Whole files around the few lines that an example of a code is about."""

__all__ = ["file_text", "flow_text", "model_text"]


def file_text(body: str) -> str:
    """A file of these lines."""
    return f"dgm 1\n{body}\n"


def model_text(*members: str, below: str = "") -> str:
    """A file of one model with these members, and what stands below it."""
    body = "".join(f"    {member}\n" for member in members)
    return f"dgm 1\nmodel M {{\n{body}}}\n{below}"


def flow_text(steps: str, x: str = "real[2]", z: str = "real[2] ~ normal(0, 1)") -> str:
    """A file with one flow from x to z, its steps divided by ``; ``."""
    lines = "".join(f"        {step}\n" for step in steps.split("; "))
    return model_text(f"observe x : {x}", f"latent z : {z}", f"flow x -> z {{\n{lines}    }}")

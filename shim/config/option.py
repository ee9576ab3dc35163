"""What an option is: name, kind, default and reason; every table of them is a frozen model.

Unknown names are faults, and the reasons become the configuration reference.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """A table of the configuration; frozen, and unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def option(default: Any, reason: str, *, example: Any = None) -> Any:
    """One option.

    Args:
        default: As it would stand in TOML; None where there is none. It is parsed like any other value.
        reason: What it does and why the default is what it is, for the operator.
        example: Printed, commented out, in place of a default that is missing or not the same everywhere.
    """
    examples = None if example is None else [example]
    # Defaults are written as an operator would, and parsed like anything else: the printed ones are true.
    return Field(default, validate_default=True, description=reason, examples=examples)

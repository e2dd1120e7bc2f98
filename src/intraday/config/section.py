"""What all settings have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

Symbol = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _named(text: str) -> str:
    kind, _, name = text.partition(":")
    if kind not in ("index", "csv") or not name.strip():
        raise ValueError("index:NAME or csv:PATH")
    return text


Universe = Literal["all", "fno"] | Annotated[str, AfterValidator(_named)] | tuple[Symbol, ...]


class Section(BaseModel):
    """One mapping of the configuration: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

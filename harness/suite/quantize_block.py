"""The `quantize` block of a variant, one pydantic model per method, built from the method's own table of parameters."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from harness.methods import METHODS
from harness.methods.base import Method, Parameter, Scalar


class Calibration(BaseModel):
    """Text that a method calibrates on while it quantizes. Keep it apart from what the suite evaluates."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    data: str
    """JSONL, CSV or Parquet, relative to the suite."""
    field: str = "text"
    samples: Annotated[int, Field(ge=1)] = 128
    length: Annotated[int, Field(ge=8)] = 512
    """Tokens per sample."""
    seed: int = 0


class Quantization(BaseModel):
    """What all `quantize` blocks share."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    row: ClassVar[Method]

    method: str
    calibration: Calibration | None = None

    def block(self) -> dict[str, Scalar]:
        """Method and parameters, defaults included, without the calibration."""
        found: dict[str, Scalar] = self.model_dump(exclude={"calibration"}, exclude_none=True)
        return found

    @property
    def claimed_bits(self) -> float:
        """Bits per weight that the block claims."""
        return self.row.bits(self.block())

    @property
    def makes(self) -> bool:
        """Whether a checkpoint is made first."""
        return bool(self.row.tools)

    @property
    def calibrates(self) -> bool:
        """Whether a checkpoint is calibrated on text."""
        return self.makes and self.row.calibrates(self.block())

    @model_validator(mode="after")
    def _rules(self) -> Quantization:
        block = self.block()
        if wrong := self.row.rules(block):
            raise ValueError(wrong)
        if self.calibration is not None and not self.calibrates:
            words = " ".join(map(str, block.values())) if self.makes else self.method
            raise ValueError(f"{words} takes no calibration data: leave calibration out")
        return self


def _field(parameter: Parameter) -> tuple[Any, Any]:
    kind: Any = Literal[parameter.choices] if parameter.choices else parameter.kind
    if parameter.low is not None or parameter.high is not None:
        low, high = parameter.low, parameter.high
        kind = Annotated[kind, Field(gt=low, lt=high) if parameter.between else Field(ge=low, le=high)]
    if parameter.required:
        return kind, Field(description=parameter.description or None)
    if parameter.default is None:
        kind = kind | None
    return kind, Field(default=parameter.default, description=parameter.description or None)


def _model(method: Method) -> type[Quantization]:
    tag: Any = Literal[method.name]
    fields: dict[str, Any] = {"method": (tag, ...), **{each.name: _field(each) for each in method.parameters}}
    name = "Quantize" + "".join(part.capitalize() for part in method.name.split("-"))
    made: type[Quantization] = create_model(
        name, __base__=Quantization, __doc__=f"{method.name}: {method.description}.", **fields
    )
    made.row = method
    return made


MODELS: dict[str, type[Quantization]] = {name: _model(method) for name, method in METHODS.items()}
AnyQuantization: Any = Annotated[reduce(or_, MODELS.values()), Field(discriminator="method")]

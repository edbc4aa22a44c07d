"""The target of expression recognition: every face shows exactly one of some expressions."""

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from fauds.targets.multiclass import Multiclass

COLUMN = "expression"
"""The column of frames.parquet with the index of each frame's expression in `classes`."""


class Expression(Multiclass):
    """The target of expression recognition: the class of each face, such as happiness.

    A protocol chooses the classes and their order: `{kind: expression, classes: [neutral, ...]}`. A
    label is the index of the class, from 0, or null where a face is not labelled.

    Attributes:
        classes: the names of the classes, in the order of the labels and of a model's scores.
    """

    kind: Literal["expression"] = "expression"
    classes: tuple[str, ...] = Field(min_length=2)

    noun: ClassVar[str] = "expression"
    plural: ClassVar[str] = "expressions"
    short: ClassVar[str] = "expression"
    shorts: ClassVar[str] = "expressions"

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        repeated = sorted({name for name in classes if classes.count(name) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} is listed more than once")
        if not all(name.strip() == name != "" for name in classes):
            raise ValueError("a class is an empty text, or begins or ends with a blank")
        return classes

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes: `classes`."""
        return self.classes

    @property
    def column(self) -> str:
        """The name of the column of frames.parquet with the labels: "expression"."""
        return COLUMN

    def reader_options(self) -> dict[str, Any]:
        """Return the option that a dataset's reader needs: ``classes``, the names in order."""
        return {"classes": self.classes}

"""Every exception the project raises on purpose, in one place.

An error says what was expected, what was got and what to do about it. The command line prints it as one line
and exits with `exit_code`: 2 for input that a person can mend, 1 for everything else.
"""


class TwinError(Exception):
    """Something went wrong that we can name; `remedy` says what to do about it."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} → {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[type["TwinError"], tuple[str, str]]:
        return type(self), (self.message, self.remedy)


class InputError(TwinError):
    """A file, option or value that a person gave is missing or wrong."""

    exit_code = 2


class RecipeError(InputError):
    """A recipe has an unknown key or a value that does not fit."""


class SourceError(TwinError):
    """One source or one page of it could not be collected; the rest goes on."""


class StoreError(TwinError):
    """A warehouse, vector index or registry refused or cannot be reached."""


class ModelError(TwinError):
    """A model or tokenizer cannot be loaded, or does not fit the machine."""

    exit_code = 2


class QualityError(TwinError):
    """A step ran, but its result is below a threshold of the recipe."""


class BudgetError(TwinError):
    """Asking on would cost more than the recipe allows; what was answered is kept for the next run."""


class ServiceError(TwinError):
    """A process that we start (warehouse, index, predictor, transformer) did not come up or died."""

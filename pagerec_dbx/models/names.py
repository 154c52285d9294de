"""The models there are, readable without TensorFlow so that a wrong name is refused at once."""

from pagerec_dbx.errors import UnknownModelError

MODEL_NAMES = ("two_tower_softmax",)


def require_model_name(name: str) -> str:
    """The name, if a model has it.

    Raises:
        UnknownModelError: no model has it.
    """
    if name not in MODEL_NAMES:
        raise UnknownModelError(
            f"unknown model `{name}`", wanted="one of " + ", ".join(MODEL_NAMES), fix="Choose one with --model"
        )
    return name

"""The one error that users are meant to read: a sentence that says what is wrong, where, and what to do."""

__all__ = ["UserError"]


class UserError(Exception):
    """Bad input or a missing file. Shown as one sentence, in notebooks too, without a traceback."""

    def _render_traceback_(self) -> list[str]:  # what IPython shows instead of a traceback
        return [f"Error: {self}"]

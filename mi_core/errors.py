"""The one error that users are meant to read: a sentence that says what is wrong, where, and what to do."""

__all__ = ["UserError"]


class UserError(Exception):
    """Bad input or a missing file. Shown as one sentence, in notebooks too, without a traceback."""

    def __str__(self) -> str:
        """On one line, whatever it quotes."""
        return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in super().__str__())

    def _render_traceback_(self) -> list[str]:  # what IPython shows instead of a traceback
        return [f"Error: {self}"]

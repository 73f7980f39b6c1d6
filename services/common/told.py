"""What a person can act on: an error whose text is all they need to see of it."""


class ToldToPeople(Exception):
    """The `astra` command prints its text as one line and exits with 1; anything else is a defect."""

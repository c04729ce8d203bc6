"""Numbers of things, as messages say them."""


def counted(number: int, singular: str, plural: str = "") -> str:
    """Return a number and what it counts, such as "1 gene", "2 genes" and "1,000 values are".

    Args:
        number: how many.
        singular: what follows 1, such as "value is".
        plural: what follows other numbers, such as "values are"; by default singular and an s.
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"

"""Templates of cards in which whatever comes from files stays text.

A species, a label or a file may be called anything; in a card it must not become a link, an image,
HTML, another cell of a table or a formula. So each value that a template shows is escaped, unless
it is `Markup`: what this package itself made.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

import jinja2
from markupsafe import Markup

_SPECIAL = re.compile(r"[\\`*|$]|~~|\](?=[(\[:])|!(?=\[)")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "@": "&#64;", "://": "&#58;//"}
_ENTITIES |= {"www.": "www&#46;", "WWW.": "WWW&#46;"}
_ENTITY = re.compile("|".join(map(re.escape, _ENTITIES)))
_BEGINS_ENTITY = re.compile(r"&(?=#?\w+;)")


def escape(text: str) -> str:
    """Text as Markdown that shows it, on one line."""
    line = _BEGINS_ENTITY.sub("&amp;", " ".join(text.split()))
    line = _ENTITY.sub(lambda found: _ENTITIES[found[0]], line)
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", line)


def code(text: str) -> Markup:
    """Text as a code span, within a table too."""
    line = " ".join(str(text).split()).replace("`", "'").replace("|", r"\|")
    return Markup(f"`{line}`") if line else Markup("")


def link(text: str, url: str) -> Markup:
    """A code span that leads to an address, if that is one of the web."""
    if urlsplit(url).scheme not in ("http", "https"):
        return code(text)
    return Markup(f"[{code(text)}]({quote(url, safe=':/?&=%#~+,;@')})")


def image(text: str, path: str) -> Markup:
    """A figure of the repository."""
    return Markup(f"![{escape(text)}]({quote(path)})")


def environment(folders: Sequence[Path]) -> jinja2.Environment:
    """Where templates are found, the first folder of a name, and how they show values."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        finalize=lambda value: value if isinstance(value, Markup) else escape(str(value)),
    )
    made.globals |= {"n": "{:,}".format, "code": code, "link": link, "image": image}
    return made

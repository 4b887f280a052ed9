"""containerd's filters: `kind==active,labels.a!=x`. Terms joined by commas must all hold; of several filters one is enough."""

import re

PART = r'(?:[\w/-]+|"(?:[^"\\]|\\.)*")'
TERM = re.compile(rf'({PART}(?:\.{PART})*)(?:(==|!=|~=)("(?:[^"\\]|\\.)*"|[^,"\s]+))?(,|$)')


def _plain(text):
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def parse(text):
    """The terms of a filter, as (path, operator, value). Raises ValueError."""
    terms, position = [], 0
    while position < len(text):
        found = TERM.match(text, position)
        if not found:
            raise ValueError(f"filter {text!r}: not understood at {text[position:]!r}")
        if found[4] and found.end() == len(text):
            raise ValueError(f"filter {text!r}: ends with a comma")
        path = [_plain(part) for part in re.findall(PART, found[1])]
        operator, value = found[2], _plain(found[3] or "")
        if operator == "~=":
            try:
                value = re.compile(value)
            except re.error as error:
                raise ValueError(f"filter {text!r}: {error}") from error
        terms.append((path, operator, value))
        position = found.end()
    return terms


def matches(terms, fields, labels):
    """Whether all terms hold, given the fields by name."""
    for (first, *rest), operator, value in terms:
        actual = labels.get(".".join(rest)) if first == "labels" else fields.get(first)
        if operator is None:
            holds = bool(actual)
        elif operator == "!=":
            holds = actual != value
        elif operator == "==":
            holds = actual == value
        else:
            holds = actual is not None and value.search(actual) is not None
        if not holds:
            return False
    return True

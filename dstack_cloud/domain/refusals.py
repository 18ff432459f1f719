"""Why an offer was refused, in words for people. A launch that was refused keeps "Code: text" as `wrong`."""

from __future__ import annotations

from collections.abc import Mapping

# by the class names in `errors`
WORDS: Mapping[str, str] = {
    "NoCapacity": "no capacity",
    "QuotaExceeded": "quota",
    "NotAuthorized": "not authorized",
    "InvalidConfiguration": "wrong configuration",
    "Throttled": "throttled",
    "Unavailable": "no clear answer",
}

# of these it helps to know where
PLACED = frozenset({"NotAuthorized", "InvalidConfiguration", "Unavailable"})

# these pass by themselves, so that trying again later makes sense
PASSING = frozenset({"NoCapacity", "QuotaExceeded", "Throttled", "Unavailable"})

# how what is noted of a machine begins that doesn't answer any more
OUT_OF_REACH = "unreachable since"


def code_of(wrong: str) -> str:
    return wrong.partition(":")[0]


def text_of(wrong: str) -> str:
    """What the backend said, without the code; all of it where there is no code that is known."""
    code, _, text = wrong.partition(": ")
    return text if code in WORDS else wrong


def words_of(wrong: str) -> str:
    """ "no capacity" for "NoCapacity: …"; "refused" where the code isn't known."""
    return WORDS.get(code_of(wrong), "refused")

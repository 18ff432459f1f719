"""What the document of every resource has: a location, and tags."""

from __future__ import annotations

import re

from tests.fakes.azure.calls import Refusal
from tests.fakes.azure.catalogue import LOCATIONS

# https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/tag-resources#limitations
MOST_TAGS, LONGEST_TAG, LONGEST_VALUE = 50, 512, 256
RESERVED = re.compile(r"[<>%&\\?/\x00-\x1f]")


def check_location(location: object, type: str) -> str:
    """Its name as Azure writes it. Raises Refusal."""
    if not location:
        raise Refusal("LocationRequired", "The location property is required for this definition.")
    name = str(location).replace(" ", "").lower()
    if name not in LOCATIONS:
        known = ",".join(sorted(LOCATIONS))
        why = f"The provided location '{location}' is not available for resource type '{type}'. List of available regions for the resource type is '{known}'."
        raise Refusal("LocationNotAvailableForResourceType", why)
    return name


def check_tags(tags: object) -> None:
    """Raises Refusal."""
    if not isinstance(tags, dict):
        return
    if len(tags) > MOST_TAGS:
        raise Refusal("TooManyTags", f"Specified tag count {len(tags)} exceeded the maximum tag count of {MOST_TAGS}.")
    for name, value in tags.items():
        if RESERVED.search(name):
            why = f"The tag names '{name}' have reserved characters '<,>,%,&,\\,?,/' or control characters."
            raise Refusal("InvalidTagNameCharacters", why)
        if not 1 <= len(name) <= LONGEST_TAG or len(str(value)) > LONGEST_VALUE:
            raise Refusal("InvalidTagValue", f"The tag '{name}' has too long a name or value.")

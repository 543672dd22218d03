"""What the answers to one caller tell: no 5xx, and a patient's name only to who may read it.

    python judge.py nobody|elsa|admin REPORT.ndjson
"""

import base64
import binascii
import collections
import json
import sys

# A name in a fixture that no request has in it.
NAME = b"CompressedSamples"


def members(value, name=None):
    """All texts and numbers in a value, each with the name it has there."""
    inner = value.items() if isinstance(value, dict) else ((name, one) for one in value) if isinstance(value, list) else None
    if inner is None:
        yield name, value
        return
    for name, one in inner:
        yield from members(one, name)


def has_the_name(text):
    if NAME in text.encode():
        return True
    try:
        return NAME in base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return False


def main(who, report):
    named, seen = 0, collections.Counter()
    with open(report, encoding="utf-8") as lines:
        for line in lines:
            for name, value in members(json.loads(line)):
                if isinstance(value, str):
                    named += has_the_name(value)
                elif name == "status_code" and isinstance(value, int):
                    seen[value] += 1
    print(f"{who}: {sum(seen.values())} answers {dict(sorted(seen.items()))}, a patient's name in {named}")
    assert sum(seen.values()) > 1000, "too few answers to tell"
    assert not any(status >= 500 for status in seen), "an answer of the 5xx"
    assert (named > 0) == (who == "admin"), "who may read the names of patients"


if __name__ == "__main__":
    main(*sys.argv[1:])

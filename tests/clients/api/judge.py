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


def texts(value):
    """All texts in a value, those in base64 decoded."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value.encode()
        try:
            yield base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error):
            pass


def statuses(value):
    if isinstance(value, dict):
        if isinstance(value.get("status_code"), int):
            yield value["status_code"]
        for inner in value.values():
            yield from statuses(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from statuses(inner)


def main(who, report):
    named, seen = 0, collections.Counter()
    with open(report, encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            named += sum(NAME in text for text in texts(event))
            seen.update(statuses(event))
    print(f"{who}: {sum(seen.values())} answers {dict(sorted(seen.items()))}, a patient's name in {named}")
    assert sum(seen.values()) > 1000, "too few answers to tell"
    assert not any(status >= 500 for status in seen), "an answer of the 5xx"
    assert (named > 0) == (who == "admin"), "who may read the names of patients"


if __name__ == "__main__":
    main(*sys.argv[1:])

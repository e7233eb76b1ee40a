"""Makes the demo's perplexity documents from the language reference that every Python carries.

`pydoc_data.topics` holds the text behind `help("for")` and the like. A topic is a document, because the
document is the unit of the perplexity interval. The texts differ a little between Python versions, and with
them the identity of the items, so the file is written once and kept until it is deleted (`make clean`).

    python suites/make_topics.py                # into .cache/demo-data/topics.jsonl of this repository
"""

from __future__ import annotations

import json
from pathlib import Path
from pydoc_data.topics import topics

TARGET = Path(__file__).resolve().parent.parent / ".cache" / "demo-data" / "topics.jsonl"
FEWEST = 30
"""Below 20 documents the document-clustered interval is not to be trusted; this keeps its distance."""
SHORTEST, LONGEST = 300, 1500
"""Characters. About 34 documents and 6,600 tokens, so that four variants are quickly scored on two cores."""


def choose(texts: dict[str, str]) -> list[dict[str, str]]:
    """Every topic of fitting length, by name; of several names for one text only the first."""
    by_text = {text.strip(): name for name, text in sorted(texts.items(), reverse=True)}
    fitting = sorted(name for text, name in by_text.items() if SHORTEST <= len(text) <= LONGEST)
    if len(fitting) < FEWEST:
        raise SystemExit(f"demo text: expected {FEWEST} topics of fitting length, got {len(fitting)}")
    return [{"id": name, "text": texts[name].strip()} for name in fitting]


def main() -> None:
    """Write the file unless it is there, and say in one line which of the two happened."""
    if TARGET.is_file():
        print(f"demo text: already at {TARGET}")
        return
    documents = choose(topics)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    part = TARGET.with_suffix(".part")
    part.write_text("".join(json.dumps(row) + "\n" for row in documents), encoding="utf-8")
    part.rename(TARGET)
    print(f"demo text: made {TARGET}")


if __name__ == "__main__":
    main()

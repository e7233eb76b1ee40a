"""Makes the demo's perplexity documents from the language reference that every Python carries.

`pydoc_data.topics` holds the text behind `help("for")` and the like. A topic is a document, because the
document is the unit of the perplexity interval. The texts differ a little between Python versions, and with
them the identity of the items, so the file is written once and kept until it is deleted (`make clean`).

    python suites/make_topics.py                # into .cache/demo-data/topics.jsonl of this repository
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from pydoc_data.topics import topics

TARGET = Path(__file__).resolve().parent.parent / ".cache" / "demo-data" / "topics.jsonl"
DOCUMENTS = 36
FEWEST = 30
"""Below 20 documents the document-clustered interval is not to be trusted; this keeps its distance."""
SHORTEST, LONGEST = 300, 2500
"""Characters. About 9,000 tokens in all, so that four variants are quickly scored on two cores."""
SEED = 1


def choose(texts: dict[str, str]) -> list[dict[str, str]]:
    """A seeded choice of topics in alphabetical order; topics that repeat another's text are left out."""
    by_text = {text.strip(): name for name, text in sorted(texts.items(), reverse=True)}
    fitting = sorted(name for text, name in by_text.items() if SHORTEST <= len(text) <= LONGEST)
    if len(fitting) < FEWEST:
        raise SystemExit(f"demo text: expected {FEWEST} topics of fitting length, this Python has {len(fitting)}")
    chosen = sorted(random.Random(SEED).sample(fitting, min(DOCUMENTS, len(fitting))))
    return [{"id": name, "text": texts[name].strip()} for name in chosen]


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

"""A metric of one's own for suites/own.yaml: does the JSON hold the right answer, and does it repeat the question?

A function of (answer, references, row). It returns a number, or a mapping of numbers: each key is a metric,
`answered.right` and `answered.repeats_question` here. What it raises, or what is not a finite number, fails the item.
"""

import json


def answered(answer, references, row):
    """`right`: the answer is the reference. `repeats_question`: the item's question is in it again."""
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    given = str(found.get("answer", "")).strip().lower() if isinstance(found, dict) else ""
    return {
        "right": given in [each.lower() for each in references],
        "repeats_question": row["question"].lower() in answer.lower(),
    }


answered.higher_is_better = {"repeats_question": False}

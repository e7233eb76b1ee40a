"""The items of a run in the forms of other evaluators, so that anyone's script can check a comparison of ours."""

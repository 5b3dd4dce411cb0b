"""What Ray says of a dead worker, in our words."""

import re

NODE_GONE = "its node is gone"
TAKEN_AWAY = "its node was taken away"
EXPECTED = re.compile("actor's node was (terminated expectedly|preempted|terminated):")  # by an end or a drain that Ray was asked for


def why_of(text: str) -> str:
    """What Ray says of a dead worker, in a few words."""
    if EXPECTED.search(text):
        return TAKEN_AWAY
    if "its node has died" in text:
        return NODE_GONE
    if "RayTaskError" in text:  # an exception outside the trial: of Ray, or of an import
        return f"its worker met {text.strip().splitlines()[-1].strip()[:200]}"
    return "its worker died"

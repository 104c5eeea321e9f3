"""What the tools for agents answer."""

from __future__ import annotations

QUOTA_REFUSED = {
    "error_code": "INSUFFICIENT_QUOTA",
    "error": "workspace build failed: insufficient quota: this build costs 10 credits per"
    " day, 0 of the budget of 9 are in use",
    "title": "Workspace quota reached",
    "message": "The workspace could not be created because your workspace quota is full."
    " Delete a workspace you no longer need to free quota."
    " Ask an administrator to raise your group quota allowance.",
    "next_steps": [
        "Delete a workspace you no longer need to free quota.",
        "Ask an administrator to raise your group quota allowance.",
    ],
    "quota": {"credits_consumed": 0, "budget": 9},
}
"""Of ``create_workspace``, for a build of 10 credits and a budget of 9; without the build's id."""

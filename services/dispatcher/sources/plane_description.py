"""The first message an agent sees of a Plane event: who asks what, where, after what was said before."""

from __future__ import annotations

from services.dispatcher.domain import Person, Said, Talk
from services.dispatcher.sources.earlier import earlier
from services.dispatcher.sources.fencing import fenced, one_line, rule
from services.dispatcher.sources.plane_payload import Act

REQUEST_BYTES_MAX = 40 * 1024
"""With what was said earlier it leaves room below 64 KiB for the words around them."""
RESOLVE = (
    "This asks to resolve the thread. Close it with a short summary of what it came to, and of what is left "
    "open. The work item's state stays as it is: your answer is the closing comment."
)


def describe(act: Act, talk: Talk, item: Said, author: Person, *, resolve: bool = False) -> str:
    """Describe an act in Markdown, at most 64 KiB; what was cut is said where it was cut."""
    name = one_line(author.name)
    did = "commented on a work item" if act.comment_id else "filed a work item"
    what = "comment" if act.comment_id else "work item"
    parts = [
        f"{name} ({author.standing}) {did} in Plane.",
        f"- The {what}: {one_line(item.url)}",
        rule("Plane"),
        *earlier(talk, item),
        f"The request, by {name}:\n{fenced(item.text, REQUEST_BYTES_MAX)}",
    ]
    return "\n\n".join([*parts, RESOLVE] if resolve else parts)

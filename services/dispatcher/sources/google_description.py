"""The first message an agent sees of a comment on a document: who asks what, about which passage."""

from __future__ import annotations

from services.dispatcher.domain import Talk
from services.dispatcher.sources.earlier import earlier
from services.dispatcher.sources.fencing import fenced, one_line, quoted, rule
from services.dispatcher.sources.google_payload import Act

REQUEST_BYTES_MAX = 32 * 1024
PASSAGE_BYTES_MAX = 8 * 1024
"""With what was said earlier they leave room below 64 KiB for the words around them."""
RESOLVE = (
    "This asks to resolve the thread. Close it with a short summary of what it came to, and of what is left "
    "open. The platform resolves the comment after your answer, unless it is resolved already."
)


def describe(act: Act, *, resolve: bool = False) -> str:
    """Describe an act in Markdown, at most 64 KiB; what was cut is said where it was cut."""
    who = one_line(act.item.author_id)
    did = "replied to a comment" if act.reply_id else "commented"
    did = "resolved a comment" if act.action else did
    talk = Talk(address={}, messages=act.said, left_out=0, people={})
    parts = [
        f"{who} {did} on a document in Google Drive.",
        f"- Document: {quoted(act.file_name)} ({one_line(act.file_url)}), file id {act.file_id}\n"
        f"- The comment: {one_line(act.link)}",
        rule("Google Drive"),
    ]
    if act.quoted:
        parts.append(f"The passage the comment is on:\n{fenced(act.quoted, PASSAGE_BYTES_MAX)}")
    parts += earlier(talk, act.item)
    if act.item.text:
        parts.append(f"The request, by {who}:\n{fenced(act.item.text, REQUEST_BYTES_MAX)}")
    return "\n\n".join([*parts, RESOLVE] if resolve else parts)

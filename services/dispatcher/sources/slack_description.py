"""The first message an agent sees of a Slack event: who asks what, where, after what was said before."""

from __future__ import annotations

from services.dispatcher.domain import Person, Said, Talk
from services.dispatcher.sources.earlier import earlier, name_of
from services.dispatcher.sources.fencing import fenced, one_line, rule
from services.dispatcher.sources.slack_payload import Act, ActKind

REQUEST_BYTES_MAX = 40 * 1024
"""With what was said earlier it leaves room below 64 KiB for the words around them."""
RESOLVE = (
    "This asks to resolve the thread. Close it with a short summary of what it came to, and of what is left "
    "open. The platform marks the thread done after your answer."
)


def describe(act: Act, talk: Talk, item: Said, author: Person, *, resolve: bool = False) -> str:
    """Describe an act in Markdown, at most 64 KiB; what was cut is said where it was cut."""
    who = f"{one_line(author.name)} ({author.standing})"
    did = f"reacted with :{one_line(act.reaction)}:" if act.kind is ActKind.REACTION else "wrote a message"
    kind = "direct message" if act.is_direct else "channel"
    parts = [
        f"{who} {did} on Slack.",
        f"- {kind.capitalize()}: {act.channel_id}\n- The message: {one_line(item.url)}",
        rule("Slack"),
    ]
    parts += earlier(talk, item)
    if act.kind is ActKind.REACTION:
        writer = one_line(name_of(item, talk))
        parts.append(f"The message reacted to, by {writer}:\n{fenced(item.text, REQUEST_BYTES_MAX)}")
    else:
        parts.append(f"The request, by {one_line(author.name)}:\n{fenced(item.text, REQUEST_BYTES_MAX)}")
    if resolve:
        parts.append(RESOLVE)
    return "\n\n".join(parts)

"""What was said in a thread before the item an event is about, as its description shows it."""

from __future__ import annotations

from services.dispatcher.domain import Said, Talk
from services.dispatcher.sources.fencing import fenced

EARLIER_BYTES_MAX = 18 * 1024
EARLIER_EACH_CHARS_MAX = 4 * 1024


def earlier(talk: Talk, item: Said | None) -> list[str]:
    """The first message and as many of the last as fit, in a fence; nothing where nothing was said.

    `item` None: the event is about no message, so all of them were said before it.
    """
    before = [each for each in talk.messages if item is None or each.external_id != item.external_id]
    if not before:
        return []
    shown = fenced(_lines(before, talk), EARLIER_BYTES_MAX)
    return [f"Said before in this thread, oldest first:\n{shown}"]


def name_of(said: Said, talk: Talk) -> str:
    """Who said it."""
    known = talk.people.get(said.author_id)
    name = known.name if known else said.author_id
    return f"{name} (you)" if said.ours else name


def _lines(messages: list[Said], talk: Talk) -> str:
    first, *rest = [f"{name_of(each, talk)}: {each.text[:EARLIER_EACH_CHARS_MAX]}" for each in messages]
    kept: list[str] = []
    room = EARLIER_BYTES_MAX - len(first.encode()) - 100
    for line in reversed(rest):
        room -= len(line.encode()) + 2
        if room < 0:
            break
        kept.append(line)
    left_out = talk.left_out + len(rest) - len(kept)
    note = [f"({left_out} messages are left out here.)"] if left_out else []
    return "\n\n".join([first, *note, *reversed(kept)])

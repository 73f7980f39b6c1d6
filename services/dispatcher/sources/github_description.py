"""The first message an agent sees of a GitHub event: who asks what, where, with what belongs to it.

What people wrote stands in fences longer than any run of backticks in it, so that no text can step out
of its fence, and the reader is told that fenced text is data.
"""

from __future__ import annotations

from services.dispatcher.domain import Talk
from services.dispatcher.sources.earlier import EARLIER_BYTES_MAX, earlier
from services.dispatcher.sources.fencing import fenced, one_line, quoted, rule
from services.dispatcher.sources.github_payload import Act, ItemKind

DESCRIPTION_BYTES_MAX = 64 * 1024
REQUEST_BYTES_MAX = 40 * 1024
OPENING_BYTES_MAX = 12 * 1024
HUNK_BYTES_MAX = 6 * 1024
"""The parts' limits leave room below DESCRIPTION_BYTES_MAX for the words around them. What was said earlier
takes its room from the request's."""


RESOLVE = (
    "This asks to resolve the thread. Close it with a short summary of what it came to, and of what is left "
    "open. The platform then resolves the thread of a review, unless it is resolved already; an issue or "
    "pull request stays as it is, and your answer is the closing comment."
)


def describe(act: Act, talk: Talk | None = None, *, resolve: bool = False) -> str:
    """Describe an act in Markdown, at most DESCRIPTION_BYTES_MAX; what was cut is said where it was cut.

    `talk`: what was said in the thread before, where that is known.
    """
    thread = "pull request" if act.on_pull_request else "issue"
    author = one_line(act.author.login)
    parts = [
        f"{author} ({one_line(act.author.standing) or 'association unknown'}) {_did(act)} on GitHub.",
        "\n".join(
            [
                f"- Repository: {one_line(act.repository)}",
                f"- {thread.capitalize()}: #{act.number} {quoted(act.title)}, {one_line(act.thread_url)}",
                f"- This {_NAMES[act.kind]}: {one_line(act.url)}",
            ]
        ),
        rule("GitHub"),
    ]
    if act.place is not None:
        where = (
            f"{one_line(act.place.path)}, line {act.place.line}"
            if act.place.line
            else one_line(act.place.path)
        )
        parts.append(
            f"The comment stands on the diff at {where}:\n{fenced(act.place.diff_hunk, HUNK_BYTES_MAX)}"
        )
    if act.kind in (ItemKind.ISSUE_COMMENT, ItemKind.REVIEW_COMMENT) and act.opening_text.strip():
        opening = fenced(act.opening_text, OPENING_BYTES_MAX)
        parts.append(
            f"The {thread} was opened by {one_line(act.opening_author) or 'somebody'} with:\n{opening}"
        )
    if talk is not None:
        item = next((each for each in talk.messages if each.external_id == str(act.item_id)), None)
        parts += earlier(talk, None if act.resolved else item)
    if not act.resolved:
        room = REQUEST_BYTES_MAX - (EARLIER_BYTES_MAX if talk else 0)
        parts.append(f"The request, by {author}:\n{fenced(act.text, room)}")
    return "\n\n".join([*parts, RESOLVE] if resolve else parts)


def _did(act: Act) -> str:
    return "resolved the thread of a review" if act.resolved else _DID[act.kind]


_DID = {
    ItemKind.ISSUE: "opened an issue",
    ItemKind.PULL_REQUEST: "opened a pull request",
    ItemKind.ISSUE_COMMENT: "wrote a comment",
    ItemKind.REVIEW_COMMENT: "wrote a review comment",
}
_NAMES = {
    ItemKind.ISSUE: "issue",
    ItemKind.PULL_REQUEST: "pull request",
    ItemKind.ISSUE_COMMENT: "comment",
    ItemKind.REVIEW_COMMENT: "review comment",
}

"""The first message an agent sees of a GitHub event: who asks what, where, with what belongs to it.

What people wrote stands in fences longer than any run of backticks in it, so that no text can step out
of its fence, and the reader is told that fenced text is data.
"""

from __future__ import annotations

from services.dispatcher.sources.fencing import fenced, one_line, quoted, rule
from services.dispatcher.sources.github_payload import Act, ItemKind

DESCRIPTION_BYTES_MAX = 64 * 1024
REQUEST_BYTES_MAX = 40 * 1024
OPENING_BYTES_MAX = 12 * 1024
HUNK_BYTES_MAX = 6 * 1024
"""The parts' limits leave room below DESCRIPTION_BYTES_MAX for the words around them."""


def describe(act: Act) -> str:
    """Describe an act in Markdown, at most DESCRIPTION_BYTES_MAX; what was cut is said where it was cut."""
    thread = "pull request" if act.on_pull_request else "issue"
    author = one_line(act.author.login)
    parts = [
        f"{author} ({one_line(act.author.standing) or 'association unknown'}) {_DID[act.kind]} on GitHub.",
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
    parts.append(f"The request, by {author}:\n{fenced(act.text, REQUEST_BYTES_MAX)}")
    return "\n\n".join(parts)


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

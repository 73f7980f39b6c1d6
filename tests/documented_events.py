"""Every event and action the vendors document where we listen, and what becomes of it; None: it is read.

Slack's are those of its type declarations (@slack/types 3.2) and its list of message subtypes, Plane's and
Google's those of their documentation. GitHub describes its own for machines: the tests hold `GITHUB` against
that description, so an action GitHub adds fails them until somebody decides what it means.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.dispatcher.domain import IgnoredReason

Table = Mapping[str, IgnoredReason | None]
EVENT, ACTION = IgnoredReason.EVENT_NOT_HANDLED, IgnoredReason.ACTION_NOT_HANDLED


def table(read: str, **left: str) -> Table:
    """The names that are read, and by reason those that are not."""
    ignored = {name: IgnoredReason(reason) for reason, names in left.items() for name in names.split()}
    return {**dict.fromkeys(read.split()), **ignored}


GITHUB: Mapping[str, Table] = {
    "issues": table(
        "opened",
        ACTION_NOT_HANDLED="assigned closed deleted demilestoned edited field_added field_removed labeled"
        " locked milestoned pinned reopened transferred typed unassigned unlabeled unlocked unpinned untyped",
    ),
    "issue_comment": table("created", ACTION_NOT_HANDLED="deleted edited pinned unpinned"),
    "pull_request": table(
        "opened",
        ACTION_NOT_HANDLED="assigned auto_merge_disabled auto_merge_enabled closed converted_to_draft"
        " demilestoned dequeued edited enqueued labeled locked milestoned ready_for_review reopened"
        " review_request_removed review_requested stacked synchronize unassigned unlabeled unlocked",
    ),
    "pull_request_review_comment": table("created", ACTION_NOT_HANDLED="deleted edited"),
    "pull_request_review_thread": table("resolved", ACTION_NOT_HANDLED="unresolved"),
}

SLACK_SUBTYPES: Table = table(
    "file_share thread_broadcast",
    BOT_AUTHORED="bot_message",
    ACTION_NOT_HANDLED="assistant_app_thread bot_add bot_remove channel_archive channel_convert_to_private"
    " channel_convert_to_public channel_join channel_leave channel_name channel_posting_permissions"
    " channel_purpose channel_topic channel_unarchive document_mention ekm_access_denied file_comment"
    " file_mention group_archive group_join group_leave group_name group_purpose group_topic group_unarchive"
    " huddle_thread me_message message_changed message_deleted message_replied pinned_item reminder_add"
    " reply_broadcast tombstone unpinned_item",
)
SLACK_EVENTS: Table = table(
    "app_mention message reaction_added",
    EVENT_NOT_HANDLED="agent_session_stopped agent_session_title_changed app_context_changed app_deleted"
    " app_home_opened app_installed app_requested app_uninstalled app_uninstalled_team"
    " assistant_thread_context_changed assistant_thread_started call_rejected channel_archive channel_created"
    " channel_deleted channel_history_changed channel_id_changed channel_left channel_rename channel_shared"
    " channel_unarchive channel_unshared dnd_updated dnd_updated_user email_domain_changed emoji_changed"
    " entity_details_requested file_change file_comment_deleted file_created file_deleted file_public"
    " file_shared file_unshared function_executed grid_migration_finished grid_migration_started"
    " group_archive group_close group_deleted group_history_changed group_left group_open group_rename"
    " group_unarchive"
    " im_close im_created im_history_changed im_open invite_requested link_shared member_joined_channel"
    " member_left_channel message_metadata_deleted message_metadata_posted message_metadata_updated pin_added"
    " pin_removed reaction_removed shared_channel_invite_accepted shared_channel_invite_approved"
    " shared_channel_invite_declined shared_channel_invite_received shared_channel_invite_requested"
    " star_added star_removed subteam_created subteam_members_changed subteam_self_added subteam_self_removed"
    " subteam_updated team_access_granted team_access_revoked team_domain_change team_join team_rename"
    " tokens_revoked user_change user_huddle_changed user_profile_changed user_status_changed"
    " workflow_deleted workflow_published workflow_step_deleted workflow_step_execute workflow_unpublished",
)
SLACK_CHANNEL_TYPES = ("channel", "group", "im", "mpim", "app_home")

PLANE_FIRST: Mapping[str, Table] = {
    "issue": table("created create", ACTION_NOT_HANDLED="updated update deleted delete"),
    "issue_comment": table("created create", ACTION_NOT_HANDLED="updated update deleted delete"),
    **{
        event: table("", EVENT_NOT_HANDLED="created updated deleted")
        for event in ("project", "module", "cycle", "module_issue", "cycle_issue", "intake_issue", "user")
    },
}
PLANE_SECOND: Table = table(
    "workitem.created workitem.comment.created",
    ACTION_NOT_HANDLED="workitem.updated workitem.archived workitem.deleted workitem.comment.updated"
    " workitem.comment.deleted",
    EVENT_NOT_HANDLED="workitem.link.created workitem.link.updated workitem.link.deleted"
    " workitem.attachment.created workitem.attachment.updated workitem.attachment.deleted"
    " workitem.vote.created workitem.vote.deleted workitem.relation.created workitem.relation.deleted"
    " workitem.dependency.created workitem.dependency.deleted workitem.page_link.created"
    " workitem.page_link.deleted page.created page.updated page.archived page.deleted page.comment.created"
    " page.comment.updated page.comment.deleted project.created project.updated project.archived"
    " project.deleted cycle.created cycle.updated cycle.archived cycle.deleted module.created module.updated"
    " module.archived module.deleted milestone.created milestone.updated milestone.deleted",
)

GOOGLE_STATES: Table = table(
    "add update untrash change changed", ACTION_NOT_HANDLED="sync remove trash exists not_exists"
)
GOOGLE_EVENTS: Table = {
    **{
        f"google.workspace.drive.{name}": reason
        for name, reason in table(
            "comment.v3.created comment.v3.resolved reply.v3.created",
            ACTION_NOT_HANDLED="comment.v3.edited comment.v3.reopened comment.v3.deleted reply.v3.edited"
            " reply.v3.deleted",
            EVENT_NOT_HANDLED="file.v3.created file.v3.moved file.v3.contentChanged file.v3.deleted"
            " file.v3.trashed file.v3.untrashed file.v3.renamed accessproposal.v3.created"
            " accessproposal.v3.resolved approval.v3.created",
        ).items()
    },
    **{
        f"google.workspace.events.subscription.v1.{name}": reason
        for name, reason in table(
            "",
            VENDOR_DROPS_DELIVERIES="suspended expired",
            EVENT_NOT_HANDLED="expirationReminder",
        ).items()
    },
}

ZWSP, ZWJ, RLO, ACUTE = "\u200b", "\u200d", "\u202e", "\u0301"
LONG = 1_000_000
WORDS: Mapping[str, tuple[str, bool]] = {
    "empty": ("", False),
    "blank": (" \n\t", False),
    "only the name": ("@atlas", True),
    "right to left": ("שלום @atlas, למה?", True),
    "an override of direction": (f"{RLO}@atlas why?", True),
    "an emoji before": ("👍@atlas why?", True),
    "an emoji of several": (f"👩{ZWJ}💻 @atlas 👩{ZWJ}👩{ZWJ}👧", True),
    "a flag": ("🇩🇪 @atlas 🇯🇵", True),
    "combining marks": (f"Cafe{ACUTE} @atlas n{ACUTE * 40}", True),
    "a wide sign": ("\N{FULLWIDTH COMMERCIAL AT}atlas why?", False),
    "a Cyrillic letter in the name": ("@\N{CYRILLIC SMALL LETTER A}tlas why?", False),
    "a space of no width in the name": (f"@{ZWSP}atlas why?", False),
    "a space of no width behind the name": (f"@atlas{ZWSP} why?", True),
    "a letter behind the name": ("@atlasü why?", False),
    "an address": ("mail jürgen@atlas.example", False),
    "a command in letters that only look like ones": ("/atlas re\N{LATIN SMALL LETTER LONG S}olve it", True),
    "a NUL": ("@atlas a\0b", True),
    "half a pair": ("@atlas \ud83d", True),
    "1 MB behind the name": ("@atlas " + "x" * LONG, True),
    "1 MB of emoji behind it": ("@atlas " + "🛒" * (LONG // 4), True),
    "1 MB before the name": ("x" * LONG + " @atlas", False),
    "1 MB of names of others": ("@nobody " * (LONG // 8), False),
}
"""Words, and whether they speak to `@atlas`."""

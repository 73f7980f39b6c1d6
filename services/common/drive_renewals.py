"""What the dispatcher schedules and the worker runs to keep Drive's watches alive."""

from __future__ import annotations

SCHEDULE_ID = "drive-watch-renewal"
WORKFLOW_TYPE = "DriveWatchRenewal"
ACTIVITY = "renew_drive_watches"

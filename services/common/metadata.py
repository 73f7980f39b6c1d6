"""The metadata keys services send each other, in one place for both ends."""

AUTHORIZATION = "authorization"
BEARER = "Bearer "
TENANT = "astra-tenant"
REQUEST_ID = "astra-request-id"
TASK_RUN = "astra-task-run"
CALL_ID = "astra-call-id"
FENCE = "astra-fence"

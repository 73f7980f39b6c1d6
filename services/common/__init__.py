"""What every service needs to be one: a server, a way to call others, errors, settings, logs."""

/* Tells the service manager (sd_notify(3), the protocol alone): a datagram to the socket that NOTIFY_SOCKET names. */
#pragma once

/* `state` as in sd_notify(3), e.g. "READY=1". Does nothing without a service manager. */
void notify_service_manager(const char *state);

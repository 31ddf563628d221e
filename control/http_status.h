/* What the statuses that are answered are called (RFC 9110, 15). Pure. */
#pragma once

/* "" where it is not known: an app's own, which is passed on. */
const char *http_status_text(int status);

/* The dashboard: one page with everything in it. Its Content-Security-Policy names its own style and script by hash. */
#pragma once

#include "base/strbuf.h"

void dashboard_append(struct strbuf *text);

/* Lines of headers, each with its end; static, made at the first call. NULL without memory. Thread: the main thread's.
 */
const char *dashboard_headers(void);

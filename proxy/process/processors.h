/* How many processors this process may really use. */
#pragma once

/* The CPU affinity, and the cgroup's quota rounded up where there is one; at least 1. Reads files; at start only. */
unsigned processors_available(void);

/* How a draining worker ends connections over drain.spread. Thread: the worker's. */
#pragma once

struct worker;

void spread_init(struct worker *worker);
void spread_begin(struct worker *worker);

/* It does not drain any more. */
void spread_stop(struct worker *worker);

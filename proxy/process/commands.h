/* What the control socket and the health address can ask of the process. */
#pragma once

#include "control/server.h"

struct process;

/* The table, for the documentation. */
const struct control_command *commands_get(size_t *ret_count);

/* Fills in process->commands. */
void commands_init(struct process *process);

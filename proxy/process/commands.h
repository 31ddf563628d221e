/* What the control socket and the health address can ask of the process. */
#pragma once

struct process;

/* Fills in process->commands. */
void commands_init(struct process *process);

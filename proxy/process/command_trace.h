/* `POST /trace`: see observe/trace.h. Thread: the main thread's. */
#pragma once

struct http_request;
struct http_response;
struct process;

void command_trace_init(struct process *process);
void command_trace_done(struct process *process);
void command_trace(void *owner, const struct http_request *request, struct http_response *response);

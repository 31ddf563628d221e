#include "control/http_status.h"

#include <stddef.h>

#include "base/macros.h"

static const struct {
    int status;
    const char *text;
} rows[] = {
    { 200, "OK" },
    { 202, "Accepted" },
    { 400, "Bad Request" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 409, "Conflict" },
    { 413, "Content Too Large" },
    { 415, "Unsupported Media Type" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 503, "Service Unavailable" },
};

const char *http_status_text(int status)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].status == status)
            return rows[i].text;
    }
    return "";
}

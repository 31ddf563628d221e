/* Any text is either refused with a reason, or makes a configuration whose dump loads to the same. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/config/config.h"

static char *dump(const struct config *config)
{
    struct strbuf text;

    strbuf_init(&text, 64 * 1024 * 1024);
    config_dump(config, &text);
    return strbuf_take(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct config *config, *again;
    char *errors, *first, *second;
    int r = config_parse("fuzz", (const char *)bytes, length, &config, &errors);

    if (r < 0) {
        if (!strchr(errors, '\n'))
            abort();
        free(errors);
        return 0;
    }
    first = dump(config);
    config_free(config);
    if (config_parse("dump", first, strlen(first), &again, &errors) < 0)
        abort();
    second = dump(again);
    config_free(again);
    if (strcmp(first, second) != 0)
        abort();
    free(first);
    free(second);
    return 0;
}

/* The values of outrigger-init's options. */
#pragma once

enum value_type {
    VALUE_PORT,       /* uint64_t */
    VALUE_DURATION,   /* uint64_t milliseconds */
    VALUE_NUMBER,     /* uint32_t, not 0 */
    VALUE_ID,         /* uint32_t, 0 allowed */
    VALUE_TABLE,      /* uint32_t, a routing table of one's own */
    VALUE_MODE,       /* uint64_t, enum mode */
    VALUE_TEXT,       /* char * */
    VALUE_IDS,        /* struct id_list, without 0 and `*` */
    VALUE_GROUPS,     /* struct id_list, of uids or gids */
    VALUE_BLOCKS,     /* struct block_list */
    VALUE_RANGES,     /* struct range_list */
    VALUE_INTERFACES, /* struct interface_list */
    VALUE_SWITCH,     /* bool */
};

/*
 * Parses `text` into `*at`, which is of the type's kind; what was there is released first. Problems are printed, one
 * line each, under the name `source`.
 * Returns 0, -EINVAL or -ENOMEM.
 */
int values_parse(enum value_type type, const char *source, const char *text, void *at);

void values_done(enum value_type type, void *at);

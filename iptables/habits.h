/* The flags of istio-iptables and linkerd's proxy-init, so that an existing container's arguments work as they are. */
#pragma once

#include <stdbool.h>

enum habit_kind {
    HABIT_ALIAS,   /* another name of an option of ours: `ours` */
    HABIT_COMMAND, /* is the command `ours`, unless it is off */
    HABIT_IGNORED, /* nothing to do here, whatever the value: `why` */
    HABIT_REFUSED, /* what it asks for is not done, unless it is off or empty: `why` */
};

struct habit {
    const char *name; /* long name */
    char letter;      /* 0: none */
    bool valued;      /* the next word is its value, also without `=`; an alias is as its option is */
    enum habit_kind kind;
    const char *ours; /* of an alias or a command */
    const char *why;
};

/* The table ends with a row without a name. */
extern const struct habit habits[];

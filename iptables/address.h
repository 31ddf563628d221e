/* ::6 on lo, from which the proxy dials the app over IPv6. (127.0.0.6 is there already, as all of 127.0.0.0/8.) */
#pragma once

/* Each returns 0, also when nothing had to be done; -EAFNOSUPPORT without IPv6; or another negative errno. */
int address_add(void);
int address_remove(void);

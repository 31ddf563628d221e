/* Credentials out of PEM files, as cert-manager's csi driver and spiffe-helper mount them. */
#pragma once

#include "proxy/config/model.h"

#define CREDENTIAL_FILE_MOST_BYTES (1024 * 1024) /* a revocation list may have thousands of entries */

struct credentials;
struct strbuf;

/*
 * ret_credentials  set on success only; release with credentials_unref()
 * problem          on failure what is wrong, with the file's path
 * Returns 0, -EINVAL, -ENOMEM, or the negative errno of a file that cannot be read. Thread: the main thread (it waits
 * for files).
 */
int credential_files_load(const struct identity_config *config, struct credentials **ret_credentials,
                          struct strbuf *problem);

/* The paths that it reads, in order; at most `most`. Returns how many. */
size_t credential_files_list(const struct identity_config *config, const char **ret_paths, size_t most);

/* Any certificate: what is taken is a SPIFFE ID with a path, and the text is terminated where it ends. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/tls/svid.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const unsigned char *at = bytes;
    X509 *certificate = d2i_X509(NULL, &at, (long)length);
    struct spiffe_id id = { 0 };
    char text[SVID_TEXT_SIZE];
    const char *problem = NULL;

    if (!certificate)
        return 0;
    if (svid_check(certificate, text, &id, &problem) == 0) {
        if (strlen(text) != id.length || !spiffe_id_has_path(&id))
            abort();
    } else if (!problem)
        abort();
    X509_free(certificate);
    return 0;
}

#include "proxy/observe/dashboard/dashboard.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define HASH_TEXT_SIZE 64

/* The file as it is, terminated. */
__asm__(".section .rodata.dashboard,\"a\",@progbits\n"
        "dashboard_html:\n"
        ".incbin \"" DASHBOARD_HTML "\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char dashboard_html[] __attribute__((visibility("hidden")));

void dashboard_append(struct strbuf *text)
{
    strbuf_append(text, dashboard_html);
}

/* Of what stands between the two tags (CSP 3, 8.3: the element's text). False when it cannot be made. */
static bool hash_between(const char *begin, const char *end, char hash[HASH_TEXT_SIZE])
{
    const char *from = strstr(dashboard_html, begin), *to = from ? strstr(from, end) : NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length;

    if (!to)
        return false;
    from += strlen(begin);
    if (EVP_Digest(from, (size_t)(to - from), digest, &length, EVP_sha256(), NULL) != 1)
        return false;
    EVP_EncodeBlock((unsigned char *)hash, digest, (int)length);
    return true;
}

const char *dashboard_headers(void)
{
    static char headers[768];
    char style[HASH_TEXT_SIZE], script[HASH_TEXT_SIZE];

    if (headers[0] != '\0')
        return headers;
    if (!hash_between("<style>", "</style>", style) || !hash_between("<script>", "</script>", script))
        return NULL;
    snprintf(headers, sizeof headers,
             "Content-Security-Policy: default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; "
             "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
             "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n",
             style, script);
    return headers;
}

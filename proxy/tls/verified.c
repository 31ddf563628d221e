#include "proxy/tls/verified.h"

#include <openssl/evp.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"

static bool add_digest(EVP_MD_CTX *sum, X509 *certificate)
{
    uint8_t one[EVP_MAX_MD_SIZE];
    unsigned length;

    return X509_digest(certificate, EVP_sha256(), one, &length) == 1 && EVP_DigestUpdate(sum, one, length) == 1;
}

bool verified_digest(X509 *leaf, STACK_OF(X509) * others, uint8_t *ret_digest)
{
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    bool is_known = sum && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1 && add_digest(sum, leaf);

    for (int i = 0; is_known && i < sk_X509_num(others); i++) {
        if (sk_X509_value(others, i) != leaf)
            is_known = add_digest(sum, sk_X509_value(others, i));
    }
    is_known = is_known && EVP_DigestFinal_ex(sum, ret_digest, NULL) == 1;
    EVP_MD_CTX_free(sum);
    return is_known;
}

static size_t place_of(const uint8_t *digest)
{
    uint32_t hash;

    memcpy(&hash, digest, sizeof hash);
    return hash % VERIFIED_MOST;
}

bool verified_knows(const struct verified *verified, const uint8_t *digest, unsigned long serial, int64_t now_s)
{
    const struct verified_chain *chain = &verified->chains[place_of(digest)];

    return chain->serial == serial && now_s < chain->valid_until_s &&
           memcmp(chain->digest, digest, sizeof chain->digest) == 0;
}

static int64_t valid_until_s(const X509 *certificate)
{
    struct tm parts;

    return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

void verified_add(struct verified *verified, const uint8_t *digest, unsigned long serial, STACK_OF(X509) * chain)
{
    struct verified_chain *place = &verified->chains[place_of(digest)];

    memcpy(place->digest, digest, sizeof place->digest);
    place->serial = serial;
    place->valid_until_s = INT64_MAX;
    for (int i = 0; i < sk_X509_num(chain); i++)
        place->valid_until_s = MIN(place->valid_until_s, valid_until_s(sk_X509_value(chain, i)));
}

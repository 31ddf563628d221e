/* Which certificates may say who a workload is: each rule of X509-SVID has one that breaks it, and only it. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/macros.h"
#include "proxy/tls/svid.h"

struct draft {
    const char *names[3];         /* values of subjectAltName extensions, as openssl.cnf has them */
    const char *constraints;      /* basicConstraints */
    const char *usage, *extended; /* keyUsage, extendedKeyUsage */
    const char *problem;          /* NULL: it is fine */
};

#define GOOD_NAME        "URI:spiffe://cluster.local/ns/shop/sa/web"
#define GOOD_CONSTRAINTS "critical,CA:FALSE"
#define GOOD_USAGE       "critical,digitalSignature"
#define GOOD_EXTENDED    "serverAuth,clientAuth"

static EVP_PKEY *key;

static int set_up(void **state)
{
    (void)state;
    key = EVP_EC_gen("P-256");
    return key ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    return 0;
}

static void add(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX about;
    X509_EXTENSION *extension;

    if (!value)
        return;
    X509V3_set_ctx_nodb(&about);
    X509V3_set_ctx(&about, certificate, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &about, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *make(const struct draft *draft)
{
    X509 *certificate = X509_new(), *read;
    unsigned char *der = NULL;
    const unsigned char *at;
    int length;

    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    for (size_t i = 0; i < ARRAY_SIZE(draft->names); i++)
        add(certificate, NID_subject_alt_name, draft->names[i]);
    add(certificate, NID_basic_constraints, draft->constraints);
    add(certificate, NID_key_usage, draft->usage);
    add(certificate, NID_ext_key_usage, draft->extended);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    /* Read again, as from the wire. */
    length = i2d_X509(certificate, &der);
    at = der;
    read = d2i_X509(NULL, &at, length);
    OPENSSL_free(der);
    X509_free(certificate);
    return read;
}

static const struct draft drafts[] = {
    { { GOOD_NAME }, GOOD_CONSTRAINTS, GOOD_USAGE, GOOD_EXTENDED, NULL },
    { { GOOD_NAME }, NULL, GOOD_USAGE, NULL, NULL },
    { { "DNS:a.example,IP:10.0.0.1," GOOD_NAME ",email:a@b.example" },
      GOOD_CONSTRAINTS,
      GOOD_USAGE,
      GOOD_EXTENDED,
      NULL },
    { { GOOD_NAME }, GOOD_CONSTRAINTS, "critical,digitalSignature,keyEncipherment,keyAgreement", GOOD_EXTENDED, NULL },

    { { GOOD_NAME }, "critical,CA:TRUE", GOOD_USAGE, GOOD_EXTENDED, "it is a signing certificate" },
    { { GOOD_NAME }, GOOD_CONSTRAINTS, NULL, GOOD_EXTENDED, "it does not say what its key may be used for" },
    { { GOOD_NAME },
      GOOD_CONSTRAINTS,
      "critical,digitalSignature,keyCertSign",
      GOOD_EXTENDED,
      "its key may sign certificates or revocation lists" },
    { { GOOD_NAME },
      GOOD_CONSTRAINTS,
      "critical,digitalSignature,cRLSign",
      GOOD_EXTENDED,
      "its key may sign certificates or revocation lists" },
    { { GOOD_NAME }, GOOD_CONSTRAINTS, "critical,keyEncipherment", GOOD_EXTENDED, "its key may not sign" },
    { { GOOD_NAME },
      GOOD_CONSTRAINTS,
      GOOD_USAGE,
      "serverAuth",
      "its extended key usage is not for servers and clients both" },
    { { GOOD_NAME },
      GOOD_CONSTRAINTS,
      GOOD_USAGE,
      "clientAuth",
      "its extended key usage is not for servers and clients both" },
    { { GOOD_NAME },
      GOOD_CONSTRAINTS,
      GOOD_USAGE,
      "emailProtection",
      "its extended key usage is not for servers and clients both" },

    { { NULL }, GOOD_CONSTRAINTS, GOOD_USAGE, GOOD_EXTENDED, "it has no URI name" },
    { { "DNS:spiffe-cluster.local" }, GOOD_CONSTRAINTS, GOOD_USAGE, GOOD_EXTENDED, "it has no URI name" },
    { { "DNS:spiffe://cluster.local/ns/shop/sa/web" },
      GOOD_CONSTRAINTS,
      GOOD_USAGE,
      GOOD_EXTENDED,
      "it has no URI name" },
    { { GOOD_NAME ",URI:spiffe://cluster.local/ns/shop/sa/db" },
      GOOD_CONSTRAINTS,
      GOOD_USAGE,
      GOOD_EXTENDED,
      "it has more than one URI name" },
    { { GOOD_NAME ",URI:https://cluster.local/" },
      GOOD_CONSTRAINTS,
      GOOD_USAGE,
      GOOD_EXTENDED,
      "it has more than one URI name" },
    { { GOOD_NAME ",URI:spiffe://cluster.local/ns/shop/sa/web" },
      GOOD_CONSTRAINTS,
      GOOD_USAGE,
      GOOD_EXTENDED,
      "it has more than one URI name" },
    { { GOOD_NAME, "URI:spiffe://cluster.local/ns/shop/sa/db" },
      GOOD_CONSTRAINTS,
      GOOD_USAGE,
      GOOD_EXTENDED,
      "an extension is malformed, or there twice" },
    { { "URI:https://cluster.local/ns/shop/sa/web" },
      GOOD_CONSTRAINTS,
      GOOD_USAGE,
      GOOD_EXTENDED,
      "its URI name is no SPIFFE ID" },
    { { "URI:SPIFFE://cluster.local/ns/shop/sa/web" },
      GOOD_CONSTRAINTS,
      GOOD_USAGE,
      GOOD_EXTENDED,
      "its URI name is no SPIFFE ID" },
    { { "URI:spiffe://cluster.local:8080/x" },
      GOOD_CONSTRAINTS,
      GOOD_USAGE,
      GOOD_EXTENDED,
      "its URI name is no SPIFFE ID" },
    { { "URI:spiffe://cluster.local/" }, GOOD_CONSTRAINTS, GOOD_USAGE, GOOD_EXTENDED, "its URI name is no SPIFFE ID" },
    { { "URI:spiffe://cluster.local" }, GOOD_CONSTRAINTS, GOOD_USAGE, GOOD_EXTENDED, "its SPIFFE ID has no path" },
};

static void test_svid_check_names_the_rule_that_is_broken(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(drafts); i++) {
        X509 *certificate = make(&drafts[i]);
        char text[SVID_TEXT_SIZE];
        const char *problem;
        struct spiffe_id id;
        int r = svid_check(certificate, text, &id, &problem);

        X509_free(certificate);
        if (!drafts[i].problem) {
            if (r < 0)
                fail_msg("draft %zu: %s", i, problem);
            assert_string_equal(text, "spiffe://cluster.local/ns/shop/sa/web");
            assert_int_equal(id.length, strlen(text));
        } else {
            assert_int_equal(r, -EINVAL);
            if (strcmp(problem, drafts[i].problem) != 0)
                fail_msg("draft %zu: \"%s\", not \"%s\"", i, problem, drafts[i].problem);
        }
    }
}

static void test_svid_check_refuses_a_name_that_hides_behind_a_zero(void **state)
{
    struct draft draft = drafts[0];
    X509 *certificate = make(&draft), *changed;
    unsigned char *der = NULL, *slash;
    const unsigned char *at;
    char text[SVID_TEXT_SIZE];
    struct spiffe_id id;
    const char *problem;
    int length = i2d_X509(certificate, &der);

    (void)state;
    slash = memmem(der, (size_t)length, "/web", 4);
    assert_non_null(slash);
    *slash = '\0';
    at = der;
    changed = d2i_X509(NULL, &at, length);
    assert_non_null(changed);
    assert_int_equal(svid_check(changed, text, &id, &problem), -EINVAL);
    assert_string_equal(problem, "its URI name is no SPIFFE ID");
    X509_free(changed);
    X509_free(certificate);
    OPENSSL_free(der);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_svid_check_names_the_rule_that_is_broken),
        cmocka_unit_test(test_svid_check_refuses_a_name_that_hides_behind_a_zero),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

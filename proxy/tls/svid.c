#include "proxy/tls/svid.h"

#include <errno.h>
#include <openssl/x509v3.h>
#include <string.h>

/* X509-SVID 3.1: a leaf "is the only type which may serve to identify a resource or caller". */
static const char *check_leaf(X509 *certificate)
{
    uint32_t flags = X509_get_extension_flags(certificate), usage = X509_get_key_usage(certificate);
    uint32_t extended = X509_get_extended_key_usage(certificate);

    if (flags & EXFLAG_INVALID)
        return "an extension is malformed, or there twice";
    /* 5.2: "the validator MUST ensure that the `CA` field in the basic constraints extension is set to `false`" */
    if (flags & EXFLAG_CA)
        return "it is a signing certificate";
    /* 4.3: "The key usage extension MUST be set on all SVIDs" */
    if (!(flags & EXFLAG_KUSAGE))
        return "it does not say what its key may be used for";
    /* 5.2: "and that `keyCertSign` and `cRLSign` are not set in the key usage extension" */
    if (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN))
        return "its key may sign certificates or revocation lists";
    /* 4.3: "Leaf SVIDs MUST set `digitalSignature`." */
    if (!(usage & KU_DIGITAL_SIGNATURE))
        return "its key may not sign";
    /* 4.4: "When included, fields `id-kp-serverAuth` and `id-kp-clientAuth` MUST be set." */
    if ((flags & EXFLAG_XKUSAGE) && (extended & (XKU_SSL_SERVER | XKU_SSL_CLIENT)) != (XKU_SSL_SERVER | XKU_SSL_CLIENT))
        return "its extended key usage is not for servers and clients both";
    return NULL;
}

/* 2: "An X.509 SVID MUST contain exactly one URI SAN"; other types of names may stand beside it. */
static const char *find_uri(const GENERAL_NAMES *names, const ASN1_IA5STRING **ret_uri)
{
    *ret_uri = NULL;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type != GEN_URI)
            continue;
        if (*ret_uri)
            return "it has more than one URI name";
        *ret_uri = name->d.uniformResourceIdentifier;
    }
    return *ret_uri ? NULL : "it has no URI name";
}

static const char *check_name(const ASN1_IA5STRING *uri, char *text, struct spiffe_id *ret_id)
{
    int length = ASN1_STRING_length(uri);
    const char *problem;

    if (length < 0 || length > SPIFFE_ID_MOST_BYTES)
        return "its URI name is longer than 2048 bytes";
    memcpy(text, ASN1_STRING_get0_data(uri), (size_t)length);
    text[length] = '\0';
    if (spiffe_id_parse(text, (size_t)length, ret_id, &problem) < 0)
        return "its URI name is no SPIFFE ID";
    /* 3.1: "Leaf certificate SPIFFE IDs MUST have a non-root path component." */
    return spiffe_id_has_path(ret_id) ? NULL : "its SPIFFE ID has no path";
}

int svid_check(X509 *certificate, char *text, struct spiffe_id *ret_id, const char **ret_problem)
{
    struct spiffe_id id = { 0 };
    const ASN1_IA5STRING *uri;
    GENERAL_NAMES *names;
    int occurs;

    *ret_problem = check_leaf(certificate);
    if (*ret_problem)
        return -EINVAL;
    names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &occurs, NULL);
    if (!names) {
        *ret_problem = occurs == -1 ? "it has no URI name" : "its list of alternative names is malformed";
        return -EINVAL;
    }
    *ret_problem = find_uri(names, &uri);
    if (!*ret_problem)
        *ret_problem = check_name(uri, text, &id);
    GENERAL_NAMES_free(names);
    if (*ret_problem)
        return -EINVAL;
    *ret_id = id;
    return 0;
}

#include "proxy/tls/library_context.h"

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <string.h>

#define MOST_DECODERS 32

static OSSL_PROVIDER *original; /* the default provider, in a context of its own */
static OSSL_ALGORITHM decoders[MOST_DECODERS + 1];
static OSSL_LIB_CTX *context;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void choose_decoders(void)
{
    int no_cache;
    size_t count = 0;

    for (const OSSL_ALGORITHM *decoder = OSSL_PROVIDER_query_operation(original, OSSL_OP_DECODER, &no_cache);
         decoder && decoder->algorithm_names && count < MOST_DECODERS; decoder++) {
        if (strstr(decoder->property_definition, "input=der,structure=SubjectPublicKeyInfo"))
            decoders[count++] = *decoder;
    }
}

static const OSSL_ALGORITHM *query_operation(void *provider, int operation, int *ret_no_cache)
{
    (void)provider;
    if (operation != OSSL_OP_DECODER || !decoders[0].algorithm_names)
        return OSSL_PROVIDER_query_operation(original, operation, ret_no_cache);
    *ret_no_cache = 0;
    return decoders;
}

static int get_capabilities(void *provider, const char *capability, OSSL_CALLBACK *on_capability, void *argument)
{
    (void)provider;
    return OSSL_PROVIDER_get_capabilities(original, capability, on_capability, argument);
}

static int get_params(void *provider, OSSL_PARAM *params)
{
    (void)provider;
    return OSSL_PROVIDER_get_params(original, params);
}

/* What is asked for is all made by the original: its implementations get its own context. */
static int init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *offered, const OSSL_DISPATCH **ret_dispatch,
                void **ret_provider)
{
    static const OSSL_DISPATCH dispatch[] = {
        { OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query_operation },
        { OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))get_capabilities },
        { OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))get_params },
        { 0, NULL },
    };

    (void)handle;
    (void)offered;
    *ret_dispatch = dispatch;
    *ret_provider = OSSL_PROVIDER_get0_provider_ctx(original);
    return 1;
}

static void make(void)
{
    OSSL_LIB_CTX *inner, *outer;

    if (EVP_default_properties_is_fips_enabled(NULL))
        return;
    inner = OSSL_LIB_CTX_new();
    outer = OSSL_LIB_CTX_new();
    if (inner && outer && (original = OSSL_PROVIDER_load(inner, "default"))) {
        choose_decoders();
        if (OSSL_PROVIDER_add_builtin(outer, "outrigger", init) == 1 && OSSL_PROVIDER_load(outer, "outrigger")) {
            context = outer;
            return;
        }
    }
    OSSL_LIB_CTX_free(outer);
    OSSL_LIB_CTX_free(inner);
}

OSSL_LIB_CTX *library_context(void)
{
    pthread_once(&once, make);
    return context;
}

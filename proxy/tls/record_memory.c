#include "proxy/tls/record_memory.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>

/* A record with its head, padding and alignment, as OpenSSL 3.0 asks for it; nothing else is as long. */
#define LEAST 16384
#define MOST  18432

#define AT_HAND 8

static __thread struct {
    void *blocks[AT_HAND];
    unsigned count;
} spare;

static void *take(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (size < LEAST || size > MOST)
        return size > 0 ? malloc(size) : NULL;
    return spare.count > 0 ? spare.blocks[--spare.count] : malloc(MOST);
}

static void give(void *block, const char *file, int line)
{
    size_t size = block ? malloc_usable_size(block) : 0;

    (void)file;
    (void)line;
    if (size >= MOST && size < MOST + 64 && spare.count < AT_HAND)
        spare.blocks[spare.count++] = block;
    else
        free(block);
}

static void *change(void *block, size_t size, const char *file, int line)
{
    if (size > 0)
        return realloc(block, size);
    give(block, file, line);
    return NULL;
}

void record_memory_init(void)
{
    CRYPTO_set_mem_functions(take, change, give);
}

void record_memory_done(void)
{
    while (spare.count > 0)
        free(spare.blocks[--spare.count]);
}

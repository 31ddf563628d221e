/* Where OpenSSL gets its bytes from, and where it leaves them: memory, never a descriptor. */
#include <pthread.h>
#include <string.h>

#include "base/macros.h"
#include "proxy/tls/carrier_private.h"

static BIO_METHOD *method;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int give(BIO *bio, char *bytes, size_t size, size_t *ret_given)
{
    struct carrier *carrier = BIO_get_data(bio);
    size_t given = MIN(size, carrier->in_left);

    BIO_clear_retry_flags(bio);
    if (given == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(bytes, carrier->in, given);
    carrier->in += given;
    carrier->in_left -= given;
    *ret_given = given;
    return 1;
}

/* A record more than there is room for is an error: who writes has looked before, but a peer's requests are answered.
 */
static int take(BIO *bio, const char *bytes, size_t length, size_t *ret_taken)
{
    struct carrier *carrier = BIO_get_data(bio);
    struct carrier_means *means = carrier->means;

    BIO_clear_retry_flags(bio);
    if (length > CARRIER_OUT_SIZE - means->out_length) {
        BIO_set_retry_write(bio);
        return 0;
    }
    memcpy(means->out + means->out_length, bytes, length);
    means->out_length += length;
    *ret_taken = length;
    return 1;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "carrier");
    if (!method)
        return;
    BIO_meth_set_read_ex(method, give);
    BIO_meth_set_write_ex(method, take);
    BIO_meth_set_ctrl(method, control);
}

BIO *carrier_bio_new(struct carrier *carrier)
{
    BIO *bio;

    pthread_once(&once, make_method);
    bio = method ? BIO_new(method) : NULL;
    if (!bio)
        return NULL;
    BIO_set_data(bio, carrier);
    BIO_set_init(bio, 1);
    return bio;
}

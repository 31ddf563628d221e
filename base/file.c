#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int file_read(const char *path, size_t limit, char **ret_text, size_t *ret_length)
{
    size_t length = 0, capacity = 0;
    char *text = NULL, *larger;
    ssize_t n;
    int fd, r = 0;

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    do {
        if (capacity - length < 2) {
            capacity = capacity ? capacity * 2 : 4096;
            larger = realloc(text, capacity);
            if (!larger) {
                r = -ENOMEM;
                goto out;
            }
            text = larger;
        }
        n = read(fd, text + length, capacity - length - 1);
        if (n < 0) {
            r = -errno;
            goto out;
        }
        length += (size_t)n;
        if (length > limit) {
            r = -EFBIG;
            goto out;
        }
    } while (n > 0);
    text[length] = '\0';
    *ret_text = text;
    *ret_length = length;
    text = NULL;
out:
    free(text);
    close(fd);
    return r;
}

void file_identify(const char *path, struct file_identity *ret_identity)
{
    struct stat about;

    *ret_identity = (struct file_identity){ 0 };
    if (stat(path, &about) == 0)
        *ret_identity = (struct file_identity){ about.st_dev, about.st_ino, about.st_size, about.st_mtim };
}

bool file_identity_equals(const struct file_identity *one, const struct file_identity *other)
{
    return one->device == other->device && one->inode == other->inode && one->size == other->size &&
           one->modified.tv_sec == other->modified.tv_sec && one->modified.tv_nsec == other->modified.tv_nsec;
}

bool file_exists(const struct file_identity *identity)
{
    return identity->inode != 0;
}

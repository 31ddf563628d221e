#include "base/suggest.h"

#include <string.h>

#include "base/macros.h"

#define LONGEST_WORD 48

/* Optimal string alignment distance. Both words have at most LONGEST_WORD bytes. */
static unsigned edits_between(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned rows[3][LONGEST_WORD + 1];
    unsigned *before = rows[0], *above = rows[1], *current = rows[2];

    for (size_t j = 0; j <= b_length; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= a_length; i++) {
        unsigned *spare = before;

        current[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            unsigned replace = above[j - 1] + (a[i - 1] != b[j - 1]);

            current[j] = MIN(MIN(above[j] + 1, current[j - 1] + 1), replace);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                current[j] = MIN(current[j], before[j - 2] + 1);
        }
        before = above;
        above = current;
        current = spare;
    }
    return above[b_length];
}

int suggest_nearest(const char *text, const char *const *words, size_t count)
{
    size_t length = strlen(text);
    unsigned least = length < 5 ? 2 : 3; /* fewer edits than this */
    int nearest = -1;

    if (length > LONGEST_WORD)
        return -1;
    for (size_t i = 0; i < count; i++) {
        size_t word_length = strlen(words[i]);
        unsigned edits;

        if (word_length > LONGEST_WORD)
            continue;
        edits = edits_between(text, length, words[i], word_length);
        if (edits < least) {
            least = edits;
            nearest = (int)i;
        }
    }
    return nearest;
}

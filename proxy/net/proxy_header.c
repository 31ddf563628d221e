#include "proxy/net/proxy_header.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"

/* "\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A", section 2.2 */
static const uint8_t signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

#define V1_WORD       "PROXY "
#define V1_MOST_BYTES 107 /* section 2.1, with CR LF */
#define V2_HEAD       16
#define V2_LOCAL      0x20
#define V2_PROXY      0x21
#define V2_UNSPEC     0x00
#define V2_TCP4       0x11
#define V2_TCP6       0x21
#define V2_TCP4_BYTES 12
#define V2_TCP6_BYTES 36

static uint16_t read_port(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void set_address(union inet_address *address, sa_family_t family, const void *bytes, uint16_t port)
{
    *address = (union inet_address){ .family = family };
    if (family == AF_INET)
        memcpy(&address->in.sin_addr, bytes, sizeof address->in.sin_addr);
    else
        memcpy(&address->in6.sin6_addr, bytes, sizeof address->in6.sin6_addr);
    sockaddr_set_port(&address->any, port);
}

static enum proxy_header_result parse_v2(const uint8_t *bytes, size_t length, struct proxy_header *ret_header)
{
    const uint8_t *addresses = bytes + V2_HEAD;
    size_t size;

    if (length < V2_HEAD)
        return PROXY_HEADER_INCOMPLETE;
    size = (size_t)bytes[14] << 8 | bytes[15];
    if ((bytes[12] != V2_LOCAL && bytes[12] != V2_PROXY) || V2_HEAD + size > PROXY_HEADER_MOST_BYTES)
        return PROXY_HEADER_INVALID;
    /* 2.2: "\x21 ... the receiver must use the information"; LOCAL "must accept ... and must use the real connection
     * endpoints and discard the protocol block". */
    if (bytes[12] == V2_PROXY &&
        ((bytes[13] == V2_TCP4 && size < V2_TCP4_BYTES) || (bytes[13] == V2_TCP6 && size < V2_TCP6_BYTES)))
        return PROXY_HEADER_INVALID;
    if (length < V2_HEAD + size)
        return PROXY_HEADER_INCOMPLETE;
    *ret_header = (struct proxy_header){ .length = V2_HEAD + size };
    if (bytes[12] == V2_LOCAL)
        return PROXY_HEADER_COMPLETE;
    if (bytes[13] == V2_TCP4) {
        set_address(&ret_header->source, AF_INET, addresses, read_port(addresses + 8));
        set_address(&ret_header->destination, AF_INET, addresses + 4, read_port(addresses + 10));
    } else if (bytes[13] == V2_TCP6) {
        set_address(&ret_header->source, AF_INET6, addresses, read_port(addresses + 32));
        set_address(&ret_header->destination, AF_INET6, addresses + 16, read_port(addresses + 34));
    }
    return PROXY_HEADER_COMPLETE;
}

/* A decimal number as section 2.1 has it: no sign, no leading zero, at most 65535. */
static bool parse_port(const char *text, uint16_t *ret_port)
{
    unsigned long port = 0;

    if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0') || strlen(text) > 5)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        port = port * 10 + (unsigned long)(*text - '0');
    }
    *ret_port = (uint16_t)port;
    return port <= UINT16_MAX;
}

static bool parse_v1_address(sa_family_t family, const char *host, const char *port, union inet_address *ret_address)
{
    uint8_t bytes[16];
    uint16_t number;

    if (!host || !port || inet_pton(family, host, bytes) != 1 || !parse_port(port, &number))
        return false;
    set_address(ret_address, family, bytes, number);
    return true;
}

/* `line` is terminated, without its CR LF, and is cut into words. */
static bool parse_v1_line(char *line, struct proxy_header *header)
{
    char *words[6] = { 0 };
    size_t count = 0;
    sa_family_t family;

    for (char *word; (word = strsep(&line, " "));) {
        if (count == ARRAY_SIZE(words))
            return count > 1 && strcmp(words[1], "UNKNOWN") == 0;
        words[count++] = word;
    }
    if (count < 2)
        return false;
    if (strcmp(words[1], "UNKNOWN") == 0) /* "the receiver must ignore anything presented before the CRLF" */
        return true;
    if (count != 6 || (strcmp(words[1], "TCP4") != 0 && strcmp(words[1], "TCP6") != 0))
        return false;
    family = words[1][3] == '4' ? AF_INET : AF_INET6;
    return parse_v1_address(family, words[2], words[4], &header->source) &&
           parse_v1_address(family, words[3], words[5], &header->destination);
}

static enum proxy_header_result parse_v1(const uint8_t *bytes, size_t length, struct proxy_header *ret_header)
{
    const uint8_t *end = memchr(bytes, '\n', MIN(length, (size_t)V1_MOST_BYTES));
    char line[V1_MOST_BYTES];
    size_t size;

    if (!end)
        return length < V1_MOST_BYTES ? PROXY_HEADER_INCOMPLETE : PROXY_HEADER_INVALID;
    size = (size_t)(end - bytes);
    if (size == 0 || bytes[size - 1] != '\r' || memchr(bytes, '\0', size))
        return PROXY_HEADER_INVALID;
    memcpy(line, bytes, size - 1);
    line[size - 1] = '\0';
    *ret_header = (struct proxy_header){ .length = size + 1 };
    return parse_v1_line(line, ret_header) ? PROXY_HEADER_COMPLETE : PROXY_HEADER_INVALID;
}

static bool may_begin_with(const uint8_t *bytes, size_t length, const void *word, size_t size)
{
    return memcmp(bytes, word, MIN(length, size)) == 0;
}

enum proxy_header_result proxy_header_parse(const uint8_t *bytes, size_t length, struct proxy_header *ret_header)
{
    if (length == 0)
        return PROXY_HEADER_INCOMPLETE;
    if (may_begin_with(bytes, length, signature, sizeof signature))
        return parse_v2(bytes, length, ret_header);
    if (may_begin_with(bytes, length, V1_WORD, strlen(V1_WORD)))
        return parse_v1(bytes, length, ret_header);
    return PROXY_HEADER_INVALID;
}

static const void *bytes_of(const union inet_address *address)
{
    return address->family == AF_INET ? (const void *)&address->in.sin_addr : (const void *)&address->in6.sin6_addr;
}

static size_t write_v1(const union inet_address *source, const union inet_address *destination, bool is_known,
                       uint8_t *bytes)
{
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];

    if (!is_known)
        return (size_t)snprintf((char *)bytes, PROXY_HEADER_SIZE, "PROXY UNKNOWN\r\n");
    inet_ntop(source->family, bytes_of(source), from, sizeof from);
    inet_ntop(source->family, bytes_of(destination), to, sizeof to);
    return (size_t)snprintf((char *)bytes, PROXY_HEADER_SIZE, "PROXY TCP%c %s %s %u %u\r\n",
                            source->family == AF_INET ? '4' : '6', from, to, sockaddr_port(&source->any),
                            sockaddr_port(&destination->any));
}

static size_t write_v2(const union inet_address *source, const union inet_address *destination, bool is_known,
                       uint8_t *bytes)
{
    size_t address_size = source->family == AF_INET ? 4 : 16, size = is_known ? 2 * address_size + 4 : 0;
    uint8_t *at = bytes + V2_HEAD;
    uint16_t ports[2] = { htons(sockaddr_port(&source->any)), htons(sockaddr_port(&destination->any)) };

    memcpy(bytes, signature, sizeof signature);
    bytes[12] = is_known ? V2_PROXY : V2_LOCAL;
    bytes[13] = !is_known ? V2_UNSPEC : source->family == AF_INET ? V2_TCP4 : V2_TCP6;
    bytes[14] = 0;
    bytes[15] = (uint8_t)size;
    if (!is_known)
        return V2_HEAD;
    memcpy(at, bytes_of(source), address_size);
    memcpy(at + address_size, bytes_of(destination), address_size);
    memcpy(at + 2 * address_size, ports, sizeof ports);
    return V2_HEAD + size;
}

size_t proxy_header_write(unsigned version, const union inet_address *source, const union inet_address *destination,
                          uint8_t *bytes)
{
    bool is_known = source->family == destination->family && (source->family == AF_INET || source->family == AF_INET6);

    return version == 1 ? write_v1(source, destination, is_known, bytes)
                        : write_v2(source, destination, is_known, bytes);
}

size_t proxy_header_add_identity(uint8_t *header, size_t length, const char *identity, size_t identity_length)
{
    size_t following = length - V2_HEAD + 3 + identity_length;

    header[length] = PROXY_HEADER_IDENTITY_TYPE;
    header[length + 1] = (uint8_t)(identity_length >> 8);
    header[length + 2] = (uint8_t)identity_length;
    memcpy(header + length + 3, identity, identity_length);
    header[V2_HEAD - 2] = (uint8_t)(following >> 8);
    header[V2_HEAD - 1] = (uint8_t)following;
    return length + 3 + identity_length;
}

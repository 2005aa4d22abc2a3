/* Loaded into keepalived so that its checkers run where the kernel has no ip_vs.
 *
 * keepalived (2.2.7) asks for the version of IPVS before its first check, and tells
 * IPVS of every server it adds or removes, by socket options when there is no netlink
 * family of that name.  Here they all succeed and do nothing: its log says what it
 * would have done.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { FIRST = 64 + 1024 + 64, LAST = FIRST + 63, GET_INFO = FIRST + 1 };

static int is_ipvs(int level, int name) {
    return level == IPPROTO_IP && name >= FIRST && name <= LAST;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *size) {
    static int (*real)(int, int, int, void *, socklen_t *);
    static const unsigned info[] = {0x010201 /* 1.2.1 */, 4096 /* hash size */, 0 /* services */};

    if (is_ipvs(level, name)) {
        memset(value, 0, *size);
        if (name == GET_INFO)
            memcpy(value, info, *size < sizeof info ? *size : sizeof info);
        return 0;
    }
    if (!real)
        real = (int (*)(int, int, int, void *, socklen_t *))dlsym(RTLD_NEXT, "getsockopt");
    return real(fd, level, name, value, size);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
    static int (*real)(int, int, int, const void *, socklen_t);

    if (is_ipvs(level, name))
        return 0;
    if (!real)
        real = (int (*)(int, int, int, const void *, socklen_t))dlsym(RTLD_NEXT, "setsockopt");
    return real(fd, level, name, value, size);
}

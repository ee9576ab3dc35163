/* limit - what an upload costs at the least: recv, pwritev, sendfile and nothing else.
 *
 * A proxy in name only, to measure real ones against: it takes one chunked PUT a connection, writes its
 * body to a nameless file, sends it on with its length, relays the answer and closes. No limits, no
 * timeouts, no checks beyond what keeps it from going wrong: never put it in front of anything.
 *
 * build: cc -O2 -pthread -o limit limit.c
 * usage: limit PORT UPSTREAM_PORT DIRECTORY      (both ports on 127.0.0.1)
 * Prints "ready" once it listens; ends on SIGTERM. A GET is answered with 200 by itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define B (1 << 20)      /* the buffer that was measured best, as the shim's and the tuned nginx's */
#define VECTORS 512      /* of one pwritev; IOV_MAX is 1024 */

static int upstream;
static const char *directory;

struct spool { int fd, count; long long size; struct iovec v[VECTORS]; };

static int flush(struct spool *f)
{
    int i = 0;
    while (i < f->count) {
        ssize_t n = pwritev(f->fd, f->v + i, f->count - i, f->size);
        if (n <= 0) return -1;
        f->size += n;
        while (i < f->count && n >= (ssize_t)f->v[i].iov_len) n -= f->v[i++].iov_len;
        if (n) { f->v[i].iov_base = (char *)f->v[i].iov_base + n; f->v[i].iov_len -= n; }
    }
    f->count = 0;
    return 0;
}
static int add(struct spool *f, char *b, long n)
{
    f->v[f->count++] = (struct iovec){b, n};
    return f->count == VECTORS ? flush(f) : 0;
}
/* Takes the n bytes at b; gives how many it has used up, -1 on failure. left: payload still to come of
 * the chunk under way, and its CRLF; -1 once the last chunk has come. */
static long chunks(struct spool *f, char *b, long n, long long *left)
{
    long p = 0;
    while (p < n) {
        if (*left > 2) {
            long k = n - p < *left - 2 ? n - p : *left - 2;
            if (add(f, b + p, k)) return -1;
            p += k; *left -= k;
        } else if (*left) { p++; (*left)--; }
        else {
            char *e = memmem(b + p, n - p, "\r\n", 2);
            if (!e) break;
            long long k = strtoll(b + p, NULL, 16);
            if (!k) {                         /* no trailers: the client sends none */
                if (n - (e - b) < 4) break;
                *left = -1; p = e - b + 4;
                break;
            }
            *left = k + 2; p = e - b + 2;
        }
    }
    return flush(f) ? -1 : p;
}
static int receive(int s, char *b, long have, struct spool *f)
{
    long long left = 0;
    for (;;) {
        long used = chunks(f, b, have, &left);
        if (used < 0) return -1;
        if (left < 0) return 0;
        memmove(b, b + used, have - used); have -= used;
        ssize_t n = recv(s, b + have, B - have, 0);
        if (n <= 0) return -1;
        have += n;
    }
}
static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(upstream), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(s, (void *)&a, sizeof a)) { close(s); return -1; }
    return s;
}
static void forward(int s, char *b, const char *target, struct spool *f)
{
    int u = dial();
    if (u < 0) return;
    int n = snprintf(b, B, "PUT %s HTTP/1.1\r\nHost: glance.local\r\nConnection: close\r\nContent-Length: %lld\r\n\r\n", target, f->size);
    off_t at = 0;
    if (send(u, b, n, MSG_NOSIGNAL) == n)
        while (at < f->size && sendfile(u, f->fd, &at, f->size - at > 1 << 30 ? 1 << 30 : f->size - at) > 0);
    ssize_t k;
    while ((k = recv(u, b, B, 0)) > 0 && send(s, b, k, MSG_NOSIGNAL) == k);
    close(u);
}
static void *serve(void *v)
{
    int s = (int)(long)v, have = 0, n;
    char *b = malloc(B + 1), *e = NULL, target[1024];
    while (have < B && (n = recv(s, b + have, B - have, 0)) > 0) {
        have += n; b[have] = 0;
        if ((e = memmem(b, have, "\r\n\r\n", 4))) break;
    }
    if (e && !strncmp(b, "GET ", 4)) {
        const char *r = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        send(s, r, strlen(r), MSG_NOSIGNAL);
    } else if (e && sscanf(b, "PUT %1023s", target) == 1) {
        struct spool f = {.fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};
        int used = e + 4 - b;
        memmove(b, b + used, have - used);
        if (f.fd >= 0 && !receive(s, b, have - used, &f)) forward(s, b, target, &f);
        if (f.fd >= 0) close(f.fd);
    }
    close(s); free(b);
    return NULL;
}
int main(int ac, char **av)
{
    if (ac != 4) { fprintf(stderr, "usage: limit PORT UPSTREAM_PORT DIRECTORY\n"); return 2; }
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(av[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    upstream = atoi(av[2]); directory = av[3];
    signal(SIGPIPE, SIG_IGN);
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(l, (void *)&a, sizeof a) || listen(l, 1024)) { fprintf(stderr, "limit: cannot listen: %s\n", strerror(errno)); return 1; }
    printf("ready\n"); fflush(stdout);
    for (;;) {
        int s = accept4(l, NULL, NULL, SOCK_CLOEXEC);
        pthread_t t;
        if (s < 0) continue;
        if (pthread_create(&t, NULL, serve, (void *)(long)s)) close(s);
        else pthread_detach(t);
    }
}

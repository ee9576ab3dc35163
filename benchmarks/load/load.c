/* load - HTTP/1.1 load client: uploads (chunked or with Content-Length), downloads, small GETs,
 * and many slow uploads at once. Counterpart: sink.c (the backend whose answers it can check).
 *
 * build: cc -O2 -pthread -o load load.c                              (without TLS)
 *        cc -O2 -pthread -DWITH_TLS -o load load.c -lssl -lcrypto    (with it: -T)
 * usage: load -p PORT [options]
 *   -a ADDR   IPv4 address of the server                                        [127.0.0.1]
 *   -m MODE   up       PUT with Transfer-Encoding: chunked                      [up]
 *             cl       PUT with Content-Length
 *             get      GET
 *             trickle  many slow chunked PUTs from one thread (see -c -r -i -s)
 *   -u PATH   request target                                                    [/v2/images/x/file]
 *   -s SIZE   body bytes per request                                            [1g]
 *   -k SIZE   payload bytes per chunk                                           [64k]
 *   -b SIZE   payload handed to one send(), rounded down to whole chunks        [1m]
 *   -c N      connections (one thread each; trickle: all in one thread)         [1]
 *   -n N      requests per connection; 0: until -d or SIGTERM                   [1]
 *   -d SEC    begin no request after SEC seconds                                [none]
 *   -r RATE   up, cl, trickle: bytes per second and connection. A sender held up by the server
 *             does not catch up afterwards (a link of that speed could not)     [unpaced]
 *   -q RATE   get: requests per second and connection; the latency is counted from the moment the
 *             request was due, so that a stall shows in every request it delayed [back to back]
 *   -i SIZE   trickle: bytes each connection sends at once, before the slow part [0]
 *   -H LINE   further header line, repeatable (16 at most)
 *   -t SEC    no byte sent or received for SEC seconds is a failure             [120]
 *   -T        speak TLS 1.2 or 1.3; no certificate is checked: it measures, it does not trust
 *   -e        send Expect: 100-continue and wait for the 100 (1 s at most)
 *   -x        check. Uploads: each chunk is stamped with its offset and connection, and the answer
 *             of sink is compared (bytes, Content-Length, and the hash if the target holds "sum").
 *             get with "size=N" in the target: the body is hashed and compared with sink's pattern
 * SIZE and RATE take k, m, g (powers of 1024). SIGTERM ends it after the requests under way.
 *
 * Prints one line of JSON: mode, ok (2xx), bad (anything else), bytes (payload of the ok ones), wall
 * seconds, p50/p99/max latency in seconds, status (of the last answer), exact and inexact (-x: answers
 * that agreed and did not), te (answers saying the backend saw a transfer coding beside or instead of
 * a length), pf (answers saying the body came as a file), hold (mean seconds the backend says it was
 * held), error (the first one). Exit status: 0 all ok, 1 some were not, 2 wrong usage. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

static int port, conc = 1, nreq = 1, expect, check, nextra, tls;
static long long size = 1LL << 30;
static long chunk = 65536, batch = 1 << 20, initial;
static double rate, qrate, duration, timeout = 120;
static const char *addr = "127.0.0.1", *mode = "up", *path = "/v2/images/x/file", *extra[16];
static volatile sig_atomic_t stop;
static double t_begin;

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static long long ok, bad, bytes, exact, inexact, te_seen, pf_seen, nhold;
static double hold_sum;
static int laststatus;
static char error[200];

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void nap(double s)
{
    if (s <= 0) return;
    struct timespec t = {(time_t)s, (long)((s - (time_t)s) * 1e9)};
    nanosleep(&t, NULL);
}
static void fail(const char *f, ...)
{
    va_list a; va_start(a, f);
    pthread_mutex_lock(&mu);
    if (!*error) vsnprintf(error, sizeof error, f, a);
    pthread_mutex_unlock(&mu); va_end(a);
}

/* ---- the hash shared with sink.c: 8 bytes at a time, independent of how the stream is cut */
struct hash { uint64_t h, n; unsigned char part[8]; int k; };
static void hmix(struct hash *h, uint64_t w) { h->h = (h->h ^ w) * 0x9E3779B97F4A7C15ULL; h->h ^= h->h >> 32; }
static void hput(struct hash *h, const void *v, long n)
{
    const unsigned char *p = v; uint64_t w;
    h->n += n;
    while (h->k && n) { h->part[h->k++] = *p++; n--; if (h->k == 8) { memcpy(&w, h->part, 8); hmix(h, w); h->k = 0; } }
    for (; n >= 8; p += 8, n -= 8) { memcpy(&w, p, 8); hmix(h, w); }
    while (n-- > 0) h->part[h->k++] = *p++;
}
static uint64_t hend(struct hash *h)
{
    uint64_t w = 0;
    memcpy(&w, h->part, h->k); hmix(h, w); hmix(h, h->n);
    return h->h;
}
/* the download pattern of sink.c: blocks of 1 MiB, the first 8 bytes of each its number */
static void pattern(unsigned char *b) { for (uint32_t i = 0; i < 1 << 20; i++) b[i] = (i * 2654435761u) >> 13; }

/* ---- TLS: one session a descriptor; a connection belongs to one thread, so the table needs no lock */
#ifdef WITH_TLS
#define MAXFD 65536
static SSL_CTX *ctx;
static SSL *session[MAXFD];
static void tlsinit(void)
{
    ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx) { fprintf(stderr, "load: no TLS context\n"); exit(1); }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_AUTO_RETRY);
}
static int tlsopen(int s)
{
    if (s >= MAXFD || !(session[s] = SSL_new(ctx))) return -1;
    SSL_set_fd(session[s], s);
    return SSL_connect(session[s]) == 1 ? 0 : -1;
}
static void tlsclose(int s)
{
    if (!session[s]) return;
    SSL_shutdown(session[s]); SSL_free(session[s]); session[s] = NULL;
}
/* as recv and send: 0 at the end, -1 on failure; what OpenSSL does not put in errno is EIO */
static ssize_t tlsresult(int s, int r)
{
    if (r > 0) return r;
    if (SSL_get_error(session[s], r) == SSL_ERROR_ZERO_RETURN) return 0;
    ERR_clear_error();
    if (!errno) errno = EIO;
    return -1;
}
#endif
static ssize_t get(int s, void *b, long n, int flags)
{
#ifdef WITH_TLS
    static __thread char dropped[1 << 16];
    if (tls) {
        errno = 0;
        /* MSG_TRUNC drops in the kernel what TLS has to decrypt first */
        if (!b) { b = dropped; if (n > (long)sizeof dropped) n = sizeof dropped; }
        return tlsresult(s, SSL_read(session[s], b, n));
    }
#endif
    return recv(s, b, n, flags);
}
static ssize_t put(int s, const void *b, long n)
{
#ifdef WITH_TLS
    if (tls) { errno = 0; return tlsresult(s, SSL_write(session[s], b, n)); }
#endif
    return send(s, b, n, MSG_NOSIGNAL);
}
static void hangup(int s)
{
#ifdef WITH_TLS
    if (tls) tlsclose(s);
#endif
    close(s);
}

/* ---- sockets */
static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, addr, &a.sin_addr);
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct timeval tv = {(time_t)timeout, (long)((timeout - (time_t)timeout) * 1e6)};
    if (s < 0) { fail("socket: %s", strerror(errno)); return -1; }
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(s, (void *)&a, sizeof a)) { fail("connect: %s", strerror(errno)); close(s); return -1; }
#ifdef WITH_TLS
    if (tls && tlsopen(s)) { fail("TLS handshake failed"); hangup(s); return -1; }
#endif
    return s;
}
static int sendall(int s, const char *b, long n)
{
    while (n) {
        ssize_t r = put(s, b, n);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) { fail("send: %s", strerror(errno)); return -1; }
        b += r; n -= r;
    }
    return 0;
}

/* ---- one connection with its read buffer */
struct conn {
    int s, rlen, close_after;
    char rb[1 << 16];
    char head[512];      /* of the answer's body, NUL terminated */
};
static int fill(struct conn *c)
{
    ssize_t r;
    do r = get(c->s, c->rb + c->rlen, sizeof c->rb - 1 - c->rlen, 0); while (r < 0 && errno == EINTR);
    if (r <= 0) { fail("recv: %s", r ? strerror(errno) : "closed by the server"); return -1; }
    c->rlen += r;
    return 0;
}
static void eat(struct conn *c, int n) { memmove(c->rb, c->rb + n, c->rlen - n); c->rlen -= n; }
static void keep(struct conn *c, long long at, const char *b, long n)
{
    long room = (long)sizeof c->head - 1 - at;
    if (room <= 0) return;
    if (n > room) n = room;
    memcpy(c->head + at, b, n); c->head[at + n] = 0;
}
/* n body bytes: hashed if h, else dropped in the kernel beyond what c->head keeps */
static int bodypart(struct conn *c, long long n, long long *got, struct hash *h)
{
    while (n) {
        if (c->rlen) {
            long k = c->rlen < n ? c->rlen : n;
            keep(c, *got, c->rb, k);
            if (h) hput(h, c->rb, k);
            eat(c, k); n -= k; *got += k;
        } else if (h || *got < (long long)sizeof c->head) {
            if (fill(c)) return -1;
        } else {
            ssize_t r = get(c->s, NULL, n > 1 << 20 ? 1 << 20 : n, MSG_TRUNC);
            if (r < 0 && errno == EINTR) continue;
            if (r <= 0) { fail("recv: %s", r ? strerror(errno) : "body cut short"); return -1; }
            n -= r; *got += r;
        }
    }
    return 0;
}
static int line(struct conn *c, char *o, int max)
{
    char *e;
    while (!(e = memmem(c->rb, c->rlen, "\r\n", 2))) if (c->rlen >= max || fill(c)) return -1;
    int l = e - c->rb;
    if (l >= max) return -1;
    memcpy(o, c->rb, l); o[l] = 0; eat(c, l + 2);
    return l;
}
/* reads one final answer; returns its status or -1. only100: returns 100 on an interim one */
static int answer(struct conn *c, long long *got, struct hash *h, int only100)
{
    char *e;
    int st;
again:
    while (!(e = memmem(c->rb, c->rlen, "\r\n\r\n", 4))) {
        if (c->rlen >= (int)sizeof c->rb - 1) { fail("answer head too long"); return -1; }
        if (fill(c)) return -1;
    }
    if (c->rlen < 13 || strncmp(c->rb, "HTTP/1.", 7)) { fail("no HTTP answer"); return -1; }
    st = atoi(c->rb + 9);
    e[2] = 0;
    long long cl = -1;
    char *f = strcasestr(c->rb, "\r\ncontent-length:");
    if (f) cl = atoll(f + 17);
    int chunked = strcasestr(c->rb, "\r\ntransfer-encoding: chunked") != NULL;
    c->close_after = strcasestr(c->rb, "\r\nconnection: close") != NULL || !strncmp(c->rb, "HTTP/1.0", 8);
    eat(c, e + 4 - c->rb);
    if (st / 100 == 1) { if (only100) return st; goto again; }
    *got = 0; c->head[0] = 0;
    if (st == 204 || st == 304) return st;
    if (chunked) {
        char l[256];
        for (;;) {
            if (line(c, l, sizeof l) < 0) return -1;
            long long k = strtoll(l, NULL, 16);
            if (!k) { int n; while ((n = line(c, l, sizeof l)) > 0); return n ? -1 : st; }
            if (bodypart(c, k, got, h) || line(c, l, sizeof l)) return -1;
        }
    }
    if (cl >= 0) return bodypart(c, cl, got, h) ? -1 : st;
    c->close_after = 1;
    for (;;) {
        if (c->rlen) { keep(c, *got, c->rb, c->rlen); if (h) hput(h, c->rb, c->rlen); *got += c->rlen; c->rlen = 0; }
        ssize_t r = get(c->s, c->rb, sizeof c->rb - 1, 0);
        if (r < 0) { fail("recv: %s", strerror(errno)); return -1; }
        if (!r) return st;
        c->rlen = r;
    }
}

/* ---- payload: a batch of whole chunks, framed, built once per thread */
struct payload { char *b; long framed, pay, nchunk, hl; };
static void mkpayload(struct payload *p)
{
    char t[32];
    p->nchunk = batch / chunk > 0 ? batch / chunk : 1;
    p->hl = sprintf(t, "%lx\r\n", chunk);
    p->framed = p->nchunk * (p->hl + chunk + 2); p->pay = p->nchunk * chunk;
    p->b = malloc(p->framed);
    if (!p->b) { fprintf(stderr, "load: out of memory\n"); exit(1); }
    unsigned x = 12345; char *w = p->b;
    for (long i = 0; i < p->nchunk; i++) {
        memcpy(w, t, p->hl); w += p->hl;
        for (long j = 0; j < chunk; j++) { x = x * 1103515245 + 12345; *w++ = x >> 16; }
        *w++ = '\r'; *w++ = '\n';
    }
}
static void stamp(char *data, long n, long long off, int id, struct hash *h)
{
    uint64_t v = ((uint64_t)(id + 1) << 48) ^ (uint64_t)off;
    memcpy(data, &v, n < 8 ? n : 8);
    hput(h, data, n);
}
/* waits for the turn of the next n bytes of a paced sender */
static void pace(double *due, long n)
{
    if (rate <= 0) return;
    double t = now();
    if (*due < t - 0.02) *due = t;
    nap(*due - t);
    *due += n / rate;
}
static int upload(struct conn *c, struct payload *p, int id, int chunked, struct hash *h)
{
    char hd[4096]; int n;
    n = snprintf(hd, sizeof hd, "PUT %s HTTP/1.1\r\nHost: glance.local\r\nUser-Agent: python-glanceclient\r\nX-Auth-Token: abcdef\r\n"
                 "Content-Type: application/octet-stream\r\n%s", path, expect ? "Expect: 100-continue\r\n" : "");
    for (int i = 0; i < nextra; i++) n += snprintf(hd + n, sizeof hd - n, "%s\r\n", extra[i]);
    if (chunked) n += snprintf(hd + n, sizeof hd - n, "Transfer-Encoding: chunked\r\n\r\n");
    else n += snprintf(hd + n, sizeof hd - n, "Content-Length: %lld\r\n\r\n", size);
    if (sendall(c->s, hd, n)) return -1;
    if (expect) {
        struct timeval tv = {1, 0}; long long g;
        setsockopt(c->s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
        int st = answer(c, &g, NULL, 1);
        tv.tv_sec = timeout; setsockopt(c->s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
        if (st >= 200) { fail("final answer %d instead of 100", st); return -1; }
    }
    /* a paced sender hands over at most about 4 ms worth at a time */
    long step = p->nchunk;
    if (rate > 0) { step = rate * 0.004 / chunk; if (step < 1) step = 1; if (step > p->nchunk) step = p->nchunk; }
    double due = now();
    long fr = p->hl + chunk + 2;
    for (long long off = 0; off < size;) {
        long k = step, last = 0;
        if (size - off < k * chunk) { k = (size - off) / chunk; if (!k) { k = 1; last = size - off; } }
        long pay = last ? last : k * chunk;
        if (check) for (long i = 0; i < k; i++) stamp(p->b + i * fr + p->hl, last ? last : chunk, off + i * chunk, id, h);
        pace(&due, pay);
        if (chunked && !last) { if (sendall(c->s, p->b, k * fr)) return -1; }
        else if (chunked) {
            n = sprintf(hd, "%lx\r\n", last);
            if (sendall(c->s, hd, n) || sendall(c->s, p->b + p->hl, last) || sendall(c->s, "\r\n", 2)) return -1;
        } else for (long i = 0; i < k; i++) if (sendall(c->s, p->b + i * fr + p->hl, last ? last : chunk)) return -1;
        off += pay;
    }
    return chunked ? sendall(c->s, "0\r\n\r\n", 5) : 0;
}
/* what sink.c says about an upload */
static int tally(const char *b, uint64_t h)
{
    long long n = -1, cl = -1; int te = 0, pf = 0; double hold = -1; unsigned long long bh = 0; char *f;
    if ((f = strstr(b, "\"n\":"))) n = atoll(f + 4);
    if ((f = strstr(b, "\"cl\":"))) cl = atoll(f + 5);
    if ((f = strstr(b, "\"te\":"))) te = atoi(f + 5);
    if ((f = strstr(b, "\"pf\":"))) pf = atoi(f + 5);
    if ((f = strstr(b, "\"h\":\""))) bh = strtoull(f + 5, NULL, 16);
    if ((f = strstr(b, "\"hold\":"))) hold = atof(f + 7);
    if (hold >= 0) { hold_sum += hold; nhold++; }
    te_seen += te; pf_seen += pf;
    return n == size && cl == size && (!check || !strstr(path, "sum") || bh == h);
}
struct thread { pthread_t t; int id; double *lat; long n, cap; };
static void *worker(void *v)
{
    struct thread *me = v;
    struct conn *c = calloc(1, sizeof *c);
    struct payload p = {0};
    int up = strcmp(mode, "get"), dead = 0;
    long long want = -1;
    const char *q = strstr(path, "size=");
    if (!up && q) want = atoll(q + 5);
    if (up) mkpayload(&p);
    c->s = -1;
    double due = now();
    for (int i = 0; (!nreq || i < nreq) && !stop && dead < 20; i++) {
        double t = now();
        if (duration > 0 && t - t_begin > duration) break;
        if (!up && qrate > 0) { if (due > t) { nap(due - t); if (stop) break; } t = due; due += 1 / qrate; }
        if (c->s < 0) { c->s = dial(); c->rlen = 0; }
        long long got = 0; int st = -1; struct hash h = {.h = 1}; uint64_t sum = 0;
        if (c->s >= 0) {
            if (up) {
                upload(c, &p, me->id, !strcmp(mode, "up"), &h);   /* after a failed send there may still be an answer */
                sum = hend(&h);
                st = answer(c, &got, NULL, 0); got = size;
            } else {
                char hd[4096];
                int n = snprintf(hd, sizeof hd, "GET %s HTTP/1.1\r\nHost: glance.local\r\nUser-Agent: python-glanceclient\r\nX-Auth-Token: abcdef\r\nAccept: */*\r\n", path);
                for (int k = 0; k < nextra; k++) n += snprintf(hd + n, sizeof hd - n, "%s\r\n", extra[k]);
                n += snprintf(hd + n, sizeof hd - n, "\r\n");
                if (!sendall(c->s, hd, n)) st = answer(c, &got, check ? &h : NULL, 0);
                if (check) sum = hend(&h);
            }
        }
        t = now() - t;
        int good = st >= 200 && st < 300;
        int same = 1;
        if (check && !up && want >= 0) {
            struct hash e = {.h = 1}; unsigned char *b = malloc(1 << 20);
            pattern(b);
            for (long long o = 0, k = 0; o < want; o += 1 << 20, k++) { memcpy(b, &k, 8); hput(&e, b, want - o < 1 << 20 ? want - o : 1 << 20); }
            free(b);
            same = got == want && hend(&e) == sum;
        }
        pthread_mutex_lock(&mu);
        laststatus = st;
        if (good) { ok++; bytes += got; dead = 0; } else { bad++; dead++; }
        int ex = good && (up ? tally(c->head, sum) : same);
        if (ex) exact++; else inexact++;
        pthread_mutex_unlock(&mu);
        if (!good && st > 0) fail("status %d: %.120s", st, c->head);
        else if (good && !ex) fail("%s %.150s", up ? "backend saw" : "body differs:", c->head);
        if (me->n == me->cap) { me->cap = me->cap ? me->cap * 2 : 1024; me->lat = realloc(me->lat, me->cap * sizeof *me->lat); }
        me->lat[me->n++] = t;
        if (c->s >= 0 && (st < 0 || c->close_after)) { hangup(c->s); c->s = -1; }
    }
    if (c->s >= 0) hangup(c->s);
    free(c); free(p.b);
    return NULL;
}
/* many slow uploads: every connection sends one chunk of rate/10 bytes each 0.1 s, spread over the 0.1 s */
static void trickle(double **lat, long *nlat)
{
    struct { int s, dead; long long left; double t0; } *c = calloc(conc, sizeof *c);
    long step = rate / 10; if (step < 1) step = 1;
    char *pl = malloc(step + 64), *big = malloc(initial + 64), hd[4096];
    int m = sprintf(pl, "%lx\r\n", step); memset(pl + m, 'z', step); memcpy(pl + m + step, "\r\n", 2); m += step + 2;
    long bl = 0;
    if (initial) { bl = sprintf(big, "%lx\r\n", initial); memset(big + bl, 'y', initial); memcpy(big + bl + initial, "\r\n", 2); bl += initial + 2; }
    *lat = calloc(conc, sizeof **lat);
    for (int i = 0; i < conc; i++) {
        c[i].t0 = now(); c[i].s = dial(); c[i].left = size - initial;
        int n = snprintf(hd, sizeof hd, "PUT %s HTTP/1.1\r\nHost: glance.local\r\nX-Auth-Token: abcdef\r\nTransfer-Encoding: chunked\r\n\r\n", path);
        if (c[i].s < 0 || sendall(c[i].s, hd, n) || (bl && sendall(c[i].s, big, bl))) c[i].dead = 1;
    }
    double t0 = now();
    for (long slot = 0;; slot++) {           /* 10 slots of 10 ms, a tenth of the connections in each */
        int live = 0;
        for (int i = slot % 10; i < conc; i += 10) {
            if (c[i].dead || c[i].left <= 0) continue;
            if (c[i].left >= step) { if (sendall(c[i].s, pl, m)) c[i].dead = 1; c[i].left -= step; }
            else {
                int n = sprintf(hd, "%llx\r\n", c[i].left);
                if (sendall(c[i].s, hd, n) || sendall(c[i].s, pl + (m - step - 2), c[i].left) || sendall(c[i].s, "\r\n", 2)) c[i].dead = 1;
                c[i].left = 0;
            }
            if (c[i].left <= 0 && !c[i].dead && sendall(c[i].s, "0\r\n\r\n", 5)) c[i].dead = 1;
        }
        for (int i = 0; i < conc; i++) live += !c[i].dead && c[i].left > 0;
        if (!live || stop) break;
        nap(t0 + (slot + 1) * 0.01 - now());
    }
    struct conn *r = calloc(1, sizeof *r);
    for (int i = 0; i < conc; i++) {
        long long got = 0; int st = -1;
        if (c[i].s >= 0) { r->s = c[i].s; r->rlen = 0; st = answer(r, &got, NULL, 0); hangup(c[i].s); }
        laststatus = st;
        if (st >= 200 && st < 300) { ok++; bytes += size; if (tally(r->head, 0)) exact++; else inexact++; }
        else { bad++; inexact++; if (st > 0) fail("status %d: %.120s", st, r->head); }
        (*lat)[(*nlat)++] = now() - c[i].t0;
    }
}
static int cmp(const void *a, const void *b) { double x = *(double *)a, y = *(double *)b; return x < y ? -1 : x > y; }
static void onterm(int s) { (void)s; stop = 1; }
static void usage(const char *f, ...)
{
    va_list a; va_start(a, f);
    fprintf(stderr, "load: "); vfprintf(stderr, f, a); va_end(a);
    fprintf(stderr, "\nusage: load -p PORT [-a ADDR] [-m up|cl|get|trickle] [-u PATH] [-s SIZE] [-k SIZE] [-b SIZE] [-c N] [-n N]\n"
            "            [-d SEC] [-r RATE] [-q RATE] [-i SIZE] [-H LINE]... [-t SEC] [-T] [-e] [-x]\n");
    exit(2);
}
static double num(int o, const char *v, double lo, double hi)
{
    char *e; errno = 0;
    double d = strtod(v, &e);
    if (e == v || errno) usage("-%c: not a number: %s", o, v);
    if (*e == 'k' || *e == 'K') d *= 1024, e++;
    else if (*e == 'm' || *e == 'M') d *= 1 << 20, e++;
    else if (*e == 'g' || *e == 'G') d *= 1 << 30, e++;
    if (*e) usage("-%c: not a number: %s", o, v);
    if (!(d >= lo && d <= hi)) usage("-%c: %s is out of range (%.0f to %.0f)", o, v, lo, hi);
    return d;
}
int main(int ac, char **av)
{
    int o;
    opterr = 0;
    while ((o = getopt(ac, av, ":a:p:m:u:s:k:b:c:n:d:r:q:i:H:t:Tex")) != -1) switch (o) {
        case 'a': { struct in_addr x; if (inet_pton(AF_INET, optarg, &x) != 1) usage("-a: not an IPv4 address: %s", optarg); addr = optarg; break; }
        case 'p': port = num(o, optarg, 1, 65535); break;
        case 'm': mode = optarg; break;
        case 'u': path = optarg; if (*path != '/' || strlen(path) > 1500) usage("-u: a target begins with / and has at most 1500 characters"); break;
        case 's': size = num(o, optarg, 0, 1e15); break;
        case 'k': chunk = num(o, optarg, 1, 1 << 30); break;
        case 'b': batch = num(o, optarg, 1, 1 << 30); break;
        case 'c': conc = num(o, optarg, 1, 20000); break;
        case 'n': nreq = num(o, optarg, 0, 1e9); break;
        case 'd': duration = num(o, optarg, 0, 1e6); break;
        case 'r': rate = num(o, optarg, 1, 1e12); break;
        case 'q': qrate = num(o, optarg, 0.01, 1e6); break;
        case 'i': initial = num(o, optarg, 0, 1 << 30); break;
        case 'H': if (nextra == 16 || strlen(optarg) > 128 || !strchr(optarg, ':')) usage("-H: at most 16 lines 'Name: value' of at most 128 characters"); extra[nextra++] = optarg; break;
        case 't': timeout = num(o, optarg, 0.1, 1e5); break;
        case 'T':
#ifdef WITH_TLS
            tls = 1; break;
#else
            usage("-T: built without TLS");
#endif
        case 'e': expect = 1; break;
        case 'x': check = 1; break;
        case ':': usage("-%c needs a value", optopt); break;
        default: usage("unknown option -%c", optopt);
        }
    if (optind < ac) usage("unexpected argument: %s", av[optind]);
    if (!port) usage("-p PORT is required");
    int tr = !strcmp(mode, "trickle");
    if (strcmp(mode, "up") && strcmp(mode, "cl") && strcmp(mode, "get") && !tr) usage("-m: up, cl, get or trickle, not %s", mode);
    if (tr && rate <= 0) usage("trickle needs -r");
    if (tr && initial > size) usage("-i is larger than -s");
    if (!nreq && duration <= 0 && strcmp(mode, "get")) usage("-n 0 needs -d, or -m get ended by SIGTERM");
    signal(SIGPIPE, SIG_IGN);
#ifdef WITH_TLS
    if (tls) tlsinit();
#endif
    struct sigaction sa = {.sa_handler = onterm}; sigaction(SIGTERM, &sa, NULL);
    double *lat = NULL; long nlat = 0;
    t_begin = now();
    if (tr) trickle(&lat, &nlat);
    else {
        struct thread *t = calloc(conc, sizeof *t);
        for (int i = 0; i < conc; i++) {
            t[i].id = i;
            if (pthread_create(&t[i].t, NULL, worker, t + i)) { fprintf(stderr, "load: cannot start thread %d\n", i); return 1; }
        }
        for (int i = 0; i < conc; i++) pthread_join(t[i].t, NULL);
        for (int i = 0; i < conc; i++) {
            lat = realloc(lat, (nlat + t[i].n + 1) * sizeof *lat);
            if (t[i].n) memcpy(lat + nlat, t[i].lat, t[i].n * sizeof *lat);
            nlat += t[i].n;
        }
    }
    double w = now() - t_begin;
    qsort(lat, nlat, sizeof *lat, cmp);
    printf("{\"mode\":\"%s\",\"ok\":%lld,\"bad\":%lld,\"bytes\":%lld,\"wall\":%.6f,\"p50\":%.6f,\"p99\":%.6f,\"max\":%.6f,\"status\":%d,"
           "\"exact\":%lld,\"inexact\":%lld,\"te\":%lld,\"pf\":%lld,\"hold\":%.6f,\"error\":\"", mode, ok, bad, bytes, w,
           nlat ? lat[nlat / 2] : 0, nlat ? lat[(long)(nlat * .99)] : 0, nlat ? lat[nlat - 1] : 0, laststatus,
           exact, inexact, te_seen, pf_seen, nhold ? hold_sum / nhold : 0);
    if (bad || inexact) for (char *p = error; *p; p++) if (*p >= 32 && *p < 127 && *p != '"' && *p != '\\') putchar(*p);
    printf("\"}\n");
    return bad != 0;
}

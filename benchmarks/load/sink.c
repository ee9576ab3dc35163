/* sink - backend that takes what a proxy forwards and says what it saw. Counterpart: load.c.
 *
 * build: cc -O2 -pthread -o sink sink.c
 * usage: sink [-p PORT] [-u PATH] [-U PORT] [-r RATE]       (at least one of -p -u -U)
 *   -p PORT   HTTP/1.1 with keep-alive on 127.0.0.1:PORT
 *   -u PATH   uwsgi protocol on a unix socket (mode 0666; a stale file is replaced)
 *   -U PORT   uwsgi protocol on 127.0.0.1:PORT
 *   -r RATE   drain bodies at RATE bytes per second and connection (k, m, g: powers of 1024)
 * Prints "ready" once it listens; ends on SIGTERM or SIGINT. Exit status 2 on wrong usage.
 *
 * GET whose target holds size=N   N bytes: blocks of 1 MiB, the first 8 bytes of each its number
 * any other GET                   2048 bytes, application/json
 * any other method                reads the body, answers 200 with
 *   {"n":N,"cl":C,"te":T,"pf":P,"h":"HEX","hold":S}
 *   n     body bytes read
 *   cl    Content-Length (CONTENT_LENGTH) received, -1 if none
 *   te    1 if a chunked body, or an HTTP_TRANSFER_ENCODING that is not empty, came
 *   pf    1 if the body came as a file: uwsgi variable UWSGI_POSTFILE (the path is opened and read up to
 *         CONTENT_LENGTH; nothing is then read from the connection)
 *   h     hash of the body, 0 unless the target holds "sum" (without it, TCP bodies are dropped in the
 *         kernel, MSG_TRUNC, so that the sink costs next to nothing)
 *   hold  seconds from accept (first request of a connection) or from the request's first byte (later
 *         ones) to the last body byte: how long a synchronous worker would have been held
 * A body that ends early gets no answer: the connection is closed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static double rate;
static char *big, small[2048];
static const char *upath;

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void nap(double s)
{
    if (s <= 0) return;
    struct timespec t = {(time_t)s, (long)((s - (time_t)s) * 1e9)};
    nanosleep(&t, NULL);
}
/* ---- the hash shared with load.c: 8 bytes at a time, independent of how the stream is cut */
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

#define B (1 << 18)
struct conn { int s, p, n, is_unix, sum; struct hash h; double t0, due; char b[B]; };
static int sendall(int s, const char *b, long n)
{
    while (n) {
        ssize_t r = send(s, b, n, MSG_NOSIGNAL);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return -1;
        b += r; n -= r;
    }
    return 0;
}
static int fill(struct conn *c)
{
    if (c->p == c->n) c->p = c->n = 0;
    if (c->n == B) { if (!c->p) return -1; memmove(c->b, c->b + c->p, c->n - c->p); c->n -= c->p; c->p = 0; }
    ssize_t r;
    do r = recv(c->s, c->b + c->n, B - c->n, 0); while (r < 0 && errno == EINTR);
    if (r <= 0) return -1;
    c->n += r;
    return 0;
}
static void pace(struct conn *c, long n)
{
    if (rate <= 0) return;
    double t = now();
    if (c->due < t - 0.02) c->due = t;
    c->due += n / rate;
    nap(c->due - t);
}
static int body(struct conn *c, long long want, long long *got)
{
    long long g = 0;
    while (g < want) {
        long k;
        if (c->p < c->n) {
            k = c->n - c->p < want - g ? c->n - c->p : want - g;
            if (c->sum) hput(&c->h, c->b + c->p, k);
            c->p += k;
        } else if (!c->sum && !c->is_unix) {
            long w = rate > 0 ? 1 << 18 : 4 << 20;
            k = recv(c->s, NULL, want - g < w ? want - g : w, MSG_TRUNC);
            if (k < 0 && errno == EINTR) continue;
            if (k <= 0) return -1;
        } else { if (fill(c)) return -1; continue; }
        g += k; *got += k;
        pace(c, k);
    }
    return 0;
}
static int line(struct conn *c, char *o, int max)
{
    char *e;
    while (!(e = memmem(c->b + c->p, c->n - c->p, "\r\n", 2))) if (c->n - c->p >= max || fill(c)) return -1;
    int l = e - (c->b + c->p);
    if (l >= max) return -1;
    memcpy(o, c->b + c->p, l); o[l] = 0; c->p += l + 2;
    return l;
}
static int reply(struct conn *c, int get, const char *target, int ka, long long cl, long long got, int te, int pf)
{
    char r[4096]; int k; const char *q;
    const char *end = ka ? "\r\n" : "Connection: close\r\n\r\n";
    if (get && (q = strstr(target, "size="))) {
        long long n = atoll(q + 5), i = 0;
        char *b = malloc(1 << 20); int bad = 0;
        memcpy(b, big, 1 << 20);
        k = sprintf(r, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %lld\r\n%s", n, end);
        bad = sendall(c->s, r, k);
        for (; n > 0 && !bad; n -= 1 << 20, i++) { memcpy(b, &i, 8); bad = sendall(c->s, b, n > 1 << 20 ? 1 << 20 : n); }
        free(b);
        return bad;
    }
    if (get) {
        k = sprintf(r, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2048\r\n%s", end);
        memcpy(r + k, small, 2048);
        return sendall(c->s, r, k + 2048);
    }
    char t[256];
    int n = sprintf(t, "{\"n\":%lld,\"cl\":%lld,\"te\":%d,\"pf\":%d,\"h\":\"%llx\",\"hold\":%.6f}", got, cl, te, pf,
                    c->sum ? (unsigned long long)hend(&c->h) : 0ULL, now() - c->t0);
    k = sprintf(r, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s%s", n, end, t);
    return sendall(c->s, r, k);
}
static void start(struct conn *c, const char *target) { c->sum = strstr(target, "sum") != NULL; c->h = (struct hash){.h = 1}; c->due = now(); }
static void http(struct conn *c)
{
    char target[4096], l[8192]; int first = 1, n;
    for (;; first = 0) {
        if (c->p == c->n && fill(c)) return;
        if (!first) c->t0 = now();
        if (line(c, l, sizeof target) < 0) return;
        char *a = strchr(l, ' '), *e = a ? strchr(a + 1, ' ') : NULL;
        if (!e) return;
        int get = !strncmp(l, "GET ", 4), ka = strncmp(e + 1, "HTTP/1.0", 8) != 0, te = 0;
        *e = 0; strcpy(target, a + 1);
        long long cl = -1, got = 0;
        while ((n = line(c, l, sizeof l)) > 0) {
            if (!strncasecmp(l, "content-length:", 15)) cl = atoll(l + 15);
            else if (!strncasecmp(l, "transfer-encoding:", 18)) te = 1;
            else if (!strncasecmp(l, "connection:", 11) && strcasestr(l, "close")) ka = 0;
            else if (!strncasecmp(l, "expect:", 7) && sendall(c->s, "HTTP/1.1 100 Continue\r\n\r\n", 25)) return;
        }
        if (n < 0) return;
        start(c, target);
        if (te) for (;;) {
            if (line(c, l, sizeof l) < 0) return;
            long long k = strtoll(l, NULL, 16);
            if (!k) { while ((n = line(c, l, sizeof l)) > 0); if (n < 0) return; break; }
            if (body(c, k, &got) || line(c, l, sizeof l)) return;
        } else if (cl > 0 && body(c, cl, &got)) return;
        if (reply(c, get, target, ka, cl, got, te, 0) || !ka) return;
    }
}
static int is(const char *k, int kl, const char *name) { return kl == (int)strlen(name) && !memcmp(k, name, kl); }
static void copy(char *o, int max, const char *v, int vl) { if (vl >= max) vl = max - 1; memcpy(o, v, vl); o[vl] = 0; }
static void uwsgi(struct conn *c)
{
    while (c->n < 4) if (fill(c)) return;
    unsigned char *u = (unsigned char *)c->b;
    int sz = u[1] | u[2] << 8, p = 4, get = 0, te = 0, pf = 0;
    if (u[0] == 100) { sendall(c->s, "\x64\0\0\0", 4); return; }   /* the protocol's ping: a healthy worker answers */
    while (c->n < 4 + sz) if (fill(c)) return;
    long long cl = -1, got = 0;
    char target[4096] = "/", file[4096] = "", t[32];
    while (p + 4 <= 4 + sz) {
        int kl = u[p] | u[p + 1] << 8; char *k = c->b + p + 2; p += 2 + kl;
        if (p + 2 > 4 + sz) return;
        int vl = u[p] | u[p + 1] << 8; char *v = c->b + p + 2; p += 2 + vl;
        if (p > 4 + sz) return;
        if (is(k, kl, "CONTENT_LENGTH")) { if (vl) { copy(t, sizeof t, v, vl); cl = atoll(t); } }
        else if (is(k, kl, "REQUEST_METHOD")) get = vl == 3 && !memcmp(v, "GET", 3);
        else if (is(k, kl, "REQUEST_URI")) copy(target, sizeof target, v, vl);
        else if (is(k, kl, "HTTP_TRANSFER_ENCODING")) te = vl > 0;   /* empty is absent to WSGI */
        else if (is(k, kl, "UWSGI_POSTFILE")) { copy(file, sizeof file, v, vl); pf = 1; }
    }
    c->p = 4 + sz;
    start(c, target);
    if (pf) {
        int f = open(file, O_RDONLY | O_CLOEXEC);
        if (f < 0) { fprintf(stderr, "sink: UWSGI_POSTFILE %s: %s\n", file, strerror(errno)); return; }
        while (got < cl) {
            ssize_t k = read(f, c->b, cl - got < B ? cl - got : B);
            if (k <= 0) break;
            if (c->sum) hput(&c->h, c->b, k);
            got += k;
            pace(c, k);
        }
        close(f);
    } else if (cl > 0 && body(c, cl, &got)) return;
    reply(c, get, target, 0, cl, got, te, pf);
    shutdown(c->s, SHUT_WR);
}
struct listener { int fd, uw, is_unix; };
struct job { int s; struct listener *l; double t; };
static void *serve(void *v)
{
    struct job *j = v;
    struct conn *c = malloc(sizeof *c);
    if (c) {
        int one = 1;
        c->s = j->s; c->p = c->n = 0; c->is_unix = j->l->is_unix; c->sum = 0; c->t0 = j->t; c->due = 0;
        if (!c->is_unix) setsockopt(c->s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (j->l->uw) uwsgi(c); else http(c);
    }
    close(j->s); free(c); free(j);
    return NULL;
}
static void *acceptor(void *v)
{
    struct listener *l = v;
    pthread_attr_t at; pthread_attr_init(&at);
    pthread_attr_setdetachstate(&at, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&at, 1 << 17);
    for (;;) {
        int s = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
        if (s < 0) { if (errno == EMFILE || errno == ENFILE) nap(0.01); continue; }
        struct job *j = malloc(sizeof *j); pthread_t t;
        *j = (struct job){s, l, now()};
        if (pthread_create(&t, &at, serve, j)) { fprintf(stderr, "sink: cannot start a thread\n"); close(s); free(j); }
    }
    return NULL;
}
static void die(const char *what) { fprintf(stderr, "sink: %s: %s\n", what, strerror(errno)); exit(1); }
static int tcp(int port)
{
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (void *)&a, sizeof a) || listen(s, 4096)) die("cannot listen on the TCP port");
    return s;
}
static int un(const char *p)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(a.sun_path, p);
    unlink(p);
    if (bind(s, (void *)&a, sizeof a) || chmod(p, 0666) || listen(s, 4096)) die("cannot listen on the unix socket");
    return s;
}
static void onterm(int s) { (void)s; if (upath) unlink(upath); _exit(0); }
static void usage(const char *f, ...)
{
    va_list a; va_start(a, f);
    fprintf(stderr, "sink: "); vfprintf(stderr, f, a); va_end(a);
    fprintf(stderr, "\nusage: sink [-p PORT] [-u PATH] [-U PORT] [-r RATE]   (at least one of -p -u -U)\n");
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
    int o, hp = 0, up = 0, k = 0;
    opterr = 0;
    while ((o = getopt(ac, av, ":p:u:U:r:")) != -1) switch (o) {
        case 'p': hp = num(o, optarg, 1, 65535); break;
        case 'U': up = num(o, optarg, 1, 65535); break;
        case 'u': upath = optarg; if (!*upath || strlen(upath) > 107) usage("-u: a socket path has 1 to 107 bytes"); break;
        case 'r': rate = num(o, optarg, 1, 1e12); break;
        case ':': usage("-%c needs a value", optopt); break;
        default: usage("unknown option -%c", optopt);
        }
    if (optind < ac) usage("unexpected argument: %s", av[optind]);
    if (!hp && !up && !upath) usage("nothing to listen on");
    signal(SIGPIPE, SIG_IGN); signal(SIGTERM, onterm); signal(SIGINT, onterm);
    big = malloc(1 << 20);
    for (uint32_t i = 0; i < 1 << 20; i++) big[i] = (i * 2654435761u) >> 13;
    memset(small, ' ', sizeof small); small[0] = '{'; small[2047] = '}';
    static struct listener l[3];
    if (hp) l[k++] = (struct listener){tcp(hp), 0, 0};
    if (up) l[k++] = (struct listener){tcp(up), 1, 0};
    if (upath) l[k++] = (struct listener){un(upath), 1, 1};
    printf("ready\n"); fflush(stdout);
    for (int i = 1; i < k; i++) { pthread_t t; if (pthread_create(&t, NULL, acceptor, l + i)) die("thread"); }
    acceptor(l);
}

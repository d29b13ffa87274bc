/* SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
 * SPDX-License-Identifier: GPL-3.0-or-later
 * Many clients at once: each asks again as soon as it has its secret, until so many requests have
 * been made or so many seconds are over (0: without end).  Before that, so many connections are
 * opened that say nothing, and are held open.
 *
 *   askers ADDRESS PORT PRIORITY PUBLIC-KEY PRIVATE-KEY SIZE AT-ONCE REQUESTS SILENT SECONDS
 *
 * SIZE is that of the secret.  Prints: requests served, failed, seconds, and the seconds of one
 * request: median, 99th percentile, maximum. */
#include "common.h"

static gnutls_priority_t priority;
static gnutls_certificate_credentials_t credentials;
static struct addrinfo *server;
static size_t size;
static long requests;
static atomic_long next, served, failed;
static double *took;
static double end;
static pthread_barrier_t gate;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int connected(void) {
  int descriptor = socket(server->ai_family, SOCK_STREAM, 0);
  if (descriptor < 0)
    return -1;
  ready_socket(descriptor);
  if (connect(descriptor, server->ai_addr, server->ai_addrlen) == 0)
    return descriptor;
  close(descriptor);
  return -1;
}

static int asked(void) {
  int good = 0, descriptor = connected();
  if (descriptor < 0)
    return 0;
  if (write(descriptor, "1\r\n", 3) == 3) {
    /* Mandos swaps the roles: who asks is the TLS server. */
    gnutls_session_t session = open_session(descriptor, GNUTLS_SERVER, priority, credentials);
    if (session != NULL) {
      char piece[1 << 14];
      size_t have = 0;
      ssize_t got;
      while ((got = gnutls_record_recv(session, piece, sizeof piece)) > 0)
        have += (size_t)got;
      good = have == size;
      gnutls_deinit(session);
    }
  }
  close(descriptor);
  return good;
}

static void *ask(void *unused) {
  pthread_barrier_wait(&gate);
  double begin;
  while ((begin = now()) < end && atomic_fetch_add(&next, 1) < requests) {
    if (asked())
      took[atomic_fetch_add(&served, 1)] = now() - begin;
    else
      atomic_fetch_add(&failed, 1);
  }
  return unused;
}

static int compare(const void *one, const void *other) {
  double difference = *(const double *)one - *(const double *)other;
  return (difference > 0) - (difference < 0);
}

int main(int count, char **words) {
  if (count != 11)
    die("usage: askers ADDRESS PORT PRIORITY PUBLIC PRIVATE SIZE AT-ONCE REQUESTS SILENT SECONDS");
  size = (size_t)atol(words[6]);
  long at_once = atol(words[7]), silent = atol(words[9]);
  requests = atol(words[8]);
  took = calloc((size_t)requests, sizeof *took);
  pthread_t *threads = calloc((size_t)at_once, sizeof *threads);
  if (took == NULL || threads == NULL || getaddrinfo(words[1], words[2], NULL, &server) != 0)
    die("bad address");
  if (gnutls_priority_init2(&priority, words[3], NULL, 0) < 0)
    die("bad priority string");
  gnutls_certificate_allocate_credentials(&credentials);
  if (gnutls_certificate_set_rawpk_key_file(credentials, words[4], words[5], GNUTLS_X509_FMT_PEM, NULL, 0,
                                            NULL, 0, 0, 0) < 0)
    die("bad keys");
  for (long i = 0; i < silent; i++)
    if (connected() < 0)
      die("cannot open the silent connections");
  pthread_barrier_init(&gate, NULL, (unsigned int)at_once + 1);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 << 10);
  for (long i = 0; i < at_once; i++)
    if (pthread_create(&threads[i], &small, ask, NULL) != 0)
      die("cannot start so many threads");
  double begin = now(), limit = atof(words[10]);
  end = begin + (limit > 0 ? limit : 1e9);
  pthread_barrier_wait(&gate);
  for (long i = 0; i < at_once; i++)
    pthread_join(threads[i], NULL);
  double seconds = now() - begin;
  long good = atomic_load(&served);
  qsort(took, (size_t)good, sizeof *took, compare);
  double middle = good ? took[good / 2] : 0, late = good ? took[good * 99 / 100] : 0;
  printf("%ld %ld %.3f %.4f %.4f %.4f\n", good, atomic_load(&failed), seconds, middle, late,
         good ? took[good - 1] : 0);
  return 0;
}

/* SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
 * SPDX-License-Identifier: GPL-3.0-or-later
 * The limit: a server that does for a request what the protocol asks, and nothing else.  It knows
 * one client, writes no log, remembers nothing; each connection has a thread of its own.
 *
 *   limit PORT PRIORITY KEY-ID-IN-HEX SECRET-FILE */
#include "common.h"

static gnutls_priority_t priority;
static gnutls_certificate_credentials_t credentials;
static unsigned char wanted[32];
static char *secret;
static size_t secret_size;

static int greeted(int descriptor) {
  char line[256];
  size_t have = 0;
  while (have < sizeof line) {
    ssize_t got = read(descriptor, line + have, 1);
    if (got != 1)
      return 0;
    if (line[have++] == '\n')
      return atoi(line) == 1;
  }
  return 0;
}

static int is_wanted(gnutls_session_t session) {
  unsigned int count = 0;
  unsigned char digest[32];
  const gnutls_datum_t *keys = gnutls_certificate_get_peers(session, &count);
  return gnutls_certificate_type_get2(session, GNUTLS_CTYPE_PEERS) == GNUTLS_CRT_RAWPK && count > 0 &&
         gnutls_hash_fast(GNUTLS_DIG_SHA256, keys[0].data, keys[0].size, digest) == 0 &&
         memcmp(digest, wanted, sizeof digest) == 0;
}

static void *serve(void *argument) {
  int descriptor = (int)(long)argument;
  ready_socket(descriptor);
  if (greeted(descriptor)) {
    gnutls_session_t session = open_session(descriptor, GNUTLS_CLIENT, priority, credentials);
    if (session != NULL) {
      size_t sent = 0;
      while (is_wanted(session) && sent < secret_size) {
        ssize_t done = gnutls_record_send(session, secret + sent, secret_size - sent);
        if (done <= 0)
          break;
        sent += (size_t)done;
      }
      gnutls_bye(session, GNUTLS_SHUT_WR);
      gnutls_deinit(session);
    }
  }
  close(descriptor);
  return NULL;
}

int main(int count, char **words) {
  if (count != 5)
    die("usage: limit PORT PRIORITY KEY-ID SECRET-FILE");
  for (size_t i = 0; i < sizeof wanted; i++)
    if (sscanf(words[3] + 2 * i, "%2hhx", &wanted[i]) != 1)
      die("the key ID is not hexadecimal");
  FILE *file = fopen(words[4], "rb");
  if (file == NULL || (secret = malloc(1 << 20)) == NULL)
    die("cannot read the secret");
  secret_size = fread(secret, 1, 1 << 20, file);
  if (gnutls_priority_init2(&priority, words[2], NULL, 0) < 0)
    die("bad priority string");
  gnutls_certificate_allocate_credentials(&credentials);
  int one = 1, listening = socket(AF_INET6, SOCK_STREAM, 0);
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)atoi(words[1]))};
  setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listening, (struct sockaddr *)&address, sizeof address) < 0 || listen(listening, 1024) < 0)
    die("cannot listen");
  puts("listening");
  fflush(stdout);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 << 10);
  pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
  for (;;) {
    pthread_t thread;
    int descriptor = accept(listening, NULL, NULL);
    if (descriptor >= 0 && pthread_create(&thread, &small, serve, (void *)(long)descriptor) != 0)
      close(descriptor);
  }
}

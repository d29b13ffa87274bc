/* SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
 * SPDX-License-Identifier: GPL-3.0-or-later
 * What both programs of this folder share: they are as fast as C and GnuTLS allow, no more. */
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 120 /* seconds for one step of a conversation */

static void die(const char *what) {
  fprintf(stderr, "load: %s\n", what);
  exit(1);
}

static void ready_socket(int descriptor) {
  int one = 1;
  struct timeval patience = {.tv_sec = PATIENCE};
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

/* Open a session over a connected socket and shake hands; NULL when that fails. */
static gnutls_session_t open_session(int descriptor, unsigned int role, gnutls_priority_t priority,
                                     gnutls_certificate_credentials_t credentials) {
  gnutls_session_t session;
  if (gnutls_init(&session, role | GNUTLS_ENABLE_RAWPK | GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL) < 0)
    return NULL;
  gnutls_priority_set(session, priority);
  gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
  gnutls_transport_set_int(session, descriptor);
  int status;
  do
    status = gnutls_handshake(session);
  while (status == GNUTLS_E_INTERRUPTED);
  if (status == GNUTLS_E_SUCCESS)
    return session;
  gnutls_deinit(session);
  return NULL;
}

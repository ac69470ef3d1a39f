/* Authorities and certificates made on the spot, as PEM files in a folder of the test's own. */
#ifndef CHRONOS_TESTS_UNIT_TRANSPORT_CERTIFICATES_H
#define CHRONOS_TESTS_UNIT_TRANSPORT_CERTIFICATES_H

#include "transport/tls.h"

enum { CERTIFICATE_PATH_SIZE = 256 };

struct certificate_files {
    char cert[CERTIFICATE_PATH_SIZE], key[CERTIFICATE_PATH_SIZE], ca[CERTIFICATE_PATH_SIZE];
};
struct tls_files certificate_tls(const struct certificate_files *files);

void certificates_begin(void); /* makes the folder */
void certificates_end(void);   /* removes it and all in it */
/* An authority of this name; once. */
void certificate_authority(const char *name);
/* A private key of this type ("ED25519") that no certificate was made for. */
void certificate_key(const char *type, char ret_path[CERTIFICATE_PATH_SIZE]);
/* Signed by the authority, for `names` ("DNS:chronos-1,IP:127.0.0.1"; NULL: for none), valid for `days` from now (negative: over
 * since). The key is encrypted where `passphrase` is given. */
void certificate_make(const char *authority, const char *names, int days, const char *passphrase, struct certificate_files *ret);

#endif

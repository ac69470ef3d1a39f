#include "certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/check.h"

enum { FILES_MAX = 64 };

static char folder[64];
static char made[FILES_MAX][CERTIFICATE_PATH_SIZE];
static int made_count;

struct tls_files certificate_tls(const struct certificate_files *files)
{
    return (struct tls_files){.cert_file = files->cert, .key_file = files->key, .ca_file = files->ca};
}

void certificates_begin(void)
{
    (void)strcpy(folder, "/tmp/chronos-certificates-XXXXXX");
    assert_non_null(mkdtemp(folder));
    made_count = 0;
}

void certificates_end(void)
{
    for (int i = 0; i < made_count; i++)
        assert_int_equal(unlink(made[i]), 0);
    assert_int_equal(rmdir(folder), 0);
}

static FILE *create(const char *name, const char *ending, char path[CERTIFICATE_PATH_SIZE])
{
    (void)snprintf(path, CERTIFICATE_PATH_SIZE, "%s/%s%s", folder, name, ending);
    FILE *file = fopen(path, "wx");
    assert_non_null(file);
    assert_true(made_count < FILES_MAX);
    (void)strcpy(made[made_count++], path);
    return file;
}

static void write_key(const char *name, EVP_PKEY *key, const char *passphrase, char path[CERTIFICATE_PATH_SIZE])
{
    FILE *file = create(name, ".key", path);
    assert_int_equal(PEM_write_PrivateKey(file, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                                          (void *)(uintptr_t)passphrase), 1);
    assert_int_equal(fclose(file), 0);
}

static void write_certificate(const char *name, X509 *certificate, char path[CERTIFICATE_PATH_SIZE])
{
    FILE *file = create(name, ".crt", path);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
}

static void extend(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *blank(const char *subject, EVP_PKEY *key, int days)
{
    static long serial;
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    assert_int_equal(X509_set_version(certificate, 2), 1);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    (void)X509_gmtime_adj(X509_getm_notBefore(certificate), -20L * 86400);
    (void)X509_gmtime_adj(X509_getm_notAfter(certificate), (long)days * 86400);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)subject, -1, -1,
                                     0);
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    return certificate;
}

static void sign(X509 *certificate, const char *issuer, EVP_PKEY *key)
{
    X509_NAME *name = X509_NAME_new();
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)issuer, -1, -1, 0);
    assert_int_equal(X509_set_issuer_name(certificate, name), 1);
    X509_NAME_free(name);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
}

void certificate_authority(const char *name)
{
    char path[CERTIFICATE_PATH_SIZE];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    X509 *certificate = blank(name, key, 10);
    extend(certificate, NID_basic_constraints, "critical,CA:TRUE");
    sign(certificate, name, key);
    write_key(name, key, NULL, path);
    write_certificate(name, certificate, path);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void certificate_key(const char *type, char ret_path[CERTIFICATE_PATH_SIZE])
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, type);
    assert_non_null(key);
    write_key(type, key, NULL, ret_path);
    EVP_PKEY_free(key);
}

static EVP_PKEY *read_key(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    assert_non_null(key);
    assert_int_equal(fclose(file), 0);
    return key;
}

void certificate_make(const char *authority, const char *names, int days, const char *passphrase, struct certificate_files *ret)
{
    static int count;
    char name[32], authority_key[CERTIFICATE_PATH_SIZE];
    (void)snprintf(name, sizeof name, "node-%d", ++count);
    (void)snprintf(authority_key, sizeof authority_key, "%s/%s.key", folder, authority);
    (void)snprintf(ret->ca, sizeof ret->ca, "%s/%s.crt", folder, authority);
    EVP_PKEY *key = EVP_EC_gen("P-256"), *signer = read_key(authority_key);
    assert_non_null(key);
    X509 *certificate = blank(name, key, days);
    if (names != NULL)
        extend(certificate, NID_subject_alt_name, names);
    extend(certificate, NID_ext_key_usage, "serverAuth,clientAuth");
    sign(certificate, authority, signer);
    write_key(name, key, passphrase, ret->key);
    write_certificate(name, certificate, ret->cert);
    X509_free(certificate);
    EVP_PKEY_free(key);
    EVP_PKEY_free(signer);
}

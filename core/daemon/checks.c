#include "daemon/checks.h"

#include "daemon/plugins.h"

enum status checks_read_tokens(const struct config *config, struct tokens **ret, struct error *err)
{
    *ret = NULL;
    if (!config->auth.enabled || tokens_load(config->auth.tokens_file, ret, err) == STATUS_OK)
        return STATUS_OK;
    return error_wrap(err, "auth.tokens_file");
}

enum status checks_tokens(const struct config *config, config_report report, void *arg, struct tokens **ret, struct error *err)
{
    enum status status = checks_read_tokens(config, ret, err);
    if (status != STATUS_OK)
        report(arg, err->message);
    return status;
}

struct tls_files checks_tls_files(const struct config *config)
{
    return (struct tls_files){config->cluster_raft.tls_cert_file, config->cluster_raft.tls_key_file, config->cluster_raft.tls_ca_file};
}

enum status checks_tls(const struct config *config, config_report report, void *arg, struct error *err)
{
    struct tls_files files = checks_tls_files(config);
    struct tls_context *context = NULL;
    if (config->cluster_raft.address == NULL || files.cert_file == NULL)
        return STATUS_OK; /* nobody asks for them */
    enum status status = tls_context_new(&files, &context, err);
    tls_context_free(context);
    if (status != STATUS_INVALID)
        return status;
    int line = config_line_of(config, err->field);
    if (line > 0)
        (void)error_wrap(err, "%s:%d", config_file_of(config), line);
    report(arg, err->message);
    return status;
}

enum status checks_security(const struct config *config, config_report report, void *arg, struct error *err)
{
    enum status status = STATUS_OK;
    if (!config->security_strict)
        return STATUS_OK;
    if (config_http_is_open(config)) {
        status = error_set(err, STATUS_INVALID,
                           "security.strict: server.http.address %s listens beyond this machine without authentication; set "
                           "auth.tokens_file, use 127.0.0.1, or set security.strict: false",
                           config->server.http_address);
        report(arg, err->message);
    }
    if (config_raft_is_open(config)) {
        status = error_set(err, STATUS_INVALID,
                           "security.strict: links between nodes on %s are not encrypted; set cluster.raft.tls, or set "
                           "security.strict: false",
                           config->cluster_raft.address);
        report(arg, err->message);
    }
    return status;
}

enum status checks_all(const struct config *config, config_report report, void *arg, struct error *err)
{
    struct plugins plugins;
    struct tokens *tokens;
    enum status security = checks_security(config, report, arg, err), tokens_status = checks_tokens(config, report, arg, &tokens, err);
    tokens_free(tokens);
    enum status tls = checks_tls(config, report, arg, err), status = plugins_load(config, report, arg, &plugins, err);
    if (status == STATUS_OK)
        plugins_unload(&plugins);
    return status != STATUS_OK ? status : tls != STATUS_OK ? tls : tokens_status != STATUS_OK ? tokens_status : security;
}

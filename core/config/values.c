#include "config/values.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"

static struct shown shown_of(const char *text)
{
    return text_shown(text, strlen(text));
}

const char *value_text(struct loader *loader, const char *key, const struct tree *value)
{
    if (value->kind != TREE_SCALAR) {
        (void)loader_refuse(loader, key, value->line, "must be a single value, not %s", tree_kind_name(value));
        return NULL;
    }
    if (tree_is_null(value)) {
        (void)loader_refuse(loader, key, value->line,
                            "has no value; write one, or leave the line out to take the default");
        return NULL;
    }
    for (const char *at = value->text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            (void)loader_refuse(loader, key, value->line, "\"%s\" holds a line break or another control character",
                                shown_of(value->text).text);
            return NULL;
        }
    return value->text;
}

bool value_take_string(struct loader *loader, char **member, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return loader_out_of_memory(loader);
    free(*member);
    *member = copy;
    return true;
}

struct suggestion suggest(const char *word, const char *const *known)
{
    struct suggestion suggestion = {.text = ""};
    const char *nearest = nearest_word(word, known);
    if (nearest)
        (void)snprintf(suggestion.text, sizeof suggestion.text, "; did you mean \"%s\"?", nearest); /* known is short */
    return suggestion;
}

/* ---- texts ---- */

static void clear_string(struct config *config, const struct config_key *key)
{
    char **member = value_member(config, key);
    free(*member);
    *member = NULL;
}

enum text_outcome { TEXT_REFUSED, TEXT_NONE, TEXT_GIVEN };

/* The text within the key's length; TEXT_NONE after the member was emptied, which KEY_OPTIONAL allows. */
static enum text_outcome take_text(struct loader *loader, const struct config_key *key, const struct tree *value,
                                   const char **ret)
{
    bool none = (key->flags & KEY_OPTIONAL) && (tree_is_null(value) || (value->kind == TREE_SCALAR && !*value->text));
    if (none) {
        clear_string(loader->config, key);
        return TEXT_NONE;
    }
    const char *text = value_text(loader, key->path, value);
    if (!text)
        return TEXT_REFUSED;
    if (!*text) {
        (void)loader_refuse(loader, key->path, value->line, "must not be empty");
        return TEXT_REFUSED;
    }
    if (strlen(text) > (size_t)key->maximum) {
        (void)loader_refuse(loader, key->path, value->line, "is longer than %" PRId64 " bytes", key->maximum);
        return TEXT_REFUSED;
    }
    *ret = text;
    return TEXT_GIVEN;
}

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool config_name_is_good(const char *text)
{
    bool good = is_alphanumeric(text[0]) && is_alphanumeric(text[strlen(text) - 1]);
    for (const char *at = text; good && *at; at++)
        good = is_alphanumeric(*at) || *at == '-' || *at == '_' || *at == '.';
    return good;
}

static bool set_name(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    const char *text = NULL;
    enum text_outcome outcome = take_text(loader, key, value, &text);
    if (outcome != TEXT_GIVEN)
        return outcome == TEXT_NONE;
    if (!config_name_is_good(text))
        return loader_refuse(loader, key->path, value->line,
                             "\"%s\" is not a name; use letters, digits, \"-\", \"_\" and \".\", "
                             "a letter or digit first and last", shown_of(text).text);
    return value_take_string(loader, value_member(loader->config, key), text);
}
const struct config_type config_type_name = {"name", set_name, clear_string};

static bool refuse_home(struct loader *loader, const struct config_key *key, const struct tree *value, const char *text)
{
    return loader_refuse(loader, key->path, value->line,
                         "\"%s\": ~ is not replaced by the home folder; write the whole path", shown_of(text).text);
}

static bool set_path(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    const char *text = NULL;
    enum text_outcome outcome = take_text(loader, key, value, &text);
    if (outcome != TEXT_GIVEN)
        return outcome == TEXT_NONE;
    if (text[0] == '~')
        return refuse_home(loader, key, value, text);
    return value_take_string(loader, value_member(loader->config, key), text);
}
const struct config_type config_type_path = {"path", set_path, clear_string};

static bool set_output(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    static const char *const streams[] = {"stderr", "stdout", NULL};
    const char *text = NULL;
    if (take_text(loader, key, value, &text) != TEXT_GIVEN)
        return false;
    if (text[0] == '~')
        return refuse_home(loader, key, value, text);
    bool stream = strcmp(text, streams[0]) == 0 || strcmp(text, streams[1]) == 0;
    if (!stream && !strchr(text, '/'))
        return loader_refuse(loader, key->path, value->line,
                             "\"%s\" is not stderr, stdout or a path with a \"/\" in it%s", shown_of(text).text,
                             suggest(text, streams).text);
    return value_take_string(loader, value_member(loader->config, key), text);
}
const struct config_type config_type_output = {"stderr, stdout or path", set_output, clear_string};

static bool set_url_path(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    const char *text = NULL;
    if (take_text(loader, key, value, &text) != TEXT_GIVEN)
        return false;
    bool good = text[0] == '/' && text[1] != '\0' && !strstr(text, "//");
    for (const char *at = text; *at; at++)
        good = good && (is_alphanumeric(*at) || strchr("/-_.", *at));
    if (!good)
        return loader_refuse(loader, key->path, value->line,
                             "\"%s\" is not a path such as /metrics (letters, digits, \"-\", \"_\", \".\" and \"/\")",
                             shown_of(text).text);
    if (strcmp(text, "/api") == 0 || strncmp(text, "/api/", 5) == 0)
        return loader_refuse(loader, key->path, value->line, "\"%s\" belongs to the API; choose a path outside /api",
                             shown_of(text).text);
    return value_take_string(loader, value_member(loader->config, key), text);
}
const struct config_type config_type_url_path = {"URL path", set_url_path, clear_string};

/* ---- addresses ---- */

/* NULL, or what is wrong. */
static const char *check_address(const char *text, uint32_t flags, struct address *ret)
{
    const char *wrong = address_split(text, ret);
    if (wrong)
        return wrong;
    if (ret->port == 0 && !(flags & KEY_ANY_PORT))
        return "port 0 cannot be reached";
    if (ret->kind == ADDRESS_NO_HOST)
        return flags & KEY_ANY_HOST ? NULL : "the host is missing; write host:port";
    if (ret->kind == ADDRESS_NAME && flags & KEY_HOST_NAME)
        return NULL;
    if (strcmp(ret->host, "localhost") == 0)
        return "host names are not looked up; write 127.0.0.1 or [::1] for localhost";
    if (strcmp(ret->host, "*") == 0 && !(flags & KEY_HOST_NAME))
        return "write 0.0.0.0 for every IPv4 address, or [::] for IPv6 too";
    bool is_ip = ret->kind == ADDRESS_IPV4 || ret->kind == ADDRESS_IPV6;
    if (is_ip)
        return NULL;
    return flags & KEY_HOST_NAME ? "the host must be an IP address or a host name, as in 10.0.0.1:7000 or chronos-1.example.org:7000"
                                 : "the host must be an IP address, as in 10.0.0.1:7000 or [::1]:7000";
}

char *value_address(struct loader *loader, const char *key, const struct tree *value, const char *text, uint32_t flags)
{
    struct address address;
    const char *wrong = check_address(text, flags, &address);
    if (wrong) {
        (void)loader_refuse(loader, key, value->line, "\"%s\" is not an address: %s", shown_of(text).text, wrong);
        return NULL;
    }
    char *copy = NULL;
    if (address.kind != ADDRESS_NO_HOST)
        copy = strdup(text);
    else if (asprintf(&copy, "0.0.0.0:%u", (unsigned)address.port) < 0)
        copy = NULL;
    if (!copy)
        (void)loader_out_of_memory(loader);
    return copy;
}

static bool set_address(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    const char *text = NULL;
    enum text_outcome outcome = take_text(loader, key, value, &text);
    if (outcome != TEXT_GIVEN)
        return outcome == TEXT_NONE;
    char *address = value_address(loader, key->path, value, text, key->flags);
    if (!address)
        return false;
    char **member = value_member(loader->config, key);
    free(*member);
    *member = address;
    return true;
}
const struct config_type config_type_address = {"address", set_address, clear_string};

/* ---- numbers ---- */

static bool is_unlimited(const struct config_key *key, const char *text)
{
    return (key->flags & KEY_UNLIMITED) && (strcmp(text, "unlimited") == 0 || strcmp(text, "0") == 0);
}

static bool set_duration(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    const char *text = value_text(loader, key->path, value);
    if (!text)
        return false;
    int64_t ms = 0;
    struct error ignored; /* says less than we do */
    if (!is_unlimited(key, text)) {
        if (duration_parse(text, strlen(text), &ms, &ignored) != STATUS_OK)
            return loader_refuse(loader, key->path, value->line,
                                 "\"%s\" is not a duration%s; write a number and ms, s, m, h or d, "
                                 "as in 500ms, 30s or 1h30m",
                                 shown_of(text).text, text_is_number(text) ? ": the unit is missing" : "");
        char minimum[DURATION_TEXT_SIZE], maximum[DURATION_TEXT_SIZE];
        duration_format(key->minimum, minimum);
        duration_format(key->maximum, maximum);
        if (ms < key->minimum || ms > key->maximum)
            return loader_refuse(loader, key->path, value->line, "%s is out of range: %s to %s%s", shown_of(text).text,
                                 minimum, maximum, key->flags & KEY_UNLIMITED ? ", or unlimited" : "");
    }
    *(int64_t *)value_member(loader->config, key) = ms;
    return true;
}
const struct config_type config_type_duration = {"duration", set_duration, NULL};

static bool parse_bytes(struct loader *loader, const struct config_key *key, const struct tree *value, int64_t *ret)
{
    const char *text = value_text(loader, key->path, value);
    if (!text)
        return false;
    int64_t bytes;
    struct error ignored; /* says less than we do */
    if (size_parse(text, strlen(text), &bytes, &ignored) != STATUS_OK)
        return loader_refuse(loader, key->path, value->line,
                             "\"%s\" is not a size; write bytes, or a number and KiB, MiB, GiB or TiB, as in 256MiB",
                             shown_of(text).text);
    char minimum[DURATION_TEXT_SIZE], maximum[DURATION_TEXT_SIZE];
    size_format(key->minimum, minimum);
    size_format(key->maximum, maximum);
    if (bytes < key->minimum || bytes > key->maximum)
        return loader_refuse(loader, key->path, value->line, "%s is out of range: %s to %s", shown_of(text).text,
                             minimum, maximum);
    *ret = bytes;
    return true;
}

static bool set_size(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    return parse_bytes(loader, key, value, value_member(loader->config, key));
}
const struct config_type config_type_size = {"size", set_size, NULL};

static bool set_size32(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    int64_t bytes;
    if (!parse_bytes(loader, key, value, &bytes))
        return false;
    assert(bytes <= UINT32_MAX); /* the table's maximum */
    *(uint32_t *)value_member(loader->config, key) = (uint32_t)bytes;
    return true;
}
const struct config_type config_type_size32 = {"size", set_size32, NULL};

static bool set_integer(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    const char *text = value_text(loader, key->path, value);
    if (!text)
        return false;
    size_t digits = strspn(text[0] == '-' ? text + 1 : text, "0123456789");
    if (!text_is_number(text) || digits + (text[0] == '-') != strlen(text))
        return loader_refuse(loader, key->path, value->line, "\"%s\" is not a whole number", shown_of(text).text);
    int64_t number = digits < 18 ? strtoll(text, NULL, 10) : INT64_MAX;
    if (number < key->minimum || number > key->maximum)
        return loader_refuse(loader, key->path, value->line, "%s is out of range: %" PRId64 " to %" PRId64,
                             shown_of(text).text, key->minimum, key->maximum);
    *(uint32_t *)value_member(loader->config, key) = (uint32_t)number;
    return true;
}
const struct config_type config_type_integer = {"number", set_integer, NULL};

/* "2", "2.0", "0.125" in thousandths, without floating point; -1 if it is not one, or has more than three decimals. */
static int64_t parse_thousandths(const char *text)
{
    size_t whole = strspn(text, "0123456789");
    if (!text_is_number(text) || text[0] == '-' || whole > 9 || (text[whole] && text[whole] != '.'))
        return -1;
    int64_t number = strtoll(text, NULL, 10) * 1000;
    const char *fraction = text[whole] ? text + whole + 1 : "";
    size_t digits = strlen(fraction);
    if (digits > 3 || strspn(fraction, "0123456789") != digits)
        return -1;
    for (size_t i = 0, factor = 100; i < digits; i++, factor /= 10)
        number += (fraction[i] - '0') * (int64_t)factor;
    return number;
}

static bool set_thousandths(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    const char *text = value_text(loader, key->path, value);
    if (!text)
        return false;
    if (text[0] == '-' && text_is_number(text))
        return loader_refuse(loader, key->path, value->line, "%s is out of range: %g to %g", shown_of(text).text,
                             (double)key->minimum / 1000, (double)key->maximum / 1000);
    int64_t number = parse_thousandths(text);
    if (number < 0)
        return loader_refuse(loader, key->path, value->line,
                             "\"%s\" is not a number with at most three decimals, as in 1.5", shown_of(text).text);
    if (number < key->minimum || number > key->maximum)
        return loader_refuse(loader, key->path, value->line, "%s is out of range: %g to %g", shown_of(text).text,
                             (double)key->minimum / 1000, (double)key->maximum / 1000);
    *(uint32_t *)value_member(loader->config, key) = (uint32_t)number;
    return true;
}
const struct config_type config_type_thousandths = {"decimal", set_thousandths, NULL};

/* ---- words ---- */

static bool word_is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcasecmp(text, *words) == 0)
            return true;
    return false;
}

static bool set_bool(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    static const char *const yes[] = {"yes", "y", "on", "true", "1", NULL};
    static const char *const no[] = {"no", "n", "off", "false", "0", NULL};
    const char *text = value_text(loader, key->path, value);
    if (!text)
        return false;
    bool is_true = strcmp(text, "true") == 0;
    if (!is_true && strcmp(text, "false") != 0)
        return loader_refuse(loader, key->path, value->line, "\"%s\" is neither true nor false%s",
                             shown_of(text).text,
                             word_is_one_of(text, yes)  ? "; write true"
                             : word_is_one_of(text, no) ? "; write false"
                                                        : "");
    *(bool *)value_member(loader->config, key) = is_true;
    return true;
}
const struct config_type config_type_bool = {"true or false", set_bool, NULL};

static bool set_choice(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    static_assert(sizeof(enum missed_run_policy) == sizeof(int) && sizeof(enum log_level) == sizeof(int) &&
                      sizeof(enum log_format) == sizeof(int), "choices are stored as int");
    const char *text = value_text(loader, key->path, value);
    if (!text)
        return false;
    for (int i = 0; key->choices[i]; i++)
        if (strcmp(key->choices[i], text) == 0) {
            memcpy(value_member(loader->config, key), &i, sizeof i);
            return true;
        }
    char known[128] = "";
    for (size_t i = 0, used = 0; key->choices[i]; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "", key->choices[i]);
    return loader_refuse(loader, key->path, value->line, "\"%s\" is not one of %s%s", shown_of(text).text, known,
                         suggest(text, key->choices).text);
}
const struct config_type config_type_choice = {"choice", set_choice, NULL};

#include "ctl/yaml_schema.h"

#include <string.h>
#include <strings.h>

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static const char *skip_digits(const char *at)
{
    return at + strspn(at, "0123456789");
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_decimal(const char *text)
{
    const char *begin = text + (*text == '-' || *text == '+');
    const char *at = skip_digits(begin);
    bool has_digits = at > begin;
    if (*at == '.') {
        const char *fraction = at + 1;
        at = skip_digits(fraction);
        has_digits = has_digits || at > fraction;
    }
    if (has_digits && (*at == 'e' || *at == 'E')) {
        const char *exponent = at + 1 + (at[1] == '-' || at[1] == '+');
        at = skip_digits(exponent);
        has_digits = at > exponent;
    }
    return has_digits && *at == '\0';
}

static bool has_leading_zero(const char *text)
{
    text += *text == '-' || *text == '+';
    return text[0] == '0' && text[1] >= '0' && text[1] <= '9';
}

static bool is_based(const char *text, const char *prefix, const char *digits)
{
    size_t size = strlen(prefix);
    return strncmp(text, prefix, size) == 0 && text[size] != '\0' && text[size + strspn(text + size, digits)] == '\0';
}

static bool is_not_finite(const char *text)
{
    static const char *const infinities[] = {".inf", ".Inf", ".INF", NULL};
    static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
    return is_one_of(text + (*text == '-' || *text == '+'), infinities) || is_one_of(text, nans);
}

enum yaml_meaning yaml_plain_meaning(const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    if (is_one_of(text, nulls))
        return YAML_NULL;
    if (is_one_of(text, trues))
        return YAML_TRUE;
    if (is_one_of(text, falses))
        return YAML_FALSE;
    if (is_decimal(text))
        return has_leading_zero(text) ? YAML_LEADING_ZERO : YAML_NUMBER;
    if (is_based(text, "0o", "01234567"))
        return YAML_OCTAL;
    if (is_based(text, "0x", "0123456789abcdefABCDEF"))
        return YAML_HEXADECIMAL;
    return is_not_finite(text) ? YAML_NOT_FINITE : YAML_TEXT;
}

bool yaml_text_is_ambiguous(const char *text)
{
    static const char *const words[] = {"yes", "no", "on", "off", "y", "n", "true", "false", "null", NULL};
    if (yaml_plain_meaning(text) != YAML_TEXT)
        return true;
    for (size_t i = 0; words[i] != NULL; i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    if (strcmp(text, "<<") == 0 || strcmp(text, "=") == 0)
        return true;
    /* YAML 1.1 also knows base 60, dates, times, 0b1, 1_000. */
    return (*text >= '0' && *text <= '9' && text[strspn(text, "0123456789:.-_+TtZz bxoABCDEFabcdef")] == '\0') ||
           (strchr("+-.", *text) != NULL && text[strspn(text, "+-.0123456789:_eE")] == '\0');
}

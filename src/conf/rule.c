/*
 * Rules: the kinds of values that only they have.
 */
#include "conf/option.h"

#include <stdlib.h>
#include <string.h>

#include "larder/check.h"
#include "larder/err.h"

#define NAMES_MAX	32u
#define NAME_LENGTH_MAX 128u

/* Fields that say what may be stored, how long, for whom, and where a message
 * ends: no rule may take them away and so have what others forbid. */
static const char *const kept_fields[] = {
    "Age",
    "Cache-Control",
    "CDN-Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Location",
    "Content-Range",
    "Content-Type",
    "Date",
    "ETag",
    "Expires",
    "Keep-Alive",
    "Last-Modified",
    "Location",
    "Pragma",
    "Proxy-Authenticate",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Vary",
    "Via",
    "WWW-Authenticate",
};

static const struct {
	const char *word;
	unsigned bit;
} forces[] = {
    {"no-store", CONF_FORCE_NO_STORE},
    {"no-cache", CONF_FORCE_NO_CACHE},
    {"private", CONF_FORCE_PRIVATE},
    {"authorization", CONF_FORCE_AUTHORIZATION},
};

static int
refuse(char why[CONF_WHY_MAX], const char *text)
{
	snprintf(why, CONF_WHY_MAX, "%s", text);
	return LARDER_INVALID;
}

/* ---- lists of names --------------------------------------------------- */

static unsigned
count_of(const struct conf_option *o, const void *base)
{
	return *(const unsigned *)(const void *)((const char *)base +
						 o->offset_count);
}

/* One more at the end of the list at o. */
static int
append(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	char ***array = (void *)((char *)base + o->offset), **grown;
	unsigned *count = (void *)((char *)base + o->offset_count);

	if (*count == NAMES_MAX)
		return refuse(why, "the list is too long");
	grown = conf_grow(*array, *count, sizeof(*grown));
	if (grown == NULL)
		return LARDER_NOMEM;
	*array = grown;
	grown[*count] = strdup(value);
	if (grown[*count] == NULL)
		return LARDER_NOMEM;
	(*count)++;
	return 0;
}

/* Nothing in it needs to be escaped. */
static void
put_name(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	char *const *const *array =
	    (const void *)((const char *)base + o->offset);

	fprintf(out, "\"%s\"", (*array)[i]);
}

/* Letters, digits and what `more` has. */
static bool
is_made_of(const char *value, const char *more)
{
	size_t n = strlen(value);

	for (const char *p = value; *p; p++) {
		char c = bytes_lower(*p);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    strchr(more, c) == NULL)
			return false;
	}
	return n > 0 && n <= NAME_LENGTH_MAX;
}

static int
set_field(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	if (!is_made_of(value, "-_.!#%&'*+^`|~"))
		return refuse(why, "write the name of a field, like "
				   "\"Set-Cookie\"");
	for (size_t i = 0; i < ARRAY_SIZE(kept_fields); i++)
		if (strcasecmp(value, kept_fields[i]) == 0)
			return refuse(why,
			    "caching or framing goes by that field; see "
			    "min_fresh, max_fresh and force");
	return append(o, base, value, why);
}

static int
set_tag(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	if (!is_made_of(value, "-_.:/+@="))
		return refuse(why,
		    "write a tag of letters, digits and -_.:/+@=, "
		    "like \"debian\"");
	return append(o, base, value, why);
}

const struct conf_type conf_type_fields = {true, set_field, put_name, count_of};
const struct conf_type conf_type_tags = {true, set_tag, put_name, count_of};

/* ---- force ------------------------------------------------------------ */

static int
set_force(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	struct conf_rule *rule = base;

	(void)o;
	for (size_t i = 0; i < ARRAY_SIZE(forces); i++) {
		if (strcmp(value, forces[i].word) != 0)
			continue;
		if (rule->force & forces[i].bit)
			return refuse(why, "it is in the list already");
		rule->force |= forces[i].bit;
		return 0;
	}
	return refuse(why, "write \"no-store\", \"no-cache\", \"private\" or "
			   "\"authorization\"");
}

static void
put_force(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	const struct conf_rule *rule = base;

	(void)o;
	for (size_t j = 0; j < ARRAY_SIZE(forces); j++)
		if (rule->force & forces[j].bit && i-- == 0)
			fprintf(out, "\"%s\"", forces[j].word);
}

static unsigned
count_force(const struct conf_option *o, const void *base)
{
	const struct conf_rule *rule = base;

	(void)o;
	return (unsigned)__builtin_popcount(rule->force);
}

const struct conf_type conf_type_force = {
    true, set_force, put_force, count_force};

/* ---- the whole -------------------------------------------------------- */

void
conf_rule_prepare(struct conf_rule *rule)
{
	const char *p = rule->match;

	rule->literal = bytes_of(p, 0);
	/* Behind a class or a quoted byte it would need a closer look. */
	while (*p != '\0' && *p != '[' && *p != '\\') {
		size_t n = strcspn(p, "*?[\\");

		if (n > rule->literal.n)
			rule->literal = bytes_of(p, n);
		p += n;
		p += *p == '*' || *p == '?';
	}
}

const char *
conf_rule_fault(const struct conf_rule *r)
{
	bool lasts = r->immutable || r->min_fresh > 0;

	if (r->never && (lasts || r->revalidate || r->force))
		return "has never, and something for what is stored; keep one "
		       "of them";
	if (r->revalidate && (lasts || r->max_fresh > 0))
		return "has revalidate, and a lifetime; keep one of them";
	if (r->immutable && r->max_fresh > 0)
		return "has immutable and max_fresh; keep one of them";
	if (r->max_fresh > 0 && r->min_fresh > r->max_fresh)
		return "has a min_fresh above its max_fresh; write min_fresh "
		       "<= "
		       "max_fresh";
	return NULL;
}

void
conf_rule_release(struct conf_rule *rule)
{
	for (unsigned i = 0; i < rule->strip_count; i++)
		free(rule->strip[i]);
	for (unsigned i = 0; i < rule->tags_count; i++)
		free(rule->tags[i]);
	free(rule->strip);
	free(rule->tags);
	free(rule->match);
	free(rule->file);
}
